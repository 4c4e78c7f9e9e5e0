"""A comparison on a real local Ray has the numbers of one here, goes on from what is on disk, and says what Ray cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from everlearn import Example, Experience, SettingError, Settings, Stream, compare
from everlearn import cluster as module
from everlearn.errors import Diverged, MissingExtra

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}.", task="sums") for n in range(12))
SUMS = Stream("sums", (Experience("1", ROWS[:6], {"sums": ROWS[:3]}, {"sums": "loss"}), Experience("2", ROWS[6:])))
HOW = {"settings": Settings(passes=1, batch=6), "anchor": None, "probes": False}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_comparison_on_ray_has_the_numbers_of_one_here(tmp_path: Path) -> None:
    local = compare(SUMS, "tiny", "plain,replay", 1, tmp_path / "local", **HOW)  # type: ignore[arg-type]
    first = compare(SUMS, "tiny", "plain", 1, tmp_path / "ray", engine="ray", **HOW)  # type: ignore[arg-type]
    told: list[str] = []
    both = compare(SUMS, "tiny", "plain,replay", 1, tmp_path / "ray", engine="ray", progress=lambda text, share: told.append(text), **HOW)  # type: ignore[arg-type]
    assert [run.method for run in both.runs] == ["plain", "replay"]
    assert sorted(told) == ["plain", "replay"]
    assert both.runs[0].cost == first.runs[0].cost  # from disk
    for here, there in zip(local.runs, both.runs, strict=True):
        assert there.matrix.keys() == here.matrix.keys()
        assert numbers(there.matrix) == pytest.approx(numbers(here.matrix), rel=1e-5)


def numbers(value: object) -> list[float]:
    """All numbers of a JSON value, in order."""
    if isinstance(value, int | float):
        return [float(value)]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for part in parts for number in numbers(part)]


class FakeRay:
    """Only what an outcome is read from."""

    class exceptions:  # noqa: N801
        class RayTaskError(Exception):
            cause: Exception = Diverged("learning diverged")

    def get(self, reference: object) -> object:
        raise self.exceptions.RayTaskError


def test_what_everlearn_refuses_in_a_worker_comes_back_as_itself() -> None:
    assert isinstance(module._outcome(FakeRay(), None), Diverged)


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="everlearn.cluster"):
        compare(SUMS, "tiny", "plain", engine="ray", **HOW)  # type: ignore[arg-type]


def test_what_ray_cannot_do_is_refused() -> None:
    with pytest.raises(SettingError, match="'local' or 'ray', got 'rat'"):
        compare(SUMS, engine="rat")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="takes no watch"):
        compare(SUMS, engine="ray", watch=lambda label, number, answers: None)
    with pytest.raises(SettingError, match="got '10.0.0.1' with engine='local'"):
        compare(SUMS, address="10.0.0.1")
