"""Dark experience replay: rehearse rows with what the model said of them when it learned them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from everlearn.errors import SettingError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.distill import SMALLEST_TAIL, with_tail
from everlearn.methods.replay import drawn, interleaved
from everlearn.methods.tensors import tensors_of
from everlearn.models.batch import by_length
from everlearn.models.processes import Processes
from everlearn.models.weights import TrainedModel, as_found
from everlearn.replay.buffers import Reservoir
from everlearn.types import Batch, Example, Out, Row, superseded


class Said(NamedTuple):
    """What the model said at a row's n learned tokens: the top-k ids (n, k), and their logits and the logsumexp of all (n, k + 1)."""

    ids: Tensor
    logits: Tensor


class DER(Method):
    """strength * D(p_then || p_now) on remembered rows, p_then what the model said when it learned them, and labels * their cross-entropy.

    DER++ (Buzzega et al. 2020, arXiv:2004.07211; alpha is `strength`, beta `labels`). distance="kl": KL over the top k tokens and one bucket for all others;
    "mse": the paper's mean squared difference of logits, over the top k. Differs: top-k; the coming buffer is drawn before an experience, so
    that logits are kept only of rows that stay, from the last time each was learned; the present experience's own rows are not replayed in
    it; the labels' cross-entropy shares the objective's mean over tokens. Rows another method remembers count with what the model says of them
    before the experience.

    strength, labels: >= 0.   share: remembered tokens / new tokens, >= 0; 0 is exactly plain training.   rows: most examples kept, None for
    all.   k: tokens kept, >= 1.

    >>> from everlearn import DER, Gradient
    >>> learner = Gradient([DER(strength=0.5, rows=2000)])
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 32}
    family = "distillation"
    paper = "Buzzega et al. 2020, arXiv:2004.07211"
    stores = "examples, at most `rows`; per learned token of theirs k ids and k + 1 logits"
    cost = "`share` more tokens a step"

    def __init__(
        self,
        strength: float = 0.5,
        labels: float = 1.0,
        share: float = 0.5,
        rows: int | None = 1000,
        distance: Literal["kl", "mse"] = "kl",
        k: int = 32,
    ) -> None:
        at_least("der strength", strength, 0)
        at_least("der labels", labels, 0)
        at_least("der share", share, 0, 10)
        at_least("der rows", 1 if rows is None else rows, 1)
        at_least("der k", k, 1)
        if distance not in ("kl", "mse"):
            raise SettingError(f"der distance must be 'kl' or 'mse', got {distance!r}.")
        self.strength, self.labels, self.share, self.distance, self.k = strength, labels, share, distance, k
        self.buffer, self.coming = Reservoir(rows), Reservoir(rows)  # of the past; of the past and the present experience
        self.said: dict[str, Said] = {}
        self._newcomers: set[str] = set()
        self._noted: set[str] = set()  # newcomers observed since processes last gathered

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        if not self.share:
            return rows
        new = [row for row in rows if not row.from_memory]
        examples = list({row.id: row.example for row in new}.values())
        self.coming = replace(self.buffer, kept=self.buffer.examples())
        self.coming.offer(examples, random)
        self._newcomers = _ids(self.coming) - _ids(self.buffer)
        old = superseded(self.buffer.examples(), examples)
        if not old:
            return rows
        remembered = drawn(model.encoder, old, self.share * sum(len(row.tokens) for row in new), random)
        return interleaved(rows, [replace(row, weight=self.labels) for row in remembered])

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if self.share:
            self._ask(model, [row for row in rows if row.from_memory and row.id not in self.said])

    def count(self, batch: Batch) -> float:
        return float(sum(len(row.learned) for row in batch.rows if self._covers(row)))

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        covered = [self._covers(row) for row in batch.rows]
        said = [self.said[row.id] for row in batch.rows if self._covers(row)]
        here = torch.tensor(covered, device=batch.row.device)[batch.row]
        ids, then = torch.cat([s.ids for s in said]), torch.cat([s.logits for s in said])
        if self.distance == "mse":
            return self.strength * out.at(here).each(lambda logits, ids, then: (logits.float().gather(1, ids) - then[:, :-1]).square().mean(1), ids, then)
        top = then[:, :-1] - then[:, -1:]
        old = torch.cat([top, (1 - top.exp().sum(1, keepdim=True)).clamp_min(SMALLEST_TAIL).log()], 1)
        return self.strength * (old.exp() * (old - out.at(here).each(lambda logits, ids: with_tail(logits.float(), ids), ids))).sum(1)

    def observe(self, model: TrainedModel, batch: Batch, out: Out) -> None:
        wanted = [row.id in self._newcomers and not row.from_memory for row in batch.rows]
        self._keep(batch, out, wanted)
        self._noted |= {row.id for row, keep in zip(batch.rows, wanted, strict=True) if keep}

    def gathered(self, processes: Processes) -> None:
        self.said |= processes.joined({key: self.said[key] for key in self._noted})
        self._noted = set()

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not self.share:
            return
        if step.number:
            self.buffer = self.coming
        else:
            self.buffer.offer([row.example for row in step.rows], random)
        held, self._newcomers, self._noted = _ids(self.buffer), set(), set()
        self.said = {key: said for key, said in self.said.items() if key in held}
        self._ask(model, [row for row in step.rows if row.id in held and row.id not in self.said])

    def supersede(self, newer: Sequence[Example]) -> None:
        self.buffer.supersede(newer)
        held = _ids(self.buffer)
        self.said = {key: said for key, said in self.said.items() if key in held}

    def state(self) -> State:
        ids, logits = {key: said.ids for key, said in self.said.items()}, {key: said.logits for key, said in self.said.items()}
        return {"buffer": self.buffer.to_json(), "coming": self.coming.to_json(), "newcomers": sorted(self._newcomers), "ids": ids, "logits": logits}

    def load(self, state: State) -> None:
        buffer, coming, newcomers = (state.get(name) for name in ("buffer", "coming", "newcomers"))
        if not (isinstance(buffer, dict) and isinstance(coming, dict) and isinstance(newcomers, list)):
            raise StateError(f"the saved state has no buffers (keys={sorted(state)!r}). Load the state of der.")
        self.buffer.load_json(buffer)
        self.coming.load_json(coming)
        ids, logits = tensors_of(state, "ids"), tensors_of(state, "logits")
        self.said, self._newcomers = {key: Said(ids[key], logits[key]) for key in ids}, set(newcomers)

    def _covers(self, row: Row) -> bool:
        return bool(self.strength) and row.from_memory and row.id in self.said

    def _ask(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """Note what the model says of rows now."""
        with as_found(model.module), torch.no_grad():
            for part in by_length(list({row.id: row for row in rows}.values()), 16_384, model.tokens_a_pass()):
                batch = model.batch(part)
                self._keep(batch, model.logits(batch), [True] * len(part))

    def _keep(self, batch: Batch, out: Out, wanted: Sequence[bool]) -> None:
        """Note the batch's logits for the wanted rows."""
        if not any(wanted):
            return
        logits = out.at(torch.tensor(wanted, device=batch.row.device)[batch.row]).logits.float()
        top = logits.topk(min(self.k, logits.shape[1] - 1), 1)
        rows = [row for row, keep in zip(batch.rows, wanted, strict=True) if keep]
        counts = [len(row.learned) for row in rows]
        values = torch.cat([top.values, logits.logsumexp(1, keepdim=True)], 1)
        for row, ids, value in zip(rows, torch.split(top.indices, counts), torch.split(values, counts), strict=True):
            self.said[row.id] = Said(ids.clone(), value.clone())


def _ids(buffer: Reservoir) -> set[str]:
    return {example.id for example in buffer.kept}
