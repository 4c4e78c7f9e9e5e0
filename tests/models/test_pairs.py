"""Encoding for encoder-decoder models: what is read, what the decoder starts with, what is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import MBartTokenizer, NllbTokenizer

from everlearn import DataError, Example, ModelError, load_model
from everlearn.models.pairs import PairEncoder

EXAMPLE = Example(prompt="one cat", completion="eine Katze")
TURNS = (
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "eine"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "zwei"},
)
TEMPLATE = (
    "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] + ('</s>' if m['role'] == 'assistant' else '') }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def texts(encoder: PairEncoder, example: Example) -> tuple[str, str, bool]:
    """A row's source and target as text, and whether both were kept whole."""
    before = encoder.cut
    row = encoder.rows([example])[0]
    first = row.learned[0] if row.learned else len(row.tokens)
    assert row.learned == tuple(range(first, len(row.tokens)))
    return encoder.tokenizer.decode(row.tokens[:first]), encoder.tokenizer.decode(row.tokens[first:]), encoder.cut == before


def test_a_source_has_the_tokenizers_own_frame_and_a_target_ends(t5_folder: Path, bart_folder: Path) -> None:
    assert texts(load_model(t5_folder).encoder, EXAMPLE) == ("one cat</s>", "eine Katze</s>", True)
    assert texts(load_model(bart_folder).encoder, EXAMPLE) == ("<s>one cat</s>", "eine Katze</s>", True)


def test_a_row_is_what_the_tokenizer_makes_of_the_pair(folder: Path) -> None:
    encoder = load_model(folder).encoder
    given = encoder.tokenizer(EXAMPLE.prompt, text_target=EXAMPLE.completion)
    row = encoder.rows([EXAMPLE])[0]
    assert list(row.tokens[: row.learned[0]]) == given["input_ids"] == encoder.prompts([EXAMPLE])[0]
    assert [*encoder.prefix[1:], *(row.tokens[at] for at in row.learned)] == given["labels"]
    assert encoder.tokens([EXAMPLE.completion or ""])[0] == [row.tokens[at] for at in row.learned][:-1]


def test_an_empty_prompt_is_still_a_source(t5_folder: Path) -> None:
    encoder = load_model(t5_folder).encoder
    assert texts(encoder, Example(prompt="", completion="x"))[0] == "</s>"
    encoder._frames = {(False, None, None): ([], []), (True, None, None): ([], [])}
    assert texts(encoder, Example(prompt="", completion="x"))[0] == "</s>"


@pytest.mark.parametrize(("side", "kept"), [("right", "one two</s>"), ("left", "three four</s>")])
def test_a_long_source_loses_the_side_its_tokenizer_names_and_keeps_its_frame(t5_folder: Path, side: str, kept: str) -> None:
    encoder = load_model(t5_folder).encoder
    encoder.tokenizer.truncation_side = side
    encoder.longest = len(encoder.tokens([kept.removesuffix("</s>")])[0]) + 1
    question = Example(prompt="one two three four", completion="x")
    source, target, whole = texts(encoder, question)
    assert (source.strip(), target, whole) == (kept, "x</s>", False)
    assert encoder.prompts([question])[0] == list(encoder.rows([question])[0].tokens[: encoder.longest])


def test_a_long_target_loses_its_end(bart_folder: Path) -> None:
    encoder = load_model(bart_folder).encoder
    encoder.longest_target = 6
    assert encoder.prefix == [1, 2]
    assert encoder.room == 5
    assert texts(encoder, Example(prompt="x", completion="!!!!")) == ("<s>x</s>", "!!!!</s>", True)
    assert texts(encoder, Example(prompt="x", completion="!!!!!!!")) == ("<s>x</s>", "!!!!!", False)
    assert encoder.cut == 1


def test_plain_text_is_refused_with_what_to_do(t5_folder: Path) -> None:
    model = load_model(t5_folder)
    row = Example(text="some text", id="t7")
    for use in (lambda: model.encoder.rows([EXAMPLE, row]), lambda: model.generate([row], 3), lambda: model.score([row], [["x"]])):
        with pytest.raises(DataError, match="plain text it neither learns nor scores .id='t7'.*Give prompt \\+ completion"):
            use()


def test_messages_need_a_chat_template(t5_folder: Path) -> None:
    with pytest.raises(ModelError, match="no chat template, so `messages` cannot be encoded"):
        load_model(t5_folder).encoder.rows([Example(messages=TURNS)])


def test_of_a_conversation_the_last_answer_is_learned_after_all_before_it(t5_folder: Path) -> None:
    encoder = load_model(t5_folder).encoder
    encoder.tokenizer.chat_template = TEMPLATE
    source, target, _ = texts(encoder, Example(messages=TURNS))
    assert source == "[user]one[assistant]eine</s>[user]two[assistant]</s>"
    assert target == "zwei</s>"  # the template's own end is not doubled
    row = encoder.rows([Example(messages=TURNS)])[0]
    assert encoder.prompts([Example(messages=TURNS)])[0] == list(row.tokens[: row.learned[0]])


def test_a_conversation_without_an_answer_teaches_nothing(t5_folder: Path) -> None:
    encoder = load_model(t5_folder).encoder
    encoder.tokenizer.chat_template = TEMPLATE
    assert texts(encoder, Example(messages=TURNS[:1])) == ("[user]one</s>", "", True)


def nllb(target: str | None) -> NllbTokenizer:
    vocab = {token: place for place, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁a", "▁b"))}
    codes = ["eng_Latn", "fra_Latn", "deu_Latn"]
    return NllbTokenizer(vocab=vocab, merges=[("▁", "a"), ("▁", "b")], src_lang="eng_Latn", tgt_lang=target, extra_special_tokens=codes)


def test_languages_frame_the_source_and_start_the_decoder() -> None:
    tokenizer = nllb("fra_Latn")
    encoder = PairEncoder(tokenizer, 20, 20, start=2)
    english, french, german = tokenizer.convert_tokens_to_ids(["eng_Latn", "fra_Latn", "deu_Latn"])
    assert encoder.prefix == [2, french]
    row = encoder.rows([Example(prompt="a b", completion="b a")])[0]
    assert row.tokens[0] == english
    assert row.tokens[-1] == 2
    assert french not in row.tokens
    tokenizer.src_lang, tokenizer.tgt_lang = "deu_Latn", "eng_Latn"
    assert encoder.prefix == [2, english]
    assert encoder.prompts([Example(prompt="a", completion="")])[0][0] == german
    assert PairEncoder(tokenizer, 20, 20, start=2, forced=french).prefix == [2, french]


def test_a_language_that_is_not_set_is_asked_for() -> None:
    with pytest.raises(ModelError, match="none is set for answers .tgt_lang=None.*tokenizer_config.json"):
        PairEncoder(nllb(None), 20, 20, start=2).rows([Example(prompt="a", completion="b")])


def test_the_first_mbart_starts_with_the_language_its_targets_close_with() -> None:
    vocab = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b")]
    tokenizer = MBartTokenizer(vocab=vocab, src_lang="en_XX", tgt_lang="ro_RO")
    encoder = PairEncoder(tokenizer, 20, 20, start=None)
    english, romanian = tokenizer.convert_tokens_to_ids(["en_XX", "ro_RO"])
    assert encoder.prefix == [romanian]
    row = encoder.rows([Example(prompt="a", completion="b")])[0]
    assert row.tokens[row.learned[0] - 2 : row.learned[0]] == (2, english)
    assert row.tokens[-1] == 2


def test_a_decoder_without_a_start_is_refused(t5_folder: Path, bart_folder: Path) -> None:
    encoder = PairEncoder(load_model(t5_folder).tokenizer, 20, 20, start=None)
    with pytest.raises(ModelError, match="no token to start with .decoder_start_token_id=None"):
        encoder.prefix  # noqa: B018
    assert PairEncoder(load_model(bart_folder).tokenizer, 20, 20, start=None).prefix == [2]
