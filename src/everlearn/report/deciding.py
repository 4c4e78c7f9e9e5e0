"""What decides between methods that the score at the end does not tell apart."""

from __future__ import annotations

from collections.abc import Callable

from everlearn.evaluate.matrix import Cell
from everlearn.report.sections import Method, Section
from everlearn.report.standing import just_learned
from everlearn.report.words import duration, shown

CLEAR = 0.005  # of a share: half a point less decides nothing


def deciding(section: Section, level: list[Method]) -> str:
    """A line on cost, on the newest and on the old; "" where nothing is level."""
    if len(level) < 2:
        return ""
    said = [
        _first(level, lambda m: m.cost("learn_seconds"), -1, 1.0, lambda m, v: f"{m} learns fastest ({duration(v)})"),
        _first(level, lambda m: just_learned(m, section.main_kind), 1, CLEAR, lambda m, v: f"{m} learns the newest best ({shown(v)} right after teaching)"),
        _first(level, lambda m: m.metric("forgetting"), -1, CLEAR, lambda m, v: f"{m} keeps the old best ({_kept(v)})"),
    ]
    found = [part for part in said if part]
    lead = "The score at the end does not tell them apart."
    return f"{lead} {'; '.join(found)}." if found else f"{lead} Nor does anything else that was measured."


def _first(level: list[Method], number: Callable[[Method], Cell], way: int, least: float, told: Callable[[str, float], str]) -> str:
    """The one that is ahead of all others in a number by at least `least`; way: 1 where more is better, -1 where less is."""
    known = sorted(((way * value, method.label) for method in level if (value := number(method)) is not None), reverse=True)
    if len(known) < 2 or known[0][0] - known[1][0] < least:
        return ""
    return told(known[0][1], way * known[0][0])


def _kept(forgetting: float) -> str:
    return f"{shown(forgetting, 'points')} points lost" if forgetting >= CLEAR / 10 else "nothing lost on average"
