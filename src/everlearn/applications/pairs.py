"""Parallel sentences: a folder with a file a domain, or any stream of translations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from everlearn.applications.glossary import Glossary, language_of
from everlearn.applications.obeying import PROMPT, asked_for
from everlearn.applications.tables import every, objects
from everlearn.errors import DataError
from everlearn.streams.folder import load_stream
from everlearn.types import Example, Experience, Score, Stream

TESTED = 10  # of so many pairs without a split one is a test


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence and its translation into a language; test says whether it is asked rather than learned."""

    source: str
    target: str
    language: str
    test: bool


def row_of(pair: Pair, task: str) -> Example:
    """The pair as a row to learn or to be asked."""
    prompt = PROMPT.format(language=pair.language, source=pair.source)
    return Example(prompt=prompt, completion=f" {pair.target}", source=task, task=task)


def glossary_rows(glossary: Glossary, languages: Sequence[str]) -> list[Example]:
    """The terms that hold now as rows that teach them: the weights learn later what the memory knows at once."""
    every_one = [(language, term) for language in languages for term in glossary.current(language)]
    return [row_of(Pair(term.source, term.target, language, False), "terms") for language, term in every_one]


def read_translations(path: str | Path) -> Stream:
    """A stream's folder, or one with a .jsonl file a domain, learned in name order; the file's name is the domain's.

    A line is {"src", "tgt", "tgt_lang"} with an optional "split" ("train" or "test"; without any, every tenth pair is a test); tgt_lang is a code or a name.
    Raises DataError with file, line and reason for what is no pair, and for a stream in which nothing is a translation.
    """
    folder = Path(path)
    if (folder / "stream.toml").is_file():
        stream = load_stream(folder)
        if not any(asked_for(e.prompt or "") for experience in stream for rows in experience.tests.values() for e in rows):
            raise DataError(f"the stream asks for no translation (folder={str(folder)!r}). Prompts read {PROMPT!r}.")
        return stream
    files = sorted(file for file in folder.glob("*") if file.name.endswith((".jsonl", ".jsonl.gz"))) if folder.is_dir() else []
    if not files:
        raise DataError(f"there are no translations (folder={str(folder)!r}). It is a stream, or holds .jsonl files of pairs (src, tgt, tgt_lang).")
    return Stream(folder.resolve().name, tuple(_domain(file) for file in files), about=f"{len(files)} domains, one after the other")


def domain(name: str, pairs: Sequence[Pair]) -> Experience:
    """An experience of these pairs; a source that is asked is not taught."""
    tests = tuple({e.id: e for e in (row_of(pair, name) for pair in pairs if pair.test)}.values())
    asked = {e.prompt for e in tests}
    scores: dict[str, Score] = {name: "chrf"}
    return Experience(name, tuple(e for e in (row_of(pair, name) for pair in pairs if not pair.test) if e.prompt not in asked), {name: tests}, scores)


def _domain(file: Path) -> Experience:
    pairs = every(objects(file), _pair)
    if not any(pair.test for pair in pairs):
        pairs = [Pair(p.source, p.target, p.language, at % TESTED == TESTED - 1) for at, p in enumerate(pairs)]
    if not any(pair.test for pair in pairs):
        raise DataError(f'{file} has too few pairs to test any ({len(pairs)}). Give {TESTED}, or mark some with "split": "test".')
    return domain(file.name.split(".")[0], pairs)


def _pair(place: str, row: object) -> Pair:
    assert isinstance(row, dict)
    source, target, language = (row.get(name) for name in ("src", "tgt", "tgt_lang"))
    for name, value in (("src", source), ("tgt", target), ("tgt_lang", language)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{name} must be text ({name}={value!r}). A pair has src, tgt and tgt_lang.")
    split = row.get("split", "train")
    if split not in ("train", "test", "valid"):
        raise DataError(f"split must be train, valid or test (split={split!r}). Correct it, or leave it out.")
    return Pair(" ".join(str(source).split()), " ".join(str(target).split()), language_of(str(language)), split == "test")
