"""evaluate_model: one model, or two side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from everlearn import CausalModel, DataError, Example, Experience, ModelError, SettingError, Stream
from everlearn.evaluate.tasks import answers, tasks_of
from everlearn.evaluation import evaluate_model

TEXT = [Example(text="The mayor of Penwick opened the bridge.")]


def question(a: int, b: int, **more: object) -> Example:
    return Example(prompt=f"Question: What is {a} plus {b}?\nAnswer:", completion=f" {a + b}", **more)  # type: ignore[arg-type]


SUMS = tuple(question(a, b) for a in range(2, 8) for b in (1, 3))
WRONG = tuple(Example(prompt=e.prompt, completion=" nothing", id=f"wrong{n}") for n, e in enumerate(SUMS[:3]))
CHANGED = (question(5, 5, until=2), question(6, 6), question(3, 8, old_completion=" 12"))
STREAM = Stream(
    "sums",
    (
        Experience("1", SUMS[:1], {"sums": SUMS, "wrong": WRONG}, {"sums": "exact", "wrong": "exact"}, valid={"sums": SUMS[:2]}),
        Experience("2", SUMS[:1], {"changed": CHANGED}, {"changed": "exact"}),
    ),
)


def test_scores_are_those_of_the_tasks(shared_tiny: CausalModel) -> None:
    card = evaluate_model(shared_tiny, STREAM, probes=False, anchor=TEXT)
    for task, found in zip(tasks_of(STREAM.experiences), card.scored[:2], strict=False):
        assert list(found.values.values()) == [a.value for a in answers(shared_tiny, task)]
        assert list(found.values) == [e.id for e in task.examples]
    assert [found.name for found in card.scored] == ["sums", "wrong", "changed"]
    assert (card.stream, card.after, card.against, card.harness) == ("sums", 2, None, {})


def test_what_had_changed_by_then_counts_for_staleness_alone(shared_tiny: CausalModel) -> None:
    late, early = (evaluate_model(shared_tiny, STREAM, ["changed"], False, anchor=TEXT, after=after).scored[0] for after in (None, 0))
    assert (len(late.values), len(early.values)) == (2, 3)
    assert late.stale is not None
    assert early.stale is None


def test_validation_rows_and_single_tasks_can_be_asked(shared_tiny: CausalModel) -> None:
    assert [len(found.values) for found in evaluate_model(shared_tiny, STREAM, probes=False, anchor=TEXT, valid=True).scored] == [2]
    assert [found.name for found in evaluate_model(shared_tiny, STREAM, ["wrong", "sums", "wrong"], False, anchor=TEXT).scored] == ["wrong", "sums"]


def test_probes_stand_below_the_tasks(shared_tiny: CausalModel) -> None:
    card = evaluate_model(shared_tiny, STREAM, ["wrong"], anchor=TEXT)
    assert [(found.name, found.kind, found.chance) for found in card.scored[1:]] == [
        ("probe: arithmetic", "checked", 0.0),
        ("probe: instructions", "checked", 0.0),
        ("probe: refusals", "choice", 0.5),
    ]


def test_against_itself_nothing_differs(shared_tiny: CausalModel) -> None:
    card = evaluate_model(shared_tiny, STREAM, ["sums"], False, against=shared_tiny, anchor=TEXT)
    assert card.against is not None
    less = card.against.differences[0]
    assert (less.value, less.gained, less.lost, less.p) == (0.0, 0, 0, 1.0)
    assert card.against.kl == pytest.approx(0, abs=1e-6)
    assert card.against.text.perplexity == pytest.approx(card.text.perplexity)


def test_against_a_second_model_the_direction_is_kept(shared_tiny: CausalModel, tiny: CausalModel) -> None:
    with torch.no_grad():
        for weight in tiny.trained().values():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    card, other = (evaluate_model(a, STREAM, ["sums"], False, against=b, anchor=TEXT) for a, b in ((tiny, shared_tiny), (shared_tiny, tiny)))
    assert card.against is not None
    assert other.against is not None
    assert card.against.differences[0].value == -other.against.differences[0].value < 0
    assert (card.against.differences[0].lost, card.against.differences[0].gained) == (other.against.differences[0].gained, 0)
    assert card.against.kl is not None
    assert card.against.kl > 0.1
    assert card.against.kl != other.against.kl
    assert card.text == other.against.text


def test_models_of_other_tokens_compare_without_kl(shared_tiny: CausalModel, tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tiny.encoder.tokens
    monkeypatch.setattr(tiny.encoder, "tokens", lambda texts: [ids[::-1] for ids in tokens(texts)])
    card = evaluate_model(tiny, STREAM, ["sums"], False, against=shared_tiny, anchor=TEXT)
    assert card.against is not None
    assert card.against.kl is None
    assert math.isfinite(card.text.nats_per_byte)


def test_the_model_stays_as_it_was(tiny: CausalModel) -> None:
    weights, state, mode = tiny.state(), torch.get_rng_state(), tiny.module.training
    evaluate_model(tiny, STREAM, anchor=TEXT)
    evaluate_model(tiny, STREAM, probes=False, against=tiny, anchor=TEXT)
    assert all(torch.equal(value, weights[name]) for name, value in tiny.state().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert tiny.module.training is mode


def test_anchor_text_of_ones_own_comes_from_a_file(shared_tiny: CausalModel, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"text": TEXT[0].text}) + "\n")
    assert evaluate_model(shared_tiny, STREAM, ["wrong"], False, anchor=path).text == evaluate_model(shared_tiny, STREAM, ["wrong"], False, anchor=TEXT).text


def test_the_embedded_stream_and_model_go_by_name() -> None:
    told: list[tuple[str, float]] = []
    card = evaluate_model("tiny", "almanac", ["new6"], False, after=0, anchor=TEXT, progress=lambda text, share: told.append((text, share)))
    assert (card.model, card.stream, card.scored[0].name) == ("tiny", "almanac", "new6")
    assert [text for text, _ in told] == ["loading the model", "testing new6"]


def test_lm_evals_tasks_are_asked_of_the_model(shared_tiny: CausalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlearn.evaluate.harness.needs_lm_eval", lambda: None)
    monkeypatch.setattr("everlearn.evaluate.harness.harness", lambda model, tasks, folder: {name: {"acc": float(model is shared_tiny)} for name in tasks})
    card = evaluate_model(shared_tiny, STREAM, ["wrong"], False, lm_eval=["a", "b"], include_path=tmp_path, anchor=TEXT)
    assert card.harness == {"a": {"acc": 1.0}, "b": {"acc": 1.0}}


@pytest.mark.parametrize(
    ("error", "expected", "given"),
    [
        (SettingError, r"no such task \(task='sumz', stream='sums'\). Did you mean 'sums'\?", {"tasks": ["sumz"]}),
        (SettingError, "after must be between 0 .* and 2, its experiences, got 3", {"after": 3}),
        (SettingError, "got -1", {"after": -1}),
        (DataError, "nowhere.jsonl does not exist", {"anchor": "nowhere.jsonl"}),
        (DataError, r"no anchor text \(anchor=\[\]\)", {"anchor": []}),
        (ModelError, "no model folder here", {"against": "./nowhere"}),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(shared_tiny: CausalModel, error: type[Exception], expected: str, given: dict[str, object]) -> None:
    with pytest.raises(error, match=expected):
        evaluate_model(shared_tiny, STREAM, probes=False, **{"anchor": TEXT, **given})  # type: ignore[arg-type]


def test_a_stream_without_tests_is_refused(shared_tiny: CausalModel) -> None:
    empty = Stream("empty", (Experience("1", SUMS[:1]),))
    with pytest.raises(DataError, match="stream='empty', valid=False"):
        evaluate_model(shared_tiny, empty)
    with pytest.raises(DataError, match="valid=True.*valid.TASK.jsonl"):
        evaluate_model(shared_tiny, empty, valid=True)
