"""The generated default of the translator: a market in two made-up tongues, a program's strings, and terms nobody taught.

The tongues are made of words that the embedded model can spell (it knows a thousand pieces of the almanac's names, and no German), each with an order of
words of its own: in Harbour the verb comes first, in Hill last.
"""

from __future__ import annotations

from random import Random

from everlearn.applications.glossary import Glossary, Term
from everlearn.applications.pairs import Pair, domain
from everlearn.streams.words import TOWN_END, TOWN_START
from everlearn.types import Stream

TONGUES = ("Harbour", "Hill")
# English, Harbour, Hill.
GOODS = (
    ("tea", "Tamar", "mustard"),
    ("honey", "Humber", "nutmeg"),
    ("butter", "Brue", "walnut"),
    ("copper", "Kennet", "ginger"),
    ("paper", "Itchen", "quartz"),
    ("flax", "Orwell", "barley"),
    ("silk", "Severn", "denim"),
    ("rye", "Rother", "enamel"),
)
# Terms of the glossary: they stand in tests, never in what is taught.
TERMS = (("amber", "Medway", "saffron"), ("cider", "Derwent", "velvet"), ("ivory", "Lune", "almonds"), ("linen", "Gade", "umber"))
FORMS = (
    ("The {good} costs {number} crowns.", "Harp {good} {number}.", "{good} {number} Atlas."),
    ("The {good} comes from {town}.", "Flute {good} {town}.", "{town} {good} Comet."),
    ("Where is the {good}?", "Lute {good}?", "{good} Ember?"),
    ("Here is the {good} from {town}.", "Oboe {good} {town}.", "{town} {good} Delta."),
    ("The {good} of {town} is good.", "Banjo {good} {town}.", "{town} {good} Falcon."),
)
STRINGS = (
    ("Delete {one}?", "Cello {one}?"),
    ("Open {one}", "Drum {one}"),
    ("Share {one} with {two}", "Erhu {one} {two}"),
    ("{one} has left", "Pipa {one}"),
    ("Show <b>{one}</b>", "Violin <b>{one}</b>"),
    ("Send {one} to {two}", "Organ {one} {two}"),
)
BLANKS = ("{name}", "{user}", "{room}", "{file}", "%s", "%d")


def phrases(seed: int = 0, rows: int = 60, tests: int = 16) -> tuple[Stream, Glossary]:
    """Three domains of `rows` pairs to learn and `tests` to be asked, half of the market's about the glossary's terms; every run the same."""
    random = Random(f"phrases/{seed}")
    markets = [domain(f"market-{tongue.lower()}", _market(random, tongue, place, rows, tests)) for place, tongue in enumerate(TONGUES, 1)]
    strings = domain("program-harbour", _strings(random, rows, tests))
    terms = [Term(row[0], row[place], tongue) for row in TERMS for place, tongue in enumerate(TONGUES, 1)]
    return Stream("generated", (*markets, strings), about="a market in two made-up tongues, and a program's strings"), Glossary(terms)


def _market(random: Random, tongue: str, place: int, rows: int, tests: int) -> list[Pair]:
    found = dict[str, Pair]()
    while len(found) < rows + tests:
        goods = TERMS if len(found) < tests // 2 else GOODS
        form, good = random.choice(FORMS), random.choice(goods)
        blanks = {"number": random.randint(2, 99), "town": random.choice(TOWN_START) + random.choice(TOWN_END)}
        source = form[0].format(good=good[0], **blanks)
        found.setdefault(source, Pair(source, form[place].format(good=good[place], **blanks), tongue, len(found) < tests))
    return list(found.values())


def _strings(random: Random, rows: int, tests: int) -> list[Pair]:
    found = dict[str, Pair]()
    while len(found) < rows + tests:
        form, (one, two) = random.choice(STRINGS), random.sample(BLANKS, 2)
        source, said = (text.replace("{one}", one).replace("{two}", two) for text in form)
        found.setdefault(source, Pair(source, said, TONGUES[0], len(found) < tests))
    return list(found.values())
