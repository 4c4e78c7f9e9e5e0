"""Translation: languages and domains learned one after the other, a glossary obeyed at once and learned later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from everlearn.applications.following import Followed, Progress, Start, follow
from everlearn.applications.glossary import Glossary, Term, keeps, placeholders, uses
from everlearn.applications.obeying import ObedientModel, asked_for
from everlearn.applications.pairs import glossary_rows
from everlearn.applications.record import Cell, Line, Record, Values, hidden, line_of, role_of
from everlearn.config import parse_methods
from everlearn.errors import DataError
from everlearn.evaluate.matrix import mean
from everlearn.evaluate.scores import Answer, chrf, corpus_measures, said_by
from everlearn.evaluate.scores import asked as asked_alone
from everlearn.learn.settings import Settings
from everlearn.models.language import LanguageModel
from everlearn.types import Example, Experience, Stream

SETTINGS = Settings(rate=7e-4, passes=12, batch=8)
BEFORE, TERMS, WITH = "before", "terms learned", " with glossary"
SHOWN = 8  # sentences on the page
MEASURES = {
    "chrF": "chrF2 of each sentence, all domains, also those not yet learned",
    "terms": "glossary terms of the source whose translation the reference has, and the answer too",
    "placeholders": "sentences with placeholders in which each stands exactly as often as in the source",
    "corpus chrF": "chrF2 of the whole test set, as papers quote it",
    "corpus BLEU": "BLEU of the whole test set (sacrebleu, 13a; Chinese by character)",
}
# What a model said of every test row, freely and with the glossary ("" where that was not asked).
Said = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Test:
    """A sentence to be translated. terms: those of the glossary in it whose target the reference has."""

    example: Example
    language: str
    source: str
    task: str
    terms: tuple[Term, ...]

    @property
    def right(self) -> str:
        return self.example.completion or ""


def translate(
    stream: Stream, glossary: Glossary, methods: str = "frozen,plain,keep_current", start: Start | None = None, progress: Progress | None = None
) -> Record:
    """Every method over the stream's domains; after each all of them are asked, freely and, of the last method named, also with the glossary.

    The terms are known from the start to the memory (`ObedientModel`); the weights learn them in a last period, as rows. Raises SettingError, DataError or
    ModelError before anything is learned, wherever that can be known.
    """
    start, recipes = start or Start("tiny", SETTINGS), parse_methods(methods)
    tests = _tests(stream, glossary)
    obeying = recipes[-1].label
    experiences = _periods(stream, glossary, sorted({test.language for test in tests}))

    def asking(obeys: bool) -> Callable[[LanguageModel, int], Said]:
        return lambda model, number: _said(model, tests, glossary if obeys else None)

    runs = list[Followed[Said]]()
    for place, recipe in enumerate(recipes):
        runs += follow([recipe], start, experiences, asking(recipe.label == obeying), _within(progress, place, len(recipes)))
    told: list[dict[str, object]] = [{"name": e.name, "learned": len(e.train), "asked": len(tests)} for e in experiences]
    lines = [line for run in runs for line in _lines(run, tests, runs, run.label == obeying)]
    record = Record("translation", stream.name, stream.about, str(start.model), start.told(), told, _meanings(tests), lines)
    record.created, record.examples, record.notes = date.today().isoformat(), _examples(runs, tests, obeying), _notes(glossary, tests, obeying)
    return record


def _periods(stream: Stream, glossary: Glossary, languages: Sequence[str]) -> list[Experience]:
    """Nothing, then each domain, then the terms."""
    domains = [Experience(e.name, hidden(e.train)) for e in stream if e.train]
    terms = [Experience(TERMS, hidden(glossary_rows(glossary, languages)))] if len(glossary) else []
    return [Experience(BEFORE, ()), *domains, *terms]


def _tests(stream: Stream, glossary: Glossary) -> list[_Test]:
    found: dict[str, _Test] = {}
    for experience in stream:
        for task, rows in experience.tests.items():
            for e in rows:
                if (asked := asked_for(e.prompt or "")) is not None and e.completion:
                    terms = tuple(term for term in glossary.found_in(asked[1], asked[0]) if uses(e.completion, term.target))
                    found[e.id] = _Test(replace(e, task=None), *asked, task, terms)
    if not found:
        raise DataError(f"the stream has nothing to translate (stream={stream.name!r}). Test rows are prompts that ask for a translation, with a completion.")
    return list(found.values())


def _meanings(tests: Sequence[_Test]) -> dict[str, str]:
    """What can be measured here."""
    has = {"terms": any(test.terms for test in tests), "placeholders": any(placeholders(test.source) for test in tests)}
    return {name: meaning for name, meaning in MEASURES.items() if has.get(name, True)}


def _lines(run: Followed[Said], tests: Sequence[_Test], runs: Sequence[Followed[Said]], obeying: bool) -> list[Line]:
    """The run's line, and the same run's with the glossary where that was asked. Differences are from plain, translating freely."""
    plain = next((_values(other.found, tests, 0) for other in runs if other.label == "plain"), None)
    found = [_line(run, tests, 0, run.label, role_of(run.label), plain if run.label != "plain" else None)]
    return [*found, _line(run, tests, 1, run.label + WITH, "everlearn", plain)] if obeying else found


def _line(run: Followed[Said], tests: Sequence[_Test], which: int, name: str, role: str, plain: Values | None) -> Line:
    """Totals are those at the end."""
    values, sources = _values(run.found, tests, which), [test.source for test in tests]
    line = line_of(name, role, _at_end(values), sources, None if plain is None else _at_end(plain))
    line.curves = {measure: [mean(of) for of in periods] for measure, periods in values.items()}
    right = [test.right for test in tests]
    corpus = [corpus_measures("chrf", right, [Answer(0.0, said[which], False) for said in of]) for of in run.found]
    line.curves |= {"corpus chrF": [of["chrF2"] for of in corpus], "corpus BLEU": [next(v for k, v in of.items() if k != "chrF2") for of in corpus]}
    line.totals |= {measure: line.curves[measure][-1] for measure in ("corpus chrF", "corpus BLEU")}
    line.seconds = {"learning": run.learn_seconds, "translating": run.ask_seconds}
    return line


def _values(found: Sequence[Said], tests: Sequence[_Test], which: int) -> dict[str, list[list[Cell]]]:
    """By measure and period one number a sentence. which: 0 for what was said freely, 1 with the glossary."""
    texts = [[said[which] for said in of] for of in found]
    return {
        "chrF": [[chrf(text, test.right) for text, test in zip(of, tests, strict=True)] for of in texts],
        "terms": [[mean(float(uses(text, term.target)) for term in test.terms) for text, test in zip(of, tests, strict=True)] for of in texts],
        "placeholders": [
            [float(keeps(test.source, text)) if placeholders(test.source) else None for text, test in zip(of, tests, strict=True)] for of in texts
        ],
    }


def _at_end(values: Values) -> Values:
    return {measure: periods[-1:] for measure, periods in values.items()}


def _said(model: LanguageModel, tests: Sequence[_Test], glossary: Glossary | None) -> Said:
    asked = [test.example for test in tests]
    free = said_by(model, asked)
    obeyed = [""] * len(free) if glossary is None else ObedientModel(model, glossary).obeying([asked_alone(e) for e in asked], free)
    return list(zip(free, obeyed, strict=True))


def _examples(runs: Sequence[Followed[Said]], tests: Sequence[_Test], obeying: str) -> list[dict[str, str]]:
    """Sentences with terms or placeholders first, as each run translates them at the end."""
    order = sorted(range(len(tests)), key=lambda at: (not tests[at].terms, not placeholders(tests[at].source)))
    with_terms = [at for at in order if tests[at].terms][: SHOWN // 2]
    others = [at for at in order if at not in with_terms]
    found = []
    for at in [*with_terms, *others[:: max(1, len(others) // (SHOWN - len(with_terms)))]][:SHOWN]:
        told = {"source": tests[at].source, "reference": tests[at].right.strip()}
        told |= {run.label: run.found[-1][at][0].strip() for run in runs}
        told[obeying + WITH] = next(run.found[-1][at][1] for run in runs if run.label == obeying).strip()
        found.append(told)
    return found


def _notes(glossary: Glossary, tests: Sequence[_Test], obeying: str) -> list[str]:
    terms = len({term for test in tests for term in test.terms})
    marked = sum(bool(placeholders(test.source)) for test in tests)
    return [
        f"The table's numbers are those at the end. {terms} of {len(glossary)} terms stand in the {len(tests)} sentences; {marked} have placeholders.",
        f"{obeying + WITH} is the same model as {obeying}; what it left out was put where it finds it likeliest.",
    ]


def _within(progress: Progress | None, place: int, count: int) -> Progress | None:
    return None if progress is None else lambda text, share: progress(text, (place + share) / count)
