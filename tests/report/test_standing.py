"""Differences, the Pareto front, ranks and falls, on cases worked by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

from everlearn.report.sections import QUALITY, Section, read_sections
from everlearn.report.standing import averaged, falls, front, gap, ranks

Make = Callable[..., Path]
ROWS = [[38, 0, 0, 0], [38, 40, 0, 0], [37, 38, 40, 0], [36, 37, 38, 39]]


def ending(*right: int) -> list[list[int]]:
    return [*ROWS[:3], list(right)]


def test_the_front_holds_what_nothing_beats_in_both(make: Make) -> None:
    right = {"plain": ending(0, 0, 0, 40), "ewc(strength=1)": ending(9, 9, 9, 9), "a": ending(0, 0, 4, 40), "joint": ending(40, 40, 40, 40)}
    (section,) = read_sections([make(right=right, answers=False)])
    found = front(section.methods, lambda method: method.cost("learn_seconds"), lambda method: method.metric(QUALITY))
    assert [method.label for method in found] == ["plain", "a"]  # 10 s and 25 %, 20 s and 27.5 %; ewc has 14 s and 22.5 %; a bound is not asked


def test_ranks_are_means_over_streams_and_equals_share(make: Make) -> None:
    one = make("one", {"a": ending(40, 0, 0, 0), "b": ending(0, 40, 0, 0), "c": ending(1, 0, 0, 0), "joint": ending(40, 40, 40, 40)}, answers=False)
    two = make(
        "two", {"a": ending(40, 40, 0, 0), "b": ending(0, 40, 0, 0), "c": ending(1, 0, 0, 0), "d": ending(40, 40, 40, 0)}, answers=False, stream="rivers"
    )
    assert ranks(read_sections([one, two])) == {"a": 1.25, "b": 1.75, "c": 3.0}


def test_one_method_alone_has_no_rank(make: Make) -> None:
    one, two = make("one", {"plain": ROWS, "a": ROWS}, answers=False), make("two", {"plain": ROWS, "b": ROWS}, answers=False, stream="rivers")
    assert ranks(read_sections([one, two])) == {}


def test_a_recorded_difference_turns_round(make: Make) -> None:
    (section,) = read_sections([make(right={"plain": ending(0, 0, 0, 0), "a": ending(4, 4, 4, 4)})])
    plain, a = section.methods
    forth, back = gap(section, a, plain), gap(section, plain, a)
    assert forth is not None
    assert back is not None
    assert forth.ends is not None
    assert [round(end, 6) for end in (forth.mean, *forth.ends)] == [0.1, 0.06, 0.14]
    assert back.ends == (-forth.ends[1], -forth.ends[0])
    assert forth.apart
    assert back.apart


def test_answers_pair_two_methods_more_closely_than_their_intervals(make: Make) -> None:
    (section,) = read_sections([make(right={"a": ending(20, 20, 20, 20), "b": ending(20, 20, 20, 21)})])
    found = gap(section, section.methods[1], section.methods[0])
    assert found is not None
    assert found.ends is not None
    assert 0 <= found.ends[0] <= found.mean <= found.ends[1] < 0.03  # one question of 160 differs


def asking_alike(folder: Path) -> Path:
    """The folder, its four tasks now of the same forty facts."""
    path = folder / "questions.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    path.write_bytes(gzip.compress("".join(json.dumps(row | {"fact": place % 40}) + "\n" for place, row in enumerate(rows)).encode()))
    return folder


def test_facts_are_drawn_in_all_tasks_that_ask_for_them(make: Make) -> None:
    """Every task wins the same four of forty: four facts, not sixteen questions."""
    right = {"a": ending(20, 20, 20, 20), "b": ending(24, 24, 24, 24)}
    sections = (read_sections([folder])[0] for folder in (make("apart", right=right), asking_alike(make("alike", right=right))))
    apart, alike = ((found.ends[1] - found.ends[0]) for s in sections if (found := gap(s, s.methods[1], s.methods[0])) is not None and found.ends is not None)
    assert alike > 1.7 * apart


def test_runs_of_which_only_one_knows_its_facts_are_not_paired(make: Make) -> None:
    one, other = make("old", right={"a": ending(20, 20, 20, 20)}), asking_alike(make("new", right={"b": ending(20, 20, 20, 21)}))
    (section,) = read_sections([one, other])
    found = gap(section, section.methods[1], section.methods[0])
    assert found is not None
    assert (found.ends, found.apart) == (None, False)


def test_falls_are_from_the_best_since_learned(make: Make) -> None:
    (section,) = read_sections([make(right={"plain": ROWS}, answers=False)])
    found = [(fall.task, round(fall.best, 3), round(fall.end, 3)) for fall in falls(section.methods[0], "exact")]
    assert found == [("first", 1.0, 0.925), ("old", 0.95, 0.9), ("second", 1.0, 0.95)]


def test_runs_in_one_order_are_averaged_cell_by_cell(make: Make) -> None:
    def twice(folder: Path) -> Section:
        saved = json.loads((folder / "results.json").read_text())
        again = json.loads(json.dumps(saved["runs"][0])) | {"seed": 1, "fingerprint": "other"}
        again["matrix"]["rows"][3] = [0.0, 0.0, None, 0.0]
        saved["runs"].append(again)
        (folder / "results.json").write_text(json.dumps(saved))
        return read_sections([folder])[0]

    matrix = averaged(twice(make(right={"plain": ROWS}, answers=False)).methods[0].runs)
    assert matrix.rows[3] == (0.45, 0.4625, 0.95, 0.4875)
