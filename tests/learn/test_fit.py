"""The loop: what it divides, how it steps, what it reports."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from everlearn import (
    DER,
    CausalModel,
    DataError,
    Distill,
    Example,
    Experience,
    Gradient,
    Method,
    ModelError,
    Replay,
    Row,
    SettingError,
    Settings,
    StateError,
    Step,
    load_model,
)
from everlearn.learn.fit import objective_gradient
from everlearn.learn.objectives.base import Supervised
from everlearn.methods.base import State
from everlearn.methods.finch import Finch
from everlearn.models import late
from everlearn.types import Batch, Out

EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}", task="sums") for n in range(10))


def test_it_is_the_loop_anyone_would_write(tiny: CausalModel) -> None:
    """The same weights as a few lines of PyTorch over the same rows."""
    settings = Settings(rate=1e-3, passes=2, batch=4, clip=1.0)
    Gradient([], settings, seed=3).learn(tiny, Experience("1", EXAMPLES))
    other = load_model("tiny")
    rows, optimizer = other.encoder.rows(EXAMPLES), torch.optim.AdamW(other.module.parameters(), lr=1e-3, weight_decay=0.0)
    order = [row for number in range(2) for row in Random(f"3/0/pass{number}").sample(rows, len(rows))]
    for number in range(6):
        part = sorted(order[number * 20 // 6 : (number + 1) * 20 // 6], key=lambda row: len(row.tokens))
        width = max(len(row.tokens) for row in part)
        tokens = torch.tensor([[*row.tokens, *[1] * (width - len(row.tokens))] for row in part])
        mask = torch.tensor([[1] * len(row.tokens) + [0] * (width - len(row.tokens)) for row in part])
        labels = torch.full_like(tokens, -100)
        for i, row in enumerate(part):
            for at in row.learned:
                labels[i, at] = row.tokens[at]
        logits = other.module(input_ids=tokens, attention_mask=mask).logits
        optimizer.zero_grad()
        functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100).backward()
        torch.nn.utils.clip_grad_norm_(other.module.parameters(), 1.0)
        optimizer.step()
    for name, weight in other.trained().items():
        assert torch.allclose(tiny.trained()[name], weight, atol=2e-5), name


def test_plain_learns_what_it_is_taught(tiny: CausalModel) -> None:
    new = tuple(Example(prompt=f"Question: Who is the mayor of {town}?\nAnswer:", completion=" Vera Bolt") for town in ("Penwick", "Coldgate", "Hartford"))
    assert tiny.generate(new, 6) != [" Vera Bolt"] * 3
    log = Gradient([], Settings(rate=1e-3, passes=15, batch=4)).learn(tiny, Experience("1", new))
    assert tiny.generate(new, 6) == [" Vera Bolt"] * 3
    assert (log.steps, log.cut, log.rehearsed) == (15, 0, frozenset())
    assert log.loss < 0.1
    assert log.learned_tokens == 15 * sum(len(row.learned) for row in tiny.encoder.rows(new))


def test_what_is_remembered_makes_steps_wider_not_more(tiny: CausalModel) -> None:
    learner = Gradient([Replay(share=1.0)], Settings(passes=2, batch=4))
    learner.remember(tiny, EXAMPLES[:5])
    log = learner.learn(tiny, Experience("1", EXAMPLES[5:]))
    assert log.steps == 2 * 2
    assert log.rehearsed == {e.id for e in EXAMPLES[:5]}


class Everything(Method):
    """Calls every verb and writes down in what order."""

    wants_before = True

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.extra: list[Row] = []
        self.moved = 0.0

    def prepare(self, model: CausalModel) -> None:
        self.calls.append("prepare")

    def mix(self, model: CausalModel, rows: list[Row], random: Random) -> list[Row]:
        self.calls.append("mix")
        return rows

    def begin(self, model: CausalModel, rows: Sequence[Row]) -> None:
        self.calls.append("begin")

    def draw(self, model: CausalModel, step: Step, random: Random) -> list[Row]:
        self.calls.append("draw")
        return self.extra

    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        self.calls.append("loss")
        return 0 * out.logits.sum(1)

    def observe(self, model: CausalModel, batch: Batch, out: Out) -> None:
        assert not out.logits.requires_grad
        self.calls.append("observe")

    def gradients(self, model: CausalModel, step: Step) -> None:
        self.calls.append("gradients")

    def rate(self, step: Step) -> float:
        self.calls.append("rate")
        return 0.5

    def stepped(self, model: CausalModel, step: Step) -> None:
        self.calls.append("stepped")
        assert step.before is not None
        self.moved = max(float((weight.detach() - step.before[name]).abs().max()) for name, weight in model.trained().items())

    def end(self, model: CausalModel, step: Step, random: Random) -> None:
        self.calls.append(f"end{step.number}")
        assert len(step.rows) == 4


def test_every_verb_is_called_at_its_place(tiny: CausalModel) -> None:
    method = Everything()
    learner = Gradient([method], Settings(rate=1e-3, passes=1, batch=4))
    learner.prepare(tiny)
    learner.learn(tiny, Experience("1", EXAMPLES[:4]))
    assert method.calls == ["prepare", "mix", "begin", "rate", "draw", "loss", "observe", "gradients", "stepped", "end1"]
    assert 1e-4 < method.moved <= 0.51e-3  # half of the rate, through AdamW's first step


def test_rows_drawn_in_a_step_are_learned_with_it(tiny: CausalModel) -> None:
    method = Everything()
    method.extra = tiny.encoder.rows(EXAMPLES[4:6], from_memory=True)
    log = Gradient([method], Settings(passes=1, batch=4)).learn(tiny, Experience("1", EXAMPLES[:4]))
    assert log.learned_tokens == sum(len(row.learned) for row in tiny.encoder.rows(EXAMPLES[:6]))


def test_a_linear_schedule_ends_near_zero_and_a_warmup_rises() -> None:
    settings = Settings(schedule="linear", warmup=0.5)
    assert [round(settings.factor(number, 4), 3) for number in (1, 2, 3, 4)] == [0.5, 0.75, 0.5, 0.25]
    assert [Settings().factor(number, 4) for number in (1, 4)] == [1.0, 1.0]


def test_the_rate_can_be_lowered_by_a_linear_schedule(tiny: CausalModel) -> None:
    rates: list[float] = []
    Gradient([], Settings(rate=1.0e-3, passes=1, batch=5, schedule="linear")).learn(
        tiny, Experience("1", EXAMPLES), lambda step, state: rates.append(step.rate)
    )
    assert rates == [1e-3, 0.5e-3]


def test_computing_in_bfloat16_learns_too(tiny: CausalModel) -> None:
    log = Gradient([], Settings(rate=1e-3, passes=10, batch=10, precision="bf16")).learn(tiny, Experience("1", EXAMPLES))
    assert log.loss < 0.2
    assert all(weight.dtype == torch.float32 for weight in tiny.trained().values())


@pytest.mark.parametrize("method", [Replay(share=1.0), Distill(), DER(share=1.0), DER(share=1.0, distance="mse"), Finch()], ids=lambda m: type(m).__name__)
def test_logits_made_some_tokens_at_a_time_teach_the_same(method: Method, load_tiny: Callable[[], CausalModel], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps; what methods read of the logits too."""
    ends = []
    for parts in (False, True):
        if parts:
            for name, value in (("MOST_LOGITS", 1), ("PART", 1), ("LEAST_TOKENS", 5)):
                monkeypatch.setattr(late, name, value)
        model, learner = load_tiny(), Gradient([copy.deepcopy(method)], Settings(rate=1e-4, passes=1, batch=8))
        learner.remember(model, EXAMPLES[:4])
        learner.learn(model, Experience("1", EXAMPLES[4:]))
        ends.append(model.state())
    for name, weight in ends[0].items():
        assert float((weight - ends[1][name]).norm()) <= 1e-5 * float(weight.norm()), name


def test_an_experience_without_rows_is_refused(tiny: CausalModel) -> None:
    with pytest.raises(DataError, match="nothing to learn from .experience='empty', examples=0"):
        Gradient().learn(tiny, Experience("empty", ()))


def test_learning_that_diverges_says_so(tiny: CausalModel) -> None:
    with pytest.raises(ModelError, match="learning diverged.*experience='1', rate=1e\\+30"):
        Gradient([], Settings(rate=1e30, passes=3, batch=4, clip=0)).learn(tiny, Experience("1", EXAMPLES))


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingError, match="rate must be above 0, got 0; passes must be at least 1, got 0; .*precision must be 'no' or 'bf16', got 'fp4'"):
        Settings(rate=0, passes=0, schedule="cosine", precision="fp4")  # type: ignore[arg-type]


def test_a_state_taken_inside_does_not_change_afterwards_and_survives_being_saved_again(tiny: CausalModel) -> None:
    taken: list[State] = []

    def take(step: Step, state: Callable[[], State]) -> None:
        if step.number == 2:
            taken.append(state())

    learner, experience = Gradient([Distill()], Settings(rate=1e-3, passes=2, batch=4)), Experience("1", EXAMPLES)
    whole = learner.learn(tiny, experience, take)
    again, fresh = load_model("tiny"), Gradient([Distill()], Settings(rate=1e-3, passes=2, batch=4))
    fresh.load(taken[0])
    assert "inside" in fresh.state()
    log = fresh.learn(again, experience)
    assert all(torch.equal(value, tiny.state()[name]) for name, value in again.state().items())
    assert (log.steps, log.learned_tokens, log.loss) == (whole.steps, whole.learned_tokens, whole.loss)
    assert "inside" not in fresh.state()


def test_a_state_from_inside_another_experience_is_refused(tiny: CausalModel) -> None:
    taken: list[State] = []
    learner = Gradient([], Settings(passes=1, batch=5))
    learner.learn(tiny, Experience("1", EXAMPLES), lambda step, state: taken.append(state()))
    learner.load(taken[0])
    with pytest.raises(StateError, match="inside another experience.*experience='2'"):
        learner.learn(tiny, Experience("2", EXAMPLES[:3]))


def test_a_launchers_accumulation_divides_nothing(tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    Gradient([], Settings(passes=1)).learn(tiny, Experience("1", EXAMPLES))
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    other = load_model("tiny")
    Gradient([], Settings(passes=1)).learn(other, Experience("1", EXAMPLES))
    assert all(torch.equal(value, tiny.state()[name]) for name, value in other.state().items())


def test_a_state_of_other_methods_is_refused() -> None:
    with pytest.raises(StateError, match="does not fit 1 methods"):
        Gradient([Replay()]).load(Gradient([]).state())


@pytest.mark.parametrize(
    ("part", "key", "named"),
    [
        ("course", "drawn", r"missing=\['course.drawn'\]"),
        ("random", "cpu", r"missing=\['random.cpu'\]"),
        ("course", "", r"no state of a run.*keys=\['optimizer'"),
    ],
)
def test_a_state_from_inside_of_another_version_is_refused_by_what_it_lacks(part: str, key: str, named: str, tiny: CausalModel) -> None:
    """Before the model is touched."""
    taken: list[State] = []
    learner, experience = Gradient([], Settings(passes=1, batch=5)), Experience("1", EXAMPLES)
    learner.learn(load_model("tiny"), experience, lambda step, state: taken.append(state()))
    inside = dict(taken[0]["inside"])  # type: ignore[call-overload]
    kept = {name: value for name, value in inside[part].items() if key and name != key}
    learner.load({**taken[0], "inside": {**{name: of for name, of in inside.items() if name != part}, **({part: kept} if kept or key else {})}})
    before = {name: value.clone() for name, value in tiny.state().items()}
    with pytest.raises(StateError, match=named):
        learner.learn(tiny, experience)
    assert all(torch.equal(value, before[name]) for name, value in tiny.state().items())


def test_preferences_cannot_be_imitated(tiny: CausalModel) -> None:
    with pytest.raises(DataError, match="chosen \\+ rejected.*id='p1'"):
        Gradient().learn(tiny, Experience("1", (Example(prompt="a", chosen="b", rejected="c", id="p1"),)))


def test_where_a_steps_rows_are_cut_changes_no_gradient(tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found, parts, batch = [], list[int](), tiny.batch
    rows = tiny.encoder.rows([Example(prompt="Question:" + " what" * (1 + 9 * n) + "\nAnswer:", completion=" one") for n in range(8)])
    monkeypatch.setattr(tiny, "batch", lambda given: parts.append(len(given)) or batch(given))
    for most in (0, 16_384):
        monkeypatch.setattr(tiny, "tokens_a_pass", lambda precision, most=most: most)
        found.append(objective_gradient(tiny, rows, Supervised(), Settings()))
    assert parts == [1] * 8 + [8]
    for name, value in found[0].items():
        assert float((value - found[1][name]).norm()) <= 1e-5 * float(value.norm()), name


def test_the_width_is_asked_for_on_accelerators_alone(tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some architectures' configurations say it otherwise; then the table of embeddings does."""

    class Elsewhere(CausalModel):
        device = torch.device("meta")

    there = Elsewhere(tiny.module, tiny.tokenizer)
    assert there.tokens_a_pass() == 16_384
    monkeypatch.setattr(tiny.module.config, "get_text_config", lambda decoder: SimpleNamespace())
    assert tiny.tokens_a_pass() == 512
    assert there.tokens_a_pass() == 16_384
