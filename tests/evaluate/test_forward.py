"""Rows read in pieces are the same as rows read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from everlearn import Batch, CausalModel, Example, Row
from everlearn.evaluate import forward
from everlearn.evaluate.forward import likelihoods, read
from everlearn.models.seq2seq import Seq2SeqModel

PROMPT = "Question: What is 7 plus 5?\nAnswer:"
ASKED = [Example(prompt=PROMPT, completion=text) for text in (" 12", " 13", " 12 and 12", " twelve")]


def without_end(rows: Sequence[Row]) -> list[Row]:
    return [replace(row, tokens=row.tokens[:-1], learned=row.learned[:-1]) for row in rows]


def test_likelihoods_are_those_of_score(shared_tiny: CausalModel) -> None:
    found = likelihoods(shared_tiny, without_end(shared_tiny.encoder.rows(ASKED)))
    wanted = shared_tiny.score(ASKED[:1], [[e.completion or "" for e in ASKED]])[0]
    assert [nats for nats, _ in found] == pytest.approx(wanted, abs=1e-4)


def test_likelihoods_of_an_encoder_decoder_model_are_those_of_score(small_t5: Seq2SeqModel) -> None:
    found = likelihoods(small_t5, without_end(small_t5.encoder.rows(ASKED)))
    wanted = small_t5.score(ASKED[:1], [[e.completion or "" for e in ASKED]])[0]
    assert [nats for nats, _ in found] == pytest.approx(wanted, abs=1e-4)


def test_greedy_is_what_generate_says(shared_tiny: CausalModel) -> None:
    assert shared_tiny.generate(ASKED[:1], 4) == [" 12"]
    greedy = [greedy for _, greedy in likelihoods(shared_tiny, without_end(shared_tiny.encoder.rows(ASKED)))]
    assert greedy == [True, False, False, False]


def test_rows_that_differ_in_their_last_token_are_read_once(shared_tiny: CausalModel) -> None:
    class Counting(CausalModel):
        read = 0

        def batch(self, rows: Sequence[Row]) -> Batch:
            self.read += len(rows)
            return super().batch(rows)

    model = Counting(shared_tiny.module, shared_tiny.tokenizer)
    same = [Example(prompt=PROMPT, completion=f" {n}") for n in (1, 2, 3)]
    rows = without_end(shared_tiny.encoder.rows(same))
    assert len({row.tokens[:-1] for row in rows}) == 1
    found = likelihoods(model, rows)
    assert model.read == 1
    assert found == [likelihoods(shared_tiny, [row])[0] for row in rows]


def test_a_row_without_learned_tokens_says_nothing(shared_tiny: CausalModel) -> None:
    assert likelihoods(shared_tiny, [Row(ASKED[0], (1, 2, 3), ())]) == [(0.0, True)]


def test_pieces_bound_the_logits_and_change_nothing(shared_tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Example(text=f"Penwick has {n} bridges and a mayor who counts them.") for n in range(12)]
    rows = shared_tiny.encoder.rows(texts)
    whole = likelihoods(shared_tiny, rows)
    size = len(shared_tiny.tokenizer)
    monkeypatch.setattr(forward, "MOST_LOGITS", 60 * size)
    monkeypatch.setattr(forward, "MOST_PROBABILITIES", 7 * size)
    seen: list[int] = []
    read(shared_tiny, rows, lambda part, batch, logits: seen.append(len(logits)))
    assert max(seen) <= 60 < sum(seen)
    pieces = likelihoods(shared_tiny, rows)
    assert [nats for nats, _ in pieces] == pytest.approx([nats for nats, _ in whole], abs=1e-4)


def test_reading_leaves_the_model_as_found(tiny: CausalModel) -> None:
    tiny.module.train()
    next(iter(tiny.module.children())).eval()
    modes, weights, state = [part.training for part in tiny.module.modules()], tiny.state(), torch.get_rng_state()

    def use(part: Sequence[Row], batch: Batch, logits: Tensor) -> None:
        assert not tiny.module.training
        assert not logits.requires_grad

    read(tiny, tiny.encoder.rows(ASKED), use)
    assert [part.training for part in tiny.module.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in tiny.state().items())
    assert torch.equal(torch.get_rng_state(), state)
