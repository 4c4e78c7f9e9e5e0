"""Every layout against one run worked by hand; what its framework states beside what is computed anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import DataError, SettingError, import_matrix, import_runs
from everlearn.importing.layouts import BY_LAYOUT, read_runs

WITHOUT_BEFORE = ("mammoth", "libcontinual", "renate", "o-lora", "sapt")
Write = Callable[[str], Path]


def near(found: dict[str, float | None]) -> object:
    return pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("layout", WITHOUT_BEFORE)
def test_every_metric_is_that_of_the_matrix_worked_by_hand(layout: str, write: Write, golden: dict[str, float | None]) -> None:
    (run,) = import_runs([write(layout)])
    assert run.layout == layout
    assert run.matrix.metrics() == near(golden)
    assert run.matrix.learned == (1, 2, 3)
    assert run.matrix.rows[0] == (None,) * 3
    assert any("forward transfer cannot be computed" in note for note in run.notes)


@pytest.mark.parametrize("form", ["eval_results", "returned", "all_metrics"])
def test_avalanches_evaluation_before_training_is_row_0(form: str, write: Write, golden: dict[str, float | None]) -> None:
    (run,) = import_runs([write(form)])
    assert run.layout == "avalanche"
    assert run.matrix.metrics() == near(golden | {"forward_transfer": ((10 - 10) + (30 - 15)) / 200})
    assert run.matrix.tasks == ("task 1", "task 2", "task 3")


def test_the_text_of_sapts_own_score_is_read_with_its_matrix(write: Write, golden: dict[str, float | None]) -> None:
    (run,) = import_runs([write("sapt_text")])
    assert (run.layout, run.name, run.matrix.kinds[0]) == ("sapt", "sapt", "rougeL")
    assert run.matrix.metrics() == near(golden)
    assert run.matrix.rows[1] == (0.8, None, None)


def test_traces_scores_are_never_averaged_over_kinds(write: Write, tmp_path: Path) -> None:
    (run,) = import_runs([write("trace")])
    assert (run.layout, run.matrix.tasks) == ("trace", ("C-STANCE", "Py150", "20Minuten"))
    assert run.matrix.kinds == ("accuracy", "similarity", "sari")
    assert [run.matrix.metrics(kind)["average_accuracy"] for kind in run.matrix.kinds] == pytest.approx([0.6, 0.5, 0.85])
    assert run.matrix.metrics("similarity")["forgetting"] == pytest.approx(0.3)
    assert "never averaged" in run.notes[0]
    one = next(iter((tmp_path / "predictions").glob("results-0-*.json")))
    assert import_matrix(one) == run.matrix


STATED = [
    ("mammoth", "accmean_task3", 0.65, "average_accuracy", ""),
    ("mammoth", "forgetting", 0.3, "forgetting", ""),
    ("mammoth", "backward_transfer", -0.25, "backward_transfer", "leaves out the last task and divides by one less: on this matrix that is -25.00"),
    ("mammoth", "forward_transfer", 0.0025, "forward_transfer", "ours needs a row before training; .* from the same model"),
    ("libcontinual", "[Task] Last Average Acc", 0.65, "average_accuracy", ""),
    ("libcontinual", "[Batch] Last Average Acc", 0.662, "average_accuracy", "likely because theirs weighs the tasks by their numbers of examples"),
    ("libcontinual", "Forgetting", 0.1, "forgetting", "the tasks but the last two and divides by one less than all: on this matrix that is 10.00"),
    ("libcontinual", "Backward Transfer", -0.0667, "backward_transfer", r"over T \(T - 1\) / 2 pairs: on this matrix that is -6.67"),
    ("renate", "Average Accuracy", 0.65, "average_accuracy", ""),
    ("renate", "Forgetting", 0.3, "forgetting", ""),
    ("renate", "Forward Transfer", 0.075, "forward_transfer", "ours needs a row before training; theirs has"),
    ("renate", "Backward Transfer", -0.25, "backward_transfer", "on this matrix that is -25.00"),
    ("sapt_text", "Cl", 0.65, "average_accuracy", ""),
    ("sapt_text", "Fgt", 0.3, "forgetting", ""),
    ("sapt_text", "Fwt", 2.45 / 3 - 0.5094, "learning_accuracy", "less the constant 50.94.* on this matrix that is 30.73"),
    ("sapt_text", "Bwt", -0.5 / 3, "backward_transfer", ""),
    ("eval_results", "forgetting", 0.25, "forgetting_from_learned", ""),
    ("returned", "StreamForgetting", 0.25, "forgetting_from_learned", ""),
    ("returned", "StreamBWT", -0.25, "backward_transfer", "on this matrix that is -25.00"),
    ("returned", "StreamForwardTransfer", 0.075, "forward_transfer", ""),
    ("returned", "Top1_Acc_Stream", 0.61, "average_accuracy", "weighs the tasks"),
    ("all_metrics", "StreamForgetting", 0.25, "forgetting_from_learned", ""),
]


@pytest.mark.parametrize(("form", "name", "theirs", "metric", "why"), STATED)
def test_what_a_framework_states_stands_beside_ours_with_the_cause(form: str, name: str, theirs: float, metric: str, why: str, write: Write) -> None:
    (run,) = import_runs([write(form)])
    (row,) = (row for row in run.beside() if row.name == name)
    assert (row.theirs, row.metric, row.ours) == (pytest.approx(theirs), metric, run.matrix.metrics()[metric])
    assert re.search(why, row.why)
    assert bool(row.why) == bool(why)


def test_a_number_that_their_own_formula_does_not_give_is_said_to_be_unexplained(write: Write) -> None:
    path = write("libcontinual")
    path.write_text(path.read_text().replace("Forgetting: 10.000", "Forgetting: 12.000"))
    why = {row.name: row.why for row in import_runs([path])[0].beside()}["Forgetting"]
    assert why.startswith("for a reason that the file does not show")
    assert why.endswith("but on this matrix that is 10.00")


def test_a_log_of_mammoth_holds_a_run_a_line_named_by_what_differs(write: Write) -> None:
    path = write("mammoth")
    line = path.read_text()
    path.write_text(line + line.replace("'seed': 7", "'seed': 8") + line.replace("'lr': 0.1", "'lr': 0.3"))
    assert [(run.name, run.seed, run.stream) for run in import_runs([path])] == [
        ("er(lr=0.1)", 7, "seq-cifar10"),
        ("er(lr=0.1)", 8, "seq-cifar10"),
        ("er(lr=0.3)", 7, "seq-cifar10"),
    ]
    with pytest.raises(DataError, match=r"several runs .*runs=3.*import_runs"):
        import_matrix(path)


def test_a_line_of_mammoth_is_read_and_never_run(write: Write) -> None:
    path = write("mammoth")
    path.write_text(path.read_text().replace("device(type='cuda')", "__import__('os').mkdir('ran')"))
    assert len(import_runs([path])) == 1
    assert not Path("ran").exists()


def test_every_layout_has_a_test() -> None:
    assert {*WITHOUT_BEFORE, "avalanche", "trace", "csv", "json", "npy"} == set(BY_LAYOUT)


WRONG = [
    ("logs.pyd", "{'a': 1", "line 1.*this line is no Python dict|no Python dict.*line 1"),
    ("logs.pyd", "[1, 2]", "found='?List"),
    ("logs.pyd", "{'accmean_task1': 90.0}", "no accuracy of single tasks.*means over tasks alone"),
    ("logs.pyd", "{'accuracy_1_task900000000': 90.0}", "most accuracies of this run are missing.*tasks=900000000, accuracies=1"),
    ("metrics.json", '[{"Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000": "high"}]', "a score is no number .*Exp000', score='high'"),
    ("metrics.json", '{"Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000": 0.5}', "no accuracy of single experiences after each step"),
    ("eval_results.csv", "eval_exp,training_exp,eval_accuracy,eval_loss,forgetting\n0,0,high,0,0\n", "line cannot be read.*line=2"),
    ("eval_results.csv", "eval_exp,training_exp,eval_accuracy,eval_loss,forgetting\n0,None,0.1,0,0\n", "nothing was evaluated after training"),
    ("metrics.json", '{"Loss_Exp/eval_phase/test_stream/Task000/Exp000": [[0], [1]], "Top1_Acc_Exp/": 1}', "no accuracy of single experiences"),
    ("run.log", "Average Acc Table : none", "no table of accuracies"),
    ("run.log", "Average Acc Table : \n[[1. ... 2.]\n [3. ... 4.]]", "shortened when it was printed"),
    ("metrics_summary.csv", "Task ID,Average Accuracy\n1,0.5\n", "after each update are missing"),
    ("metrics_summary_update_0_x.csv", "Task ID,accuracy\n", "no file of scores after updates"),
    ("results-0-0-FOMC.json", '{"eval": {}}', "no score that TRACE reports.*eval="),
    ("results-0-0-FOMC.json", "{", "this file is no JSON"),
    ("score.txt", "{'Fwt': 1}\n╒══╕\n", "no text of SAPT's score.py"),
    ("notes.txt", "nothing", "layout is not known.*eval_results.csv.*logs.pyd.*Average Acc Table.*metrics_summary.*results-0-0.*all_results.json.*npy"),
    ("bytes.csv", "\udcff", "layout is not known"),
]


@pytest.mark.parametrize(("name", "text", "words"), WRONG)
def test_what_cannot_be_read_is_told(name: str, text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=words):
        read_runs(path)


def test_folders_without_what_they_should_hold_are_told(tmp_path: Path) -> None:
    (tmp_path / "1-dbpedia").mkdir()
    with pytest.raises(DataError, match="a step has no results.*step='1-dbpedia'"):
        read_runs(tmp_path)
    (tmp_path / "1-dbpedia" / "all_results.json").write_text(json.dumps({"predict_loss": 1.0}))
    with pytest.raises(DataError, match=r"no result has a score of these tasks.*tasks=\['dbpedia'\]"):
        read_runs(tmp_path)
    with pytest.raises(DataError, match="no results of TRACE here"):
        read_runs(tmp_path, "trace")
    (tmp_path / "run.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"no eval_results.csv of Avalanche .*first line=\['a', 'b'\]"):
        read_runs(tmp_path / "run.csv", "avalanche")


def test_an_unknown_layout_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"layout='mamoth'.*Did you mean 'mammoth'\? Allowed are auto, avalanche, csv"):
        read_runs(tmp_path, "mamoth")
    with pytest.raises(SettingError, match="there is nothing here .*nowhere"):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read as csv"):
        read_runs(tmp_path, "csv")
