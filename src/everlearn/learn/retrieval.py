"""Retrieval: what arrives is written into a dated store in seconds, and read before the model answers."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from time import perf_counter
from typing import Any
from uuid import uuid4

import torch

from everlearn.errors import SettingError, StateError
from everlearn.learn.base import Around, LearnLog
from everlearn.learn.fit import Checkpoint
from everlearn.memory.embedding import embedder_of
from everlearn.memory.passages import Passage
from everlearn.memory.reading import answered_in, example_of, passage_of
from everlearn.memory.retrieval import RetrievalModel
from everlearn.memory.store import DatedStore
from everlearn.methods.base import State, at_least
from everlearn.models.weights import TrainedModel
from everlearn.types import Experience


class Retrieval(Around):
    """An external memory beside the model: rows become dated passages, a question is answered with the nearest ones before it; no weight learns.

    Lewis et al. 2020, arXiv:2005.11401, with a store whose facts have dates. Differs: nothing is trained to retrieve; a passage is found by the model's own
    state at the end of a question, joined with the question's words; of passages that answer the same question the newest that holds is read; where
    nothing is near enough, the prompt stays as it is. Joined to methods (`retrieval+replay(share=1)`) the store is written, then the model beneath learns,
    without passages, and the store's vectors are made anew.

    k: passages read, >= 1.   least: the cosine from which a passage is near, -1 to 1.   same: those within this of the nearest answer one question.
    names: a passage is read only where the question has every telling word of its own (a name, and what is as rare in the store).
    as_of: an ISO date; "" for now.   template: what stands before the question.   embedder: "model", or a sentence-transformers model.
    store: a folder or an object storage's address, in which every run makes a store of its own that stays there; "" for one that goes with the run. What it
    holds is part of the learner's state anyway.

    >>> from everlearn import Example, load_model
    >>> from everlearn.learn.bounds import Frozen
    >>> model, learner = load_model("tiny"), Retrieval().around(Frozen())
    >>> served, row = learner.prepare(model), Example(prompt="Question: What is the river of Penwick?\\nAnswer:", completion=" Brue")
    >>> log = learner.learn(model, Experience("today", (row,)))
    >>> served.generate([row], limit=4)
    [' Brue']
    """

    active = {"least": 0.8}
    family = "memory networks"
    paper = "Lewis et al. 2020, arXiv:2005.11401"
    stores = "every row as a passage, with its vector"
    cost = "learning: a forward pass over each question; answering: one more, a search, and the passages read"
    trains = False

    def __init__(
        self,
        k: int = 1,
        least: float = 0.96,
        same: float = 0.02,
        names: bool = True,
        as_of: str = "",
        template: str = "Context: {passages} ",
        embedder: str = "model",
        store: str = "",
    ) -> None:
        at_least("retrieval k", k, 1)
        at_least("retrieval least", least, -1, 1)
        at_least("retrieval same", same, 0, 2)
        self.reading = {"k": k, "least": least, "same": same, "names": names, "as_of": as_of, "template": template}
        self.embedder, self.uri = embedder, store

    def prepare(self, model: TrainedModel) -> RetrievalModel:
        """The model with its store. Raises SettingError around a learner that serves another wrapper, MissingExtra without lancedb."""
        served = self.inner.prepare(model)
        if not isinstance(served, TrainedModel):
            raise SettingError(f"retrieval reads for the model itself (beneath={type(served).__name__!r}). Name retrieval before what wraps the model.")
        folder = f"{self.uri.rstrip('/')}/{uuid4().hex[:12]}" if self.uri else tempfile.mkdtemp(prefix="everlearn-store-")
        maker = embedder_of(self.embedder, model)
        self.model, self.store = model, DatedStore(folder, maker)
        if not self.uri:
            weakref.finalize(self.store, shutil.rmtree, folder, ignore_errors=True)  # with the store: what is served may outlive this learner
        self.served = RetrievalModel(served, self.store, maker, **self.reading)  # type: ignore[arg-type]
        return self.served

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        """Write the rows, then let the inner learner learn."""
        begun = perf_counter()
        self.write(experience)
        took = perf_counter() - begun
        log = self.teach(model, experience, checkpoint)
        return replace(log, seconds=log.seconds + took, end_seconds=log.end_seconds + took)

    def write(self, experience: Experience) -> None:
        """Put the rows into the store; those that are there already change nothing."""
        rows = [e for e in experience.train if answered_in(e)]
        self.store.add([passage_of(e, experience.time) for e in rows], self.served.vectors(rows) if rows else None)

    def teach(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        """Let the inner learner learn; where weights moved, passages are found by the new ones."""
        log = self.inner.learn(model, experience, None if checkpoint is None else self._around(checkpoint))
        begun = perf_counter()
        if log.steps:
            self._anew()
        took = perf_counter() - begun
        return replace(log, seconds=log.seconds + took, end_seconds=log.end_seconds + took)

    def take_over(self, state: State) -> None:
        """Write what the store in another learner's saved state holds, as far as it was made from rows; nothing where there is none."""
        inner = state.get("inner")
        while "passages" not in state and isinstance(inner, dict):
            state, inner = inner, inner.get("inner")
        rows: Any = state.get("passages", [])
        passages = [Passage.from_json({name: value for name, value in row.items() if name != "number"}) for row in rows]
        held = [(passage, row) for passage in passages if (row := example_of(passage)) is not None]
        if held:
            self.store.add([passage for passage, _ in held], self.served.vectors([row for _, row in held]))

    def delete(self, source: str = "", id: str = "") -> int:
        """Take everything a source said, or one passage, out of the store with its bytes; how many passages went."""
        return self.store.delete(source, id)

    def state(self) -> State:
        rows, vectors = self.store.rows()
        return {**super().state(), "passages": rows, "vectors": torch.tensor(vectors)}

    def load(self, state: State) -> None:
        rows, vectors = state.get("passages"), state.get("vectors")
        if not isinstance(rows, list) or not isinstance(vectors, torch.Tensor) or len(rows) != len(vectors):
            raise StateError(f"the saved state is no retrieval's (keys={sorted(state)[:5]!r}). Load the state of the same learner.")
        super().load(state)
        self.store.replace(rows, vectors.cpu().numpy())

    def _anew(self) -> None:
        """The weights have moved: by what the passages are found anew."""
        rows, vectors = self.store.rows()
        made = [example_of(passage) for passage in self.store.passages()]
        known = [at for at, e in enumerate(made) if e is not None]
        if known:
            vectors = vectors.copy()
            vectors[known] = self.served.vectors([e for e in made if e is not None])
            self.store.replace(rows, vectors)

    def _around(self, checkpoint: Checkpoint) -> Checkpoint:
        """The given checkpoint, offered this learner's state with that of the running loop inside."""
        return lambda step, state: checkpoint(step, lambda: {**self.state(), "inner": state()})
