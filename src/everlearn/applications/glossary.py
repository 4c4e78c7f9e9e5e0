"""Terms and how they are to be translated; placeholders and whether they are kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from everlearn.applications.tables import cells, every, objects
from everlearn.errors import DataError
from everlearn.evaluate.scores import has_han
from everlearn.memory.passages import iso

# %(count)s, %1$s, %s; {name}; ${name}; <b>, </b>, <link/>.
PLACEHOLDER = re.compile(r"%\(\w+\)[sdif]|%(?:\d+\$)?[sdif](?!\w)|\$?\{\w*\}|</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>")


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase and its translation. language: of the translation, "" for every one.   since: an ISO date from which it holds, "" for always."""

    source: str
    target: str
    language: str = ""
    since: str = ""


class Glossary:
    """Terms that a translation must use; of two for one word the one that holds since later counts.

    >>> ill = [Term("acute disease", "akute Krankheit"), Term("disease", "Erkrankung"), Term("disease", "Leiden", since="2024")]
    >>> [term.target for term in Glossary(ill).found_in("A disease, an acute disease.", "German")]
    ['akute Krankheit', 'Leiden']
    >>> [term.target for term in Glossary(ill).found_in("A disease.", "German", as_of="2023")]
    ['Erkrankung']
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = tuple(terms)
        for term in self.terms:
            if not term.source.strip() or not term.target.strip():
                raise DataError(f"a term has two sides ({term.source!r} -> {term.target!r}). Fill both.")

    def __len__(self) -> int:
        return len(self.terms)

    def found_in(self, text: str, language: str, as_of: str = "") -> list[Term]:
        """The terms whose source stands in the text, as whole words in any case, the longest first; none within another. as_of: "" for now."""
        found, taken = list[Term](), set[int]()
        for term in sorted(self.current(language, as_of), key=lambda term: (-len(term.source), term.source)):
            places = [match.span() for match in re.finditer(_whole(term.source), text, re.IGNORECASE)]
            free = [span for span in places if not taken & set(range(*span))]
            if free:
                found.append(term)
                taken |= {at for span in free for at in range(*span)}
        return found

    def current(self, language: str, as_of: str = "") -> list[Term]:
        """One translation a source: that which holds at the date."""
        date, latest = iso(as_of, "as_of"), dict[str, Term]()
        for term in sorted(self.terms, key=lambda term: term.since):
            if term.language in ("", language) and (not date or iso(term.since) <= date):
                latest[term.source.casefold()] = term
        return list(latest.values())


def _whole(source: str) -> str:
    """A pattern of the source as whole words; Chinese and Japanese have no edges between words."""
    edge = "" if has_han(source) else r"(?<!\w)", "" if has_han(source) else r"(?!\w)"
    return edge[0] + r"\s+".join(map(re.escape, source.split())) + edge[1]


def uses(text: str, target: str) -> bool:
    """Whether a translation has a term, in any case and white space.

    >>> uses("Akute  Krankheit.", "akute Krankheit")
    True
    """
    return " ".join(target.casefold().split()) in " ".join(text.casefold().split())


def placeholders(text: str) -> list[str]:
    """What must survive a translation as it is, in order.

    >>> placeholders("<b>{name}</b> has %(count)s of 5 % and %s")
    ['<b>', '{name}', '</b>', '%(count)s', '%s']
    """
    return PLACEHOLDER.findall(text)


def keeps(source: str, translation: str) -> bool:
    """Whether the translation has exactly the source's placeholders, each as often.

    >>> keeps("Delete {name}?", "{name} löschen?"), keeps("Delete {name}?", "{name} {name}?")
    (True, False)
    """
    return Counter(placeholders(source)) == Counter(placeholders(translation))


def read_glossary(path: str | Path) -> Glossary:
    """The terms of a .jsonl (source, target, language, since; or src, tgt, tgt_lang), .csv or .tsv file (source, target[, language[, since]]; a header line).

    Raises DataError with file, line and reason for what is no term.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no glossary (file={str(path)!r}). Name a .jsonl, .csv or .tsv file.")
    if file.suffix.lower() in (".csv", ".tsv"):
        lines = list(cells(file, "\t"))
        return Glossary(every(lines if file.suffix.lower() == ".csv" else lines[1:], _from_cells))
    return Glossary(every(objects(file), _from_object))


def _from_cells(place: str, row: object) -> Term:
    assert isinstance(row, list)
    return _term([*row[:4], *[""] * (4 - len(row))])


def _from_object(place: str, row: object) -> Term:
    assert isinstance(row, dict)
    names = (("source", "src"), ("target", "tgt"), ("language", "tgt_lang"), ("since", "time"))
    return _term([str(next((row[name] for name in pair if row.get(name)), "")) for pair in names])


def _term(parts: Sequence[str]) -> Term:
    source, target, language, since = (part.strip() for part in parts)
    if not source or not target:
        raise DataError(f"a term has two sides (source={source!r}, target={target!r}). Fill both.")
    return Term(source, target, language_of(language), iso(since, "since"))


# Codes as their prompts name the languages.
NAMES = "German French Spanish Italian Chinese Japanese Dutch Portuguese English"
LANGUAGES = dict(zip("de fr es it zh ja nl pt en".split(), NAMES.split(), strict=True))


def language_of(code: str) -> str:
    """A language's English name for its code; a name stays."""
    return LANGUAGES.get(code.lower(), code)
