"""Two processes on gloo give one process's numbers, for every method; and `accelerate launch -m everlearn compare` does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from math import hypot
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from everlearn import CausalModel, Example, Experience, Gradient, Method, Settings, compare, load_model
from everlearn.errors import SettingError, StateError
from everlearn.methods import BY_NAME
from everlearn.models import processes as several
from everlearn.models.processes import Processes, processes
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Out, Row
from everlearn.versions.home import Home

SETTINGS = Settings(rate=1e-3, passes=1, batch=12)
# Of a tensor's length, and of all together: sums in another order differ in their last bits, and AdamW's first steps make much of small gradients.
FAR, ALL_FAR = 2e-3, 1e-4


def learned(name: str) -> dict[str, Tensor]:
    """All weights after a base was remembered and two experiences were learned with this method."""
    from everlearn.checks.methods import small_stream, whole

    (base, experiences), model = small_stream(), load_model("tiny")
    learner = Gradient([BY_NAME[name](**BY_NAME[name].active)], SETTINGS)
    learner.prepare(model)
    learner.remember(model, base[:12])
    for experience in experiences:
        learner.learn(model, Experience(experience.name, experience.train[:18]))
    return whole(model)


def environment(place: int, port: int) -> Mapping[str, str]:
    source = str(Path(__file__).parents[2] / "src")
    told = {"WORLD_SIZE": "2", "RANK": str(place), "LOCAL_RANK": str(place), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**os.environ, **told, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_two_processes_give_the_weights_of_one_for_every_method(tmp_path: Path) -> None:
    """All weights at the end, of adapters and of what is frozen too; between the two processes they are equal to the last bit."""
    port, outs = free_port(), [tmp_path / f"{place}.pt" for place in (0, 1)]
    started = [subprocess.Popen([sys.executable, __file__, str(outs[place])], env=environment(place, port)) for place in (0, 1)]
    alone = {name: learned(name) for name in BY_NAME}
    assert [one.wait(timeout=1200) for one in started] == [0, 0]
    first, second = (torch.load(path, weights_only=True) for path in outs)
    assert len(alone) == len(BY_NAME) >= 30
    for name, weights in alone.items():
        apart, lengths = [], []
        for part, value in weights.items():
            assert torch.equal(first[name][part], second[name][part]), f"{name}: the processes differ in {part}"
            apart.append(float((first[name][part].double() - value.double()).norm()))
            lengths.append(float(value.double().norm()))
            assert apart[-1] <= FAR * lengths[-1] + 1e-6, f"{name}: {part} is {apart[-1]:.1e} from one process's"
        assert hypot(*apart) <= ALL_FAR * hypot(*lengths), f"{name}: the weights are {hypot(*apart):.1e} from one process's"


@pytest.mark.parametrize("how", ["--cpu", "--use_fsdp --fsdp_version 2"], ids=["rows", "weights"])
def test_accelerate_launches_a_comparison_with_the_numbers_of_one_process(how: str, tmp_path: Path) -> None:
    """Rows shared out, or weights too."""
    for number in (1, 2):
        folder = tmp_path / "stream" / f"{number}"
        folder.mkdir(parents=True)
        rows = [{"prompt": f"Question: {number} of {n}?\nAnswer:", "completion": f" {n + number}.", "task": f"t{number}"} for n in range(12)]
        for name, part in (("train.jsonl", rows), (f"test.t{number}.jsonl", rows[:4])):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    (tmp_path / "stream" / "stream.toml").write_text('name = "small"\n[scores]\nt1 = "loss"\nt2 = "loss"\n')
    asked = ["-m", "everlearn", "compare", str(tmp_path / "stream"), "--methods", "plain,replay", "--no-probes", "--anchor", "off", "--passes", "2"]
    alone = {key: value for key, value in environment(0, 0).items() if key not in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")}
    launch = [sys.executable, "-m", "accelerate.commands.launch", *how.split(), "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", str(free_port())]
    started = subprocess.Popen([*launch, *asked, "--out", str(tmp_path / "two")], env=alone)
    compare(tmp_path / "stream", "tiny", "plain,replay", 1, tmp_path / "one", Settings(passes=2), probes=False, anchor=None)
    assert started.wait(timeout=1200) == 0
    one, two = (sorted((tmp_path / name / "runs").glob("*.json")) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    for here, there in zip(one, two, strict=True):
        scores = [list(numbers(json.loads(path.read_text())["matrix"])) for path in (here, there)]
        assert len(scores[0]) >= 6
        assert scores[0] == pytest.approx(scores[1], rel=1e-3, abs=1e-4)


def numbers(value: object) -> Iterator[float]:
    """All numbers of a JSON value, in order."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)


def test_micro_batches_are_shared_out_evenly_and_each_once() -> None:
    sizes = [5, 1, 9, 3, 3, 2]
    shares = [Processes(3, place).mine(sizes) for place in range(3)]
    assert sorted(at for share in shares for at in share) == list(range(6))
    assert [sum(sizes[at] for at in share) for share in shares] == [9, 7, 7]


def test_every_process_gets_a_micro_batch(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows([Example(prompt=f"Question: {n}?\nAnswer:", completion=" yes.") for n in range(8)])
    most = Processes(4, 0).most(rows, 16_384)
    assert -(-sum(len(row.tokens) for row in rows) // 4) == most
    assert Processes().most(rows, 16_384) == 16_384


def test_different_rows_in_one_step_are_told(monkeypatch: pytest.MonkeyPatch, shared_tiny: CausalModel) -> None:
    def other(value: Tensor) -> None:
        value[:2] += torch.tensor([7.0, 49.0])

    monkeypatch.setattr(several.distributed, "all_reduce", other)
    rows = shared_tiny.encoder.rows([Example(text="a")])
    with pytest.raises(StateError, match="different rows in the same step .process=0"):
        Processes(2, 0).add_gradients([], torch.zeros(()), rows)


def test_a_weight_only_one_process_has_a_gradient_for_gets_it_in_all(monkeypatch: pytest.MonkeyPatch, shared_tiny: CausalModel) -> None:
    def twin(value: Tensor) -> None:  # the other process has gradient 1 for both of the first two weights
        value += torch.tensor([float(value[0]), float(value[1]), 0.5, 1, 1, 0], dtype=torch.double) if value.dtype == torch.double else torch.ones_like(value)

    monkeypatch.setattr(several.distributed, "all_reduce", twin)
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    weights[0].grad = torch.tensor([1.0, 2.0])
    loss = Processes(2, 1).add_gradients(weights, torch.tensor(0.25), shared_tiny.encoder.rows([Example(text="a")]))
    assert [None if w.grad is None else w.grad.tolist() for w in weights] == [[2.0, 3.0], [1.0, 1.0], None]
    assert float(loss) == 0.75


class Watching(Method):
    def observe(self, model: TrainedModel, batch: Batch, out: Out) -> None:
        self.seen: tuple[Row, ...] = batch.rows


def test_a_method_that_observes_must_gather() -> None:
    with pytest.raises(SettingError, match="Watching observes batches but gathers nothing"):
        Watching().gathered(Processes(2, 0))
    Method().gathered(Processes(2, 0))


@pytest.mark.parametrize("name", ["ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_DEEPSPEED"])
def test_other_ways_to_share_out_the_weights_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, "true")
    with pytest.raises(SettingError, match=f"share out the weights .{name}='true'"):
        processes()


def test_a_home_is_changed_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match="one process .WORLD_SIZE=2"), Home.writing(Home.__new__(Home)):
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save({name: learned(name) for name in BY_NAME}, sys.argv[1])
