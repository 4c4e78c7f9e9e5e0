"""Consolidate: what proved stable goes from the dated store into the weights; what is new or volatile stays in the store alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from everlearn.errors import StateError
from everlearn.learn.base import Around, Learner, LearnLog
from everlearn.learn.fit import Checkpoint
from everlearn.learn.retrieval import Retrieval
from everlearn.memory.passages import Passage
from everlearn.memory.stability import Fact, Rates, facts_of
from everlearn.methods.base import State, at_least
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience


class Consolidate(Around):
    """Everything new is written into a dated store and read at once; the weights are taught only what has held there and is of a kind that rarely changes.

    Two memories, a fast one that teaches a slow one: McClelland, McNaughton and O'Reilly 1995. A row of the store is stable if nothing supersedes it, it
    held for `after` experiences, and again as many for each other answer that its question had before, and facts of its kind change at a rate of at
    most `change`. The stable ones not yet taught are the rows of the learner inside, with its methods and objective; where there are none it is left out.
    What a newer fact supersedes is not rehearsed any more, taught or not. A kind is a question's words without those that say whom or what it is about;
    what was known before the first experience counts as seen. Around a learner without a memory it puts `retrieval` with its defaults.

    after: experiences, >= 0.   change: changes an experience, 0 to 1; 1 takes every kind.   most: rows taught an experience, the oldest first; None for all.

    >>> from everlearn import Gradient, Replay
    >>> learner = Consolidate(after=2).around(Gradient([Replay(share=1)]))
    """

    active = {"after": 0, "change": 1.0}
    family = "memory networks"
    paper = "McClelland et al. 1995, Psychological Review 102"
    stores = "what retrieval stores; what was known before the stream, and the ids of what was taught"
    cost = "that of retrieval, and of learning the rows that proved stable"

    def __init__(self, after: int = 2, change: float = 0.015, most: int | None = None) -> None:
        at_least("consolidate after", after, 0)
        at_least("consolidate change", change, 0, 1)
        at_least("consolidate most", 0 if most is None else most, 0)
        self.after, self.change, self.most = after, change, most
        self.past: dict[str, Example] = {}  # by question, what was known before the first experience
        self.arrived: dict[str, int] = {}  # by a passage's id, the experience that brought it, from 1
        self.taught: dict[str, tuple[str, str]] = {}  # by a passage's id, the id and source of the row that the weights were taught
        self.done = 0

    def around(self, inner: Learner) -> Consolidate:
        """This learner with a store beneath it: the given learner, if that is a Retrieval, else one put around it."""
        memory = inner if isinstance(inner, Retrieval) else Retrieval().around(inner)
        assert isinstance(memory, Retrieval)
        self.inner, self.memory = memory, memory
        return self

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        self.past |= {e.question: e for e in examples if e.question is not None}
        super().remember(model, examples)

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        """Write the rows, then let the inner learner learn those of the store that have become stable, if there are any."""
        begun = perf_counter()
        passages, now, log = self._written(experience), self.done + 1, LearnLog()
        facts = self._facts(passages, now)
        self.memory.supersede([fact.row for fact in facts if fact.ended is None])
        due = self.due(facts, now)
        took = perf_counter() - begun
        if due:
            rows = tuple(fact.row for fact in due)
            log = self.memory.teach(model, replace(experience, train=rows), None if checkpoint is None else self._around(checkpoint))
            self.taught |= {fact.passage: (fact.row.id, fact.row.source) for fact in due}
        self.done = now
        return replace(log, seconds=log.seconds + took, end_seconds=log.end_seconds + took)

    def delete(self, source: str = "", id: str = "") -> int:
        """Take what a source said, or one passage, out of the store; how many passages went. What the weights were taught of it stays in `taught`."""
        gone = self.memory.delete(source, id)
        self.past = {question: e for question, e in self.past.items() if not source or e.source != source}
        self.arrived = {passage.id: self.arrived[passage.id] for passage in self.memory.store.passages() if passage.id in self.arrived}
        return gone

    def state(self) -> State:
        taught = {"passages": list(self.taught), "rows": [list(row) for row in self.taught.values()]}
        own: State = {"past": [e.to_json() for e in self.past.values()], "arrived": dict(self.arrived), "taught": taught, "done": self.done}
        return {**super().state(), **own}

    def load(self, state: State) -> None:
        lost = [name for name in ("past", "arrived", "taught", "done") if name not in state]
        if lost:
            raise StateError(f"the saved state is no consolidate's (missing={lost!r}). Load the state of the same learner.")
        super().load(state)
        saved: Any = state
        past = [Example.from_json(row) for row in saved["past"]]
        self.past, self.arrived, self.done = {e.question or "": e for e in past}, dict(saved["arrived"]), int(saved["done"])
        self.taught = {passage: (row[0], row[1]) for passage, row in zip(saved["taught"]["passages"], saved["taught"]["rows"], strict=True)}

    def _written(self, experience: Experience) -> list[Passage]:
        """Write the rows; what the store then holds. A fact told again with an earlier date has a new passage; what is known of the one that it took in goes
        on with it.
        """
        before = self.memory.store.passages()
        self.memory.write(experience)
        after = self.memory.store.passages()
        there = {passage.id for passage in after}
        gone = {(passage.key, passage.text): passage.id for passage in reversed(before) if passage.id not in there}
        known = {passage.id for passage in before}
        for passage in after:
            old = gone.get((passage.key, passage.text)) if passage.id not in known else None
            if old in self.arrived:
                self.arrived[passage.id] = self.arrived[old]
            if old in self.taught:
                self.taught[passage.id] = self.taught[old]
        return after

    def _facts(self, passages: Sequence[Passage], now: int) -> list[Fact]:
        """The store's rows and how they fared; what is new there came with this experience."""
        self.arrived = {passage.id: self.arrived.get(passage.id, now) for passage in passages}
        return facts_of(passages, self.arrived, self.past)

    def due(self, facts: Sequence[Fact], now: int) -> list[Fact]:
        """Those that are stable and were not taught yet, first what arrived first, then by date."""
        held = [f for f in facts if f.ended is None and f.passage and f.passage not in self.taught and f.held(now) >= self.after * (1 + f.changes)]
        if self.change < 1 and held:
            rates = Rates(facts, now)
            held = [fact for fact in held if rates.of(fact.row) <= self.change]
        return sorted(held, key=lambda fact: fact.began)[: self.most]

    def _around(self, checkpoint: Checkpoint) -> Checkpoint:
        """The given checkpoint, offered this learner's state with that of the memory and the running loop inside."""
        return lambda step, state: checkpoint(step, lambda: {**self.state(), "inner": state()})
