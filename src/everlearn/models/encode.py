"""Examples as tokens: TRL's formats, the loss only where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from everlearn.errors import DataError, ModelError, Unsuited
from everlearn.types import Example, Message, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Piece = tuple[str, bool]
KEPT = 2_000_000  # letters and tokens of what is kept, some 20 MB; then it begins anew


class Encoder:
    """Turns Examples into Rows with one tokenizer.

    text: every token is learned, and the end. prompt + completion, or + chosen: that and the end. messages: every assistant turn with its
    closing, by the chat template, verbatim. Other rows begin with the tokenizer's start token, where it has one. What is longer than `longest`
    tokens loses the start of its prompt first, then its end; `cut` counts such rows.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, longest: int) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end-of-text token (eos_token=None). A model must be able to stop; set tokenizer.eos_token.")
        self.tokenizer, self.longest, self.cut = tokenizer, longest, 0
        self.start = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
        self.end = int(tokenizer.eos_token_id)
        self._known: dict[str, list[int]] = {}  # by text, what was asked for last: a row is read to be looked at for drift, to be learned, to be tested
        self._held = 0

    def rows(self, examples: Iterable[Example], from_memory: bool = False) -> list[Row]:
        """One Row an Example, in order."""
        given = list(examples)
        return [self._row(example, pieces, from_memory) for example, pieces in zip(given, self._encoded([self._pieces(e) for e in given]), strict=True)]

    def prompts(self, examples: Sequence[Example]) -> list[list[int]]:
        """The tokens after which the model is to answer: those of the prompt, or of the conversation before its last turn."""
        texts = [self._chat(e.messages[:-1], ask=True) if e.messages is not None else e.prompt or "" for e in examples]
        return [tokens if e.messages is not None else self._started(tokens) for e, tokens in zip(examples, self.tokens(texts), strict=True)]

    def room_after(self, prompt: Sequence[int]) -> int:
        """The most tokens an answer to this prompt may have."""
        return self.longest - len(prompt)

    def asked_too(self, row: Row, factor: float) -> Row:
        """The row with the tokens of its prompt as targets too, their loss times `factor`: so a model learns to write prompts."""
        whole = tuple(range(max(1, len(self.start)), len(row.tokens)))
        if len(whole) == len(row.learned):
            return row
        answers = dict(zip(row.learned, row.factors or (1.0,) * len(row.learned), strict=True))
        return replace(row, learned=whole, factors=tuple(answers.get(at, factor) for at in whole))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Plain token ids, no special ones added."""
        found = {text: self._known.get(text) for text in texts}
        new = [text for text, ids in found.items() if ids is None]
        if new:
            fresh = dict(zip(new, map(list, self.tokenizer(new, add_special_tokens=False, verbose=False)["input_ids"]), strict=True))
            found |= fresh
            self._keep(fresh)
        return [list(found[text] or ()) for text in texts]

    def _keep(self, fresh: dict[str, list[int]]) -> None:
        self._held += sum(len(text) + len(ids) for text, ids in fresh.items())
        if self._held > KEPT:
            self._known, self._held = {}, 0
        else:
            self._known.update(fresh)

    def _started(self, tokens: list[int]) -> list[int]:
        return tokens if tokens[:1] == self.start else self.start + tokens

    def _pieces(self, example: Example) -> list[Piece]:
        if example.text is not None:
            return [(example.text, True)]
        if example.prompt is not None and example.completion is not None:
            return [(example.prompt, False), (example.completion, True)]
        if example.messages is not None:
            return self._turns(example.messages)
        return [(example.prompt or "", False), (example.chosen or "", True)]

    def _turns(self, messages: Sequence[Message]) -> list[Piece]:
        whole, pieces, done = self._chat(messages), [], ""
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, after = self._chat(messages[:number], ask=True), self._chat(messages[: number + 1])
            if not (whole.startswith(after) and after.startswith(before) and before.startswith(done)):
                raise Unsuited(
                    f"the chat template rewrites earlier turns, so turn {number + 1} cannot be told apart. Use prompt + completion, or one answer a row."
                )
            pieces += [(before[len(done) :], False), (after[len(before) :], True)]
            done = after
        return pieces

    def _chat(self, messages: Sequence[Message], ask: bool = False) -> str:
        if self.tokenizer.chat_template is None:
            raise Unsuited("the tokenizer has no chat template, so `messages` cannot be encoded. Use prompt + completion, or set tokenizer.chat_template.")
        try:
            return str(self.tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=ask))
        except (TemplateError, ValueError) as problem:
            roles = [message["role"] for message in messages]
            raise DataError(f"the chat template refuses a conversation (roles={roles!r}): {problem}. Reorder its turns.") from problem

    def _encoded(self, rows: list[list[Piece]]) -> list[list[tuple[list[int], bool]]]:
        flat = iter(self.tokens([text for pieces in rows for text, _ in pieces]))
        return [[(next(flat), learned) for _, learned in pieces] for pieces in rows]

    def _row(self, example: Example, pieces: list[tuple[list[int], bool]], from_memory: bool) -> Row:
        tokens = self._started(pieces[0][0]) if example.messages is None else pieces[0][0]
        learned = list(range(len(tokens) - len(pieces[0][0]), len(tokens))) if pieces[0][1] else []
        for ids, learn in pieces[1:]:
            learned += range(len(tokens), len(tokens) + len(ids)) if learn else ()
            tokens = tokens + ids
        if example.messages is None:
            learned.append(len(tokens))
            tokens = [*tokens, self.end]
        if len(tokens) > self.longest:
            tokens, learned = self._shortened(tokens, learned)
        return Row(example, tuple(tokens), tuple(at for at in learned if at > 0), from_memory)

    def _shortened(self, tokens: list[int], learned: list[int]) -> tuple[list[int], list[int]]:
        self.cut += 1
        first, start = learned[0] if learned else len(tokens), len(self.start)
        drop = min(len(tokens) - self.longest, max(0, first - start - 1))
        tokens = (tokens[:start] + tokens[start + drop :])[: self.longest]
        return tokens, [at - drop for at in learned if at - drop < self.longest]
