"""Numbers as the page writes them, and what each column means in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "points", "seconds", "bytes", "times", "count"]
NONE = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the summary.   better: +1 where more is better, -1 where less is, 0 where it is neither."""

    key: str
    head: str
    meaning: str
    better: int = 1
    unit: Unit = "share"


GENERAL = (
    Column("average_accuracy", "at the end", "mean score over all tasks after the last experience; old and new count alike"),
    Column("forgetting", "forgetting", "points lost: the mean fall of a task from its best to the end; 0 is nothing lost, below 0 tasks gained", -1, "points"),
    Column("learning_accuracy", "just learned", "mean score of each task right after it was taught; before the stream for those it never teaches"),
)
TRANSFER = (
    Column("backward_transfer", "backward", "what later experiences did to earlier tasks, in points; below 0 they harmed", 1, "points"),
    Column("forward_transfer", "forward", "how much better a task was before it was taught than at the start, in points", 1, "points"),
)
ALMANAC = (
    Column("kept", "kept", "facts that never changed, still answered at the end"),
    Column("kept_never_rehearsed", "kept, never rehearsed", "those of them of which no row came again from memory"),
    Column("changed", "changed, just taught", "changed facts, answered right after they were taught"),
    Column("changed_at_end", "changed, at the end", "changed facts that still hold, answered at the end"),
    Column("new", "new, just taught", "new facts, answered right after they were taught"),
    Column("new_at_end", "new, at the end", "new facts that still hold, answered at the end"),
    Column("unseen_phrasing", "unseen phrasing", "all facts true at the end, asked in words never trained on"),
    Column("stale", "stale", "changed facts answered with the outdated answer at the end; 0 is best", -1),
    Column("skills", "skills", "what the stream never touches, at the end"),
)
ELSE = (
    Column("forgetting_from_learned", "forgetting from learned", "the mean fall of a task from right after it was taught to the end, in points", -1, "points"),
    Column("seen_phrasing", "seen phrasing", "all facts true at the end, asked in words that were trained on"),
    Column("skills_before", "skills before", "what the stream never touches, before the stream"),
)
COSTS = (
    Column("learn_seconds", "learning", "wall time of learning, without tests", -1, "seconds"),
    Column("over_plain", "of plain's", "learning time as a multiple of plain's", -1, "times"),
    Column("steps", "steps", "updates of the weights", -1, "count"),
    Column("learned_tokens", "learned tokens", "tokens learned from, remembered ones among them", -1, "count"),
    Column("extra_state_bytes", "keeps", "what the method stores beside the model", -1, "bytes"),
    Column("peak_bytes", "memory", "most memory in use at once", -1, "bytes"),
)


def shown(value: float | None, unit: Unit = "share") -> str:
    """The number with its unit.

    >>> shown(0.7351), shown(-0.0132, "points"), shown(91.2, "seconds"), shown(3_700_000, "bytes"), shown(2.96, "times"), shown(None)
    ('73.5 %', '−1.3', '91 s', '3.7 MB', '3.0×', '–')
    """
    if value is None:
        return NONE
    if unit == "seconds":
        return duration(value)
    if unit == "bytes":
        return size(value)
    if unit == "times":
        return f"{value:.1f}×"
    if unit == "count":
        return f"{value:,.0f}"
    return minus(f"{100 * value:.1f}") + (" %" if unit == "share" else "")


def plain_number(value: float | None) -> str:
    """A number without a unit, to three digits, never with a power of ten.

    >>> plain_number(4.28e-10), plain_number(1710.2), plain_number(0.4567), plain_number(12.34), plain_number(-2500.0), plain_number(None)
    ('0', '1,710', '0.457', '12.3', '−2,500', '–')
    """
    if value is None:
        return NONE
    return minus(f"{value:,.0f}") if abs(value) >= 1000 else minus(f"{value:.3g}") if abs(value) >= 0.0005 else "0"


def signed(value: float) -> str:
    """A difference in points, with its sign.

    >>> signed(0.123), signed(-0.02), signed(0.0)
    ('+12.3', '−2.0', '0.0')
    """
    text = shown(value, "points")
    return f"+{text}" if value > 0 and text != "0.0" else text


def between(ends: tuple[float, float] | None) -> str:
    """An interval or a range.

    >>> between((0.701, 0.768)), between((-0.01, 0.02)), between(None)
    ('70.1 to 76.8', '−1.0 to 2.0', '')
    """
    if ends is None:
        return ""
    low, high = (minus(f"{100 * end:.1f}") for end in ends)
    return f"{low} to {high}"


def minus(text: str) -> str:
    """With a true minus sign, and none before zero."""
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best.

    >>> duration(3.21), duration(45), duration(400), duration(9000)
    ('3.2 s', '45 s', '6 min 40 s', '2 h 30 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes in powers of a thousand.

    >>> size(1), size(1536), size(640_360_448)
    ('1 B', '1.5 kB', '640.4 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def listed(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def task_ids_told(given: bool | None) -> str:
    """What every table says of task ids.

    >>> task_ids_told(False)
    'Task ids are hidden from the learner and at test.'
    """
    if given is None:
        return "Whether task ids were given is not in the files."
    return f"Task ids are {'given to' if given else 'hidden from'} the learner and at test."


def counted(count: int, one: str, many: str = "") -> str:
    """'1 run', '1,200 runs'."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
