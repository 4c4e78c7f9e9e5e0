from __future__ import annotations

import sys

import numpy as np
import pytest

from everlearn import Almanac, CausalModel, almanac_stream
from everlearn.errors import DataError, MissingExtra, SettingError
from everlearn.models.signals import RowVectors
from everlearn.streams.drift import ADWIN, DETECTORS, KSWIN, Change, Detector, Embedding, PageHinkley
from everlearn.streams.orders import Blurred


def changes(detector: Detector, values) -> list[Change]:  # type: ignore[no-untyped-def]
    return [change for value in values if (change := detector.update(value))]


def test_the_embedding_test_finds_each_of_three_changes_where_it_is() -> None:
    random = np.random.default_rng(0)
    means = random.normal(size=(4, 16))
    rows = np.concatenate([mean + random.normal(size=(150, 16)) for mean in means]).astype(np.float32)
    found = changes(Embedding(), rows)
    assert len(found) == 3
    for change, place in zip(found, (150, 300, 450), strict=True):
        assert place < change.noticed <= place + 48
        assert abs(change.began - place) <= 5
        assert change.measure == "p-value"
        assert change.score is not None
        assert change.score < change.threshold == 1e-5


def test_a_slow_blend_is_found_by_the_first_rows_since_the_last_change() -> None:
    random = np.random.default_rng(5)
    shares = np.concatenate([np.zeros(200), np.linspace(0, 1, 800), np.ones(100)])
    rows = np.where(random.random(1100)[:, None] < shares[:, None], 0.8, 0.0) + random.normal(size=(1100, 16))
    found = changes(Embedding(), rows.astype(np.float32))
    assert found
    assert all(200 < change.noticed <= 1048 for change in found)


def test_a_blend_began_near_its_middle(shared_tiny: CausalModel) -> None:
    """It is noticed near its end; cut there, half a blend would be learned on the wrong side."""
    off = []
    for future in (3, 4):
        stream = almanac_stream(Almanac(future=future), 4, skills=10)
        places = Blurred(overlap=0.5).places([len(experience.train) for experience in stream])
        rows = [stream.experiences[number].train[at] for number, at in places]
        found = changes(Embedding(), RowVectors(shared_tiny)(rows))
        off += [min(abs(change.began - middle) for change in found) for middle in (240, 480, 720)]
    assert float(np.mean(off)) < 30, "41 where it was looked for among the latest 48 rows"


def test_the_embedding_test_is_quiet_where_nothing_changes() -> None:
    random = np.random.default_rng(1)
    pool = random.exponential(size=(60, 12))
    assert changes(Embedding(), pool[random.integers(0, 60, 4000)].astype(np.float32)) == []


@pytest.mark.parametrize("name", ["adwin", "page_hinkley", "kswin"])
def test_rivers_detectors_find_a_change_of_the_loss_from_one_row_in_eight(name: str) -> None:
    random = np.random.default_rng(2)
    losses = np.concatenate([random.normal(2.0, 0.5, 1600), random.normal(4.0, 0.5, 1600)])
    values = [float(loss) if at % 8 == 0 else None for at, loss in enumerate(losses)]
    found = changes(DETECTORS[name](), values)
    assert len(found) == 1
    assert 1600 < found[0].noticed < 1600 + 8 * 60
    assert abs(found[0].began - 1600) <= 16


@pytest.mark.parametrize("make", [ADWIN, PageHinkley, KSWIN])
def test_rivers_detectors_do_not_depend_on_the_unit_of_the_loss(make) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(3)
    losses = np.concatenate([random.normal(0, 1, 300), random.normal(3, 1, 300)])
    assert changes(make(), map(float, losses)) == changes(make(), map(float, losses * 64.0))


def test_how_sure_is_told_where_the_detector_tells_it() -> None:
    losses = [0.0, 1.0] * 60 + [9.0, 8.0] * 60
    assert [(change.measure, change.score is None) for make in (ADWIN, PageHinkley, KSWIN) for change in changes(make(), losses)[:1]] == [
        ("ADWIN's bound", True),
        ("Page-Hinkley's sum", True),
        ("p-value", False),
    ]


def test_rows_of_which_nothing_is_known_only_count() -> None:
    detector = Embedding(window=16, past=32, every=1, level=1e-4)
    assert changes(detector, [None] * 10) == []
    random = np.random.default_rng(4)
    rows = np.concatenate([random.normal(size=(30, 4)), 9 + random.normal(size=(16, 4))]).astype(np.float32)
    found = changes(detector, rows)
    assert [change.began for change in found] == [40]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Embedding(window=4), "window must be at least 8, got 4"),
        (lambda: Embedding(past=20), "past must be at least the window, 48, got 20"),
        (lambda: Embedding(level=0.5, shrink=0), "level must be above 0 and below 0.1, got 0.5; embedding shrink must be above 0, got 0"),
        (lambda: ADWIN(delta=1.0), "adwin delta must be above 0 and below 1, got 1.0"),
        (lambda: PageHinkley(threshold=0), "page_hinkley threshold must be above 0, got 0"),
        (lambda: PageHinkley(delta=-1), "page_hinkley delta must be at least 0, got -1"),
        (lambda: KSWIN(alpha=0), "kswin alpha must be above 0 and below 1, got 0"),
        (lambda: KSWIN(recent=40), "recent must be between 2 and half of the window .60., got 40"),
    ],
)
def test_settings_out_of_range_are_refused(make, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingError, match=told):
        make()


def test_values_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(DataError, match="takes vectors of finite numbers .row=0, got=float"):
        Embedding().update(1.0)
    with pytest.raises(DataError, match="takes finite numbers .row=0, got=nan"):
        ADWIN().update(float("nan"))


def test_without_river_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(MissingExtra, match=r"everlearn\[drift\]"):
        KSWIN()
