"""Weights shared out over two processes on gloo (FSDP2): the numbers of one process, and parts of a half each."""

from __future__ import annotations

import os
import subprocess
import sys
from math import hypot
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from everlearn import L2, SI, CausalModel, Example, Experience, Gradient, Lora, Method, SettingError, Settings, load_model
from everlearn.checks.methods import small_stream
from everlearn.conditions import Setup
from everlearn.config import parse_methods
from everlearn.course import Course
from everlearn.errors import ModelError
from everlearn.learn.fit import objective_gradient
from everlearn.learn.objectives.base import Supervised
from everlearn.learn.objectives.preference import Preference
from everlearn.methods import BY_NAME
from everlearn.models.processes import Processes, processes
from everlearn.models.seq2seq import Seq2SeqModel
from everlearn.models.sharding import Shards
from everlearn.models.weights import TrainedModel
from tests.learn.test_processes import ALL_FAR, FAR, environment, free_port
from tests.models.conftest import pair_tokenizer, t5

ROOT = Path(__file__).parents[2]
RUNS = ("plain", "l2", "l2_sp", "ewc", "replay+distill", "lora", "recomputed")
SETTINGS = {"rate": 1e-3, "passes": 1, "batch": 6, "micro_tokens": 100}  # three micro-batches in a step: one process has one more than the other
QUESTION = Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=" 12")


def learned(run: str) -> dict[str, Tensor]:
    """All trained weights after a base was remembered, two experiences were learned and a question was answered before and after; whole."""
    methods: list[Method] = [BY_NAME[name](**BY_NAME[name].active) for name in run.split("+") if name in BY_NAME]
    (base, experiences), model = small_stream(), load_model("tiny", lora=Lora(rank=3) if run == "lora" else None)
    learner = Gradient(methods, Settings(**SETTINGS, activation_checkpointing=run == "recomputed"))
    learner.prepare(model)
    model.generate([QUESTION], 4)  # without gradients first
    learner.remember(model, base[:6])
    for experience in experiences:
        learner.learn(model, Experience(experience.name, experience.train[:12]))
    kept = {"answer": torch.tensor(list(model.generate([QUESTION], 4)[0].encode())), "half": torch.tensor(share_held(model, methods))}
    return model.whole_state() | kept if processes().first else kept | model.whole_state()


def share_held(model: TrainedModel, methods: list[Method]) -> float:
    """What this process holds of the trained weights, and at most of what a method keeps beside them, as a share of the whole."""
    whole = sum(weight.numel() for weight in model.module.parameters() if weight.requires_grad)
    kept = [sum(part.numel() for part in held.values()) for m in methods for name in ("fisher", "anchor") if (held := getattr(m, name, None))]
    return max(sum(weight.numel() for weight in model.trained().values()), *kept, 0) / whole


def test_two_processes_that_share_weights_give_the_weights_of_one(tmp_path: Path) -> None:
    port, outs = free_port(), [tmp_path / f"{place}.pt" for place in (0, 1)]
    asked = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "PYTHONPATH": os.pathsep.join([environment(0, port)["PYTHONPATH"], str(ROOT)])}
    started = [subprocess.Popen([sys.executable, __file__, str(outs[place])], env={**environment(place, port), **asked}) for place in (0, 1)]
    alone = {run: learned(run) for run in RUNS}
    assert [one.wait(timeout=1200) for one in started] == [0, 0]
    first, second = (torch.load(path, weights_only=True) for path in outs)
    for run, weights in alone.items():
        assert second[run].keys() == {"answer", "half"}, "the first process alone writes"
        assert torch.equal(first[run].pop("answer"), second[run]["answer"])
        assert 0.3 < float(first[run].pop("half")) < 0.6, run
        assert float(weights.pop("half")) == 1.0
        del weights["answer"]
        assert first[run].keys() == weights.keys()
        apart = {name: float((first[run][name].double() - value.double()).norm()) for name, value in weights.items()}
        lengths = {name: float(value.double().norm()) for name, value in weights.items()}
        for name, far in apart.items():
            assert far <= FAR * lengths[name] + 1e-6, f"{run}: {name} is {far:.1e} from one process's"
        assert hypot(*apart.values()) <= ALL_FAR * hypot(*lengths.values()), f"{run}: the weights are {hypot(*apart.values()):.1e} from one process's"


def test_who_has_fewer_micro_batches_keeps_pace() -> None:
    sizes = [5, 1, 9, 3, 3, 2, 1]
    shares = [Processes(3, place, sharded=True) for place in range(3)]
    assert {len(share.mine(sizes)) + share.idle(sizes) for share in shares} == {max(len(share.mine(sizes)) for share in shares)}
    assert Processes(3, 0).idle(sizes) == 0


def test_parts_are_clipped_and_averaged_as_the_whole_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process's part is alike, so sums double."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda value: value.mul_(2))
    part = nn.Parameter(torch.zeros(2))
    part.grad = torch.tensor([3.0, 4.0])
    Processes(2, 0, sharded=True).clip([part], 1.0)
    assert float(part.grad.norm()) == pytest.approx(0.5**0.5)
    Processes(2, 0, sharded=True).clip([part], 1.0)
    assert float(part.grad.norm()) == pytest.approx(0.5**0.5)
    assert float(Processes(2, 0, sharded=True).mean(torch.tensor([1.0, 3.0]))) == 2.0


def test_what_needs_whole_weights_is_refused(monkeypatch: pytest.MonkeyPatch, shared_tiny: CausalModel) -> None:
    monkeypatch.setattr("everlearn.learn.gradient.processes", lambda: Processes(2, 0, sharded=True))
    with pytest.raises(SettingError, match=r"need whole weights, .*'SI', 'Preference'.* go: plain, .*ewc.*l2_sp"):
        Gradient([L2(0.1), SI(1.0)], objective=Preference()).prepare(shared_tiny)


def test_encoder_decoders_are_not_shared_out() -> None:
    """Their encoder is asked alone where they answer: RuntimeError: aten.embedding.default got mixed torch.Tensor and DTensor."""
    tokenizer = pair_tokenizer()
    with pytest.raises(ModelError, match="encoder-decoder's weights cannot be shared out .model='small'"):
        Seq2SeqModel(t5(len(tokenizer)), tokenizer, "small").share_out(Processes(2, 0, sharded=True))


def test_quantised_weights_and_an_older_torch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(2, 2)
    module.weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ModelError, match="quantised weights cannot be shared out .types=..torch.uint8"):
        Shards(module, Processes(2, 0, sharded=True))
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(SettingError, match="needs torch 2.13 .torch='2.9.1.cpu'"):
        Shards(module, Processes(2, 0, sharded=True))


def test_gradients_of_other_rows_are_refused(tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainedModel, "shared_out", True)
    with pytest.raises(SettingError, match="a gradient of some rows is asked for"):
        objective_gradient(tiny, [], Supervised(), Settings())


def test_learners_around_the_loop_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlearn.course.processes", lambda: Processes(2, 0, sharded=True))
    setup: Setup = None  # type: ignore[assignment]
    with pytest.raises(SettingError, match="learners around the loop need whole weights, .*'recover'"):
        Course(setup, parse_methods("replay+recover")[0], 0, lambda text, share: None, None, None, 0)


def test_the_first_kind_of_sharding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.delenv("FSDP_VERSION", raising=False)
    with pytest.raises(SettingError, match="second FSDP alone .FSDP_VERSION='1'"):
        processes()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save({run: learned(run) for run in RUNS}, sys.argv[1])
    os._exit(0)
