"""Answers that a program can check: does a text do what it was told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from everlearn.errors import DataError, did_you_mean
from everlearn.evaluate.scores import has_han

Wanted = Sequence[str]


def satisfied(said: str, checks: Mapping[str, object]) -> bool:
    """Does the answer, outer white space aside, pass every one of the checks, which are named in CHECKS. Raises DataError for another name.

    >>> satisfied(" red, green, blue", {"items": [3, ","]}), satisfied("red and blue", {"items": [3, ","]})
    (True, False)
    """
    text = said.strip()
    for name in checks:
        if name not in CHECKS:
            raise DataError(f"there is no such check (check={name!r}). {did_you_mean(name, CHECKS)}")
    return all(CHECKS[name](text, _listed(wanted)) for name, wanted in checks.items())


def _listed(wanted: object) -> list[str]:
    return [str(part) for part in wanted] if isinstance(wanted, list) else [str(wanted)]


def _words(text: str, wanted: Wanted) -> bool:
    return int(wanted[0]) <= len(text.split()) <= int(wanted[1])


def _characters(text: str, wanted: Wanted) -> bool:
    return int(wanted[0]) <= sum(letter.isalnum() for letter in text) <= int(wanted[1])


def _case(text: str, wanted: Wanted) -> bool:
    return text.isupper() if wanted[0] == "upper" else text.islower()


def _items(text: str, wanted: Wanted) -> bool:
    parts = re.split(f"[{re.escape(wanted[1])}]", text)
    return len(parts) == int(wanted[0]) and all(part.strip() for part in parts)


def _script(text: str, wanted: Wanted) -> bool:
    """han: most letters are Chinese.   latin: there are letters, none of them Chinese."""
    letters = [letter for letter in text if letter.isalpha()]
    han = sum(map(has_han, letters))
    return 2 * han > len(letters) if wanted[0] == "han" else bool(letters) and not han


def _json(text: str, wanted: Wanted) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and sorted(found) == sorted(wanted)


def _number(text: str, wanted: Wanted) -> bool:
    """The last whole number in the text, thousands perhaps parted by commas; a fraction is another number."""
    found = re.findall(r"(?<![\d.,])-?\d+(?:,\d{3})*(?![\d,]*\d|\.\d)", text.replace("−", "-"))
    return bool(found) and int(found[-1].replace(",", "")) == int(wanted[0])


# By name: (the answer, what is wanted) -> does it hold. An empty answer holds nothing but `without`.
CHECKS: Mapping[str, Callable[[str, Wanted], bool]] = {
    "words": _words,  # [fewest, most], parted by white space
    "characters": _characters,  # [fewest, most], letters and digits
    "case": _case,  # upper or lower
    "items": _items,  # [how many, the characters any of which parts them]
    "pattern": lambda text, wanted: re.fullmatch(wanted[0], text) is not None,
    "any": lambda text, wanted: any(part.casefold() in text.casefold() for part in wanted),
    "all": lambda text, wanted: all(part.casefold() in text.casefold() for part in wanted),
    "without": lambda text, wanted: not any(part.casefold() in text.casefold() for part in wanted),
    "starts": lambda text, wanted: text.startswith(tuple(wanted)),
    "ends": lambda text, wanted: text.endswith(tuple(wanted)),
    "script": _script,  # han or latin
    "json": _json,  # an object with exactly these keys
    "number": _number,
}
