"""What others hear of a version: a command of the owner's and accelerate's trackers; what goes wrong there changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from everlearn import Home, MissingExtra, SettingError, update
from everlearn.upkeep import telling
from everlearn.upkeep.telling import check_trackers, numbers
from tests.upkeep.conftest import Rows, change_settings


def events(home: Home, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (home.folder / "log.jsonl").read_text().splitlines()) if line["event"] == kind]


def test_a_command_is_given_the_version_after_a_promotion_and_another_after_a_refusal(quick_home: Home, tmp_path: Path, write_rows: Rows) -> None:
    told = {name: f"{sys.executable} -c \"import sys; open('{tmp_path / name}', 'w').write(sys.stdin.read())\"" for name in ("promoted", "refused")}
    change_settings(quick_home, notify=told)
    promoted = update(quick_home, write_rows(tmp_path / "a.jsonl", "a"))
    assert json.loads((tmp_path / "promoted").read_text()) == json.loads(json.dumps(promoted.to_json()))
    assert not (tmp_path / "refused").exists()
    change_settings(quick_home, notify=told, gate={"least_gain": 1.0})
    refused = update(quick_home, write_rows(tmp_path / "b.jsonl", "b"))
    assert (refused.accepted, json.loads((tmp_path / "refused").read_text())["id"]) == (False, refused.id)
    assert [event["code"] for event in events(quick_home, "notify")] == [0, 0]


def test_a_command_that_fails_is_in_the_log_and_the_version_serves(quick_home: Home, tmp_path: Path, write_rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    change_settings(quick_home, notify={"promoted": "echo no room >&2; exit 4"})
    version = update(quick_home, write_rows(tmp_path / "a.jsonl", "a"))
    assert [(event["code"], event["said"]) for event in events(quick_home, "notify")] == [(4, "no room\n")]
    monkeypatch.setattr(telling, "LONGEST", 0.2)
    change_settings(quick_home, notify={"promoted": "sleep 5"})
    later = update(quick_home, write_rows(tmp_path / "b.jsonl", "b"))
    assert "timed out" in events(quick_home, "notify")[-1]["problem"]
    assert (version.accepted, quick_home.head.id) == (True, later.id)


def test_an_update_sends_its_numbers_to_the_tracker(quick_home: Home, tmp_path: Path, write_rows: Rows) -> None:
    change_settings(quick_home, track={"with": ["tensorboard"], "project": "owls"})
    version = update(quick_home, write_rows(tmp_path / "a.jsonl", "a"))
    assert events(quick_home, "track") == []
    (file,) = (quick_home.folder / "tracked" / "owls").glob("events*")
    assert {name for name in numbers(version) if name.encode() not in file.read_bytes()} == set()


def test_a_tracker_that_fails_is_in_the_log_and_the_version_serves(quick_home: Home, tmp_path: Path, write_rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **given: object) -> None:
        raise ConnectionError("no way there")

    change_settings(quick_home, track={"with": ["tensorboard"]})
    monkeypatch.setattr(telling.Accelerator, "log", fails)
    version = update(quick_home, write_rows(tmp_path / "a.jsonl", "a"))
    assert quick_home.head.id == version.id
    assert [event["problem"] for event in events(quick_home, "track")] == ["ConnectionError: no way there"]


def test_trackers_that_are_not_there_are_told_before_anything_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"there is no tracker 'tensorbord'\. Did you mean 'tensorboard'"):
        check_trackers(["tensorbord"])
    monkeypatch.setattr(telling, "get_available_trackers", list)
    with pytest.raises(MissingExtra, match="the tracker 'tensorboard' is not installed"):
        check_trackers(["tensorboard"])
