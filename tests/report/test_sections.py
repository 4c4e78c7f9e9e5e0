"""Joining folders: one section a stream and model, no run twice, and never different tests in one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everlearn import StateError
from everlearn.report.sections import read_sections

Make = Callable[..., Path]
ONE = {"plain": [[38, 0, 0, 0]] * 4}
TWO = {"replay": [[38, 0, 0, 0]] * 3 + [[38, 1, 2, 3]]}


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    saved = json.loads((folder / "results.json").read_text())
    change(saved)
    (folder / "results.json").write_text(json.dumps(saved))
    return folder


def test_batches_of_one_stream_are_one_section(make: Make) -> None:
    sections = read_sections([make("a", ONE), make("b", TWO)])
    assert [[method.label for method in section.methods] for section in sections] == [["plain", "replay"]]


def test_streams_and_models_have_sections_of_their_own(make: Make) -> None:
    sections = read_sections([make("a", ONE), make("b", ONE, stream="rivers"), make("c", ONE, model="models/other")])
    assert [(section.stream, section.model) for section in sections] == [("towns", "tiny"), ("rivers", "tiny"), ("towns", "other")]


def test_the_same_run_in_two_folders_counts_once(make: Make) -> None:
    (section,) = read_sections([make("a", ONE), make("b", ONE | TWO)])
    assert [(method.label, len(method.runs)) for method in section.methods] == [("plain", 1), ("replay", 1)]


def test_a_further_seed_joins_and_another_setting_does_not(make: Make) -> None:
    def seed(saved: dict[str, Any]) -> None:
        saved["runs"][0] |= {"seed": 1, "fingerprint": "other"}

    def rate(saved: dict[str, Any]) -> None:
        saved["runs"][0] |= {"settings": {"learning": {"rate": 0.1}}, "fingerprint": "third"}

    (section,) = read_sections([make("a", ONE), changed(make("b", ONE), seed), changed(make("c", ONE), rate)])
    assert [(method.label, len(method.runs)) for method in section.methods] == [("plain", 2), ("plain [c]", 1)]
    assert all(method.plain for method in section.methods)
    assert section.baseline is section.methods[0]


def test_seconds_of_another_device_are_not_set_against_plains(make: Make) -> None:
    def on(device: str) -> Callable[[dict[str, Any]], None]:
        def change(saved: dict[str, Any]) -> None:
            saved["runs"][0]["hardware"] = {"device": device}

        return change

    (section,) = read_sections([changed(make("a", TWO), on("GPU")), changed(make("b", ONE), on("CPU"))])
    replay, plain = section.methods
    assert plain.cost("learn_seconds") is not None
    assert replay.cost("learn_seconds") is None
    assert replay.cost("extra_state_bytes") == 120_000


def test_differences_follow_the_labels(make: Make) -> None:
    def rate(saved: dict[str, Any]) -> None:
        for run in saved["runs"]:
            run |= {"settings": {"rate": 1}, "fingerprint": run["fingerprint"] + "x"}

    (section,) = read_sections([make("a", ONE | TWO), changed(make("c", ONE | TWO), rate)])
    assert [(d.method, d.against) for d in section.differences] == [("replay", "plain"), ("replay [c]", "plain [c]")]


def test_different_questions_for_one_stream_are_refused(make: Make) -> None:
    with pytest.raises(
        StateError, match=r"tested differently .stream='towns', folders='.*a' and '.*b'.: 320 test questions are in one of them only, .* task 'first'"
    ):
        read_sections([make("a", ONE), make("b", ONE, prompt="Where is")])


def test_different_tasks_are_refused(make: Make) -> None:
    other = changed(make("b", ONE, answers=False), lambda saved: saved["runs"][0]["matrix"].update(tasks=["old", "first", "second", "fourth"]))
    with pytest.raises(StateError, match="their tasks or scores differ .fourth, third."):
        read_sections([make("a", ONE), other])


def test_different_experiences_are_refused(make: Make) -> None:
    other = changed(make("b", ONE, answers=False), lambda saved: saved["runs"][0]["matrix"].update(experiences=["2021", "2022", "2024"]))
    with pytest.raises(StateError, match="their experiences differ"):
        read_sections([make("a", ONE), other])


def test_different_numbers_of_questions_are_refused_where_only_numbers_are_kept(make: Make) -> None:
    other = changed(make("b", ONE, answers=False), lambda saved: saved["tasks"][2].update(examples=39))
    with pytest.raises(StateError, match="the number of test questions differs in task 'second'"):
        read_sections([make("a", ONE), other])
