"""Sampling: the model's own distribution, cut where it was asked to be, the same again from the same seed."""

from __future__ import annotations

from random import Random

import pytest
import torch

from everlearn import CausalModel, Example, SettingError
from everlearn.models.sampling import Sampling

LOGS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(20_000, 4)


def shares(sampling: Sampling) -> list[float]:
    drawn = sampling.chooser(Random(0))(LOGS)
    return [float((drawn == token).double().mean()) for token in range(4)]


@pytest.mark.parametrize(
    ("sampling", "wanted"),
    [
        (Sampling(), (0.5, 0.3, 0.15, 0.05)),
        (Sampling(top_k=2), (0.625, 0.375, 0.0, 0.0)),
        (Sampling(top_p=0.8), (0.625, 0.375, 0.0, 0.0)),
        (Sampling(top_p=0.81), (0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0)),
        (Sampling(temperature=0.5), (0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365)),
    ],
)
def test_tokens_are_drawn_with_the_probabilities_worked_by_hand(sampling: Sampling, wanted: tuple[float, ...]) -> None:
    assert shares(sampling) == pytest.approx(wanted, abs=0.01)


PROMPTS = [Example(prompt=f"Question: What is the employer of {name}?\nAnswer:", completion="") for name in ("Dates", "Lines", "Nora", "9")]


def test_the_same_seed_says_the_same_and_no_other_random_state_moves(shared_tiny: CausalModel) -> None:
    before, modes = torch.get_rng_state(), [part.training for part in shared_tiny.module.modules()]
    first = shared_tiny.sample(PROMPTS, 8, Sampling(1.5), Random(3))
    torch.rand(5)
    torch.set_rng_state(before)
    assert shared_tiny.sample(PROMPTS, 8, Sampling(1.5), Random(3)) == first
    assert shared_tiny.sample(PROMPTS, 8, Sampling(1.5), Random(4)) != first
    assert torch.equal(torch.get_rng_state(), before)
    assert [part.training for part in shared_tiny.module.modules()] == modes


def test_with_one_token_to_choose_from_it_is_the_greedy_answer(shared_tiny: CausalModel) -> None:
    assert shared_tiny.sample(PROMPTS, 8, Sampling(top_k=1), Random(0)) == shared_tiny.generate(PROMPTS, 8)


def test_a_text_is_begun_from_nothing(shared_tiny: CausalModel) -> None:
    start = shared_tiny.encoder.start
    texts = shared_tiny.sample([Example(prompt="")] * 4, 6, Sampling(), Random(0), lines=True)
    shared_tiny.encoder.start = []  # as of a tokenizer without a start token
    try:
        assert shared_tiny.sample([Example(prompt="")] * 4, 6, Sampling(), Random(0), lines=True) == texts  # the tiny model's start is its end of text
    finally:
        shared_tiny.encoder.start = start
    assert len(set(texts)) > 1


def test_settings_outside_their_range_are_refused_all_at_once() -> None:
    with pytest.raises(SettingError, match=r"temperature must be between 0.01 and 100, got 0; sampling top_k must be at least 0, got -1; .* got 0"):
        Sampling(0, -1, 0)


def test_rollouts_are_rows_of_the_very_tokens_drawn(shared_tiny: CausalModel) -> None:
    asked = [Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=""), Example(prompt="Question: What is", completion="")]
    rows = shared_tiny.rollouts(asked, 6, Sampling(temperature=2.0), Random(1))
    for row, prompt, tokens in zip(rows, asked, shared_tiny.encoder.prompts(asked), strict=True):
        assert row.tokens[: len(tokens)] == tuple(tokens)
        assert row.learned == tuple(range(len(tokens), len(row.tokens)))
        said = row.tokens[len(tokens) :]
        assert (len(said) == 6 and said[-1] != shared_tiny.encoder.end) or said[-1] == shared_tiny.encoder.end
        assert row.example.prompt == prompt.prompt
        assert row.example.completion == shared_tiny.tokenizer.decode([t for t in said if t != shared_tiny.encoder.end])
    greedy = shared_tiny.rollouts(asked[:1], 6, Sampling(top_k=1), Random(1))[0]
    assert greedy.example.completion == " 12"
    assert greedy.tokens[-1] == shared_tiny.encoder.end
