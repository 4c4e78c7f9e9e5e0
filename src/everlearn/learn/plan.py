"""Which rows are learned at which step: fixed before the first, part of the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from everlearn.errors import StateError
from everlearn.methods.base import State
from everlearn.models.encode import Encoder
from everlearn.types import Example, Row


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of all passes in order, to be cut evenly into `total` steps, and the new ones, once each."""

    rows: Sequence[Row]
    new: Sequence[Row]
    total: int

    def step(self, number: int) -> Sequence[Row]:
        """The rows of step `number`, from 1."""
        return self.rows[(number - 1) * len(self.rows) // self.total : number * len(self.rows) // self.total]

    @property
    def new_ids(self) -> list[str]:
        """Ids of the experience's own rows, in the order they came."""
        return [row.id for row in self.new]

    @property
    def rehearsed(self) -> frozenset[str]:
        """Ids of the examples that come from memory."""
        return frozenset(row.id for row in self.rows if row.from_memory)

    def state(self) -> State:
        """Every example once, and the order."""
        examples = {row.id: row.example.to_json() for row in (*self.rows, *self.new)}
        order = [[row.id, row.from_memory, row.weight, *([list(row.learned), list(row.factors)] if row.factors else [])] for row in self.rows]
        return {"examples": examples, "order": order, "new": [row.id for row in self.new], "total": self.total}

    @classmethod
    def load(cls, encoder: Encoder, state: Mapping[str, object]) -> Plan:
        """The plan of a saved state."""
        saved = state.get("plan")
        if not isinstance(saved, dict):
            raise StateError(f"the saved state has no plan (keys={sorted(state)[:5]!r}). Give what the checkpoint was offered.")
        examples = {key: Example.from_json(row) for key, row in saved["examples"].items()}
        fresh = dict(zip(examples, encoder.rows(examples.values()), strict=True))
        rows = [_put_back(fresh[key], *how) for key, *how in saved["order"]]
        return cls(rows, [fresh[key] for key in saved["new"]], int(saved["total"]))


def _put_back(row: Row, memory: bool, weight: float, learned: Sequence[int] | None = None, factors: Sequence[float] = ()) -> Row:
    return Row(row.example, row.tokens, row.learned if learned is None else tuple(learned), memory, weight, tuple(factors))
