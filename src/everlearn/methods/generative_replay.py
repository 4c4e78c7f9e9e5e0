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
from everlearn.types import Batch, Example, Out, Row, superseded


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
    the rest.   keep: most samples kept for later experiences, with the distribution of when they were written; 0 keeps none. What new data asks
    leaves them, and is asked again of the model that has learned it.   prompts: weight of the tokens of all prompts, new and own, which are then
    learned too, so that the model can write them later (LAMOL's second loss), in [0, 1].
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
        prompts: float = 0.0,
    ) -> None:
        at_least("generative_replay share", share, 0, 10)
        at_least("generative_replay rows", rows, 1)
        at_least("generative_replay rounds", rounds, 1)
        at_least("generative_replay keep", keep, 0)
        at_least("generative_replay fresh", fresh, 0, 1)
        at_least("generative_replay overlap", overlap, 0, 1)
        at_least("generative_replay confidence", confidence, 0, 1)
        at_least("generative_replay prompts", prompts, 0, 1)
        self.share, self.rows, self.rounds, self.fresh = share, rows, rounds, fresh
        self.overlap, self.confidence = overlap, confidence
        self.sampling, self.keep, self.prompts = Sampling(temperature), keep, prompts
        self.kept: list[Example] = []
        self.due: list[Example] = []  # what the present experience asks too: to be asked again once that is learned
        self.teacher = Distill(strength if share else 0.0, on="memory", k=k)

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        new = [row for row in rows if not row.from_memory]
        if not self.share or not new:
            return rows
        once = list({row.id: row for row in new}.values())
        own = self._own(model, once, ceil(self.share * len(new)), random)
        tokens = self.share * sum(len(row.tokens) for row in new)
        mixed = interleaved(rows, drawn(model.encoder, own, tokens, random)) if own else rows
        return [self._learned(model, row) for row in mixed]

    def _learned(self, model: TrainedModel, row: Row) -> Row:
        return model.encoder.asked_too(row, self.prompts) if self.prompts else row

    def _own(self, model: TrainedModel, once: Sequence[Row], wanted: int, random: Random) -> list[Example]:
        """What is rehearsed: samples kept and not contradicted, those asked again, and new ones."""
        asked, told = asked_in([row.example for row in once]), {row.example.question for row in once}
        fits = [e.question not in told and asked.overlap(prompt_of(e) or e.text or "") <= self.overlap for e in self.kept]
        held = [e for e, fit in zip(self.kept, fits, strict=True) if fit]
        writer = self.writer(model, once, random)
        held += writer.again([e for e in self.due if e.question not in told])
        self.due = [e for e, fit in zip(self.kept, fits, strict=True) if not fit and e.text is None]
        room = max(self.keep - len(held), wanted // 4) if self.keep else wanted  # a full store still takes in what was learned since
        own = self.written(writer, min(self.rows, room))
        known = {e.question or e.text for e in held}
        own = [*held, *(e for e in own if (e.question or e.text) not in known)]
        self.kept = own if len(own) <= self.keep else sorted(random.sample(own, self.keep), key=lambda e: e.id)
        return own

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        held, kept = self.teacher.teacher, {e.id for e in self.kept}
        here = {row.id for row in rows}
        rest = [self._learned(model, row) for row in model.encoder.rows((e for e in self.kept if e.id not in here), from_memory=True)]
        self.teacher.begin(model, [row for row in (*rows, *rest) if row.id not in held or row.id not in kept])
        self.teacher.teacher |= {key: answer for key, answer in held.items() if key in kept}  # as it was said when it was written

    def count(self, batch: Batch) -> float:
        return self.teacher.count(batch)

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return self.teacher.loss(model, batch, out)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.kept, self.due = superseded(self.kept, newer), superseded(self.due, newer)

    def state(self) -> State:
        kept, due = ({e.id: e.to_json() for e in examples} for examples in (self.kept, self.due))
        return {"teacher": self.teacher.state(), "kept": kept, "due": due}

    def load(self, state: State) -> None:
        teacher, kept = state.get("teacher"), state.get("kept")
        if not isinstance(teacher, dict) or not isinstance(kept, dict):
            raise StateError(f"the saved state has no samples (keys={sorted(state)[:5]!r}). Load the state of a generative_replay method.")
        self.teacher.load(teacher)
        self.kept = [Example.from_json(saved) for saved in kept.values()]
        due = state.get("due", {})
        self.due = [Example.from_json(saved) for saved in due.values()] if isinstance(due, dict) else []

    def writer(self, model: TrainedModel, rows: Sequence[Row], random: Random) -> Writer:
        """One for these new rows: it writes in their forms, and nothing about what they are about."""
        limit = max(len(row.learned) for row in rows)
        return Writer(model, [row.example for row in rows], limit, self.sampling, self.overlap, random, self.confidence)

    def written(self, writer: Writer, most: int) -> list[Example]:
        """At most `most` samples of what the model knows."""
        found: dict[str, Example] = {}
        for _ in range(self.rounds):
            before, wanted = len(found), most - len(found)
            found |= {e.id: e for e in writer.round(wanted)}
            if len(found) >= most or len(found) - before < self.fresh * wanted:
                break
        return list(found.values())[:most]
