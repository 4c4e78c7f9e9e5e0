"""Encoding: which tokens there are, and which are learned."""

from __future__ import annotations

import pytest

from everlearn import CausalModel, DataError, Example, ModelError, load_model
from everlearn.models.encode import Encoder


def learned_text(model: CausalModel, example: Example) -> str:
    row = model.encoder.rows([example])[0]
    return str(model.tokenizer.decode([row.tokens[at] for at in row.learned]))


def test_text_is_learned_whole_from_its_first_token_to_the_end(shared_tiny: CausalModel) -> None:
    assert learned_text(shared_tiny, Example(text="Name the river.")) == "Name the river.<|endoftext|>"


def test_of_a_prompt_and_completion_the_completion_is_learned(shared_tiny: CausalModel) -> None:
    assert learned_text(shared_tiny, Example(prompt="Name the river.", completion=" Exe")) == " Exe<|endoftext|>"


def test_every_assistant_turn_of_a_conversation_is_learned(shared_tiny: CausalModel) -> None:
    turns = [("user", "Name a river."), ("assistant", " Exe"), ("user", "Name a town."), ("assistant", " Ashford")]
    example = Example(messages=tuple({"role": role, "content": content} for role, content in turns))
    assert learned_text(shared_tiny, example) == " Exe<|endoftext|> Ashford<|endoftext|>"


def test_a_conversation_and_its_prompt_agree(shared_tiny: CausalModel) -> None:
    """What is generated from at test is exactly what came before the learned tokens in training."""
    example = Example(messages=({"role": "user", "content": "Name a river."}, {"role": "assistant", "content": " Exe"}))
    row = shared_tiny.encoder.rows([example])[0]
    assert shared_tiny.encoder.prompts([example])[0] == list(row.tokens[: row.learned[0]])


def test_rows_begin_with_the_start_token_once(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows([Example(text="x"), Example(prompt="x", completion=" y"), Example(text="<|endoftext|>x")])
    assert [row.tokens[:2].count(shared_tiny.encoder.end) for row in rows] == [1, 1, 1]


def test_what_is_too_long_loses_the_start_of_its_prompt_first(shared_tiny: CausalModel) -> None:
    encoder = Encoder(shared_tiny.tokenizer, longest=8)
    row = encoder.rows([Example(prompt="one two three four five six", completion=" Exe")])[0]
    whole = shared_tiny.encoder.rows([Example(prompt="one two three four five six", completion=" Exe")])[0]
    assert len(row.tokens) == 8
    assert row.tokens[0] == whole.tokens[0]
    assert row.tokens[1:] == whole.tokens[-7:]
    assert [row.tokens[at] for at in row.learned] == [whole.tokens[at] for at in whole.learned]
    assert encoder.cut == 1


def test_a_text_that_is_too_long_loses_its_end(shared_tiny: CausalModel) -> None:
    encoder = Encoder(shared_tiny.tokenizer, longest=5)
    row = encoder.rows([Example(text="one two three four five six")])[0]
    assert len(row.tokens) == 5
    assert row.learned == (1, 2, 3, 4)


def test_of_a_preference_the_chosen_answer_is_encoded(shared_tiny: CausalModel) -> None:
    pair, plain = Example(prompt="a", chosen="b", rejected="c"), Example(prompt="a", completion="b")
    one, other = shared_tiny.encoder.rows([pair, plain])
    assert (one.tokens, one.learned) == (other.tokens, other.learned)


def test_messages_need_a_chat_template() -> None:
    model = load_model("tiny")
    model.tokenizer.chat_template = None
    with pytest.raises(ModelError, match="no chat template"):
        model.encoder.rows([Example(messages=({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}))])


def test_a_template_is_taken_verbatim() -> None:
    model = load_model("tiny")
    example = Example(messages=({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}))
    assert (
        model.encoder.prompts([example])[0] == model.tokenizer.apply_chat_template([{"role": "user", "content": "a"}], add_generation_prompt=True)["input_ids"]
    )


def test_a_template_that_refuses_is_a_data_error() -> None:
    model = load_model("tiny")
    model.tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ messages[0]['content'] }}"
    with pytest.raises(DataError, match="roles=.'system'.*no system role"):
        model.encoder.rows([Example(messages=({"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}))])


def test_a_text_is_tokenised_once_and_what_is_given_out_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, asked = load_model("tiny").encoder, list[str]()
    real = encoder.tokenizer

    def noting(texts: list[str], **given: object) -> object:
        asked.extend(texts)
        return real(texts, **given)

    monkeypatch.setattr(encoder, "tokenizer", noting)
    first = encoder.tokens(["Name the river.", "Exe", "Name the river."])
    first[0].append(7)
    assert encoder.tokens(["Exe", "Name the river."]) == [first[1], first[2]]
    assert asked == ["Name the river.", "Exe"]
    monkeypatch.setattr("everlearn.models.encode.KEPT", 40)
    assert [encoder.tokens([f"{word} the river of Ashford."]) for word in ("Name", "Tell", "Name")][::2] == [
        [real("Name the river of Ashford.")["input_ids"]]
    ] * 2
    assert asked.count("Name the river of Ashford.") == 2
