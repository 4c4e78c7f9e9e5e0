"""Which language a text is in, as far as its script and its smallest words say."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

LOOKED_AT = 2000  # characters of a row
UNKNOWN = "unknown"
_WORDS = re.compile(r"[^\W\d_]+")
# First code point of each block and its script; "" is no letter of a script named here.
_BLOCKS = (
    (0x41, "Latin"), (0x250, ""), (0x370, "Greek"), (0x400, "Cyrillic"), (0x530, "Armenian"), (0x590, "Hebrew"), (0x600, "Arabic"), (0x700, ""),
    (0x900, "Devanagari"), (0x980, "Bengali"), (0xA00, ""), (0xB80, "Tamil"), (0xC00, "Telugu"), (0xC80, ""), (0xE00, "Thai"), (0xE80, ""),
    (0x10A0, "Georgian"), (0x1100, "Hangul"), (0x1200, "Ethiopic"), (0x1380, ""), (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, ""), (0x3040, "Kana"),
    (0x3100, ""), (0x3400, "Han"), (0x4DC0, ""), (0x4E00, "Han"), (0xA000, ""), (0xAC00, "Hangul"), (0xD7B0, ""), (0xF900, "Han"), (0xFB00, ""),
    (0x20000, "Han"), (0x32000, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
_ALONE = {"Han": "zh", "Hangul": "ko", "Greek": "el", "Hebrew": "he", "Thai": "th", "Armenian": "hy", "Georgian": "ka"}  # one large language each
# The smallest words of each: short, frequent, and few of them shared.
_SMALL = {
    "en": "a an the of and to in is that it was for on are with as this be at by from or have has had not no which you what how i my we they he his her its "
    "their can do does did who when where will would been were but all said more after about than if your please",
    "de": "der die das und ist nicht ein eine zu den mit von auf für im dem sich des auch es wie wird werden oder ich sie wir aus bei was kann nach",
    "fr": "le la les l d en se et est des un une du que qui dans pour pas sur au avec ce il elle vous nous je sont être par plus ou aux cette mais quel",
    "es": "el la los las y es de que en un una por con para del se no su al lo como más pero está son qué cómo yo mi o fue",
    "it": "il lo la l d gli le e è di che in un una per con del della non si sono da al come ma più anche nel ha io mi o cosa",
    "pt": "o a os as e é de que em um uma para com não do da no na se por mais como mas dos das ao eu foi são você meu",
    "nl": "de het een en is van niet dat in te met voor op zijn aan er ook als maar bij naar uit wordt om wat ik je hoe kan deze",
}
_OF = {language: frozenset(words.split()) for language, words in _SMALL.items()}


def language_of(text: str) -> str:
    """A language's ISO 639-1 code, a script's name where the script does not decide, or "unknown".

    Latin script is told apart by small words of seven languages (en, de, fr, es, it, pt, nl); other languages in it, names and numbers
    are unknown.

    >>> [language_of(text) for text in ("Where is the station?", "内罗毕是肯尼亚的首都", "なんで?", "Wo ist der Bahnhof?", "42")]
    ['en', 'zh', 'ja', 'de', 'unknown']
    """
    text = text[:LOOKED_AT]
    scripts = Counter(_BLOCKS[bisect_right(_STARTS, ord(letter)) - 1][1] for letter in text if letter.isalpha() and ord(letter) >= _STARTS[0])
    del scripts[""]
    if scripts["Kana"]:
        scripts["Kana"] += scripts.pop("Han", 0)  # Japanese mixes both, Chinese has no kana
    if not scripts:
        return UNKNOWN
    script = scripts.most_common(1)[0][0]
    if script == "Latin":
        return _latin(text)
    if script == "Cyrillic":
        return "uk" if set("іїєґ") & set(text.lower()) else "ru" if set("ыэъ") & set(text.lower()) else f"{script} script"
    return "ja" if script == "Kana" else _ALONE.get(script, f"{script} script")


def _latin(text: str) -> str:
    """The language most of whose small words stand here: two at least, or one in a short text, and clearly more than any other's."""
    words = _WORDS.findall(text.lower())
    hits = sorted(((sum(word in small for word in words), language) for language, small in _OF.items()), reverse=True)
    (most, best), (second, _) = hits[:2]
    clear = most >= 1.25 * second and most > second
    return best if clear and most >= (1 if len(words) <= 8 else 2) else UNKNOWN


def languages_in(parts: Iterable[str]) -> set[str]:
    """The languages of a row's parts, its question and its answer; "unknown" only if no part is known.

    >>> sorted(languages_in(["Translate: Where is the station?", "Wo ist der Bahnhof?"])), languages_in(["Who is it?", "42"])
    (['de', 'en'], {'en'})
    """
    found = {language_of(part) for part in parts}
    return found - {UNKNOWN} or {UNKNOWN}
