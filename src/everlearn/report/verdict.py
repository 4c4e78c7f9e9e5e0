"""The verdict in plain sentences: which method to use, how sure that is, what even it loses, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from everlearn.report.deciding import deciding
from everlearn.report.losses import SMALL, fallen, losses
from everlearn.report.prices import prices
from everlearn.report.sections import BOUNDS, QUALITY, Method, Section
from everlearn.report.standing import Gap, gap, just_learned, tied
from everlearn.report.words import between, duration, listed, shown, signed


@dataclass(frozen=True, slots=True)
class Verdict:
    """headline: one line.   figures: the few numbers to remember, (what, number, beside it).   sentences: (about what, sentence)."""

    headline: str
    figures: tuple[tuple[str, str, str], ...]
    sentences: tuple[tuple[str, str], ...]


def verdict(section: Section) -> Verdict:
    """What the numbers of a section say. Bounds are named as bounds and never recommended."""
    ranked = [method for method in section.ranked if method.metric(QUALITY) is not None]
    if not ranked:
        known = _references(section, None) or "Nothing was measured."
        return Verdict("Only references were run", (), (("References", known), ("Next", "Run plain and a method beside them.")))
    best, plain = ranked[0], section.baseline
    said = [
        ("Result", _result(section, best, plain)),
        ("Chance", _chance(section, best)),
        ("What decides", deciding(section, tied(section))),
        ("How sure", _sure(section, best, ranked)),
        ("What it learns", _learned(section, best, plain)),
        ("What even it loses", losses(section, best, ranked)),
        ("What it costs", prices(section, best, ranked)),
        ("References", _references(section, best)),
    ]
    return Verdict(_headline(section, best, ranked), _figures(section, best, plain), tuple((about, text) for about, text in said if text))


def _headline(section: Section, best: Method, ranked: list[Method]) -> str:
    plain = section.baseline
    if ranked == [plain]:
        return "Only plain fine-tuning was run: there is nothing to compare it with"
    if len(ranked) == 1:
        return f"Only {best.label} was run: there is nothing to compare it with"
    if best is plain:
        return "Plain fine-tuning is not beaten here"
    if plain is None:
        return f"{best.label} knows most at the end"
    found = gap(section, best, plain)
    if found is None or found.apart is None:
        return f"{best.label} knows most at the end, as far as one can say without intervals"
    if found.apart and found.mean > 0:
        level = [method.label for method in tied(section)]
        if clears_chance(section, best) is False:
            return f"{listed(level[:3])} {'is' if len(level) == 1 else 'are'} clearly above plain, but not above chance"
        return f"Use {best.label}" if len(level) == 1 else f"{_either(level)}: a tie"
    if found.mean <= 0:
        return f"{best.label} has the highest score, but is not ahead of plain where both ran alike"
    return f"{best.label} is ahead of plain, but not clearly"


def _either(names: list[str]) -> str:
    return " or ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} or {len(names) - 2} more"


def _result(section: Section, best: Method, plain: Method | None) -> str:
    """What is known at the end, and on the almanac what of the unchanged."""
    ends = between(best.interval(QUALITY))
    beside = f"; plain fine-tuning has {shown(plain.metric(QUALITY))}" if plain is not None and plain is not best else ""
    text = f"After the last experience {best.label} scores {shown(best.metric(QUALITY))}{f' ({ends})' if ends else ''} over all tasks, old and new{beside}."
    kept = best.metric("kept")
    if kept is not None:
        other = f", plain {shown(plain.metric('kept'))}" if plain is not None and plain is not best else ""
        text += f" Of the facts that never changed it still answers {shown(kept)}{other}."
    if len(section.kinds) > 1:
        text += f" This is judged by the tasks scored by {section.main_kind}; {listed(list(section.kinds[1:]))} have tables of their own."
    return text


def clears_chance(section: Section, method: Method) -> bool | None:
    """Whether the whole interval of the score at the end lies above chance; None where either is not known."""
    ends = method.interval(QUALITY)
    return None if section.chance is None or ends is None else ends[0] > section.chance


def _chance(section: Section, best: Method) -> str:
    """What a score is worth: the same answer to every question of a task reaches chance."""
    if section.chance is None:
        return ""
    said = [f"Always giving each task's commonest right answer would score {shown(section.chance)}."]
    if clears_chance(section, best) is False:
        said.append(f"The interval of {best.label} does not clear that: its score is not clearly above chance.")
    for name in section.saying_nothing:
        said.append(f"In {name} the commonest answer is always right (chance 100 %), so this task says nothing about what is known.")
    return " ".join(said)


def _sure(section: Section, best: Method, ranked: list[Method]) -> str:
    others = [method for method in ranked if method is not best]
    plain = section.baseline
    said = [_apart(found, "plain") for found in [gap(section, best, plain)] if plain is not None and plain is not best and found is not None] if plain else []
    if others and others[0] is not plain:
        found = gap(section, best, others[0])
        said += [_apart(found, f"the second, {others[0].label}")] if found is not None else []
    return " ".join([*said, _times(ranked)])


def _times(ranked: list[Method]) -> str:
    """How often the methods ran."""
    once = [method.label for method in ranked if len(method.runs) == 1]
    if len(once) == len(ranked):
        return "Each method ran once, so how much the seed matters was not measured."
    if once:
        return f"{listed(once)} ran once, so how much the seed matters to {'it' if len(once) == 1 else 'them'} was not measured."
    return f"Each method ran at least {min(len(method.runs) for method in ranked)} times; the tables show the range."


def _apart(found: Gap, other: str) -> str:
    ahead = f"{shown(abs(found.mean), 'points')} points {'ahead of' if found.mean > 0 else 'behind'} {other}" if found.mean else f"level with {other}"
    lead = f"It is {ahead}" if found.mean >= 0 else f"With the same seeds and orders it is {ahead}"
    if found.apart is None:
        return f"{lead}; without intervals nobody can say whether that is chance."
    if found.ends is not None:
        ends = f"{lead} (95 % interval of the paired difference {between(found.ends)})"
        if not found.apart:
            return f"{ends}: that interval holds 0, so these questions do not tell the two apart."
        return f"{ends}: clearly {'above' if found.mean > 0 else 'below'} it."
    return f"{lead}; the two 95 % intervals {'do not overlap' if found.apart else 'overlap, so these questions do not tell the two apart'}."


def _learned(section: Section, best: Method, plain: Method | None) -> str:
    """On the almanac of what changed and what is new, else of every task that is taught."""
    other = plain if plain is not best else None
    changed, new = best.metric("changed"), best.metric("new")
    if changed is not None and new is not None:
        text = f"Right after they were taught it answers {shown(changed)} of the changed facts and {shown(new)} of the new ones"
        return f"{text}, plain {shown(other.metric('changed'))} and {shown(other.metric('new'))}." if other else f"{text}."
    mine, theirs = just_learned(best, section.main_kind), None if other is None else just_learned(other, section.main_kind)
    if mine is None:
        return ""
    text = f"Right after a task was taught it scores {shown(mine)} on average"
    if theirs is None:
        return f"{text}."
    less = 100 * (theirs - mine)
    if abs(less) < 0.05:
        return f"{text}, as plain does."
    return f"{text}, plain {shown(theirs)}: keeping the old {'cost' if less > 0 else 'even gained'} it {abs(less):.1f} points of learning."


def _references(section: Section, best: Method | None) -> str:
    said = [f"{method.label} ({BOUNDS[method.bound]}) reaches {shown(method.metric(QUALITY))}." for method in section.methods if method.bound]
    plain, joint = section.baseline, next((method for method in section.methods if method.bound == "joint"), None)
    low, top, mine = (None if method is None else method.metric(QUALITY) for method in (plain, joint, best))
    wide = gap(section, joint, plain) if joint is not None and plain is not None else None  # a gap within chance cannot be closed to a share
    known = wide is not None and wide.mean > 0 and wide.apart is not False
    if known and best is not None and best is not plain and low is not None and top is not None and mine is not None and top > low:
        said.append(f"{best.label} closes {100 * (mine - low) / (top - low):.0f} % of the gap between plain and joint.")
    found = gap(section, best, joint) if best is not None and joint is not None else None
    if best is not None and found is not None and found.ends is not None:
        where = "clearly above it" if found.apart and found.mean > 0 else "clearly below it" if found.apart else "not told apart from it"
        said.append(f"{best.label} less joint: {signed(found.mean)} points (95 % interval of the paired difference {between(found.ends)}), {where}.")
    if said:
        said.append("References are there to read the others by, not to be used.")
    return " ".join(said)


def _figures(section: Section, best: Method, plain: Method | None) -> tuple[tuple[str, str, str], ...]:
    other = plain if plain is not None and plain is not best else None
    seconds, base = best.cost("learn_seconds"), None if other is None else other.cost("learn_seconds")
    beside = [f"plain {shown(other.metric(QUALITY))}"] if other else []
    beside += [f"chance {shown(section.chance)}"] if section.chance is not None else []
    found = [("known at the end", shown(best.metric(QUALITY)), ", ".join(beside))]
    kept, lost = best.metric("kept"), best.metric("forgetting")
    if kept is not None:
        found.append(("of the unchanged kept", shown(kept), f"plain {shown(other.metric('kept'))}" if other else ""))
    if lost is not None:
        told = "lost on average" if lost < SMALL else "points lost on average"
        gained = [f"tasks gained {shown(-lost, 'points')} points"] if lost <= -SMALL else []
        found.append((told, fallen(lost), ", ".join([*gained, *([f"plain {fallen(other.metric('forgetting'))}"] if other else [])])))
    if seconds is not None:
        found.append(("of plain's learning time", f"{seconds / base:.1f}×", duration(seconds)) if base else ("learning time", duration(seconds), ""))
    return tuple(found)
