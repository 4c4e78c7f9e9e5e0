"""What gc deletes, and what it never does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from everlearn import Example, Home, StateError, forget, gc, open_version
from everlearn.upkeep.collecting import STALE, size_of, sweep
from everlearn.upkeep.opening import held_by
from everlearn.versions.settings import HomeSettings

People = Callable[[str, int], list[Example]]


def keeping(home: Home, **keep: object) -> None:
    given = home.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "keep": {**given["keep"], **keep}}, "a test").save(home.folder / "everlearn.toml")


def weights(home: Home) -> dict[str, torch.Tensor]:
    return dict(open_version(home).model.state())


def test_a_home_in_order_loses_nothing(three: Home) -> None:
    before = {path: path.stat().st_mtime_ns for path in (three.folder / "objects").iterdir()}
    found = gc(three)
    assert (found.let_go, found.bases) == ((), ())
    assert {path: path.stat().st_mtime_ns for path in (three.folder / "objects").iterdir()} == before


def test_old_weights_go_and_the_head_and_the_records_stay(three: Home) -> None:
    keeping(three, promoted=1)
    served, size = weights(three), size_of(three.folder)
    found = gc(three)
    assert found.let_go == (three.version(2).id, three.version(1).id)
    assert found.freed >= 2 * 3_000_000
    assert found.freed == pytest.approx(size - size_of(three.folder), abs=2000)
    assert all(torch.equal(value, served[name]) for name, value in weights(three).items())
    assert [v.number for v in three.versions()] == [0, 1, 2, 3]
    with pytest.raises(StateError, match=r"gc let its weights go \(keep\.promoted = 1\)"):
        open_version(three, 1)
    open_version(three, 0)
    assert gc(three).let_go == ()


def test_the_head_stays_however_old_it_is(three: Home) -> None:
    three.rollback(1)
    keeping(three, promoted=1)
    assert gc(three).let_go == (three.version(2).id,)
    open_version(three)


def test_refused_ones_have_a_number_of_their_own(three: Home, people: People) -> None:
    given = three.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "gate": {}, "keep": {**given["keep"], "refused": 0}}, "a test").save(three.folder / "everlearn.toml")
    from everlearn import TestSet, update

    refused = update(three, people("elm", 3), {"elm": TestSet("exact", tuple(people("oak", 3)))})
    assert not refused.accepted
    assert gc(three).let_go == (refused.id,)
    assert three.head.number == 3


def test_tensors_that_a_kept_version_shares_stay_and_the_rest_of_their_pack_goes(three: Home) -> None:
    objects, head = three.objects, three.head
    ((pack, key), *_) = held_by(three, head)
    extra = {"0" * 32: torch.ones(1000, 1000)}
    mixed = objects.put_pack({**objects.get_tensors({pack: {key: key}}), **extra})
    objects.take_back({pack: mixed}, {})  # as if the pack had been another version's too
    rest = {k: k for p, k in held_by(three, head) if p == mixed}
    objects.pack_path(mixed).unlink()
    mixed = objects.put_pack({**_read(objects.pack_path(pack), rest), **extra})
    objects.take_back({pack: mixed}, {})
    sweep(three)
    assert not objects.pack_path(mixed).exists()
    assert not objects.pack_path(pack).exists()
    assert objects.keys(objects.replaced()[pack]) == sorted(rest)
    open_version(three)


def _read(path: Path, names: dict[str, str]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: value for name, value in load_file(path).items() if name in names}


def test_what_crashes_left_goes_and_a_fresh_unfinished_update_stays(three: Home) -> None:
    name = three.objects.put_json({"nobody": "needs it"})
    aside, half = three.folder / "versions" / ".000009-x.json.writing", three.work / "a" / "state.json"
    aside.write_text("half")
    half.parent.mkdir(parents=True)
    half.write_text("{}")
    assert gc(three).freed > 0
    assert not aside.exists()
    assert not three.objects.json_path(name).exists()
    assert half.exists()
    old = time.time() - 2 * STALE
    for path in (half, half.parent, three.work):
        os.utime(path, (old, old))
    gc(three)
    assert not three.work.exists()


def test_a_base_that_nothing_is_made_of_goes(three: Home) -> None:
    (three.bases / ("0" * 16)).mkdir()
    assert gc(three).bases == ("0" * 16,)
    assert gc(three).told() == "Freed 0 bytes."


def test_what_gc_let_go_can_still_be_taught_again(three: Home) -> None:
    keeping(three, promoted=1)
    gc(three)
    found = forget(three, source="cedar")
    assert (len(found.withdrawn), [v.kind for v in three.versions()[4:]]) == (1, ["rebuilt", "rebuilt"])
    open_version(three)
