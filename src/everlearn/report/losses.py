"""What even the best method loses: tasks, outdated answers, and what the stream never taught."""

from __future__ import annotations

from everlearn.evaluate.matrix import Cell, mean
from everlearn.report.sections import QUALITY, Method, Section
from everlearn.report.standing import falls
from everlearn.report.words import listed, plain_number, shown

SMALL = 0.0005  # a share; less is not written as a loss


def losses(section: Section, best: Method, ranked: list[Method]) -> str:
    """In sentences; plain's number stands beside the method's own where plain ran."""
    plain = section.baseline
    other = plain if plain is not best else None
    said = [_tasks(section, best), _facts(best, other), _untaught(best, other), _probes(best, other), _less(best, ranked)]
    return " ".join(part for part in said if part)


def fallen(forgetting: Cell) -> str:
    """Forgetting in a word or a number that needs no second thought.

    >>> fallen(0.12), fallen(0.0), fallen(-0.027)
    ('12.0', 'none', 'none')
    """
    return "none" if forgetting is not None and forgetting < SMALL else shown(forgetting, "points")


def _tasks(section: Section, best: Method) -> str:
    forgetting, fell = best.metric("forgetting"), falls(best, section.main_kind)
    named = [f"{fall.task} (from {shown(fall.best)} to {shown(fall.end)})" for fall in fell[:3]]
    if forgetting is None:
        return f"Most of all {listed(named)}." if named else ""
    if forgetting >= SMALL:
        lead = f"From its best to the end a task falls by {shown(forgetting, 'points')} points on average."
        return f"{lead} Most of all {listed(named)}." if named else lead
    gained = f" (tasks gained {shown(-forgetting, 'points')} points)" if forgetting <= -SMALL else ""
    lead = f"On average nothing was lost{gained}."
    return f"{lead} The one that fell most is {named[0]}." if named else f"{lead} No task ends below its best."


def _facts(best: Method, other: Method | None) -> str:
    """On the almanac: what was never rehearsed, and what is answered as it was before."""
    said, rehearsed, stale = [], best.metric("kept_never_rehearsed"), best.metric("stale")
    if rehearsed is not None:
        said.append(f"Of the old facts that memory never brought back it keeps {shown(rehearsed)}{_beside(other, 'kept_never_rehearsed')}.")
    if stale:
        said.append(f"{shown(stale)} of the changed facts get the outdated answer{_beside(other, 'stale')}.")
    return " ".join(said)


def _beside(other: Method | None, metric: str) -> str:
    return f" (plain {shown(other.metric(metric))})" if other is not None and other.metric(metric) is not None else ""


def _untaught(best: Method, other: Method | None) -> str:
    """Damage to text that the stream does not teach."""
    said: list[str] = []
    for name, called in (("perplexity", "perplexity"), ("nats_per_byte", "the loss in nats per byte")):
        start, end = _ends(best, name)
        if start and end is not None and not said:
            times = f", {end / start:.1f} times" if end / start >= 1.05 else ""
            beside = _ends(other, name)[1] if other is not None else None
            compared = f" (plain: {plain_number(beside)}, {beside / start:.1f} times)" if beside is not None else ""
            how = "rises" if end > start else "falls" if end < start else "goes"
            said.append(f"{called} {how} from {plain_number(start)} to {plain_number(end)}{times}{compared}")
    moved = _ends(best, "kl")[1]
    if moved is not None:
        beside = _ends(other, "kl")[1] if other is not None else None
        compared = f" (plain: {plain_number(beside)})" if beside is not None else ""
        said.append(f"the KL divergence from the untouched model is {plain_number(moved)} nats per token at the end{compared}")
    return f"On text the stream does not teach {listed(said)}." if said else ""


def _probes(best: Method, other: Method | None) -> str:
    fell = []
    for name in dict.fromkeys(name for run in best.runs for name in run.probes):
        start, end = _probe_ends(best, name)
        if start is not None and end is not None and start - end >= SMALL:
            beside = _probe_ends(other, name)[1] if other is not None else None
            compared = f"; plain to {shown(beside)}" if beside is not None else ""
            fell.append(f"{name.replace('_', ' ')} (from {shown(start)} to {shown(end)}{compared})")
    return f"Of the probes, {listed(fell)} fell." if fell else ""


def _less(best: Method, ranked: list[Method]) -> str:
    """Another that loses less, with what it knows."""
    known = [(lost, method) for method in ranked if (lost := method.metric("forgetting")) is not None]
    if not known:
        return ""
    lost, least = min(known, key=lambda pair: pair[0])
    mine = best.metric("forgetting")
    if least is best or lost >= (1.0 if mine is None else mine) - SMALL or (mine is not None and mine < SMALL):
        return ""
    return f"{least.label} loses less ({shown(max(lost, 0.0), 'points')} points) but knows {shown(least.metric(QUALITY))} at the end."


def _ends(method: Method, name: str) -> tuple[Cell, Cell]:
    """A divergence before the stream and at its end."""
    curves = [curve for run in method.runs if (curve := run.divergence.get(name))]
    return mean(curve[0] for curve in curves), mean(curve[-1] for curve in curves)


def _probe_ends(method: Method, name: str) -> tuple[Cell, Cell]:
    curves = [curve for run in method.runs if (curve := run.probes.get(name))]
    return mean(curve[0] for curve in curves), mean(curve[-1] for curve in curves)
