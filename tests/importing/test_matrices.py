"""From imported runs to results: names, seeds, tables and pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import DataError, Results, SettingError, import_results, import_runs, write_report
from everlearn.importing.matrices import writable

Write = Callable[[str], Path]


def test_runs_of_one_name_are_seeds_of_one_method(write: Write) -> None:
    path = write("libcontinual")
    runs = import_runs([f"lwf={path}", f"lwf={path}", path])
    assert [(run.name, run.seed) for run in runs] == [("lwf", 1993), ("lwf", 0), ("LWF", 1993)]
    assert list(import_results(runs).by_method()) == ["lwf", "LWF"]


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "lr=1.csv").write_text("80,10\n60,50\n")
    assert import_runs([tmp_path / "lr=1.csv"])[0].name == "lr=1"


def test_results_survive_the_disk_and_make_a_page(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    runs = import_runs([write("mammoth"), write("libcontinual"), f"naive={write('eval_results')}", write("renate")])
    results = import_results(runs, "split")
    results.save(writable(tmp_path / "run"))
    again = Results.load(tmp_path / "run" / "results.json")
    assert again == results
    assert [run.method for run in again.runs] == ["er", "LWF", "naive", "logs"]
    assert again.caption() == "Scores: accuracy. Whether task ids were given is not in the files."
    stated = again.runs[1].settings["imported"]["stated"]["Forgetting"]  # type: ignore[index,call-overload]
    assert (stated["theirs"], stated["ours"]) == (pytest.approx(0.1), {"forgetting": pytest.approx(0.3)})
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert all(word in page for word in ("LWF", "naive", "Whether task ids were given is not in the files.", "65.0"))
    assert "hidden from the learner" not in page


def test_a_kind_of_score_each_has_metrics_of_its_own(write: Write, tmp_path: Path) -> None:
    (run,) = import_results(import_runs([write("trace")])).runs
    assert set(run.metrics_by_kind) == {"accuracy", "similarity", "sari"}
    assert run.metrics == run.metrics_by_kind["accuracy"]


def test_runs_over_different_tasks_do_not_stand_in_one_table(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"different streams .*first='er' with tasks \('task 1'.*other='.*' with tasks \('dbpedia'"):
        import_results(import_runs([write("mammoth"), write("o-lora")]))
    with pytest.raises(SettingError, match=r"no run to import \(files=\[\]\)"):
        import_results([])


def test_a_comparison_is_not_written_over(write: Write, tmp_path: Path) -> None:
    results = import_results(import_runs([write("mammoth")]))
    results.save(writable(tmp_path))
    assert writable(tmp_path).is_file()
    saved = json.loads((tmp_path / "results.json").read_text())
    saved["runs"][0]["settings"] = {"learning": {}}
    (tmp_path / "results.json").write_text(json.dumps(saved))
    with pytest.raises(SettingError, match="folder holds a comparison .out="):
        writable(tmp_path)
