"""The gate: a pure function from scores before and after to a decision with its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean

from everlearn.errors import SettingError
from everlearn.evaluate.paired import more_likely

ROUNDING = 1e-9  # by which means of equal shares may differ


@dataclass(frozen=True, slots=True)
class Rules:
    """What an update must show. None switches a rule off.

    least_gain: of the mean over all new test rows, in points of 0 to 1.   most_loss: of the mean of any one earlier task, and of all earlier rows
    together.   sure: in [0.5, 1), how sure a paired test must be of a gain before it counts, and of a loss before it blocks.   most_kl: KL(before
    || after) on anchor text, nats a token.   most_perplexity: on anchor text, over the start's.   most_skill_loss: of any probe's mean.   most_stale:
    the share of new rows that get the answer that was true before.
    """

    least_gain: float | None = 0.02
    most_loss: float | None = 0.02
    sure: float = 0.95
    most_kl: float | None = None
    most_perplexity: float | None = None
    most_skill_loss: float | None = 0.1
    most_stale: float | None = 0.5

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be at least {least:g}, got {value!r}"
            for name, least in (("least_gain", 0), ("most_loss", 0), ("most_kl", 0), ("most_perplexity", 1), ("most_skill_loss", 0), ("most_stale", 0))
            if (value := getattr(self, name)) is not None and not value >= least
        ]
        wrong += [] if 0.5 <= self.sure < 1 else [f"sure must be at least 0.5 and below 1, got {self.sure!r}"]
        if wrong:
            raise SettingError("gate: " + "; ".join(wrong) + ".")


@dataclass(frozen=True, slots=True)
class Paired:
    """Scores of the same examples before and after, in the same order, 0 to 1."""

    before: Sequence[float]
    after: Sequence[float]

    @property
    def change(self) -> float:
        return fmean(self.after) - fmean(self.before)

    @property
    def differences(self) -> list[float]:
        return [after - before for before, after in zip(self.before, self.after, strict=True)]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the gate sees.

    new, old, probes: by task.   stale: share of new rows answered as before, None where none could be.   kl: nats a token.   perplexity: over the
    start's.   broken: what made the model give no numbers, "" if nothing did.
    """

    new: Mapping[str, Paired] = field(default_factory=dict)
    old: Mapping[str, Paired] = field(default_factory=dict)
    probes: Mapping[str, Paired] = field(default_factory=dict)
    stale: float | None = None
    kl: float | None = None
    perplexity: float | None = None
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """accepted: may it be promoted.   reasons: sentences; of a refusal why, else what was looked at."""

    accepted: bool
    reasons: tuple[str, ...]


def decide(seen: Evidence, rules: Rules) -> Decision:
    """Accept an update that gained enough on the new and lost nowhere more than allowed; noise neither passes nor blocks.

    A gain counts if it reaches `least_gain` and a paired test is `sure` that it is none of chance. A loss blocks if it exceeds `most_loss` and the
    test is as sure of it, the more tasks there are the harder (Bonferroni: of twenty tasks one would seem to lose by chance); losses too thinly spread
    for that show in all earlier rows together. A test too small to be sure of anything neither blocks as a loss nor passes as a gain.

    >>> decide(Evidence(new={"news": Paired([0.0] * 20, [1.0] * 20)}, old={"base": Paired([1.0] * 20, [1.0] * 20)}), Rules()).accepted
    True
    >>> decide(Evidence(new={"news": Paired([0.0] * 20, [0.0] * 20)}), Rules()).reasons
    ('Nothing was learned: the 20 new test rows went from 0.0 % to 0.0 %, and a gain of 2.0 points is asked for.',)
    """
    if seen.broken:
        return Decision(False, (f"Learning broke the model: {seen.broken}",))
    against = tuple(_against(seen, rules))
    return Decision(False, against) if against else Decision(True, tuple(_for(seen, rules)))


def _against(seen: Evidence, rules: Rules) -> Iterator[str]:
    chance = 1 - rules.sure
    if rules.least_gain is not None:
        yield from _too_little(seen.new, rules.least_gain, chance)
    if rules.most_loss is not None:
        for name, pair in seen.old.items():
            yield from _lost(f"task {name!r}", pair, rules.most_loss, chance / len(seen.old))
        for name, pair in seen.new.items():
            yield from _lost(f"new task {name!r}", pair, rules.most_loss, chance / len(seen.new))
        if len(seen.old) > 1:
            yield from _lost("all earlier tasks together", _together(seen.old), rules.most_loss, chance)
    if rules.most_skill_loss is not None:
        for name, pair in seen.probes.items():
            yield from _lost(f"the probe {name!r}", pair, rules.most_skill_loss, chance / len(seen.probes))
    yield from _limits(seen, rules)


def _limits(seen: Evidence, rules: Rules) -> Iterator[str]:
    """What is above a bound that needs no test."""
    if rules.most_kl is not None and seen.kl is not None and not seen.kl <= rules.most_kl:
        yield f"The model moved {seen.kl:.4f} nats a token on anchor text, and {rules.most_kl:g} are allowed."
    if rules.most_perplexity is not None and seen.perplexity is not None and not seen.perplexity <= rules.most_perplexity:
        yield f"Perplexity on anchor text is {seen.perplexity:.3f} times the start's, and {rules.most_perplexity:g} times is allowed."
    if rules.most_stale is not None and seen.stale is not None and not seen.stale <= rules.most_stale:
        yield f"{100 * seen.stale:.1f} % of the changed answers are still given as they were before, and {100 * rules.most_stale:g} % are allowed."


def _too_little(new: Mapping[str, Paired], least: float, chance: float) -> Iterator[str]:
    if not new:
        yield "Nothing shows what was learned: there are no new test rows."
        return
    pair = _together(new)
    told = f"the {len(pair.before)} new test rows went from {100 * fmean(pair.before):.1f} % to {100 * fmean(pair.after):.1f} %"
    if not pair.change >= least - ROUNDING or not pair.change:
        yield f"{'Nothing' if pair.change <= 0 else 'Too little'} was learned: {told}, and a gain of {100 * least:.1f} points is asked for."
    elif (p := more_likely(pair.differences)) > chance:
        yield f"What was learned may be chance: {told} (p = {p:.3f}, and at most {chance:.3g} counts as sure)."


def _lost(what: str, pair: Paired, most: float, chance: float) -> Iterator[str]:
    lost = -pair.change
    if not isfinite(lost):
        yield f"{_first(what)} has scores that are no numbers."
    elif lost > most + ROUNDING and (p := more_likely([-difference for difference in pair.differences])) <= chance:
        told = f"from {100 * fmean(pair.before):.1f} % to {100 * fmean(pair.after):.1f} % on {len(pair.before)} rows (p = {p:.3g})"
        yield f"{_first(what)} lost {100 * lost:.1f} points, {told}, and {100 * most:.1f} are allowed."


def _for(seen: Evidence, rules: Rules) -> Iterator[str]:
    if seen.new:
        pair = _together(seen.new)
        told = f"the {len(pair.before)} new test rows went from {100 * fmean(pair.before):.1f} % to {100 * fmean(pair.after):.1f} %"
        yield f"Enough was learned: {told}." if rules.least_gain is not None else f"{_first(told)}."
    if seen.old:
        yield _kept(seen.old)
    else:
        yield "No earlier task was tested, so nothing shows what was lost."


def _kept(old: Mapping[str, Paired]) -> str:
    """What became of the earlier tasks, and of the one that changed for the worst."""
    every, worst = _together(old), min(old, key=lambda name: old[name].change)
    rows, change = len(old[worst].before), 100 * old[worst].change
    told = f"the {len(every.before)} earlier test rows went from {100 * fmean(every.before):.1f} % to {100 * fmean(every.after):.1f} %"
    if len(old) == 1 or change >= 0:
        return f"No loss beyond what is allowed and surely more than chance: {told}."
    p = more_likely([-difference for difference in old[worst].differences])
    return f"No loss beyond what is allowed and surely more than chance: {told}; {worst!r} changed most, by {change:+.1f} points of {rows} rows (p = {p:.2g})."


def _together(tasks: Mapping[str, Paired]) -> Paired:
    return Paired([v for pair in tasks.values() for v in pair.before], [v for pair in tasks.values() for v in pair.after])


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
