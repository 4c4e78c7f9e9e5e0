"""Stopped at any moment, a comparison goes on inside the experience and ends with the numbers it would have had."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from everlearn import Diverged, Example, Experience, Settings, StateError, almanac_stream, compare
from everlearn.models.state import load_state, save_state
from everlearn.types import Score, Stream

METHODS = ["replay(share=1,rows=40)+distill(on=memory)+ewc(strength=1,samples=4)", "joint"]
SETTINGS = Settings(rate=1e-3, passes=2, batch=16, warmup=0.2)
quick = partial(compare, settings=SETTINGS, probes=False)


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def stream() -> Stream:
    """Two short experiences of the almanac with twenty questions each."""
    whole = almanac_stream(periods=2, skills=10)
    parts = tuple(
        Experience(e.name, e.train[:48], {task: rows[:20] for task, rows in e.tests.items()}, {task: e.scores[task] for task in e.tests}) for e in whole
    )
    return Stream("short", parts, whole.base[:60])


def numbers(run: object) -> dict[str, object]:
    """Everything of a run but its seconds and memory."""
    told = json.loads(json.dumps(run, default=vars))
    return {key: value for key, value in told.items() if key != "cost"} | {"steps": told["cost"]["steps"], "tokens": told["cost"]["learned_tokens"]}


def fields(run: object) -> dict[str, object]:
    from dataclasses import asdict

    return numbers(asdict(run))  # type: ignore[call-overload]


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_equals_the_uninterrupted_one_bit_for_bit(method: str, stream: Stream, tmp_path: Path) -> None:
    whole = fields(quick(stream, methods=method, out=tmp_path / "whole").runs[0])
    told: list[str] = []

    def stop(text: str, share: float) -> None:
        told.append(text)
        if len(told) % 5 == 0:
            raise Stopped

    stops = 0
    for _ in range(100):
        try:
            run = quick(stream, methods=method, out=tmp_path / "parts", progress=stop, save_every=0).runs[0]
            break
        except Stopped:
            stops += 1
            told.clear()
    assert stops >= 2
    assert fields(run) == whole
    assert not (tmp_path / "parts" / "unfinished").exists()


def test_a_killed_process_goes_on(stream: Stream, tmp_path: Path) -> None:
    """SIGKILL in the middle of learning, more than once; then the same numbers as in one go."""
    from everlearn import save_stream

    save_stream(stream, tmp_path / "stream")
    code = textwrap.dedent(f"""
        from everlearn import Settings, compare
        slow = lambda text, share: __import__("time").sleep(0.05)
        compare({str(tmp_path / "stream")!r}, methods="replay(share=1,rows=40)", out={str(tmp_path / "killed")!r}, probes=False, anchor=None,
                settings=Settings(rate=1e-3, passes=2, batch=16, warmup=0.2), save_every=0, progress=slow)
    """)
    state = tmp_path / "killed" / "unfinished"
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": str(torch_threads())})
        before = {path: path.read_bytes() for path in state.glob("*/state.json")}
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            written = {path: path.read_bytes() for path in state.glob("*/state.json")}
            if written != before and any(b'"inside"' in text for text in written.values()):
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(state.glob("*/state.json"))
    given = partial(quick, tmp_path / "stream", methods="replay(share=1,rows=40)", anchor=None)
    assert fields(given(out=tmp_path / "killed").runs[0]) == fields(given(out=tmp_path / "whole").runs[0])


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def test_a_state_of_something_else_is_refused(stream: Stream, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        quick(stream, methods="plain", out=tmp_path, anchor=None, progress=_stop_when_learning, save_every=0)
    folder = next((tmp_path / "unfinished").iterdir())
    state = load_state(folder)
    save_state({**state, "learner": "lost"}, folder)
    with pytest.raises(StateError, match="no learner's state to go on from.*unfinished"):
        quick(stream, methods="plain", out=tmp_path, anchor=None)


def _stop_when_learning(text: str, share: float) -> None:
    if "learning" in text and share > 0.1:
        raise Stopped


@pytest.mark.parametrize(("anchor", "place"), [(None, "task='quiz'"), ("everlearn", "text='anchor'")])
def test_a_model_that_the_last_step_broke_is_no_result(anchor: str | None, place: str) -> None:
    """One step at a rate beyond measure: its loss was taken before it, so learning looks well."""
    kind: Score = "loss" if anchor is None else "exact"
    rows = tuple(Example(prompt=f"Question: {n}?\nAnswer:", completion=" a", task="quiz") for n in range(4))
    stream = [Experience("1", rows, {"quiz": rows[:2]}, {"quiz": kind})]
    with (
        pytest.warns(UserWarning, match="plain with seed 0 has no result"),
        pytest.raises(Diverged, match=f"no numbers any more .method='plain', seed=0, {place}"),
    ):
        compare(stream, methods="plain", settings=Settings(rate=1e38, passes=1, batch=16), anchor=anchor, probes=False)
