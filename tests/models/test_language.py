"""The LanguageModel interface: the same numbers whatever the batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from everlearn import CausalModel, DataError, Example, Lora, load_model
from everlearn.models import language
from everlearn.types import Row

QUESTIONS = [
    Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=" 12"),
    Example(prompt="Question: Repeat: violet jade honey flute.\nAnswer:", completion=" violet jade honey flute"),
    Example(prompt="Question: What is 19 minus 2?\nAnswer:", completion=" 17"),
]


def test_logits_are_those_of_the_learned_tokens(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows(QUESTIONS)
    batch = shared_tiny.batch(rows)
    found = shared_tiny.logits(batch).logits
    whole = shared_tiny.module(input_ids=batch.tokens, attention_mask=batch.mask).logits
    wanted = torch.cat([whole[i, torch.tensor(row.learned) - 1] for i, row in enumerate(rows)])
    assert torch.allclose(found, wanted, atol=1e-5)
    assert batch.targets.tolist() == [row.tokens[at] for row in rows for at in row.learned]


def test_a_row_has_the_same_logits_alone_and_in_a_batch(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows(QUESTIONS)
    together = shared_tiny.logits(shared_tiny.batch(rows)).logits.split([len(row.learned) for row in rows])
    for row, found in zip(rows, together, strict=True):
        assert torch.allclose(shared_tiny.logits(shared_tiny.batch([row])).logits, found, atol=1e-4)


def test_of_a_row_nothing_is_read_that_predicts_nothing(shared_tiny: CausalModel) -> None:
    """Also where less than its end is learned, or nothing; what is said of the others is what the whole rows give."""
    rows = [replace(row, learned=row.learned[:-count] if count else row.learned) for count, row in enumerate(shared_tiny.encoder.rows(QUESTIONS))]
    rows += [Row(QUESTIONS[0], rows[0].tokens, ()), Row(QUESTIONS[0], rows[0].tokens[:1], ())]
    batch = shared_tiny.batch(rows)
    read = [row.learned[-1] if row.learned else len(row.tokens) for row in rows]
    assert batch.mask.sum(1).tolist() == read
    assert batch.tokens.shape == (5, max(read))
    found = shared_tiny.logits(batch).logits
    wanted = [shared_tiny.module(input_ids=torch.tensor([row.tokens])).logits[0, torch.tensor(row.learned) - 1] for row in rows if row.learned]
    assert torch.allclose(found, torch.cat(wanted), atol=1e-4)


def test_generation_is_greedy_and_equal_to_transformers_own(shared_tiny: CausalModel) -> None:
    found = shared_tiny.generate(QUESTIONS, 12)
    for question, said in zip(QUESTIONS, found, strict=True):
        tokens = torch.tensor([shared_tiny.encoder.prompts([question])[0]])
        whole = shared_tiny.module.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=12, pad_token_id=1)
        wanted = shared_tiny.tokenizer.decode(whole[0, tokens.shape[1] :], skip_special_tokens=True).split("\n")[0]
        assert said == wanted


def test_generation_ends_at_the_limit(shared_tiny: CausalModel) -> None:
    said = shared_tiny.generate([QUESTIONS[1]], 2)[0]
    assert len(shared_tiny.encoder.tokens([said])[0]) == 2


def test_generation_stops_at_a_line_break(shared_tiny: CausalModel) -> None:
    stops = shared_tiny._stop_tokens()
    newline = shared_tiny.encoder.tokens(["\n"])[0][0]
    assert stops[newline]
    assert stops[shared_tiny.encoder.end]
    assert not stops[shared_tiny.encoder.tokens([" 12"])[0][-1]]


def test_shared_prompts_give_the_likelihoods_of_whole_sequences(shared_tiny: CausalModel) -> None:
    options = [[" 12", " 13", " violet jade"], [" violet jade honey flute", " x"], [" 17", " 1", " seventeen"]]
    shared = shared_tiny.score(QUESTIONS, options)
    for question, given, found in zip(QUESTIONS, options, shared, strict=True):
        for option, nats in zip(given, found, strict=True):
            assert nats == pytest.approx(shared_tiny.score([question], [[option]])[0][0], abs=1e-3)


def test_a_text_longer_than_the_model_is_scored_in_windows(tiny: CausalModel) -> None:
    text = "Name the river. " * 40
    whole = tiny.score([Example(text=text)], [[text]])[0][0]
    tiny.encoder.longest = 60
    parts = tiny.score([Example(text=text)], [[text]])[0][0]
    assert whole < 0
    assert parts != whole
    tokens = tiny.encoder.tokens([text])[0]
    by_hand = sum(tiny.score([Example(text="x")], [[tiny.tokenizer.decode(tokens[at : at + 59])]])[0][0] for at in range(0, len(tokens), 59))
    assert parts == pytest.approx(by_hand, rel=1e-3)


def test_an_answer_longer_than_the_model_is_refused(tiny: CausalModel) -> None:
    tiny.encoder.longest = 10
    with pytest.raises(DataError, match="does not fit the model.*id='long'"):
        tiny.score([Example(prompt="Name it.", completion="x", id="long")], [[" river" * 20]])


def test_long_prompts_are_read_from_their_end(tiny: CausalModel) -> None:
    tiny.encoder.longest = 30
    question = Example(prompt="word " * 60 + QUESTIONS[0].prompt, completion=" 12")  # type: ignore[operator]
    assert len(tiny.generate([question], 5)) == 1
    assert tiny.score([question], [[" 12", " 13"]])[0][0] < 0


def test_small_evaluation_batches_give_the_same_answers(tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tiny.generate(QUESTIONS, 10)
    monkeypatch.setattr(language, "MOST_TOKENS", 20)
    assert tiny.generate(QUESTIONS, 10) == wanted


def test_with_adapters_only_they_are_trained_and_at_first_nothing_changes(shared_tiny: CausalModel) -> None:
    model = load_model("tiny", Lora(rank=4))
    assert all("lora_" in name for name in model.trained())
    batch = model.batch(model.encoder.rows(QUESTIONS))
    assert torch.allclose(model.logits(batch).logits, shared_tiny.logits(batch).logits, atol=1e-5)
    assert sum(w.numel() for w in model.trained().values()) < 0.1 * sum(w.numel() for w in shared_tiny.trained().values())


def test_answers_that_leave_no_room_are_refused(tiny: CausalModel) -> None:
    tiny.encoder.longest = 10
    with pytest.raises(DataError, match="answers of up to 12 tokens leave no room.*reads 10 tokens"):
        tiny.generate(QUESTIONS, 12)


def test_without_a_start_token_every_token_of_a_text_is_scored() -> None:
    model = load_model("tiny")
    text = "Name the river. " * 5
    whole = model.score([Example(text="")], [[text]])[0][0]
    model.encoder.start = []
    assert model.score([Example(text="")], [[text]])[0][0] == pytest.approx(whole, rel=1e-5)  # here the end of text is the start token
