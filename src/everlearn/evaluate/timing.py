"""Whose seconds may be put beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar


class Computed(Protocol):
    """A run that says what computed it, as `hardware` tells; empty where that is not known."""

    @property
    def method(self) -> str: ...

    @property
    def hardware(self) -> Mapping[str, Any]: ...


Of = TypeVar("Of", bound=Computed)


def device_of(run: Computed) -> str:
    """Its name, "" where that is not known: all unknown ones count as one."""
    return str(run.hardware.get("device", ""))


def timed_on(runs: Sequence[Computed]) -> str:
    """The device on which a comparison is timed: that of plain's first run, else of the first."""
    return device_of(next((run for run in runs if run.method == "plain"), runs[0])) if runs else ""


def on_device(runs: Sequence[Of], device: str) -> list[Of]:
    """Those runs computed there: seconds of different devices have no mean and no ratio.

    >>> from types import SimpleNamespace as Found
    >>> runs = [Found(method="plain", hardware={"device": name}) for name in ("CPU", "GPU", "CPU")]
    >>> timed_on(runs), len(on_device(runs, timed_on(runs)))
    ('CPU', 2)
    """
    return [run for run in runs if device_of(run) == device]
