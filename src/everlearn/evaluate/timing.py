"""Which runs' seconds may be put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar


class Computed(Protocol):
    """A run that says what computed it, as `hardware` tells; empty where that is not known."""

    @property
    def hardware(self) -> Mapping[str, Any]: ...


Of = TypeVar("Of", bound=Computed)


def as_the_first(runs: Sequence[Of]) -> list[Of]:
    """The runs on the device of the first: seconds of different devices have no mean.

    >>> from types import SimpleNamespace as Found
    >>> runs = [Found(hardware={"device": name}) for name in ("CPU", "GPU", "CPU")]
    >>> len(as_the_first(runs))
    2
    """
    return [run for run in runs if run.hardware.get("device") == runs[0].hardware.get("device")]
