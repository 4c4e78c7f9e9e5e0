"""Methods in a sentence, settings in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from everlearn.config import BOUNDS, RECIPES
from everlearn.learn.registry import LEARNERS, OBJECTIVES
from everlearn.methods import BY_NAME
from everlearn.report.explained import METHODS, explained, settings_of
from everlearn.report.sections import read_sections

Make = Callable[..., Path]
ROWS = [[38, 0, 0, 0]] * 4


def test_every_built_in_name_has_its_sentence() -> None:
    built_in = {name for name, method in BY_NAME.items() if method.__module__.startswith("everlearn.")}
    assert set(METHODS) == built_in | set(BOUNDS) | set(RECIPES) | set(LEARNERS) | set(OBJECTIVES) | {"settings"}


def test_each_part_of_a_method_is_explained_and_a_users_own_is_not(make: Make) -> None:
    (section,) = read_sections([make(right={"replay(share=1)+distill(on=memory)": ROWS, "my_own": ROWS}, answers=False)])
    assert [explained(method) for method in section.methods] == [f"{METHODS['replay']}; {METHODS['distill']}", ""]


def test_settings_are_words_and_name_the_seeds(make: Make) -> None:
    folder = make(right={"keep_current": ROWS}, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    saved["runs"][0]["settings"]["methods"] = [["replay", {"share": 2.0, "rows": 2500}], ["distill", {"on": "memory"}], ["plain", {}]]
    (folder / "results.json").write_text(json.dumps(saved))
    (section,) = read_sections([folder])
    found = dict(settings_of(section.methods[0]))
    assert found["method"] == "replay(share=2, rows=2500) + distill(on=memory) + plain"
    assert found["learning"] == "learning rate 0.0003, passes over the rows 5"
    assert (found["lora"], found["seeds"], found["version"]) == ("none", "0", "0.1.0")


def test_settings_say_what_computed_the_runs_where_that_is_known(make: Make) -> None:
    folder = make(right={"plain": ROWS, "ewc": ROWS}, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    known = {"device": "AMD EPYC", "threads": 1, "memory_bytes": 25_276_502_016, "torch": "2.9.0", "memory_speed": 3}
    saved["runs"][0]["hardware"] = known
    saved["runs"].append(saved["runs"][0] | {"seed": 1, "fingerprint": "b", "hardware": known | {"threads": 4}})
    (folder / "results.json").write_text(json.dumps(saved))
    first, other = (dict(settings_of(method)) for method in read_sections([folder])[0].methods)
    assert first["computed on"] == (
        "AMD EPYC, 1 thread, 25.3 GB of memory, torch 2.9.0, memory speed 3; AMD EPYC, 4 threads, 25.3 GB of memory, torch 2.9.0, memory speed 3"
    )
    assert "computed on" not in other


def test_settings_of_another_form_are_shown_as_they_are(make: Make) -> None:
    folder = make(right={"plain": ROWS}, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    saved["runs"][0]["settings"] = {"methods": ["plain"], "more": {"deep": [1]}}
    (folder / "results.json").write_text(json.dumps(saved))
    found = dict(settings_of(read_sections([folder])[0].methods[0]))
    assert (found["method"], found["more.deep"]) == ('["plain"]', "[1]")
