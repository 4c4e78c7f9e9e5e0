"""`everlearn demo`: the main job on the embedded default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everlearn.evaluate.scores import Answer
    from everlearn.results import Results
    from everlearn.types import Example, Stream

# Chosen on another future of the same world by `python benchmarks/demo_settings.py`: see docs/results.md.
FUTURE, CHOSEN_ON = 0, 1
RATE, PASSES, BATCH = 3e-4, 5, 32


def demo(out: Annotated[Path, typer.Option(help="Folder for results.json and the runs.")] = Path("runs/demo")) -> None:
    """A small model learns six years of a changing world, plainly and with everlearn."""
    from everlearn.cli.console import console as standard_output
    from everlearn.cli.page import paged
    from everlearn.cli.progress import bar
    from everlearn.comparison import compare
    from everlearn.learn.settings import Settings
    from everlearn.streams.almanac import Almanac, almanac_stream

    stream, console = almanac_stream(Almanac(future=FUTURE)), standard_output()
    taught = sum(len(experience.train) for experience in stream)
    console.print(
        f"A model of a million parameters knows 600 facts of the year 2020. Six years follow: {taught} rows about what changed and what is new.", soft_wrap=True
    )
    last: dict[str, dict[str, list[Answer]]] = {}
    with bar() as progress:
        watch = lambda label, number, answers: last.update({label: answers})  # noqa: E731
        results = compare(stream, "tiny", "plain,keep_current", 1, out, Settings(rate=RATE, passes=PASSES, batch=BATCH), None, progress=progress, watch=watch)
    console.print(results.table())
    for line in summary(results):
        console.print(line, soft_wrap=True)
    if len(last) == 2:
        console.print(story(stream, last), soft_wrap=True, markup=False)
    console.print(f"Written to {out / 'results.json'}; delete the folder to run it again.", soft_wrap=True)
    console.print(paged(results, out), soft_wrap=True)


def summary(results: Results) -> list[str]:
    """What each run learned and lost, a sentence each."""
    sentences = []
    for run in results.runs:
        share = {name: f"{100 * value:.0f} %" if value is not None else "–" for name, value in run.metrics.items()}
        lost = f"still knew {share['kept']} of what had not changed" if run.metrics["kept"] is not None else "was asked nothing old"
        sentences.append(
            f"[bold]{run.method}[/bold] learned {share['changed']} of the changes and {share['new']} of the new facts as they came; at the end it {lost}, and its skills went from {share['skills_before']} to {share['skills']}."
        )
    return sentences


def story(stream: Stream, last: Mapping[str, Mapping[str, Sequence[Answer]]]) -> str:
    """A few questions with the truth and both answers at the end."""
    tests = {task: rows for experience in stream for task, rows in experience.tests.items()}
    lines = ["", "At the end:"]
    for task, count in (("kept", 3), ("changed1", 2), ("new6", 1)):
        rows = [at for at, row in enumerate(tests[task]) if row.until is None]
        telling = [at for at in rows if last["plain"][task][at].value < last["keep_current"][task][at].value] or rows
        for at in telling[:: max(1, len(telling) // count)][:count]:
            lines.append(_told(tests[task][at], {label: given[task][at] for label, given in last.items()}))
    return "\n".join(lines)


def _told(row: Example, given: Mapping[str, Answer]) -> str:
    question = (row.prompt or "").removeprefix("Question: ").removesuffix("\nAnswer:")
    was = f", before:{row.old_completion}" if row.old_completion else ""
    said = "   ".join(f"{label}:{answer.said} {'✓' if answer.value else '✗'}" for label, answer in given.items())
    return f"  {question}  (true:{row.completion}{was})\n      {said}"
