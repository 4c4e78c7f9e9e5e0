"""Generative replay: the model writes what it knows, and rehearses that; nothing of the past is stored."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from random import Random

from torch import Tensor

from everlearn.methods.base import Method, State, at_least
from everlearn.methods.distill import Distill
from everlearn.methods.replay import drawn, interleaved
from everlearn.methods.writing import Writer
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Example, Out, Row


class GenerativeReplay(Method):
    """Before each experience the old model writes prompts and answers them; these are learned beside the new rows, with its own distribution.

    Adds strength * KL(p_old || p_new) on every rehearsed token, and rehearses (prompt, argmax p_old) as rows. LAMOL (Sun et al. 2020,
    arXiv:1909.03329) lets the model write from a start token, SSR (Huang et al. 2024, arXiv:2403.01244) answers what was written with the newest
    model. Differs: prompts are (a) written on from the new prompts' beginnings, and (b) the new prompts' shapes filled with
    phrases the model said itself; so a model that never learned to write prompts rehearses too. What is about the same subject as new data is dropped.

    share: own tokens / new tokens, >= 0; 0 is exactly plain training.   rows: most samples an experience.   temperature: of the writing.
    rounds: of writing, at most; they end when one brings less than `fresh` of its size that was not there.   overlap: a sample that has more than
    this share of a new prompt's rare words is dropped.   confidence: least probability of the answer's tokens (geometric mean), 0 for no filter.
    strength: of the distillation, on these and all other rehearsed rows, for the `k` likeliest tokens and the rest.
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 24, "rounds": 2, "confidence": 0.0}
    family = "experience replay"
    paper = "Sun et al. 2020, arXiv:1909.03329; Huang et al. 2024, arXiv:2403.01244"
    stores = "nothing between experiences"
    cost = "`share` more tokens a step, and writing them once an experience"

    def __init__(
        self,
        share: float = 1.0,
        rows: int = 1000,
        temperature: float = 1.0,
        rounds: int = 4,
        fresh: float = 0.1,
        overlap: float = 0.75,
        confidence: float = 0.0,
        strength: float = 1.0,
        k: int = 32,
    ) -> None:
        at_least("generative_replay share", share, 0, 10)
        at_least("generative_replay rows", rows, 1)
        at_least("generative_replay rounds", rounds, 1)
        at_least("generative_replay fresh", fresh, 0, 1)
        at_least("generative_replay overlap", overlap, 0, 1)
        at_least("generative_replay confidence", confidence, 0, 1)
        self.share, self.rows, self.rounds, self.fresh = share, rows, rounds, fresh
        self.overlap, self.confidence = overlap, confidence
        self.sampling = Sampling(temperature)
        self.teacher = Distill(strength if share else 0.0, on="memory", k=k)

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        new = [row for row in rows if not row.from_memory]
        if not self.share or not new:
            return rows
        own = self.written(model, list({row.id: row for row in new}.values()), min(self.rows, ceil(self.share * len(new))), random)
        tokens = self.share * sum(len(row.tokens) for row in new)
        return interleaved(rows, drawn(model.encoder, own, tokens, random)) if own else rows

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.teacher.begin(model, rows)

    def count(self, batch: Batch) -> float:
        return self.teacher.count(batch)

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return self.teacher.loss(model, batch, out)

    def state(self) -> State:
        return self.teacher.state()

    def load(self, state: State) -> None:
        self.teacher.load(state)

    def written(self, model: TrainedModel, rows: Sequence[Row], most: int, random: Random) -> list[Example]:
        """At most `most` samples of what the model knows, in the forms of the given rows, none about what those are about."""
        limit = max(len(row.learned) for row in rows)
        writer = Writer(model, [row.example for row in rows], limit, self.sampling, self.overlap, random, self.confidence)
        found: dict[str, Example] = {}
        for _ in range(self.rounds):
            before, wanted = len(found), most - len(found)
            found |= {e.id: e for e in writer.round(wanted)}
            if len(found) >= most or len(found) - before < self.fresh * wanted:
                break
        return list(found.values())[:most]
