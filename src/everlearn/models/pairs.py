"""Examples as tokens of an encoder-decoder model: a source that is read, a target that is learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from everlearn.errors import DataError, ModelError
from everlearn.models.encode import Encoder
from everlearn.types import Example, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PairEncoder(Encoder):
    """Turns Examples into Rows of an encoder-decoder model: the source, then the target, which alone is learned.

    prompt + completion: the prompt framed as the tokenizer frames a source (T5 closes it with </s>, BART also opens it with <s>, others name
    its language), then the completion and the end. messages: all before the last answer by the chat template, framed the same, then that answer.
    A source longer than `longest` tokens loses what the tokenizer's truncation side says, never its frame; a target longer than `room` its end.
    `cut` counts such rows. What the decoder reads before a target is `prefix`, the same for all rows and part of none.

    longest, longest_target: positions of encoder and decoder.   start: the decoder's first token.   forced: the token after it, where the model names one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, longest: int, longest_target: int, start: int | None, forced: int | None = None) -> None:
        super().__init__(tokenizer, longest)
        self.longest_target, self.forced = longest_target, forced
        self.start = [] if start is None else [start]
        self._frames: dict[tuple[object, ...], tuple[list[int], list[int]]] = {}

    @property
    def prefix(self) -> list[int]:
        """The decoder's start token, then the forced one or, without it, what the tokenizer opens a target with (BART's <s>, a language)."""
        lead, closing = ([], []) if self.start and self.forced is not None else self._frame(target=True)
        after_end = closing[closing.index(self.end) + 1 :] if self.end in closing else []  # the first mBART starts with the language it closes with
        bos = self.tokenizer.bos_token_id
        start = self.start or after_end or ([] if bos is None else [int(bos)])
        if not start:
            raise ModelError("the decoder has no token to start with (decoder_start_token_id=None). Name one in generation_config.json.")
        if self.forced is not None:
            return [*start, self.forced]
        return [*start, *(lead[1:] if lead[:1] == start else lead)]

    @property
    def room(self) -> int:
        """The most tokens a target may have."""
        return self.longest_target - len(self.prefix) + 1

    def room_after(self, prompt: Sequence[int]) -> int:
        return self.room

    def asked_too(self, row: Row, factor: float) -> Row:
        raise ModelError("an encoder-decoder model reads its prompts and cannot learn to write them. Leave prompts at 0, or give a decoder-only model.")

    def rows(self, examples: Iterable[Example], from_memory: bool = False) -> list[Row]:
        """One Row an Example, in order; without an answer in it, one with nothing to learn."""
        given = list(examples)
        sides = [self._sides(example) for example in given]
        sources = self._ids([source for source, _ in sides])
        targets = iter(self.tokens([target for _, target in sides if target is not None]))
        return [
            self._pair(example, source, None if target is None else next(targets), from_memory)
            for example, source, (_, target) in zip(given, sources, sides, strict=True)
        ]

    def prompts(self, examples: Sequence[Example]) -> list[list[int]]:
        """The framed source of each prompt, or of the conversation before its last turn; no longer than the encoder reads."""
        for example in examples:
            self._refuse_text(example)
        texts = [self._chat(e.messages[:-1], ask=True) if e.messages is not None else e.prompt or "" for e in examples]
        return [self._framed(tokens) for tokens in self._ids(texts)]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of answers, no special ones added."""
        return self._ids(texts, target=True)

    def _refuse_text(self, example: Example) -> None:
        if example.text is not None:
            raise DataError(
                f"an encoder-decoder model answers prompts, plain text it neither learns nor scores (id={example.id!r}). Give prompt + completion or messages."
            )

    def _sides(self, example: Example) -> tuple[str, str | None]:
        """Source and target as text; no target where a conversation has no answer."""
        self._refuse_text(example)
        pieces = self._pieces(example)
        if not pieces:
            return self._chat(example.messages or ()), None
        return "".join(text for text, _ in pieces[:-1]), pieces[-1][0]

    def _pair(self, example: Example, source: list[int], target: list[int] | None, from_memory: bool) -> Row:
        read = self._framed(source)
        said = [] if target is None else target if target[-1:] == [self.end] else [*target, self.end]
        kept = said[: self.room]
        if len(kept) < len(said) or len(read) < len(self._framed(source, whole=True)):
            self.cut += 1
        return Row(example, (*read, *kept), tuple(range(len(read), len(read) + len(kept))), from_memory)

    def _framed(self, tokens: list[int], whole: bool = False) -> list[int]:
        """The tokens in the tokenizer's frame of a source, once; shortened to what the encoder reads unless `whole`."""
        opening, closing = self._frame(target=False)
        inner = tokens[len(opening) :] if opening and tokens[: len(opening)] == opening else tokens
        inner = inner[: -len(closing)] if closing and inner[-len(closing) :] == closing else inner
        room = len(inner) if whole else max(1, self.longest - len(opening) - len(closing))
        inner = inner[-room:] if self.tokenizer.truncation_side == "left" and len(inner) > room else inner[:room]
        return [*opening, *inner, *closing] or [self.end]

    def _frame(self, target: bool) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after the text of a source or a target; it may depend on the languages that are set."""
        set_now = vars(self.tokenizer)
        key = (target, set_now.get("_src_lang"), set_now.get("tgt_lang"))
        if key not in self._frames:
            whole, plain = self._ids(["a"], target, special=True)[0], self._ids(["a"], target)[0]
            at = next(start for start in range(len(whole)) if whole[start : start + len(plain)] == plain)
            self._frames[key] = whole[:at], whole[at + len(plain) :]
        return self._frames[key]

    def _ids(self, texts: Sequence[str], target: bool = False, special: bool = False) -> list[list[int]]:
        if not texts:
            return []
        if not target:
            return [list(ids) for ids in self.tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]]
        if vars(self.tokenizer).get("tgt_lang", "") is None:  # some tokenizers would silently take the source's language
            raise ModelError(
                "the tokenizer knows many languages and none is set for answers (tgt_lang=None). "
                "Name src_lang and tgt_lang in tokenizer_config.json, or set model.tokenizer.src_lang and .tgt_lang."
            )
        return [list(ids) for ids in self.tokenizer(text_target=list(texts), add_special_tokens=special, verbose=False)["input_ids"]]
