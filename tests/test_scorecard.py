"""Scores, differences and their tables, on numbers worked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from everlearn.scorecard import Against, Difference, Scorecard, Scored, Text

MINE = {f"{n}": float(n < 8) for n in range(10)}
THEIRS = {f"{n}": float(n < 5 or n == 9) for n in range(10)}


def card(kl: float | None = 0.25) -> Scorecard:
    mine = [Scored("quiz", "exact", MINE, 0.1, 0.5), Scored("gone", "loss", {}), Scored("told", "rouge", MINE, None, None, {"rougeL": 0.8})]
    theirs = [Scored("quiz", "exact", THEIRS, 0.1, 0.25), Scored("gone", "loss", {}), Scored("told", "rouge", THEIRS)]
    differences = [Difference.of(name, MINE, THEIRS) for name in ("quiz", "told")]
    against = Against("models/before", theirs, differences, Text(9.0, 0.5, 100), kl)
    return Scorecard("models/after", "towns", 2, mine, Text(math.inf, 0.75, 100), against, {"sums": {"acc": 0.5, "acc_stderr": 0.1}}, "0")


def test_the_score_is_the_mean_within_its_interval() -> None:
    found = Scored("quiz", "exact", MINE)
    low, high = found.interval or (1, 0)
    assert found.score == 0.8
    assert 0.4 <= low < 0.8 < high <= 1


def test_a_score_of_all_right_has_an_open_end_and_a_difference_of_nothing_has_none() -> None:
    always = dict.fromkeys(MINE, 1.0)
    assert Scored("quiz", "exact", always).interval == (pytest.approx(0.025**0.1), 1.0)
    assert Scored("quiz", "exact", dict.fromkeys(MINE, 0.0)).interval == (0.0, pytest.approx(1 - 0.025**0.1))
    assert Difference.of("quiz", always, always).interval == (0.0, 0.0)


def test_a_task_of_which_no_example_counts_has_no_score() -> None:
    assert (Scored("gone", "loss", {}).score, Scored("gone", "loss", {}).interval) == (None, None)


def test_a_difference_is_paired() -> None:
    less = Difference.of("quiz", MINE, dict(reversed(THEIRS.items())))
    assert (round(less.value, 9), less.gained, less.lost) == (0.2, 3, 1)
    assert less.interval[0] < 0.2 < less.interval[1]
    same = Difference.of("quiz", MINE, MINE)
    assert (same.value, same.interval, same.gained, same.lost, same.p) == (0.0, (0.0, 0.0), 0, 0, 1.0)


def test_the_json_keeps_every_number_and_no_infinity(tmp_path: Path) -> None:
    card().save(tmp_path / "card.json")
    saved = json.loads((tmp_path / "card.json").read_text())
    assert saved["scored"][0]["values"] == MINE
    assert (saved["scored"][0]["score"], saved["scored"][0]["examples"], saved["scored"][0]["chance"]) == (0.8, 10, 0.1)
    assert saved["text"] == {"perplexity": None, "nats_per_byte": 0.75, "tokens": 100}
    assert saved["against"]["kl"] == 0.25
    assert saved["against"]["scored"][0]["values"] == THEIRS
    assert saved["against"]["differences"][0]["gained"] == 3
    assert saved["harness"] == {"sums": {"acc": 0.5, "acc_stderr": 0.1}}


def test_the_table_and_notes_say_it_all() -> None:
    found = card()
    assert len(found.heads()) == len(found.rows()[0]) == len(found.rows()[1])
    assert found.rows()[0][:4] == ["quiz", "exact", "10", "80.0"]
    assert found.rows()[0][5:9] == ["10.0", "50.0", "60.0", "+20.0"]
    assert found.rows()[0][10:] == ["3", "1", "0.625"]
    assert found.rows()[1] == ["gone", "loss", "0", *["–"] * 10]
    notes = "\n".join(found.notes())
    assert "perplexity inf over 100 tokens, 0.7500 nats a byte" in notes
    assert "KL(against || model): 0.25000 nats a token" in notes
    assert "told: rougeL 80.0" in notes
    assert "lm-eval sums: acc 0.5000" in notes
    assert found.table().row_count == 3
    assert [column.header for column in found.table().columns] == found.heads()
    assert "not defined" in "\n".join(card(kl=None).notes())


def test_alone_a_model_has_no_columns_of_another() -> None:
    alone = Scorecard("tiny", "towns", 0, [Scored("quiz", "exact", MINE)], Text(2.0, 0.5, 9))
    assert alone.heads() == ["task", "score", "examples", "%", "95 %", "chance %", "stale %"]
    assert len(alone.notes()) == 1
    assert [column.header for column in alone.table().columns] == ["task", "score", "examples", "%", "95 %"]
    assert alone.to_json()["against"] is None


@pytest.mark.parametrize("kl", [0.25, None])
def test_a_card_can_be_written_whatever_was_found(kl: float | None, tmp_path: Path) -> None:
    card(kl).save(tmp_path / "deep" / "card.json")
    assert (tmp_path / "deep" / "card.json").is_file()


def test_square_brackets_in_names_are_printed_as_they_are() -> None:
    from rich.console import Console

    console = Console(width=160)
    with console.capture() as told:
        console.print(Scorecard("tiny", "towns [/eu]", 0, [Scored("nli[en]", "exact", MINE)], Text(2.0, 0.5, 10)).table())
    assert "towns [/eu]" in told.get()
    assert "nli[en]" in told.get()
