"""The generated default of the translator: a market in German, then French, then a program's strings, and terms nobody taught."""

from __future__ import annotations

from random import Random

from everlearn.applications.glossary import Glossary, Term
from everlearn.applications.pairs import Pair, domain
from everlearn.streams.words import TOWN_END, TOWN_START
from everlearn.types import Stream

# English, German with its article, French with its article.
GOODS = (
    ("tea", "der Tee", "le thé"),
    ("honey", "der Honig", "le miel"),
    ("butter", "die Butter", "le beurre"),
    ("copper", "das Kupfer", "le cuivre"),
    ("paper", "das Papier", "le papier"),
    ("salt", "das Salz", "le sel"),
    ("silk", "die Seide", "la soie"),
    ("wood", "das Holz", "le bois"),
)
# Terms of the glossary: they stand in tests, never in what is taught.
TERMS = (
    ("amber", "der Bernstein", "le succin"),
    ("cider", "der Apfelmost", "le cidre brut"),
    ("velvet", "der Seidensamt", "le velours"),
    ("saffron", "der Safran", "le safran"),
)
FORMS = (
    ("The {good} costs {number} crowns.", "{Good} kostet {number} Kronen.", "{Good} coûte {number} couronnes."),
    ("The {good} comes from {town}.", "{Good} kommt aus {town}.", "{Good} vient de {town}."),
    ("Where is the {good}?", "Wo ist {good}?", "Où est {good} ?"),
    ("Here is the {good} from {town}.", "Hier ist {good} aus {town}.", "Voici {good} de {town}."),
    ("The {good} of {town} is good.", "{Good} von {town} ist gut.", "{Good} de {town} est bon."),
)
STRINGS = (
    ("Delete {one}?", "{one} löschen?"),
    ("Open {one}", "{one} öffnen"),
    ("Share {one} with {two}", "{one} mit {two} teilen"),
    ("{one} has left", "{one} ist gegangen"),
    ("Show <b>{one}</b>", "<b>{one}</b> zeigen"),
    ("Send {one} to {two}", "{one} an {two} senden"),
)
BLANKS = ("{name}", "{file}", "{user}", "{room}", "%s", "%(count)s", "{link}", "{page}")


def phrases(seed: int = 0, rows: int = 80, tests: int = 20) -> tuple[Stream, Glossary]:
    """Three domains of `rows` pairs to learn and `tests` to be asked, half of the market's about the glossary's terms; every run the same."""
    random = Random(f"phrases/{seed}")
    languages = (("de", "German", 1), ("fr", "French", 2))
    german, french = (domain(f"market-{code}", _market(random, language, place, rows, tests)) for code, language, place in languages)
    strings = domain("program-de", _strings(random, rows, tests))
    terms = [Term(row[0], row[place].split(" ", 1)[1], language) for row in TERMS for _, language, place in languages]
    return Stream("generated", (german, french, strings), about="a market in German, in French, and a program's strings"), Glossary(terms)


def _market(random: Random, language: str, place: int, rows: int, tests: int) -> list[Pair]:
    found = dict[str, Pair]()
    while len(found) < rows + tests:
        count = len(found)
        goods = TERMS if count < tests // 2 else GOODS
        form, good = random.choice(FORMS), random.choice(goods)
        blanks = {"number": random.randint(2, 99), "town": random.choice(TOWN_START) + random.choice(TOWN_END)}
        said = form[place].format(good=good[place], Good=good[place][0].upper() + good[place][1:], **blanks)
        source = form[0].format(good=good[0], **blanks)
        found.setdefault(source, Pair(source, said, language, count < tests))
    return list(found.values())


def _strings(random: Random, rows: int, tests: int) -> list[Pair]:
    found = dict[str, Pair]()
    while len(found) < rows + tests:
        form, (one, two), word = random.choice(STRINGS), random.sample(BLANKS, 2), random.choice(("", "", "{n}: "))
        source, said = (word + text.replace("{one}", one).replace("{two}", two) for text in form)
        found.setdefault(source, Pair(source, said, "German", len(found) < tests))
    return list(found.values())
