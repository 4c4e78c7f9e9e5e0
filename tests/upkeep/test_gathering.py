"""Files that wait until what they say changes, or until enough has gathered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everlearn import SettingError, StateError, watch
from everlearn.versions.home import Home
from tests.upkeep.conftest import SMALL, change_settings

WORDS = {"bread": "bake the dough in a hot oven", "loans": "the bank will approve my loan"}
QUICK = {**SMALL["learn"], "passes": 1, "batch": 64}


def write(place: Path, topic: str, first: int, count: int, source: str = "") -> None:
    rows = [{"prompt": f"{WORDS[topic]} {100 + 37 * n % 401}?", "completion": " yes", "source": source or topic} for n in range(first, first + count)]
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))


def became(home: Home, drops: Path, said: list[str] | None = None) -> list[str]:
    return [f"{taken.name} {taken.became}" for taken in watch(home, drops, once=True, say=(said if said is not None else []).append)]


def test_files_wait_until_their_rows_change_and_are_then_learned_in_order(quick_home: Home, drops: Path) -> None:
    change_settings(quick_home, learn=QUICK, watch={**SMALL["watch"], "boundaries": "embedding(window=24,past=72)"})
    for number in range(2):
        write(drops / f"{number}.jsonl", "bread", 40 * number, 40)
    said: list[str] = []
    assert became(quick_home, drops, said) == []
    assert said == ["Gathering, boundaries 'embedding(window=24,past=72)': 2 files with 80 rows wait."]
    assert quick_home.head.number == 0
    write(drops / "2.jsonl", "loans", 0, 40)
    said.clear()
    assert became(quick_home, drops, said) == ["0.jsonl promoted", "1.jsonl promoted"]
    assert any("more" in text and "loan" in text for text in said)
    write(drops / "3.jsonl", "bread", 80, 40)  # after what was learned the loans are known to be new, and now they are over
    assert became(quick_home, drops) == ["2.jsonl promoted"]


def test_without_a_change_files_are_learned_once_enough_has_gathered(quick_home: Home, drops: Path) -> None:
    change_settings(quick_home, learn=QUICK, watch={**SMALL["watch"], "boundaries": "every(rows=30)"})
    write(drops / "0.jsonl", "bread", 0, 20)
    assert became(quick_home, drops) == []
    write(drops / "1.jsonl", "bread", 20, 20)
    write(drops / "2.jsonl", "bread", 40, 5)
    said: list[str] = []
    assert became(quick_home, drops, said) == ["0.jsonl promoted", "1.jsonl promoted"]
    assert "40 rows have gathered." not in said  # 30 were enough
    assert "30 rows have gathered." in said


def test_stopped_between_two_files_that_are_due_the_other_is_still_due(quick_home: Home, drops: Path) -> None:
    change_settings(quick_home, learn=QUICK, watch={**SMALL["watch"], "boundaries": "every(rows=30)"})
    write(drops / "0.jsonl", "bread", 0, 20)
    write(drops / "1.jsonl", "bread", 20, 20)
    stopped = watch(quick_home, drops, once=True)
    assert next(iter(stopped)).name == "0.jsonl"
    stopped.close()
    write(drops / "2.jsonl", "bread", 40, 5)
    assert became(quick_home, drops) == ["1.jsonl promoted"]
    (quick_home.folder / "inbox" / "due.json").write_text("{")
    with pytest.raises(StateError, match="which files are due cannot be read .* Delete it"):
        became(quick_home, drops)


def test_what_cannot_be_learned_does_not_wait(quick_home: Home, drops: Path) -> None:
    change_settings(quick_home, learn=QUICK, watch={**SMALL["watch"], "boundaries": "every(rows=100)", "trusted": ["bread"]})
    write(drops / "0.jsonl", "loans", 0, 5)
    (drops / "1.jsonl").write_text("no JSON")
    write(drops / "2.jsonl", "bread", 0, 5)
    assert became(quick_home, drops) == ["0.jsonl waiting", "1.jsonl rejected"]


def test_boundaries_that_are_none_are_refused(quick_home: Home, drops: Path) -> None:
    change_settings(quick_home, watch={**SMALL["watch"], "boundaries": "sometimes"})
    write(drops / "0.jsonl", "bread", 0, 5)
    with pytest.raises(SettingError, match="no boundary 'sometimes'"):
        became(quick_home, drops)
