"""Encoder-decoder models: the numbers are those of the module itself and of transformers' own generation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import ProphetNetConfig, ProphetNetForConditionalGeneration

from everlearn import CausalModel, DataError, Example, Lora, ModelError, Row, Seq2SeqModel, load_model
from everlearn.models import seq2seq
from everlearn.models.sampling import likeliest
from everlearn.models.state import load_state, save_state

QUESTIONS = [
    Example(prompt="one cat", completion="eine Katze"),
    Example(prompt="the old house by the river", completion="das alte Haus"),
    Example(prompt="two", completion="zwei"),
    Example(prompt="a dog and two houses", completion="ein Hund und zwei Häuser"),
]
LIMIT = 14


def exact_model(folder: Path, lora: Lora | None = None) -> Seq2SeqModel:
    """In float64, where equal numbers are equal to many places."""
    model = load_model(folder, lora)
    assert isinstance(model, Seq2SeqModel)
    model.module.double()
    return model


def by_itself(model: Seq2SeqModel, row: Row) -> torch.Tensor:
    """The logits (n, V) of one row's targets from the module's own whole forward pass."""
    source, target = row.tokens[: row.learned[0]], row.tokens[row.learned[0] :]
    said = [*model.encoder.prefix, *target[:-1]]
    logits = model.module(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([said]), use_cache=False).logits[0]
    return logits[len(model.encoder.prefix) - 1 :].detach()


def test_logits_are_the_modules_own_at_every_target(folder: Path) -> None:
    model = exact_model(folder)
    rows = model.encoder.rows(QUESTIONS)
    batch = model.batch(rows)
    found = model.logits(batch).logits
    assert torch.allclose(found, torch.cat([by_itself(model, row) for row in rows]), atol=1e-9)
    assert batch.targets.tolist() == [row.tokens[at] for row in rows for at in row.learned]


def test_the_loss_is_transformers_own(t5_folder: Path, marian_folder: Path) -> None:
    for place in (t5_folder, marian_folder):
        model = exact_model(place)
        given = model.tokenizer(QUESTIONS[1].prompt, text_target=QUESTIONS[1].completion, return_tensors="pt")
        wanted = model.module(input_ids=given["input_ids"], labels=given["labels"]).loss
        batch = model.batch(model.encoder.rows(QUESTIONS[1:2]))
        found = torch.nn.functional.cross_entropy(model.logits(batch).logits, batch.targets)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_position_left_out_leaves_the_others_as_they_are(t5_folder: Path) -> None:
    model = exact_model(t5_folder)
    row = model.encoder.rows(QUESTIONS[3:])[0]
    some = Row(row.example, row.tokens, (row.learned[0], *row.learned[3:]))
    nothing = Row(row.example, row.tokens[: row.learned[0]], ())
    whole = model.logits(model.batch([row])).logits
    found = model.logits(model.batch([nothing, some])).logits
    assert torch.allclose(found, torch.cat([whole[:1], whole[3:]]), atol=1e-9)


def said_in_tokens(model: Seq2SeqModel, questions: list[Example]) -> list[list[int]]:
    with torch.inference_mode():
        return model._said([tuple(tokens) for tokens in model.encoder.prompts(questions)], LIMIT, True, likeliest)


def test_generation_is_greedy_and_equal_to_transformers_own(folder: Path) -> None:
    model = load_model(folder)
    model.module.eval()
    tokens, texts = said_in_tokens(model, QUESTIONS), model.generate(QUESTIONS, LIMIT, lines=True)
    prefix = model.encoder.prefix
    for question, found, text in zip(QUESTIONS, tokens, texts, strict=True):
        given = model.tokenizer(question.prompt, return_tensors="pt")["input_ids"]
        whole = model.module.generate(given, do_sample=False, num_beams=1, max_new_tokens=LIMIT + len(prefix) - 1, max_length=None)[0]
        assert [*prefix, *found] == whole.tolist()
        assert text == model.tokenizer.decode(whole, skip_special_tokens=True)
    assert len(set(map(tuple, tokens))) > 1


def test_generation_stops_at_a_line_break_and_at_the_end(t5_folder: Path) -> None:
    model = load_model(t5_folder)
    tokens = said_in_tokens(model, QUESTIONS[:1])[0]
    model._breaks = {tokens[2]: True}
    assert model.generate(QUESTIONS[:1], LIMIT, lines=True)[0] == model.tokenizer.decode(tokens)
    assert model.generate(QUESTIONS[:1], LIMIT)[0] == model.tokenizer.decode(tokens[:3])
    model._breaks = {}
    assert [model._breaks_line(model.encoder.tokens([text])[0][0]) for text in ("\n", "a")] == [True, False]
    model.module.generation_config.eos_token_id = [model.encoder.end, tokens[2]]
    assert model.generate(QUESTIONS[:1], LIMIT, lines=True)[0] == model.tokenizer.decode(tokens[:2])


def test_rows_that_have_ended_leave_and_the_others_stay_as_they_are(t5_folder: Path) -> None:
    model = load_model(t5_folder)
    model.module.eval()
    whole = said_in_tokens(model, QUESTIONS)
    ends = {answer[2] for answer in whole[:3]} - set(whole[3])
    assert len(ends) == 3
    model.module.generation_config.eos_token_id = [model.encoder.end, *ends]
    wanted = [next((answer[:n] for n, token in enumerate(answer) if token in ends), answer) for answer in whole]
    assert max(map(len, wanted[:3])) < len(wanted[3]) == LIMIT
    assert said_in_tokens(model, QUESTIONS) == wanted


def test_small_evaluation_batches_give_the_same_answers(bart_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exact_model(bart_folder)
    options = [["eine Katze", "ein Hund"]] * 4
    wanted, nats = model.generate(QUESTIONS, LIMIT), model.score(QUESTIONS, options)
    monkeypatch.setattr(seq2seq, "MOST_TOKENS", 20)
    assert model.generate(QUESTIONS, LIMIT) == wanted
    assert [value for row in model.score(QUESTIONS, options) for value in row] == pytest.approx([value for row in nats for value in row], rel=1e-5)


def test_scores_equal_a_plain_loop(folder: Path) -> None:
    model = exact_model(folder)
    model.module.eval()
    options = [["eine Katze", "ein", "das alte Haus am Fluss"], ["das Haus"], ["zwei", "", "drei Hunde"], ["e", "n"]]
    for question, given, found in zip(QUESTIONS, options, model.score(QUESTIONS, options), strict=True):
        assert len(found) == len(given)
        for option, nats in zip(given, found, strict=True):
            row = model.encoder.rows([Example(prompt=question.prompt, completion=option)])[0]
            logs = by_itself(model, row).log_softmax(1)
            wanted = sum(float(logs[i, row.tokens[at]]) for i, at in enumerate(row.learned[:-1]))
            assert nats == pytest.approx(wanted, rel=1e-5)
    assert model.score(QUESTIONS[:1], [[]]) == [[]]


def test_the_encoder_runs_once_for_a_prompts_options_and_an_answers_tokens(t5_folder: Path) -> None:
    model = load_model(t5_folder)
    calls: list[int] = []
    model.module.get_encoder().register_forward_hook(lambda *_: calls.append(1))
    model.score(QUESTIONS[:1], [["ein", "zwei", "drei Hunde"]])
    assert len(calls) == 1
    model.generate(QUESTIONS[:1], LIMIT)
    assert len(calls) == 2


def test_evaluation_is_without_dropout_and_leaves_the_mode(t5_folder: Path) -> None:
    model = load_model(t5_folder)
    for part in model.module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.5
    model.module.train()
    batch = model.batch(model.encoder.rows(QUESTIONS))
    assert not torch.equal(model.logits(batch).logits, model.logits(batch).logits)
    random = torch.get_rng_state()
    assert model.generate(QUESTIONS, 5) == model.generate(QUESTIONS, 5)
    assert model.score(QUESTIONS, [["ein"]] * 4) == model.score(QUESTIONS, [["ein"]] * 4)
    assert all(part.training for part in model.module.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_with_adapters_only_they_are_trained_and_at_first_nothing_changes(folder: Path) -> None:
    whole, model = exact_model(folder), exact_model(folder, Lora(rank=2))
    assert model.trained()
    assert all("lora_" in name for name in model.trained())
    batch = model.batch(model.encoder.rows(QUESTIONS))
    assert torch.allclose(model.logits(batch).logits, whole.logits(batch).logits, atol=1e-9)
    assert model.generate(QUESTIONS, LIMIT) == whole.generate(QUESTIONS, LIMIT)
    options = [["eine Katze", "ein"]] * 4
    assert [v for row in model.score(QUESTIONS, options) for v in row] == pytest.approx([v for row in whole.score(QUESTIONS, options) for v in row], rel=1e-5)


def test_saved_weights_come_back(bart_folder: Path, tmp_path: Path) -> None:
    model = load_model(bart_folder)
    before = model.state()
    with torch.no_grad():
        for weight in model.trained().values():
            weight.add_(0.1)
    save_state({"weights": model.state()}, tmp_path)
    again = load_model(bart_folder)
    assert all(torch.equal(value, before[name]) for name, value in again.state().items())
    again.load(load_state(tmp_path)["weights"])  # type: ignore[arg-type]
    assert all(torch.equal(value, model.state()[name]) for name, value in again.state().items())
    with pytest.raises(ModelError, match="do not fit.*decoder.embed_positions.weight"):
        again.load({})


def test_answers_longer_than_the_decoder_are_refused(bart_folder: Path) -> None:
    model = load_model(bart_folder)
    with pytest.raises(DataError, match="answers of up to 48 tokens do not fit.*gives at most 47"):
        model.generate(QUESTIONS, 48)
    with pytest.raises(DataError, match="answer of 60 tokens does not fit.*id='long'.*At most 47"):
        model.score([Example(prompt="x", completion="", id="long")], [["!" * 60]])
    assert len(model.generate(QUESTIONS, 47)) == 4
    assert model.score(QUESTIONS[:1], [["!" * 47]])[0][0] < 0


def test_a_model_of_the_other_kind_is_refused(t5_folder: Path, shared_tiny: CausalModel) -> None:
    model = load_model(t5_folder)
    with pytest.raises(ModelError, match="mine is no encoder-decoder model.*such as T5"):
        Seq2SeqModel(shared_tiny.module, shared_tiny.tokenizer, "mine")
    with pytest.raises(ModelError, match="T5ForConditionalGeneration is no causal language model"):
        CausalModel(model.module, model.tokenizer)


def test_a_head_that_reads_several_states_a_token_is_refused(t5_folder: Path) -> None:
    """ProphetNet predicts the next tokens at once."""
    tokenizer = load_model(t5_folder).tokenizer
    size = {"hidden_size": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_encoder_layers": 1, "num_decoder_layers": 1}
    heads = {"num_encoder_attention_heads": 2, "num_decoder_attention_heads": 2}
    model = Seq2SeqModel(ProphetNetForConditionalGeneration(ProphetNetConfig(vocab_size=len(tokenizer), **size, **heads)), tokenizer, "prophet")
    with pytest.raises(ModelError, match="more than one state a token .model='prophet', shape=\\(1, 2,"):
        model.logits(model.batch(model.encoder.rows(QUESTIONS[:1])))
