"""How far a model has moved from where it started: KL and perplexity on anchor text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from everlearn.errors import DataError, ModelError, StateError
from everlearn.evaluate.forward import Readable, log_probabilities, most_learned, read
from everlearn.evaluate.scores import size
from everlearn.models.pairs import PairEncoder
from everlearn.types import Batch, Example, Row

TOP = 1024  # probabilities kept a token; exact for smaller vocabularies, 8 KiB a token for any


@dataclass(frozen=True, slots=True)
class Divergence:
    """A model measured on anchor text.

    kl: KL(start || now) in nats per token, >= 0; 0 for the starting model itself.   perplexity: exp(nats per token), >= 1; comparable between
    models with the same tokenizer only.   nats_per_byte: nats per UTF-8 byte of the text, >= 0; comparable between any two.
    """

    kl: float
    perplexity: float
    nats_per_byte: float


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Anchor text as one model encodes it. rows: shortest first.   size: UTF-8 bytes of what is learned of them."""

    rows: tuple[Row, ...]
    size: int

    @property
    def tokens(self) -> int:
        return sum(len(row.learned) for row in self.rows)


class Anchor:
    """What the starting model thought of each token of some text, kept to measure later models against.

    KL(start || now) = mean over tokens of sum_v p(v) (ln p(v) - ln q(v)), p the starting model's and q the later one's next-token distribution
    after the same text: what the start held possible and the later model no longer does costs most. Of p the `top` likeliest tokens are kept
    and the rest as one; q is summed up the same way, so the value never exceeds the exact one, and is exact where the vocabulary has at most
    `top` tokens.

    examples: text; prompt + completion or messages, of which the answers count. Text is read in windows of at most the model's reach; for an
    encoder-decoder model its first half is the prompt of its second. The end of the text is not measured.

    >>> from everlearn import Example, load_model
    >>> model = load_model("tiny")
    >>> anchor = Anchor.of(model, [Example(text="The mayor of Penwick opened the new bridge.")])
    >>> anchor.divergence(model).kl < 1e-6
    True
    """

    def __init__(self, examples: Sequence[Example], tokens: Tensor, ids: Tensor, logs: Tensor, rest: Tensor, start: Divergence) -> None:
        self.examples, self.start = tuple(examples), start
        self._tokens, self._ids, self._logs, self._rest = tokens, ids, logs, rest  # (N,) targets; (N, k) and (N, k) the likeliest; (N,) ln of the rest

    @classmethod
    def of(cls, model: Readable, examples: Sequence[Example], top: int = TOP) -> Anchor:
        """Measure the starting model, once. Raises DataError for no examples."""
        reading = read_anchor(model, examples)
        ids, logs, rest, nats = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()

        def use(_: Sequence[Row], batch: Batch, logits: Tensor) -> None:
            for at, now in log_probabilities(logits):
                best = now.topk(min(top, now.shape[1]))
                ids.append(best.indices.int().cpu())
                logs.append(best.values.cpu())
                rest.append(_others(now, best.indices).cpu())
                nats.append(now.gather(1, batch.targets[at, None])[:, 0].double().cpu())

        read(model, reading.rows, use)
        start = _divergence(0.0, float(torch.cat(nats).sum()), reading)
        return cls(examples, _targets(reading), torch.cat(ids), torch.cat(logs), torch.cat(rest), start)

    @property
    def tokens(self) -> int:
        """How many tokens are measured."""
        return len(self._tokens)

    def divergence(self, model: Readable) -> Divergence:
        """How far the model is from the start; it stays as it was.

        Raises ModelError for a model that reads the text as other tokens, or has fewer of them: the two cannot be compared token by token.
        """
        reading = read_anchor(model, self.examples)
        if not self._same(reading):
            raise ModelError(
                "the model's tokenizer is not the starting model's, so KL is not defined. Compare nats per byte, or give a model of the same kind."
            )
        kl = nats = 0.0
        done = 0

        def use(_: Sequence[Row], batch: Batch, logits: Tensor) -> None:
            nonlocal kl, nats, done
            if logits.shape[1] <= int(self._ids.max()):
                raise ModelError(
                    f"the model has fewer tokens than the start (vocabulary={logits.shape[1]}, wanted more than {int(self._ids.max())}). "
                    "Give one whose vocabulary was not cut."
                )
            for at, now in log_probabilities(logits):
                kept = slice(done, done + len(now))
                ids, logs, rest = (part[kept].to(now.device) for part in (self._ids, self._logs, self._rest))
                kl += float(_kl(ids, logs, rest, now).sum())
                nats += float(now.gather(1, batch.targets[at, None]).double().sum())
                done += len(now)

        read(model, reading.rows, use)
        return _divergence(kl / reading.tokens, nats, reading)

    def reads_alike(self, model: Readable) -> bool:
        """Does the model read the text as the tokens that were measured; only then is KL defined."""
        return self._same(read_anchor(model, self.examples))

    def _same(self, reading: Reading) -> bool:
        return torch.equal(_targets(reading), self._tokens)

    def state(self) -> dict[str, Tensor]:
        """Everything as tensors, so that an interrupted run can go on; the texts as UTF-8 JSON."""
        texts = json.dumps([example.to_json() for example in self.examples], ensure_ascii=False).encode(errors="surrogatepass")
        start = [self.start.kl, self.start.perplexity, self.start.nats_per_byte]
        return {
            "examples": torch.frombuffer(bytearray(texts), dtype=torch.uint8).clone(),
            "tokens": self._tokens,
            "ids": self._ids,
            "logs": self._logs,
            "rest": self._rest,
            "start": torch.tensor(start, dtype=torch.float64),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Anchor:
        """The anchor that `state` wrote. Raises StateError for anything else."""
        wanted = {"examples", "tokens", "ids", "logs", "rest", "start"}
        if state.keys() != wanted:
            raise StateError(f"this is no anchor's state (differing names: {sorted(state.keys() ^ wanted)}). Give what Anchor.state returned.")
        texts = json.loads(bytes(state["examples"].tolist()).decode(errors="surrogatepass"))
        start = Divergence(*(float(value) for value in state["start"].tolist()))
        return cls([Example.from_json(row) for row in texts], state["tokens"], state["ids"], state["logs"], state["rest"], start)


def read_anchor(model: Readable, examples: Sequence[Example]) -> Reading:
    """The examples as the model encodes them, no row longer than it can read. Raises DataError for none."""
    if not examples:
        raise DataError("there is no anchor text (examples=0). Give at least one text, or prompt + completion.")
    found = [pair for example in examples for pair in _rows(model, example)]
    return Reading(tuple(row for row, _ in sorted(found, key=lambda pair: len(pair[0].tokens))), sum(many for _, many in found))


def _rows(model: Readable, example: Example) -> list[tuple[Row, int]]:
    """The rows of one example, each with the bytes of what is learned of it."""
    if example.text is None:
        return [_answer(model, example)]
    if isinstance(model.encoder, PairEncoder):
        return [_answer(model, _halves(example.text))]
    return _windows(model, example, example.text)


def _windows(model: Readable, example: Example, text: str) -> list[tuple[Row, int]]:
    encoder = model.encoder
    start = encoder.start or [encoder.end]  # without a start token the end of the text before is the context of the first
    tokens = encoder.tokens([text])[0]
    room = min(encoder.longest - len(start), most_learned(model))
    parts = [tokens[at : at + room] for at in range(0, len(tokens), room)]
    rows = [Row(example, (*start, *part), tuple(range(len(start), len(start) + len(part)))) for part in parts]
    sizes = [size(text)] + [0] * (len(rows) - 1)  # only their sum counts
    return list(zip(rows, sizes, strict=True))


def _answer(model: Readable, example: Example) -> tuple[Row, int]:
    """The example's row without the end of the text, its answer cut to what the model can be measured on."""
    encoder = model.encoder
    cut = encoder.cut
    row = encoder.rows([example])[0]
    encoder.cut = cut  # that counts what is learned
    learned = row.learned[:-1] if example.messages is None and row.tokens[-1] == encoder.end else row.learned
    kept = learned[: most_learned(model)]
    whole = example.completion is not None and len(kept) == len(row.learned) - 1
    said = example.completion if whole else encoder.tokenizer.decode([row.tokens[at] for at in kept], skip_special_tokens=True)
    return Row(example, row.tokens[: kept[-1] + 1] if kept else row.tokens, kept), size(str(said))


def _halves(text: str) -> Example:
    """The text as a prompt and what follows, parted at the last space before its middle, if there is one."""
    middle = len(text) // 2
    at = text.rfind(" ", 0, middle + 1)
    at = middle if at < 1 else at
    return Example(prompt=text[:at], completion=text[at:].lstrip())


def _targets(reading: Reading) -> Tensor:
    """The measured token ids in the order they are read, (N,)."""
    return torch.tensor([row.tokens[at] for row in reading.rows for at in row.learned], dtype=torch.int32)


def _others(logs: Tensor, ids: Tensor) -> Tensor:
    """ln of the probability of all tokens but `ids`, (n,); minus infinity where there are no others."""
    return logs.scatter(1, ids, -math.inf).logsumexp(1)


def _kl(ids: Tensor, logs: Tensor, rest: Tensor, now: Tensor) -> Tensor:
    """KL of each position, (n,): kept tokens (n, k) one by one, the others as one."""
    ids = ids.long()
    before = torch.cat([logs, rest[:, None]], 1)
    after = torch.cat([now.gather(1, ids), _others(now, ids)[:, None]], 1)
    return torch.where(before > -math.inf, before.exp() * (before - after), 0.0).double().sum(1)


def _divergence(kl: float, nats: float, reading: Reading) -> Divergence:
    # of two models that hardly differ the value may fall below 0 by a rounding
    return Divergence(max(kl, 0.0), math.exp(min(-nats / reading.tokens, 700.0)), -nats / max(reading.size, 1))
