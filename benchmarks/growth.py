"""Does an experience cost more, the more there were before: time and memory of each of 5, 20 and 100 experiences.

    python benchmarks/growth.py [--lengths 5 20 100] [--methods plain,ewc,...] [--pairs 1] [--plot docs/images/growth.svg] [--out runs/bench/growth.json]

Every experience has 16 rows of the almanac and is learned in one pass; nothing is evaluated. Of each method and length: CPU seconds an experience in the
last fifth over those in the first (the very first left out, it warms up; where buffers of 64 rows must fill, it begins once they are full), and bytes kept
beside the weights after half of the experiences and after all. The plot shows CPU seconds against the experience, a line a method.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from timing import machine, now, parser

from everlearn import Almanac, Experience, Gradient, Settings, almanac_stream, load_model
from everlearn.config import parse_methods
from everlearn.evaluate.cost import state_bytes
from everlearn.results import write_json

METHODS = "plain,l2_sp,ewc,mas,si,distill,replay(rows=64),keep_current,agem(rows=64),der(rows=64),o_lora(rank=2)"
SETTINGS = Settings(rate=1e-4, passes=1, batch=8)
ROWS = 16
COLOURS = 10  # of the plot's; the lines after them are dotted


def course(method: str, experiences: Sequence[Experience]) -> tuple[list[float], list[int]]:
    """CPU seconds of each experience, and bytes kept after it."""
    learner, model = parse_methods(method)[0].learner(SETTINGS, 0), load_model("tiny")
    assert isinstance(learner, Gradient)
    learner.prepare(model)
    seconds, kept = [], []
    for experience in experiences:
        before = now()
        learner.learn(model, experience)
        seconds.append(now()[0] - before[0])
        kept.append(state_bytes(learner.state()))
    return seconds, kept


def plotted(lines: dict[str, list[float]], path: Path) -> None:
    """Each method's seconds an experience, smoothed by the median of five, as SVG."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for place, (name, seconds) in enumerate(lines.items()):
        smooth = [statistics.median(seconds[max(0, at - 2) : at + 3]) for at in range(len(seconds))]
        figure.add_trace(Scatter(x=list(range(1, len(smooth) + 1)), y=smooth, name=name, mode="lines", line_dash="solid" if place < COLOURS else "dot"))
    figure.update_layout(xaxis_title="experience", yaxis_title="CPU seconds", yaxis_rangemode="tozero", template="simple_white", width=900, height=420)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_image(path)


def main() -> None:
    options = parser(__doc__, 1, "runs/bench/growth.json")
    options.add_argument("--lengths", type=int, nargs="+", default=[5, 20, 100])
    options.add_argument("--methods", default=METHODS)
    options.add_argument("--plot", type=Path)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    rows = list(almanac_stream(Almanac(facts=600), periods=1).base)
    table, longest = [], {}
    for recipe in parse_methods(given.methods):
        for length in given.lengths:
            part = [Experience(str(at), tuple(rows[(at * ROWS + n) % len(rows)] for n in range(ROWS))) for at in range(length)]
            seconds, kept = course(recipe.label, part)
            fifth = max(1, length // 5)
            full = 1 if length < 10 else 4  # bounded buffers of 64 rows are full after 4 experiences
            ratio = statistics.median(seconds[-fifth:]) / statistics.median(seconds[full : full + fifth])
            print(
                f"{recipe.label:40} {length:4} experiences: last fifth / first {ratio:.2f}   kept {kept[length // 2]:>12,} then {kept[-1]:>12,} bytes",
                flush=True,
            )
            table.append({"method": recipe.label, "experiences": length, "ratio": ratio, "kept_half": kept[length // 2], "kept": kept[-1], "seconds": seconds})
            longest[recipe.label] = seconds
    if given.plot:
        plotted(longest, given.plot)
    write_json(given.out, {"machine": machine(), "rows": ROWS, "table": table})


if __name__ == "__main__":
    main()
