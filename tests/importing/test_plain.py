"""Plain matrices: with or without names, a row before training, per cent or shares, triangles, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from everlearn import DataError, Given, SettingError, import_matrix, import_runs

BEFORE = [5.0, 10.0, 15.0]
ROWS = [[80.0, 10.0, 20.0], [90.0, 80.0, 30.0], [60.0, 50.0, 85.0]]
SEEN = [row[: i + 1] for i, row in enumerate(ROWS)]

CSV = {
    "bare": "80,10,20\n90,80,30\n60,50,85\n",
    "names above": "a,b,c\n80,10,20\n90,80,30\n60,50,85\n",
    "names on both sides": "after,a,b,c\na,80,10,20\nb,90,80,30\nc,60,50,85\n",
    "rows named": "first,80,10,20\nsecond,90,80,30\nthird,60,50,85\n",
    "as pandas writes it": ",a,b,c\n0,80.0,10.0,20.0\n1,90.0,80.0,30.0\n2,60.0,50.0,85.0\n",
    "as pandas counts": ",0,1,2\n0,80.0,10.0,20.0\n1,90.0,80.0,30.0\n2,60.0,50.0,85.0\n",
    "counted above": "1,2,3\n80,10,20\n90,80,30\n60,50,85\n",
    "counted on the left": "1,80,,\n2,90,80,\n3,60,50,85\n",
    "per cent signs": "80%,10%,20%\n90%,80%,30%\n60 %,50 %,85 %\n",
    "shares": "0.8,0.1,0.2\n0.9,0.8,0.3\n0.6,0.5,0.85\n",
    "decimal commas": "a;b;c\n80,0;10,0;20,0\n90,0;80,0;30,0\n60,0;50,0;85,0\n",
    "tabs": "80\t10\t20\n90\t80\t30\n60\t50\t85\n",
    "blanks": "after,a,b,c\na,80,,\nb,90,80,nan\nc,60,50,85\n",
    "a triangle": "80\n90,80\n60,50,85\n",
    "a padded triangle": "80,0,0\n90,80,0\n60,50,85\n",
}


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("form", CSV)
def test_every_way_to_write_a_matrix_gives_the_same_metrics(form: str, tmp_path: Path, golden: dict[str, float | None]) -> None:
    matrix = import_matrix(put(tmp_path / "run.csv", CSV[form]))
    assert matrix.metrics() == pytest.approx(golden)
    assert matrix.rows[1][0] == pytest.approx(0.8)
    names = {"as pandas counts": ("0", "1", "2"), "counted above": ("1", "2", "3")}
    assert matrix.tasks == names.get(form, ("a", "b", "c") if "a,b,c" in CSV[form] or "a;b" in CSV[form] else ("task 1", "task 2", "task 3"))


@pytest.mark.parametrize(
    "text",
    [
        "5,10,15\n80,10,20\n90,80,30\n60,50,85\n",
        "after,a,b,c\nbefore,5,10,15\na,80,10,20\nb,90,80,30\nc,60,50,85\n",
    ],
)
def test_one_row_more_is_the_row_before_training(text: str, tmp_path: Path) -> None:
    matrix = import_matrix(put(tmp_path / "run.csv", text))
    assert matrix.rows[0] == (0.05, 0.1, 0.15)
    assert matrix.metrics()["forward_transfer"] == pytest.approx(0.075)
    assert len(matrix.experiences) == 3


def test_json_and_arrays_hold_the_same(tmp_path: Path, golden: dict[str, float | None]) -> None:
    table = {f"after {i}": dict(zip("abc", row, strict=False)) for i, row in enumerate(SEEN, 1)}
    forms: dict[str, object] = {"lists": ROWS, "triangle": SEEN, "object": {"acc_matrix": ROWS, "tasks": ["a", "b", "c"]}, "table": table}
    for name, form in forms.items():
        assert import_matrix(put(tmp_path / f"{name}.json", json.dumps(form))).metrics() == pytest.approx(golden), name
    whole = import_matrix(put(tmp_path / "whole.json", json.dumps({"matrix": ROWS, "before": BEFORE})))
    assert whole.metrics()["forward_transfer"] == pytest.approx(0.075)
    assert import_matrix(put(tmp_path / "own.json", json.dumps(whole.to_json()))) == whole
    np.save(tmp_path / "seeds.npy", np.array([ROWS, ROWS]))
    assert [(run.name, run.seed) for run in import_runs([tmp_path / "seeds.npy"])] == [("seeds", 0), ("seeds", 1)]
    np.save(tmp_path / "one.npy", np.array(ROWS) / 100)
    assert import_matrix(tmp_path / "one.npy").metrics() == pytest.approx(golden)


def test_the_scale_is_told_from_the_numbers_said_and_can_be_given(tmp_path: Path) -> None:
    low = put(tmp_path / "low.csv", "0.5,0.1\n0.4,0.9\n")
    (run,) = import_runs([low])
    assert "Numbers up to 0.9 are read as shares." in run.notes
    assert import_matrix(low, given=Given(scale="percent")).rows[1][0] == pytest.approx(0.005)
    assert "read as per cent" in import_runs([put(tmp_path / "high.csv", "50,10\n40,90\n")])[0].notes[0]


def test_a_first_line_that_counts_is_said_to_be_names(tmp_path: Path) -> None:
    assert "The first line counts (1,2,3) and is read as the tasks' names." in import_runs([put(tmp_path / "run.csv", CSV["counted above"])])[0].notes
    assert import_matrix(put(tmp_path / "two.csv", "0,1\n80,10\n60,50\n")).rows[0] == (0.0, 0.01)


def test_padding_is_not_measured_but_a_measured_zero_is(tmp_path: Path) -> None:
    (padded,) = import_runs([put(tmp_path / "padded.csv", CSV["a padded triangle"])])
    assert padded.matrix.rows[1] == (0.8, None, None)
    assert any("read as not measured" in note for note in padded.notes)
    assert import_matrix(put(tmp_path / "zero.csv", "80,0,20\n90,80,0\n60,50,85\n")).rows[1] == (0.8, 0.0, 0.2)


def test_several_tasks_an_experience_need_blanks_or_words(tmp_path: Path) -> None:
    told = import_matrix(put(tmp_path / "blank.csv", "a,b,c\n80,70,\n60,50,90\n"))
    assert told.learned == (1, 1, 2)
    full = put(tmp_path / "full.csv", "a,b,c,d\n80,70,5,9\n60,50,90,9\n")
    with pytest.raises(DataError, match="2 rows and 4 tasks does not say.*--learned 1,1,2"):
        import_matrix(full)
    assert import_matrix(full, given=Given(learned=(1, 1, 2, 0))).metrics()["forgetting"] == pytest.approx((0.2 + 0.2 + 0) / 3)
    assert import_matrix(full, given=Given(learned=(1, 1, 1, 0))).rows[0][0] == pytest.approx(0.8)
    with pytest.raises(DataError, match=r"experience from 1 to 2, or 0 .*learned=\(1, 1, 3, 0\)"):
        import_matrix(full, given=Given(learned=(1, 1, 3, 0), before="no"))


WRONG = [
    ("run.csv", "80,10,20\n90,80\n60,50,85\n", r"ragged \(file=.*, row=2\): 2 cells, where the first has 3"),
    ("run.csv", "a,b\n80,10\n90,80,30\n", r"more cells than there are names .*line=3\): 3 cells, 2 names"),
    ("run.csv", "a,b,c\n80,10\n90,80\n", "rows and names do not fit .*names=3, cells=2"),
    ("run.csv", "a,b\n80,high\n90,80\n", r"score is no number .*line=2, score='high'"),
    ("run.csv", "", "this file is empty"),
    ("run.csv", "a,b\n80,10\n90,180\n", r"outside 0 to 100 .*row=2, task='b', score=180.0"),
    ("run.csv", "a,b\n80,-1\n90,80\n", r"outside 0 to 100 .*row=1, task='b', score=-1.0"),
    ("run.json", "[[80, 10], [null, null]]", "the last row has no number .*row=2"),
    ("run.csv", "after,a\nbefore,3\n", "only the row before training"),
    ("run.csv", "a,b\n", "there is no number in this matrix"),
    ("run.json", "[[1, 0.2], [0.5]]", r"ragged .*row=2\): 1 cells, where the first has 2"),
    ("run.json", '[[1, true], [0.5, "x"]]', "score is no number .*row=1, score=True"),
    ("run.json", '{"other": 1}', "there is no matrix in this file .*looked for="),
    ("run.json", '{"matrix": [[0.1]], "tasks": ["a", "b"]}', "names and columns do not fit .*tasks=2, kinds=1, columns=1"),
    ("run.json", "[[Infinity]]", "outside 0 to"),
    ("run.json", f"[[{'9' * 400}]]", "cannot be read as json .*int too large"),
]


@pytest.mark.parametrize(("name", "text", "words"), WRONG)
def test_a_mistake_names_its_place(name: str, text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        import_matrix(put(tmp_path / name, text))


def test_arrays_of_objects_or_of_another_shape_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="this array cannot be read .*allow_pickle"):
        import_matrix(tmp_path / "objects.npy")
    np.save(tmp_path / "line.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"no matrix of scores .*shape=\(3,\)"):
        import_matrix(tmp_path / "line.npy")


def test_what_the_user_says_must_be_one_of_the_allowed() -> None:
    with pytest.raises(SettingError, match="scale must be 'auto', 'percent' or 'share', got 'permille'"):
        Given(scale="permille")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="before must be 'auto', 'yes' or 'no', got 'maybe'"):
        Given(before="maybe")  # type: ignore[arg-type]
