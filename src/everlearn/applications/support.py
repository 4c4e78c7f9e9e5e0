"""Customer service over time: policies change; a desk that cites them, and models that learn them, are asked everything after each change."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import exp
from time import perf_counter

from everlearn.applications.desk import Desk, Reply, threshold_for
from everlearn.applications.following import Followed, Progress, Start, follow
from everlearn.applications.record import Cell, Line, Record, Values, hidden, line_of, role_of
from everlearn.applications.service import Policy, Question, Service
from everlearn.config import parse_methods
from everlearn.evaluate.scores import said_by, same, size
from everlearn.learn.settings import Settings
from everlearn.memory.embedding import ModelEmbedder
from everlearn.models.language import LanguageModel
from everlearn.models.load import load_model
from everlearn.types import Experience

SETTINGS = Settings(rate=3e-4, passes=5, batch=16)
DESK, SHOWN = "desk", 8
MEASURES = {
    "right": "questions that a policy answers, answered with the policy that holds",
    "precision": "of what was answered at all, answered right",
    "coverage": "questions answered rather than handed to a person",
    "current": "questions on replaced policies that were not answered with an old one",
    "strange handed over": "questions that no policy answers, handed to a person",
}


@dataclass(frozen=True, slots=True)
class Given:
    """What was said to a question of the test. text: "" where a person takes over.   note: the citation."""

    text: str
    confidence: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Moment:
    """A period's questions and what is right: None for a question that is nobody's."""

    now: str
    tests: tuple[Question, ...]
    right: tuple[str | None, ...]
    old: tuple[frozenset[str], ...]


def serve_customers(
    service: Service, methods: str = "frozen,plain,keep_current", start: Start | None = None, precision: float = 0.9, progress: Progress | None = None
) -> Record:
    """Every method, and the desk beside the frozen model, over the dates at which policies change; after each all test questions of the time are asked.

    Each hands over what it is less sure of than a threshold, chosen at that date on validation questions: the lowest at which `precision` of what is answered
    is right. A model's confidence is its likelihood of its own answer per UTF-8 byte; the desk's see `Desk`. Live questions that the desk did not answer
    right are corrected by a person, and asked again. methods: "" for the desk alone. Raises SettingError, DataError or ModelError before anything is
    learned, wherever that can be known.
    """
    start, recipes = start or Start("tiny", SETTINGS), parse_methods(methods) if methods else []
    dates = service.dates
    moments = [_moment(service, now) for now in dates]
    experiences = [Experience(now[:10] or "start", hidden(service.rows(now, dates[at - 1] if at else None)), time=now) for at, now in enumerate(dates)]
    runs = follow(recipes, start, experiences, lambda model, at: _said(model, service, moments[at], precision), progress)
    desk = _desk_run(service, start, moments, precision)
    every, places = [*runs, desk.run], [(at, one) for at, moment in enumerate(moments) for one in range(len(moment.tests))]
    together = [moments[at].tests[one].matter or moments[at].tests[one].text for at, one in places]
    plain = next((_values(run, moments) for run in runs if run.label == "plain"), None)
    lines = [_line(run, moments, together, plain) for run in every]
    told: list[dict[str, object]] = [{"name": e.name, "learned": len(e.train), "asked": len(m.tests)} for e, m in zip(experiences, moments, strict=True)]
    settings = start.told() | {"precision aimed at": precision}
    record = Record("support", service.name, service.about, str(start.model), settings, told, _meanings(moments), lines)
    record.created, record.notes, record.examples = date.today().isoformat(), desk.notes, _examples(every, moments[-1])
    return record


def _moment(service: Service, now: str) -> _Moment:
    standing, replaced = service.standing(now), service.replaced(now)
    tests = tuple(one for one in service.asked("test", now) if not one.matter or one.matter in standing)
    right = tuple(standing[one.matter].answer if one.matter else None for one in tests)
    return _Moment(now, tests, right, tuple(frozenset(replaced.get(one.matter, ())) for one in tests))


def _said(model: LanguageModel, service: Service, moment: _Moment, precision: float) -> list[Given]:
    """A model's own answers, the less sure ones handed over."""
    standing = service.standing(moment.now)
    valid = [one for one in service.asked("valid", moment.now) if not one.matter or one.matter in standing]
    known = _answered(model, service, valid, standing)
    right = [bool(one.matter) and same(given.text, standing[one.matter].answer) for one, given in zip(valid, known, strict=True)]
    threshold = threshold_for([given.confidence for given in known], right, precision)
    answers = _answered(model, service, moment.tests, standing)
    return [given if given.confidence >= threshold else Given("", given.confidence) for given in answers]


def _answered(model: LanguageModel, service: Service, questions: Sequence[Question], standing: dict[str, Policy]) -> list[Given]:
    if not questions:
        return []
    asked = [service.row(one.text, standing.get(one.matter)) for one in questions]
    said = said_by(model, asked)
    nats = model.score(asked, [[text or " "] for text in said])
    return [Given(text.strip(), exp(of[0] / size(text))) for text, of in zip(said, nats, strict=True)]


@dataclass(frozen=True, slots=True)
class _DeskRun:
    run: Followed[list[Given]]
    notes: list[str]


def _desk_run(service: Service, start: Start, moments: Sequence[_Moment], precision: float) -> _DeskRun:
    """The desk over the same dates: new policies and questions are written, live questions asked and corrected, then the test is asked."""
    model = load_model(start.model, None, device=start.device)
    found, seconds, live, again, told = list[list[Given]](), 0.0, 0, 0, set[str]()
    wrong_count, thresholds = 0, list[float]()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(folder, ModelEmbedder(model), names=service.names, prompt=service.prompt)
        for at, moment in enumerate(moments):
            begun, before = perf_counter(), moments[at - 1].now if at else None
            desk.decide([policy for policy in service.policies if (before is None or policy.since > before) and policy.since <= moment.now])
            desk.know([(one.text, one.matter) for one in service.asked("train", moment.now) if one.text not in told])
            told |= {one.text for one in service.asked("train", moment.now)}
            standing = service.standing(moment.now)
            desk.choose([(one.text, one.matter) for one in service.asked("valid", moment.now)], precision, moment.now)
            thresholds.append(desk.threshold)
            asked = [one for one in service.asked("live", moment.now) if one.text not in told]
            wrong = [one for one, reply in zip(asked, desk.answer([one.text for one in asked], moment.now), strict=True) if not _is_right(reply, one, standing)]
            desk.correct([(one.text, one.matter) for one in wrong])
            told |= {one.text for one in asked}
            second = desk.answer([one.text for one in wrong], moment.now)
            live, wrong_count = live + len(asked), wrong_count + len(wrong)
            again += sum(_is_right(reply, one, standing) for one, reply in zip(wrong, second, strict=True))
            seconds += perf_counter() - begun
            replies = desk.answer([one.text for one in moment.tests], moment.now)
            found.append([Given(reply.text, reply.confidence, _citation(reply)) for reply in replies])
    notes = [
        f"Thresholds of the desk, by date: {', '.join(f'{value:.2f}' for value in thresholds)}; each the lowest with {100 * precision:.0f} % of the answers to"
        " validation questions right.",
        f"Of {live} live questions {wrong_count} were answered wrong or handed over and then corrected; asked again at once {again} of these were right.",
        f"{DESK} is the starting model beside a dated store: nothing is trained.",
    ]
    return _DeskRun(Followed(DESK, found, seconds, 0.0), notes)


def _is_right(reply: Reply, question: Question, standing: dict[str, Policy]) -> bool:
    """The policy that holds, or a person for what no policy answers."""
    return reply.text == standing[question.matter].answer if question.matter else reply.handed_over


def _citation(reply: Reply) -> str:
    if reply.cited is None:
        return "nothing found"
    cited = reply.cited
    return f"{cited.source or cited.subject}, since {cited.valid_from or 'always'}"


def _values(run: Followed[list[Given]], moments: Sequence[_Moment]) -> dict[str, list[list[Cell]]]:
    """By measure and date one number a question, None where it does not count."""
    found: dict[str, list[list[Cell]]] = {name: [] for name in MEASURES}
    for of, moment in zip(run.found, moments, strict=True):
        rows = list(zip(of, moment.right, moment.old, strict=True))
        ok = [right is not None and same(given.text, right) for given, right, _ in rows]
        found["right"].append([None if right is None else float(good) for good, (_, right, _) in zip(ok, rows, strict=True)])
        found["precision"].append([float(good) if given.text else None for good, (given, _, _) in zip(ok, rows, strict=True)])
        found["coverage"].append([None if right is None else float(bool(given.text)) for given, right, _ in rows])
        found["current"].append([float(not any(same(given.text, text) for text in old)) if old else None for given, _, old in rows])
        found["strange handed over"].append([float(not given.text) if right is None else None for given, right, _ in rows])
    return found


def _line(run: Followed[list[Given]], moments: Sequence[_Moment], together: Sequence[str], plain: Values | None) -> Line:
    role = "everlearn" if run.label == DESK else role_of(run.label)
    values = _values(run, moments)
    shared = {name: of for name, of in (plain or {}).items() if name != "precision"}  # who answers other questions cannot be compared question by question
    line = line_of(run.label, role, values, together, shared if plain is not None and run.label != "plain" else None)
    line.seconds = {"learning": run.learn_seconds, "answering": run.ask_seconds}
    return line


def _meanings(moments: Sequence[_Moment]) -> dict[str, str]:
    has = {"current": any(any(m.old) for m in moments), "strange handed over": any(right is None for m in moments for right in m.right)}
    return {name: meaning for name, meaning in MEASURES.items() if has.get(name, True)}


def _examples(runs: Sequence[Followed[list[Given]]], moment: _Moment) -> list[dict[str, str]]:
    """Questions on replaced policies first, then others, then one that is nobody's."""
    order = sorted(range(len(moment.tests)), key=lambda at: (not moment.old[at], moment.right[at] is None))
    strange = [at for at in order if moment.right[at] is None][:2]
    found = []
    for at in [*[at for at in order if at not in strange][:: max(1, len(order) // SHOWN)][: SHOWN - 2], *strange]:
        told = {"asked": moment.tests[at].text, "holds": moment.right[at] or "(a person's)", "held before": "; ".join(sorted(moment.old[at]))}
        for run in runs:
            given = run.found[-1][at]
            told[run.label] = (given.text or "(handed over)") + (f"\n[{given.note}]" if given.note and given.text else "")
        found.append(told)
    return found
