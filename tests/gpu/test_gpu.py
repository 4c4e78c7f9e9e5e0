"""What holds on a GPU, and the benchmark's answer where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from everlearn import EWC, L2SP, Almanac, Example, Experience, Gradient, Method, Settings, almanac_stream, load_model
from everlearn.methods.base import Step

ROOT = Path(__file__).parents[2]
EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def command(*more: str) -> subprocess.CompletedProcess[str]:
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *more], env=hidden, capture_output=True, text=True)


def test_without_a_gpu_the_benchmark_says_so() -> None:
    ended = command()
    assert ended.returncode == 2
    assert ended.stderr.startswith("This measures a GPU, and torch finds none here")
    assert ended.stderr.count("\n") == 1


def test_the_benchmark_can_be_tried_without_one(tmp_path: Path) -> None:
    small = "--pairs 1 --steps 1 --hidden 64 --layers 1 --vocabulary 2000"
    ended = command("--device", "cpu", *small.split(), "--out", str(tmp_path / "gpu.json"))
    assert ended.returncode == 0, ended.stderr
    assert "plain / by hand" in ended.stdout
    assert (tmp_path / "gpu.json").exists()


@pytest.mark.gpu
@on_gpu
def test_bfloat16_learns_what_float32_learns() -> None:
    """The same losses to 2 %, of facts the model does not know, and weights that keep their type."""
    losses, new = [], almanac_stream(Almanac(future=1), 1).experiences[0].train[:12]
    for precision in ("no", "bf16"):
        model = load_model("tiny", device="cuda")
        log = Gradient([], Settings(rate=1e-4, passes=2, batch=6, precision=precision)).learn(model, Experience("1", new))  # type: ignore[arg-type]
        losses.append(log.loss)
        assert {weight.dtype for weight in model.trained().values()} == {torch.float32}
    assert losses[0] > 1.0
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)


@pytest.mark.gpu
@on_gpu
def test_the_gpu_learns_what_the_cpu_learns() -> None:
    ends: list[dict[str, Tensor]] = []
    for device in ("cpu", "cuda"):
        model = load_model("tiny", device=device)
        Gradient([L2SP(0.1)], Settings(rate=1e-4, passes=1, batch=6)).learn(model, Experience("1", EXAMPLES))
        ends.append({name: value.cpu() for name, value in model.state().items()})
    for name, value in ends[0].items():
        assert float((value - ends[1][name]).norm()) <= 1e-3 * float(value.norm()), name


@pytest.mark.gpu
@on_gpu
def test_batches_come_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, to = [], Tensor.to

    def noted(part: Tensor, *given: object, **named: object) -> Tensor:
        sent.append((part.is_pinned(), named.get("non_blocking")))
        return to(part, *given, **named)  # type: ignore[call-overload, no-any-return]

    model = load_model("tiny", device="cuda")
    rows = model.encoder.rows(EXAMPLES)
    monkeypatch.setattr(Tensor, "to", noted)
    batch = model.batch(rows)
    assert sent
    assert set(sent) == {(True, True)}
    assert batch.tokens.is_cuda


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("methods", [list, lambda: [L2SP(0.1)], lambda: [EWC(1.0)]], ids=["plain", "l2_sp", "ewc"])
def test_no_step_waits_for_the_gpu(methods: Callable[[], list[Method]]) -> None:
    """From the second step on nothing of ours makes the processor wait; transformers asks once a forward pass whether its mask masks anything."""
    model, learner = load_model("tiny", device="cuda"), Gradient(methods(), Settings(rate=1e-4, passes=3, batch=6))
    learner.prepare(model)
    learner.learn(model, Experience("1", EXAMPLES[:6]))

    def checkpoint(step: Step, state: object) -> None:
        torch.cuda.set_sync_debug_mode("warn" if step.number < step.total else "default")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            learner.learn(model, Experience("2", EXAMPLES[6:]), checkpoint)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in seen if "called a synchronizing" in str(one.message)]
    ours = [f"{one.filename}:{one.lineno}" for one in waits if f"{os.sep}transformers{os.sep}" not in one.filename]
    assert not ours
