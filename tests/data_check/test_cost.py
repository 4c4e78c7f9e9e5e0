"""The cost of learning: steps by the loop's own count, memory by its terms, time from real steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from everlearn import CausalModel, Example, Experience, SettingError, Settings, Stream, load_model
from everlearn.config import parse_methods
from everlearn.data_check.check import ForModel, check_data
from everlearn.data_check.cost import _kept_bytes, estimate, step_memory
from everlearn.data_check.gather import gather
from everlearn.models import late

TRAIN = tuple(Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}", task="sums") for n in range(24))
TESTS = tuple(Example(prompt=f"Question: What is 3 plus {n}?\nAnswer:", completion=f" {n + 3}") for n in range(10))
SUMS = Stream("sums", (Experience("first", TRAIN[:14], {"sums": TESTS}, {"sums": "exact"}), Experience("second", TRAIN[14:])), base=TRAIN[:3])


@pytest.fixture(scope="module")
def report():  # type: ignore[no-untyped-def]
    return check_data(SUMS, ForModel("tiny", "plain,replay(share=1)+ewc(strength=1),joint,frozen", Settings(passes=2, batch=4), steps=1))


def test_steps_are_those_the_loop_would_take(report) -> None:  # type: ignore[no-untyped-def]
    steps = {method.method: method.steps for method in report.cost.methods}
    assert steps == {"plain": 2 * (4 + 3), "replay(share=1)+ewc(strength=1)": 2 * (4 + 3), "joint": 2 * 6, "frozen": 0}


def test_time_is_measured_and_the_frozen_model_only_tested(report) -> None:  # type: ignore[no-untyped-def]
    plain, _, joint, frozen = report.cost.methods
    assert plain.learn_seconds > 100 * frozen.learn_seconds
    assert plain.test_seconds == pytest.approx(1.5 * joint.test_seconds)  # before and after each of two; before and after one
    assert plain.test_seconds == frozen.test_seconds > 0


def test_tokens_of_a_pass_are_those_of_the_rows(report, shared_tiny: CausalModel) -> None:  # type: ignore[no-untyped-def]
    rows = shared_tiny.encoder.rows(TRAIN)
    assert (report.cost.learned, report.cost.read) == (sum(len(row.learned) for row in rows), sum(len(row.tokens) for row in rows))


def test_memory_is_the_sum_of_its_terms(report, shared_tiny: CausalModel) -> None:  # type: ignore[no-untyped-def]
    terms = {name: size for name, (size, _) in report.cost.memory.terms.items()}
    weights = sum(p.numel() for p in shared_tiny.module.parameters()) * 4
    assert (terms["weights"], terms["gradients"], terms["AdamW"]) == (weights, weights, 2 * weights)
    assert report.cost.memory.total == sum(terms.values())
    assert terms["activations"] > 0


def test_what_is_kept_for_the_backward_pass_grows_with_rows_and_leaves_the_model_as_it_was(tiny: CausalModel) -> None:
    before, state = tiny.state(), torch.get_rng_state()
    rows = tiny.encoder.rows(TRAIN[:1] * 8)
    (one, _), (eight, of_logits) = _kept_bytes(tiny, rows[:1]), _kept_bytes(tiny, rows)
    assert of_logits >= 4 * sum(len(row.learned) for row in rows) * len(tiny.tokenizer)
    assert 7 * one < eight < 9 * one
    assert all(torch.equal(before[name], value) for name, value in tiny.state().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in tiny.module.parameters())


def test_logits_made_some_tokens_at_a_time_count_once(shared_tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = step_memory(shared_tiny, TRAIN, Settings(batch=24))
    for name, value in (("MOST_LOGITS", 1), ("PART", 1), ("LEAST_TOKENS", 5)):
        monkeypatch.setattr(late, name, value)
    parts = step_memory(shared_tiny, TRAIN, Settings(batch=24))
    size = len(shared_tiny.tokenizer)
    assert parts.terms["logits' gradient"] == (16 * 5 * size, f"4 x 4 bytes x 5 learned tokens at a time x {size:,} words")
    assert parts.terms["activations"][0] < whole.terms["activations"][0]


def test_settings_joined_to_a_run_change_its_steps() -> None:
    report = check_data(SUMS, ForModel("tiny", "plain+settings(passes=1,batch=7)", Settings(passes=2, batch=4), steps=1))
    assert report.cost is not None
    assert report.cost.methods[0].steps == 2 + 2


def test_an_estimate_rests_on_at_least_one_step() -> None:
    with pytest.raises(SettingError, match=r"steps must be at least 1 \(steps=0\)"):
        estimate(gather(SUMS), [], load_model, parse_methods("plain"), Settings(), 0)


def test_a_benchmarks_tests_are_asked_too(tmp_path: Path) -> None:
    (tmp_path / "FOMC").mkdir()
    for split in ("train", "test"):
        (tmp_path / "FOMC" / f"{split}.json").write_text(json.dumps([{"prompt": f"{split}?", "answer": "A"}]))
    report = check_data(tmp_path, ForModel("tiny", "plain", steps=1))
    assert report.cost is not None
    assert report.cost.methods[0].test_seconds > 0


def test_a_single_file_costs_learning_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "What is 7 plus 5?", "completion": " 12"}\n')
    report = check_data(file, ForModel("tiny", "plain", steps=1))
    assert report.cost is not None
    assert report.cost.methods[0].test_seconds == 0
