from __future__ import annotations

import numpy as np
import pytest
import torch

from everlearn import Example, load_model
from everlearn.errors import SettingError
from everlearn.models.signals import RowLosses, RowVectors, token_counter

ROWS = [Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=answer) for answer in (" 12", " 13")]


def test_a_rows_vector_is_the_mean_of_its_tokens_embeddings_at_length_one() -> None:
    model = load_model("tiny")
    table = model.module.get_input_embeddings().weight.detach()  # type: ignore[no-untyped-call]
    tokens = model.encoder.rows(ROWS[:1])[0].tokens
    wanted = torch.nn.functional.normalize(table[list(tokens)], dim=1).mean(0)
    assert np.allclose(RowVectors(model)(ROWS)[0], wanted.numpy(), atol=1e-6)


def test_the_loss_is_taken_of_one_row_in_so_many_across_calls() -> None:
    model = load_model("tiny")
    signal = RowLosses(model, one_in=3)
    found = [*signal(ROWS), *signal(ROWS), *signal(ROWS)]
    assert [value is None for value in found] == [False, True, True, False, True, True]
    right, wrong = RowLosses(model, one_in=1)(ROWS)
    assert right is not None
    assert wrong is not None
    assert found[0] == pytest.approx(right)
    assert right < wrong


def test_signals_change_nothing_and_count_no_cut_row() -> None:
    model = load_model("tiny")
    before = {name: value.clone() for name, value in model.state().items()}
    long = [Example(text="word " * 2000)]
    RowLosses(model, 1)(long)
    RowVectors(model)(long)
    assert token_counter(model)(long[0]) == model.encoder.longest
    assert model.encoder.cut == 0
    assert all(torch.equal(before[name], value) for name, value in model.state().items())
    with pytest.raises(SettingError, match="one_in must be at least 1, got 0"):
        RowLosses(model, 0)
