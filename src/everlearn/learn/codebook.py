"""Codebook: what the model answers wrong is put right at one layer, prompt by prompt, and no weight moves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from everlearn.errors import DataError, SettingError, StateError
from everlearn.learn.base import Around, LearnLog
from everlearn.learn.bounds import Frozen
from everlearn.learn.fit import Checkpoint
from everlearn.memory.codebook import CodebookModel, asked_at, put, replaced, since
from everlearn.memory.codes import Codes
from everlearn.methods.base import State, at_least
from everlearn.models.batch import by_length
from everlearn.models.feed_forward import last_projections, place_of
from everlearn.models.state import on_device
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Example, Experience, Row, superseded

MOST_TOKENS = 2048  # of prompts and answers whose values are learned at once; which ones are changes nothing but the last bits
ROUNDS = 3  # a new code may stand in the way of a prompt that was right before it
SURE = 0.1  # nats a token below which a value that is right is done


class Codebook(Around):
    """Each wrong answer becomes a code at one layer: the prompt's key, and values learned for that answer alone. Deleting the code undoes the edit exactly.

    GRACE, Hartvigsen et al. 2023, arXiv:2211.11031. At the last projection of block `layer`'s feed-forward, the input at the prompt's last token is the key.
    A prompt whose key lies within a code's radius is answered with the code's values in place of what the layer gives, from the prompt's last token on; all
    others as if there were no codebook. An answer that is right already gets no code. Radii split and widen as in the paper.
    Differs: every edit has a key and a value of its own, also near one of the same answer, so that it can be taken back exactly; a prompt is looked up
    once, not again at each token of its answer, and each token has a value of its own (one for all cannot say an answer of several tokens in a small model:
    docs/experiments.md); the values of many edits are learned at once, each by its own loss; a radius is relative to its key.
    Where weights learn beneath (joined to replay, say), they learn first, the keys are read anew, and what is wrong then gets a code.

    layer: a block, counted from 0 or, negative, from the end.   radius: of a fresh code, as a share of its key's length, > 0.   steps: Adam steps on
    values, >= 1.   rate: of these, relative to the size of what the layer gives, > 0.   tokens: values an edit has, the last for all after it, >= 1.

    >>> from everlearn import load_model
    >>> model, learner = load_model("tiny"), Codebook(radius=0.2).around(Frozen())
    >>> served, row = learner.prepare(model), Example(prompt="Question: What is the river of Penwick?\\nAnswer:", completion=" Brue")
    >>> log = learner.learn(model, Experience("today", (row,)))
    >>> served.generate([row], limit=4)
    [' Brue']
    """

    active = {"steps": 5}
    family = "memory networks"
    paper = "Hartvigsen et al. 2023, arXiv:2211.11031"
    stores = "a key, a value a token and the example itself of each edit"
    cost = "learning: up to `steps` passes over what is wrong; answering: one look-up a prompt"
    trains = False

    def __init__(self, layer: int = -3, radius: float = 0.2, steps: int = 100, rate: float = 1.0, tokens: int = 16) -> None:
        at_least("codebook radius", radius, 1e-9)
        at_least("codebook steps", steps, 1)
        at_least("codebook rate", rate, 1e-9)
        at_least("codebook tokens", tokens, 1)
        self.layer, self.radius, self.steps, self.rate, self.tokens = layer, radius, steps, rate, tokens
        self.codes = Codes(radius)

    def prepare(self, model: TrainedModel) -> CodebookModel:
        """The model with its codebook. Raises SettingError around a learner that serves another wrapper, ModelError for a model that is no decoder."""
        served = self.inner.prepare(model)
        if served is not model:
            raise SettingError(f"codebook stands on the model itself (beneath={type(served).__name__!r}). Name codebook before what wraps the model.")
        projections = last_projections(model)
        self._place = projections[place_of("codebook layer", self.layer, len(projections))]
        self.model, self.served = model, CodebookModel(model, self._place, self.codes)
        return self.served

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        """Let the inner learner learn, then put right what is wrong. Raises DataError if nobody can learn anything: no weights learn and no row asks."""
        rows = self._asking(experience.train)
        if not rows and isinstance(self.inner, Frozen):
            raise DataError(
                f"a codebook keeps answers, and no row here asks (experience={experience.name!r}, examples={len(experience.train)})."
                " Give prompts with completions, or join replay or plain to it."
            )
        log = self.inner.learn(model, experience, None if checkpoint is None else self._around(checkpoint))
        begun, steps, tokens = perf_counter(), 0, 0
        if log.steps:
            self._read_again()
        known = {e.question: e.content for e in self.codes.edits}  # the newest of each question
        wrong = [row for row in rows if known.get(row.example.question, row.example.content) != row.example.content]  # an older edit must not come back
        made = {row.id for row in wrong}
        for _ in range(ROUNDS):
            wrong += [row for row in self._wrong(rows) if row.id not in made]
            if not wrong:
                break
            made |= {row.id for row in wrong}
            self._edit(wrong)
            steps, tokens, wrong = steps + self.steps, tokens + sum(len(row.learned) for row in wrong), []
        took = perf_counter() - begun
        return replace(log, steps=log.steps + steps, learned_tokens=log.learned_tokens + tokens, seconds=log.seconds + took, end_seconds=log.end_seconds + took)

    def delete(self, ids: Collection[str]) -> int:
        """Undo the edits of these examples; how many there were. Every prompt is answered then as if they had not been made."""
        return self.codes.remove(set(ids))

    def state(self) -> State:
        return {**super().state(), "codes": self.codes.state()}

    def load(self, state: State) -> None:
        codes = state.get("codes")
        if not isinstance(codes, dict):
            raise StateError(f"the saved state is no codebook's (keys={sorted(state)[:5]!r}). Load the state of the same learner.")
        super().load(state)
        self.codes.load(on_device(codes, self.model.device))

    def _asking(self, examples: Sequence[Example]) -> list[Row]:
        """The rows that ask something, of each question the last."""
        encoder, latest = self.model.encoder, {e.id: e for e in examples}
        cut = encoder.cut
        rows = encoder.rows(superseded(latest.values(), latest.values()))
        encoder.cut = cut  # counted where the weights learn
        return [row for row in rows if asked_at(row) >= 0]

    def _wrong(self, rows: Sequence[Row]) -> list[Row]:
        """The rows whose answer, said greedily to its end, is not what is served."""
        found = []
        with torch.inference_mode():
            for part in by_length(rows, MOST_TOKENS):
                batch = self.model.batch(part)
                missed = _missed(self.served.logits(batch).logits, batch)
                found += [row.id for row, miss in zip(part, missed.tolist(), strict=True) if miss]
        asked = set(found)
        return [row for row in rows if row.id in asked]

    def _edit(self, rows: Sequence[Row]) -> None:
        keys, values = self._learned(rows)
        self.codes.add([row.example for row in rows], keys, values)

    def _read_again(self) -> None:
        """The weights beneath have moved: the keys of all edits anew, and the values of those that no longer say what they should."""
        if not self.codes.edits:
            return
        rows = self.model.encoder.rows(self.codes.edits)
        self.codes.moved(self._learned(rows, learn=False)[0])
        held = [rows[at] for at in self.codes.holding()]
        place = {row.id: at for at, row in enumerate(rows)}
        if wrong := self._wrong(held):
            at = torch.tensor([place[row.id] for row in wrong], device=self.codes.values.device)
            self.codes.values[at] = self._learned(wrong)[1]

    def _learned(self, rows: Sequence[Row], learn: bool = True) -> tuple[Tensor, Tensor]:
        """Keys (rows, K) and values (rows, A, V); without `learn`, values as the layer gives them."""
        keys, values = dict[str, Tensor](), dict[str, Tensor]()
        with as_found(self.model.module):
            for part in by_length(rows, MOST_TOKENS):
                key, value = self._part(part, learn)
                keys |= {row.id: vector for row, vector in zip(part, key, strict=True)}
                values |= {row.id: vector for row, vector in zip(part, value, strict=True)}
        return torch.stack([keys[row.id] for row in rows]), torch.stack([values[row.id] for row in rows])

    def _part(self, rows: Sequence[Row], learn: bool) -> tuple[Tensor, Tensor]:
        """Keys and values of one batch: Adam on each value by its own row's loss, until that row's answer is right and sure."""
        batch = self.model.batch(rows)
        at = torch.tensor([asked_at(row) for row in rows], device=self.model.device)
        every = torch.arange(len(rows), device=at.device)
        seen: list[Tensor] = []

        def noted(given: Tensor, out: Tensor) -> Tensor:
            places = (at[:, None] + torch.arange(self.tokens, device=at.device)).clamp_max(out.shape[1] - 1)
            seen.extend((given[every, at].float(), out[every[:, None], places].float(), out.float().square().mean().sqrt()))
            return out

        with torch.no_grad(), replaced(self._place, noted):
            self.model.logits(batch)
        key, value, size = seen
        if learn:
            value = self._descended(batch, at, value, self.rate * float(size))
        return key, value

    def _descended(self, batch: Batch, at: Tensor, start: Tensor, rate: float) -> Tensor:
        """The values (B, A, V) after their steps; what is done rests, and behind the answer its last value stands."""
        value = start.clone().requires_grad_()
        adam = torch.optim.Adam([value], rate)
        offsets = since(at, batch.tokens.shape[1])
        answer = batch.at - batch.row * batch.tokens.shape[1] >= at[batch.row]  # of several turns the last alone
        done = torch.zeros(len(at), dtype=torch.bool, device=at.device)

        count = torch.zeros(len(at), device=at.device).index_add(0, batch.row, answer.float())
        for _ in range(self.steps):
            with replaced(self._place, lambda _, out: put(out, value, offsets)):
                logits = self.model.logits(batch).logits
            losses = torch.where(answer, cross_entropy(logits.float(), batch.targets, reduction="none"), 0)
            mean = torch.zeros_like(count).index_add(0, batch.row, losses) / count
            done = done | ((mean.detach() < SURE) & ~_missed(logits, batch))
            if bool(done.all()):
                break
            (value.grad,) = torch.autograd.grad(mean.sum(), [value])
            before = value.detach().clone()
            adam.step()
            with torch.no_grad():
                value.copy_(torch.where(done[:, None, None], before, value))
        last = torch.minimum(torch.arange(self.tokens, device=at.device)[None], count.long()[:, None] - 1)
        return value.detach()[torch.arange(len(at), device=at.device)[:, None], last]

    def _around(self, checkpoint: Checkpoint) -> Checkpoint:
        """The given checkpoint, offered this learner's state with that of the running loop inside."""
        return lambda step, state: checkpoint(step, lambda: {**self.state(), "inner": state()})


def _missed(logits: Tensor, batch: Batch) -> Tensor:
    """For each row (B,), is a token of its last answer not the likeliest?"""
    width = batch.tokens.shape[1]
    last = torch.tensor([asked_at(row) for row in batch.rows], device=logits.device)
    wrong = (logits.argmax(1) != batch.targets) & (batch.at - batch.row * width >= last[batch.row])
    return torch.zeros(len(batch.rows), dtype=torch.long, device=logits.device).index_add(0, batch.row, wrong.long()) > 0
