"""Generative replay: the model writes what it knows, and rehearses that; nothing of the past is stored."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from random import Random

from torch import Tensor

from everlearn.errors import StateError
from everlearn.methods.base import Method, State, at_least
from everlearn.methods.distill import Distill
from everlearn.methods.replay import drawn, interleaved
from everlearn.methods.writing import Writer, asked_in, prompt_of
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Example, Out, Row


class GenerativeReplay(Method):
    """Before each experience the old model writes prompts and answers them; these are learned beside the new rows, with its own distribution.

    Adds strength * KL(p_old || p_new) on every rehearsed token, and rehearses (prompt, argmax p_old) as rows. LAMOL (Sun et al. 2020,
    arXiv:1909.03329) lets the model write from a start token, SSR (Huang et al. 2024, arXiv:2403.01244) answers what was written with the newest
    model. Differs: prompts are (a) written on from the new prompts' beginnings, and (b) the new prompts' shapes filled with
    phrases the model said itself; so a model that never learned to write prompts rehearses too. What new data asks is not rehearsed.

    share: own tokens / new tokens, >= 0; 0 is exactly plain training.   rows: most samples written an experience.   temperature: of the writing.
    rounds: of writing, at most; they end when one brings less than `fresh` of its size that was not there.   overlap: a sample that has more than
    this share of a new question's words (those all its phrasings have) is dropped.   confidence: least probability of the answer's tokens
    (geometric mean), 0 for no filter.   strength: of the distillation, on these and all other rehearsed rows, for the `k` likeliest tokens and
    the rest.   keep: most samples kept for later experiences, with the distribution of when they were written; 0 keeps none.
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 24, "rounds": 2, "keep": 12}
    family = "experience replay"
    paper = "Sun et al. 2020, arXiv:1909.03329; Huang et al. 2024, arXiv:2403.01244"
    stores = "nothing of what was given; at most `keep` samples of its own, each with k + 1 log-probabilities a token"
    cost = "`share` more tokens a step, and writing them once an experience"

    def __init__(
        self,
        share: float = 1.0,
        rows: int = 1000,
        temperature: float = 1.0,
        rounds: int = 4,
        fresh: float = 0.1,
        overlap: float = 0.6,
        confidence: float = 0.0,
        strength: float = 1.0,
        k: int = 32,
        keep: int = 0,
    ) -> None:
        at_least("generative_replay share", share, 0, 10)
        at_least("generative_replay rows", rows, 1)
        at_least("generative_replay rounds", rounds, 1)
        at_least("generative_replay keep", keep, 0)
        at_least("generative_replay fresh", fresh, 0, 1)
        at_least("generative_replay overlap", overlap, 0, 1)
        at_least("generative_replay confidence", confidence, 0, 1)
        self.share, self.rows, self.rounds, self.fresh = share, rows, rounds, fresh
        self.overlap, self.confidence = overlap, confidence
        self.sampling, self.keep = Sampling(temperature), keep
        self.kept: list[Example] = []
        self.teacher = Distill(strength if share else 0.0, on="memory", k=k)

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        new = [row for row in rows if not row.from_memory]
        if not self.share or not new:
            return rows
        once = list({row.id: row for row in new}.values())
        asked, told = asked_in([row.example for row in once]), {row.example.question for row in once}
        held = [e for e in self.kept if e.question not in told and asked.overlap(prompt_of(e) or e.text or "") <= self.overlap]
        wanted = ceil(self.share * len(new))
        room = max(self.keep - len(held), wanted // 4) if self.keep else wanted  # a full store still takes in what was learned since
        own = self.written(model, once, min(self.rows, room), random)
        known = {e.question or e.text for e in held}
        own = [*held, *(e for e in own if (e.question or e.text) not in known)]
        self.kept = own if len(own) <= self.keep else sorted(random.sample(own, self.keep), key=lambda e: e.id)
        tokens = self.share * sum(len(row.tokens) for row in new)
        return interleaved(rows, drawn(model.encoder, own, tokens, random)) if own else rows

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        held, kept = self.teacher.teacher, {e.id for e in self.kept}
        rest = model.encoder.rows((e for e in self.kept if e.id not in {row.id for row in rows}), from_memory=True)
        self.teacher.begin(model, [row for row in (*rows, *rest) if row.id not in held or row.id not in kept])
        self.teacher.teacher |= {key: answer for key, answer in held.items() if key in kept}  # as it was said when it was written

    def count(self, batch: Batch) -> float:
        return self.teacher.count(batch)

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return self.teacher.loss(model, batch, out)

    def state(self) -> State:
        return {"teacher": self.teacher.state(), "kept": {e.id: e.to_json() for e in self.kept}}

    def load(self, state: State) -> None:
        teacher, kept = state.get("teacher"), state.get("kept")
        if not isinstance(teacher, dict) or not isinstance(kept, dict):
            raise StateError(f"the saved state has no samples (keys={sorted(state)[:5]!r}). Load the state of a generative_replay method.")
        self.teacher.load(teacher)
        self.kept = [Example.from_json(saved) for saved in kept.values()]

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
