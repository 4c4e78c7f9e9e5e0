"""kNN-LM: what is read is kept token by token and looked up while the model answers; no weight learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor

from everlearn.errors import SettingError, StateError
from everlearn.learn.base import Around, LearnLog
from everlearn.learn.fit import Checkpoint
from everlearn.memory.knn_lm import NeighbourModel
from everlearn.memory.neighbours import Neighbours
from everlearn.methods.base import State, at_least
from everlearn.models.batch import by_length
from everlearn.models.state import on_device
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Example, Experience, Row, superseded

MOST_TOKENS = 4096  # padded, read at once


class KNNLM(Around):
    """Every learned token is kept with the state before it; an answer's next token is mixed with what followed the nearest states.

        p = (1 - s) p_model + s p_near,   p_near in proportion to exp(-d_i / temperature) of the k nearest,   s = share * exp(-d_nearest / temperature)

    d: squared distance of the states before the output head, over the keys' spread. Khandelwal et al. 2020, arXiv:1911.00172. Differs: s falls with the
    distance of the nearest, where the paper's is fixed (a learned share is better, Zheng et al. 2021, arXiv:2105.13022); keys are bytes with a scale;
    search is exact. A row is read once, in one forward pass. Joined to methods (`knn_lm+replay(share=1)`) the weights learn first, then the keys are
    read anew.

    k: neighbours, >= 1.   share: in [0, 1); 0 is the model itself, bit for bit.   temperature: > 0.   most: tokens kept, the oldest rows go first, >= 1.

    >>> from everlearn import load_model
    >>> from everlearn.learn.bounds import Frozen
    >>> model, learner = load_model("tiny"), KNNLM().around(Frozen())
    >>> served, row = learner.prepare(model), Example(prompt="Question: What is the river of Penwick?\\nAnswer:", completion=" Brue")
    >>> log = learner.learn(model, Experience("today", (row,)))
    >>> served.generate([row], limit=4)
    [' Brue']
    """

    active = {"share": 0.5, "temperature": 1.0}
    family = "memory networks"
    paper = "Khandelwal et al. 2020, arXiv:1911.00172"
    stores = "of each learned token a key of one byte a component, and the examples themselves"
    cost = "learning: a forward pass; answering: a search of all keys a token"
    trains = False

    def __init__(self, k: int = 8, share: float = 0.9, temperature: float = 0.3, most: int = 200_000) -> None:
        at_least("knn_lm k", k, 1)
        at_least("knn_lm share", share, 0, 0.999999)
        at_least("knn_lm temperature", temperature, 1e-9)
        at_least("knn_lm most", most, 1)
        self.k, self.share, self.temperature = k, share, temperature
        self.neighbours = Neighbours(most)

    def prepare(self, model: TrainedModel) -> NeighbourModel:
        """The model with its neighbours. Raises SettingError around a learner that serves another wrapper, ModelError for a model that is no decoder."""
        served = self.inner.prepare(model)
        if served is not model:
            raise SettingError(f"knn_lm stands on the model itself (beneath={type(served).__name__!r}). Name knn_lm before what wraps the model.")
        self.model, self.served = model, NeighbourModel(model, self.neighbours, self.k, self.share, self.temperature)
        return self.served

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        """Let the inner learner learn, then read the rows."""
        log = self.inner.learn(model, experience, None if checkpoint is None else self._around(checkpoint))
        begun = perf_counter()
        if log.steps and self.neighbours.examples:
            self._read(list(self.neighbours.examples))
        latest = {e.id: e for e in experience.train}
        cut = self._read(superseded(latest.values(), latest.values()))
        took = perf_counter() - begun
        return replace(log, seconds=log.seconds + took, end_seconds=log.end_seconds + took, cut=log.cut if log.steps else cut)

    def delete(self, ids: Collection[str]) -> int:
        """Take these examples out; how many there were. What they had superseded is looked up again, as long as it is kept."""
        return self.neighbours.remove(set(ids))

    def state(self) -> State:
        return {**super().state(), "neighbours": self.neighbours.state()}

    def load(self, state: State) -> None:
        neighbours = state.get("neighbours")
        if not isinstance(neighbours, dict):
            raise StateError(f"the saved state is no knn_lm's (keys={sorted(state)[:5]!r}). Load the state of the same learner.")
        super().load(state)
        self.neighbours.load(on_device(neighbours, self.model.device))

    def _read(self, examples: Sequence[Example]) -> int:
        """Keep the states before, and the tokens at, the learned positions of these examples; how many had to be cut."""
        rows, cut = self._rows(examples)
        place = {id(row): at for at, row in enumerate(rows)}
        keys, tokens = dict[int, Tensor](), dict[int, Tensor]()
        with as_found(self.model.module), torch.no_grad():
            for part in by_length(rows, MOST_TOKENS):
                batch = self.model.batch(part)
                states = self.served.states(batch)
                for number, row in enumerate(part):
                    keys[place[id(row)]], tokens[place[id(row)]] = states[batch.row == number], batch.targets[batch.row == number]
        if rows:
            counts = Counter[str]()
            for at, row in enumerate(rows):
                counts[row.id] += len(tokens[at])
            every, known = range(len(rows)), {row.id: row.example for row in rows}
            self.neighbours.add(
                list(known.values()), [counts[key] for key in known], torch.cat([keys[n] for n in every]), torch.cat([tokens[n] for n in every])
            )
        return cut

    def _rows(self, examples: Sequence[Example]) -> tuple[list[Row], int]:
        """The examples encoded, a text that is too long in windows one after the other; and how many others had to be cut."""
        encoder, rows, cut = self.model.encoder, list[Row](), 0
        before = encoder.cut
        for example, row in zip(examples, encoder.rows(examples), strict=True):
            room, whole = encoder.longest - len(encoder.start), encoder.tokens([example.text])[0] if example.text is not None else []
            if len(whole) < room:
                rows.append(row)
                continue
            whole = [*whole, encoder.end]
            for start in range(0, len(whole), room):
                window = (*encoder.start, *whole[start : start + room])
                rows.append(Row(example, window, tuple(range(max(1, len(encoder.start)), len(window)))))
            cut += len(whole) > room
        cut, encoder.cut = encoder.cut - before - cut, before  # counted where the weights learn, too
        return [row for row in rows if row.learned], cut

    def _around(self, checkpoint: Checkpoint) -> Checkpoint:
        """The given checkpoint, offered this learner's state with that of the running loop inside."""
        return lambda step, state: checkpoint(step, lambda: {**self.state(), "inner": state()})
