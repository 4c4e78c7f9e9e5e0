"""News recommendation: the model ranks what a reader is shown, and learns, period by period, what readers chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from everlearn.applications.baselines import ItemKNN, Popularity, over, over_rows
from everlearn.applications.following import Followed, Progress, Start, follow
from everlearn.applications.impressions import Feed, Impression, Item, evenly, periods_of, with_text
from everlearn.applications.ranked_rows import Asked, periods_of_stream
from everlearn.applications.ranking import MEASURES, measures
from everlearn.applications.record import Cell, Line, Record, hidden, line_of, role_of
from everlearn.config import parse_methods
from everlearn.errors import DataError, SettingError
from everlearn.evaluate.scores import per_byte
from everlearn.learn.settings import Settings
from everlearn.memory.embedding import ModelEmbedder
from everlearn.models.language import LanguageModel
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience, Stream

By = Literal["likelihood", "embedding"]
LONGEST_TEXT = 120  # letters of an item's text that a prompt shows
SHOWN = 6  # impressions on the page
NEW, FOR_NEW = ", new readers", ("nDCG@10", "AUC")
BASELINES = (Popularity.name, ItemKNN.name)
SETTINGS = Settings(rate=5e-4, passes=3, batch=16)
Scores = list[list[float]]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How items are ranked and learned.

    by: "likelihood" of an item's text after the history, per UTF-8 byte, or "embedding": the cosine between its vector and the mean of the history's.
    period: "day", "week", "month" or "year".   history: items of it in a prompt, the last ones.   asked: at most so many impressions ranked a period, evenly
    taken, 0 for all; `learned`: so many impressions learned.   last: only the last so many periods, 0 for all.   most_missing: see `with_text`.
    """

    by: By = "likelihood"
    period: str = "day"
    history: int = 5
    asked: int = 0
    learned: int = 0
    last: int = 0
    most_missing: float = 0.0

    def __post_init__(self) -> None:
        if self.by not in ("likelihood", "embedding"):
            raise SettingError(f"by must be 'likelihood' or 'embedding', got {self.by!r}.")
        if self.history < 1 or min(self.asked, self.learned, self.last) < 0:
            raise SettingError(f"history must be at least 1; asked, learned and last at least 0 ({self!r}).")


def prompt_of(one: Impression, items: Mapping[str, Item], history: int, verb: str = "read") -> str:
    """What the model is asked.

    >>> prompt_of(Impression("ann", "2024", ("a", "b"), (), ()), {"a": Item("a", "Rain"), "b": Item("b", "Snow")}, 5)
    'A reader read: Rain; Snow.\\nNext read:'
    """
    read = "; ".join(_short(items[name].text) for name in one.history[-history:]) or "nothing yet"
    return f"A reader {verb}: {read}.\nNext {verb}:"


def rows_of(impressions: Sequence[Impression], items: Mapping[str, Item], history: int, verb: str) -> list[Example]:
    """What was clicked, as rows to learn: the history, then the item chosen."""
    return [
        Example(prompt=prompt_of(one, items, history, verb), completion=f" {_short(items[name].text)}", source=f"reader/{one.user}", time=one.time)
        for one in impressions
        for name in one.chosen
    ]


def asked_of(feed: Feed, how: Ranking) -> list[Asked]:
    """The feed's periods: in each the clicks of the one before are learned, then its own impressions ranked. The first is ranked by the starting model."""
    periods = periods_of(feed, how.period)
    periods = periods[-how.last :] if how.last else periods
    found, before = list[Asked](), list[Impression]()
    for name, impressions in periods:
        rows = rows_of(evenly(before, how.learned), feed.items, how.history, feed.verb)
        ranked = evenly([one for one in impressions if one.scored], how.asked)
        found.append(Asked(name, tuple(rows), tuple(ranked), tuple(prompt_of(one, feed.items, how.history, feed.verb) for one in ranked)))
        before = impressions
    return found


def scores_of(model: LanguageModel, period: Asked, items: Mapping[str, Item], by: By) -> list[list[float]]:
    """The model's score of each candidate of each impression, higher is better."""
    if not period.impressions:
        return []
    texts = [tuple(_led(items[name].text) for name in one.candidates) for one in period.impressions]
    if by == "likelihood":
        return per_byte(model, [Example(prompt=prompt, completion=shown[0], choices=shown) for prompt, shown in zip(period.prompts, texts, strict=True)])
    if not isinstance(model, TrainedModel):
        raise SettingError(f"a wrapped model has no states of its own to embed with (by='embedding', model={type(model).__name__!r}). Rank by likelihood.")
    embedder = ModelEmbedder(model)
    names = list(dict.fromkeys(name for one in period.impressions for name in (*one.history, *one.candidates)))
    vectors = dict(zip(names, embedder.prompts([Example(prompt=_short(items[name].text), completion="") for name in names]), strict=True))
    reader = [np.mean([vectors[name] for name in one.history[-20:]] or [np.zeros(embedder.dimension)], axis=0) for one in period.impressions]
    return [[float(vectors[name] @ of) for name in one.candidates] for one, of in zip(period.impressions, reader, strict=True)]


def recommend(
    data: Feed | Stream, methods: str = "frozen,plain,keep_current", start: Start | None = None, how: Ranking | None = None, progress: Progress | None = None
) -> Record:
    """Every method, and the baselines, over the periods of a feed or of a stream with ranking tasks: the clicks of the past are learned, the next ones ranked.

    Raises SettingError, DataError or ModelError before anything is learned, wherever that can be known.
    """
    how = how or Ranking()
    start = start or Start("tiny", SETTINGS)
    recipes, notes, about = parse_methods(methods), list[str](), data.about
    if isinstance(data, Stream):
        periods, items = periods_of_stream(data)
        baselines = [Followed(Popularity.name, over_rows(Popularity(items), periods), 0.0, 0.0)]
        new = [[False] * len(p.impressions) for p in periods]
    else:
        feed = with_text(data, how.most_missing)
        periods, items = asked_of(feed, how), dict(feed.items)
        baselines, new = _baselines(feed, data, how, periods), _new(periods_of(data, how.period), periods)
        notes += feed.notes
    if not any(p.impressions for p in periods):
        raise DataError(f"no impression can be ranked (data={data.name!r}). One is, where something shown was clicked, and not everything.")
    experiences = [Experience(p.name, hidden(p.rows)) for p in periods]
    runs = follow(recipes, start, experiences, lambda model, at: scores_of(model, periods[at], items, how.by), progress)
    told: list[dict[str, object]] = [{"name": p.name, "learned": len(p.rows), "asked": len(p.impressions)} for p in periods]
    settings: dict[str, object] = {
        "rate": start.settings.rate,
        "passes": start.settings.passes,
        "batch": start.settings.batch,
        "seed": start.seed,
        "ranked by": how.by,
    }
    record = Record("recommendation", data.name, about, str(start.model), settings, told, _meanings(new), _lines([*baselines, *runs], periods, new))
    record.notes, record.created, record.examples = notes, date.today().isoformat(), _examples([*baselines, *runs], periods, items)
    return record


def _baselines(feed: Feed, whole: Feed, how: Ranking, periods: Sequence[Asked]) -> list[Followed[Scores]]:
    """The baselines over the same impressions; they know every earlier one of the whole feed, also those a model is not shown."""
    days = periods_of(whole, how.period)
    return [Followed(one.name, over(one, days, periods), 0.0, 0.0) for one in (Popularity(feed.items), ItemKNN(feed.items))]


def _lines(runs: Sequence[Followed[Scores]], periods: Sequence[Asked], new: Sequence[Sequence[bool]]) -> list[Line]:
    """One line a run; the differences are from plain, where it ran."""
    who = [one.user or f"{p.name}/{at}" for p in periods for at, one in enumerate(p.impressions)]
    values = {run.label: _values(run, periods, new) for run in runs}
    found = []
    for run in runs:
        role = "baseline" if run.label in BASELINES else role_of(run.label)
        plain = values.get("plain") if run.label != "plain" else None
        line = line_of(run.label, role, values[run.label], who, plain)
        line.seconds = {"learning": run.learn_seconds, "ranking": run.ask_seconds}
        found.append(line)
    return found


def _values(run: Followed[Scores], periods: Sequence[Asked], new: Sequence[Sequence[bool]]) -> dict[str, list[list[Cell]]]:
    """By measure and period one number an impression; None under "new readers" for those of known ones."""
    each = [[measures(given, one.clicked) for given, one in zip(of, p.impressions, strict=True)] for of, p in zip(run.found, periods, strict=True)]
    found: dict[str, list[list[Cell]]] = {name: [[one[name] for one in of] for of in each] for name in MEASURES}
    if any(map(any, new)):
        found |= {f"{name}{NEW}": [[one[name] if at else None for one, at in zip(*of, strict=True)] for of in zip(each, new, strict=True)] for name in FOR_NEW}
    return found


def _new(days: Sequence[tuple[str, list[Impression]]], periods: Sequence[Asked]) -> list[list[bool]]:
    """For each impression, whether its reader was never seen in an earlier period."""
    first: dict[str, str] = {}
    for name, impressions in days:
        for one in impressions:
            first.setdefault(one.user, name)
    return [[first[one.user] == p.name for one in p.impressions] for p in periods]


def _examples(runs: Sequence[Followed[Scores]], periods: Sequence[Asked], items: Mapping[str, Item]) -> list[dict[str, str]]:
    """Impressions of the last period: what was read and clicked, and what each run ranked first."""
    last = next(at for at in range(len(periods) - 1, -1, -1) if periods[at].impressions)
    period, found = periods[last], list[dict[str, str]]()
    for at in range(0, len(period.impressions), max(1, len(period.impressions) // SHOWN)):
        one = period.impressions[at]
        told = {"asked": period.prompts[at], "clicked": "; ".join(items[name].text for name in one.chosen)}
        for run in runs:
            given = run.found[last][at]
            best = max(range(len(given)), key=given.__getitem__)
            told[run.label] = ("✓ " if best in one.clicked else "✗ ") + items[one.candidates[best]].text
        found.append(told)
    return found[:SHOWN]


def _led(text: str) -> str:
    """The text as a completion: after a space, where it has none."""
    return text if text.startswith(" ") else f" {_short(text)}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1].rstrip() + "…"


def baselines_alone(feed: Feed, how: Ranking | None = None) -> Record:
    """The baselines over a feed whose items need no texts: they know items by their ids."""
    how = how or Ranking()
    days = periods_of(feed, how.period)
    ranked = [(name, tuple(evenly([one for one in of if one.scored], how.asked))) for name, of in days]
    periods = [Asked(name, (), of, ("",) * len(of)) for name, of in ranked]
    runs = _baselines(feed, feed, how, periods)
    told: list[dict[str, object]] = [{"name": p.name, "learned": 0, "asked": len(p.impressions)} for p in periods]
    new = _new(days, periods)
    record = Record("recommendation", feed.name, feed.about, "none", {}, told, _meanings(new), _lines(runs, periods, new))
    record.created = date.today().isoformat()
    return record


def _meanings(new: Sequence[Sequence[bool]]) -> dict[str, str]:
    """The measures, the main one first; of new readers where there are any."""
    found = {name: MEASURES[name] for name in ("nDCG@10", "nDCG@5", "MRR", "AUC")}
    return found | ({f"{name}{NEW}": f"{name} of readers of whom nothing was learned before" for name in FOR_NEW} if any(map(any, new)) else {})
