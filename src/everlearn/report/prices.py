"""What the best method costs, beside plain, and whether the times can be believed."""

from __future__ import annotations

from everlearn.report.sections import Method, Section
from everlearn.report.standing import gap
from everlearn.report.words import duration, listed, shown, size

CHEAPER = 0.8  # of the best one's learning time: from a fifth less on it is worth a sentence
DISTURBED = 0.95  # of plain's time, for at least plain's steps and tokens: nothing that adds work can be below it


def prices(section: Section, best: Method, ranked: list[Method]) -> str:
    """Time, steps and tokens, memory, a cheaper one that is level, and a warning where times were disturbed."""
    other = section.baseline if section.baseline is not best else None
    said = [_time(best, other), _work(best, other), _memory(best, other), _quicker(section, best, ranked), _disturbed(section)]
    return " ".join(part for part in said if part)


def _time(best: Method, other: Method | None) -> str:
    seconds, base = best.cost("learn_seconds"), None if other is None else other.cost("learn_seconds")
    if seconds is None:
        return ""
    more = f", {seconds / base:.1f} times plain's {duration(base)}" if base else ""
    return f"Learning took {duration(seconds)}{more}."


def _work(best: Method, other: Method | None) -> str:
    """Steps and learned tokens: what a quiet machine and a busy one agree on."""
    said = []
    for name, called in (("steps", "steps"), ("learned_tokens", "learned tokens")):
        mine, theirs = best.cost(name), None if other is None else other.cost(name)
        if mine is not None:
            beside = "" if theirs is None else f" (plain {shown(theirs, 'count')})"
            said.append(f"{shown(mine, 'count')} {called}{beside}")
    return f"It took {listed(said)}." if said else ""


def _memory(best: Method, other: Method | None) -> str:
    stored, peak = best.cost("extra_state_bytes"), best.cost("peak_bytes")
    theirs = None if other is None else other.cost("peak_bytes")
    said = [f"It keeps {size(stored)} beside the model."] if stored is not None else []
    if peak is not None:
        said.append(f"At most {size(peak)} of memory were in use at once{f' (plain {size(theirs)})' if theirs is not None else ''}.")
    return " ".join(said)


def _quicker(section: Section, best: Method, ranked: list[Method]) -> str:
    seconds = best.cost("learn_seconds")
    level = [other for other in ranked[1:] if (found := gap(section, best, other)) is not None and found.apart is False]
    quick = min(((theirs, other.label) for other in level if (theirs := other.cost("learn_seconds")) is not None), default=None)
    if not seconds or quick is None or quick[0] > CHEAPER * seconds:
        return ""
    return f"{quick[1]} is not told apart from it and learns in {100 * (1 - quick[0] / seconds):.0f} % less time."


def _disturbed(section: Section) -> str:
    """Where a method did all of plain's work and more in less time, something else was running."""
    plain = section.baseline
    if plain is None:
        return ""
    found = [method.label for method in section.methods if not method.bound and method is not plain and _too_quick(method, plain)]
    if not found:
        return ""
    return f"Times were disturbed: {listed(found)} took less time than plain for as many steps and tokens or more. Go by steps and tokens here."


def _too_quick(method: Method, plain: Method) -> bool:
    pairs = [(method.cost(name), plain.cost(name)) for name in ("learn_seconds", "steps", "learned_tokens")]
    (seconds, base), *work = pairs
    known = seconds is not None and base is not None and seconds < DISTURBED * base
    return known and all(mine is not None and theirs is not None and mine >= theirs for mine, theirs in work)
