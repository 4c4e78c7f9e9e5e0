"""Tables: the cells are the records', the best is marked, and kinds of score never share a scale."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everlearn.report.figures import cost_figure, extra_figures, probe_columns, stream_figures
from everlearn.report.sections import Section, read_sections
from everlearn.report.tables import all_metrics, columns, corpus_rows, difference_spans, heats, interval_spans, overview, summary

Make = Callable[..., Path]
PLAIN = [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]]
GOOD = [[38, 0, 0, 0], [38, 40, 0, 0], [37, 38, 40, 0], [36, 37, 38, 39]]
JOINT = [[38, 0, 0, 0], [None] * 4, [None] * 4, [39, 40, 40, 40]]


def section(make: Make, change: Callable[[dict[str, Any]], object] = lambda saved: None) -> Section:
    folder = make(right={"plain": PLAIN, "replay": GOOD, "joint": JOINT}, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    change(saved)
    (folder / "results.json").write_text(json.dumps(saved))
    return read_sections([folder])[0]


def test_the_summary_has_the_best_first_and_bounds_last(make: Make) -> None:
    lines = summary(section(make))
    assert [(line.method.label, line.role) for line in lines] == [("replay", "best"), ("plain", "plain"), ("joint", "bound")]
    cell = lines[0].cells[0]
    assert (cell.text, cell.beside, cell.best) == ("93.8 %", "90.8 to 96.8", True)
    assert not any(cell.best for cell in lines[2].cells)  # joint's 99.4 % is more, but it is a bound


def test_joint_has_no_numbers_over_time(make: Make) -> None:
    def over_time(saved: dict[str, Any]) -> None:
        saved["runs"][2]["metrics"] |= {"forgetting": -0.643, "backward_transfer": 0.5}

    found = section(make, over_time)
    texts = dict(zip((column.key for column in columns(found)), (cell.text for cell in summary(found)[2].cells), strict=True))
    assert (texts["average_accuracy"], texts["forgetting"], texts["backward_transfer"]) == ("99.4 %", "–", "–")


def test_the_almanac_has_its_own_columns(make: Make) -> None:
    def almanac(saved: dict[str, Any]) -> None:
        saved["runs"][0]["metrics"]["kept"] = 0.5

    assert "kept" in [column.key for column in columns(section(make, almanac))]
    assert "kept" not in [column.key for column in columns(section(lambda **more: make("other", **more)))]


def test_seeds_show_their_range(make: Make) -> None:
    def again(saved: dict[str, Any]) -> None:
        more = json.loads(json.dumps(saved["runs"][1])) | {"seed": 1, "fingerprint": "x"}
        more["metrics"]["average_accuracy"] = 0.8
        saved["runs"].append(more)

    assert summary(section(make, again))[0].cells[0].range == "2 runs 80.0 to 93.8"


def test_a_matrix_cell_says_where_the_task_was_taught(make: Make) -> None:
    (heat,) = heats(section(make), section(lambda **more: make("b", **more)).methods[0])
    assert heat.heads[1] == ("first", "5.0")
    assert [name for name, _ in heat.rows] == ["before", "2021", "2022", "2023"]
    assert [when for _, _, when in heat.rows[1][1]] == ["never", "here", "after", "after"]
    assert heat.rows[3][1][1] == ("25", 0.25, "before")


def test_each_kind_of_score_has_a_table_and_a_scale_of_its_own(make: Make) -> None:
    def kinds(saved: dict[str, Any]) -> None:
        for run in saved["runs"]:
            run["matrix"]["kinds"] = ["loss", "exact", "exact", "exact"]

    found = section(make, kinds)
    tables = heats(found, found.methods[0])
    assert [[task for task, _ in heat.heads] for heat in tables] == [["first", "second", "third"], ["old"]]
    assert [heat.scale for heat in tables] == [("0", "100"), ("30", "97.5")]
    assert [len(stream_figures(found, kind)) for kind in found.kinds] == [2, 1]


def test_orders_of_the_stream_are_not_averaged_cell_by_cell(make: Make) -> None:
    def order(saved: dict[str, Any]) -> None:
        saved["runs"].append(json.loads(json.dumps(saved["runs"][0])) | {"order": 1, "fingerprint": "x"})

    found = section(make, order)
    assert [heat.caption for heat in heats(found, found.methods[0])] == ["plain: exact, per cent", "plain: exact, per cent, order 1 of the experiences"]
    assert stream_figures(found, "exact")[0].heads == ("method", "before", "no. 1", "no. 2", "no. 3")


def test_differences_from_plain_are_drawn_around_zero(make: Make) -> None:
    spans = difference_spans(section(make))["At the end (more is better)"]
    assert (spans[0].label, spans[0].text, spans[0].note) == ("replay", "+42.5", "38.5 to 46.5, clearly above plain")
    assert all(0 <= span.low <= span.at <= span.high <= 100 and span.zero == 50 for span in spans)
    assert [span.label for span in interval_spans(section(lambda **more: make("b", **more)))] == ["replay", "plain", "joint"]


def test_intervals_over_all_runs_are_taken_before_those_of_each(make: Make) -> None:
    found = section(make, lambda saved: saved.update(intervals={"replay": {"average_accuracy": [0.5, 0.75]}}))
    assert summary(found)[0].cells[0].beside == "50.0 to 75.0"


def test_a_metric_in_which_nothing_differs_is_not_drawn(make: Make) -> None:
    same = {"method": "replay", "against": "plain", "metric": "forward_transfer", "mean": 0.0, "low": 0.0, "high": 0.0, "runs": 1}
    assert difference_spans(section(make, lambda saved: saved.update(differences=[same]))) == {}


def test_what_has_no_column_is_in_the_table_of_all_metrics(make: Make) -> None:
    def odd(saved: dict[str, Any]) -> None:
        saved["runs"][0]["metrics"]["nobody_knows"] = 0.125
        saved["runs"][0]["matrix"]["kinds"][0] = saved["runs"][1]["matrix"]["kinds"][0] = saved["runs"][2]["matrix"]["kinds"][0] = "choice"
        saved["runs"][0]["metrics_by_kind"]["choice"] = {"average_accuracy": 0.3}

    rows = {name: [cell.text for cell in cells] for name, cells in all_metrics(section(make, odd))}
    assert rows["nobody_knows"] == ["12.5 %", "–", "–"]
    assert rows["average_accuracy (choice)"] == ["30.0 %", "–", "–"]


def test_corpus_scores_keep_their_own_unit(make: Make) -> None:
    assert corpus_rows(section(make)) == [("third", "chrF2", "10", ("60", "60", "60"))]


def test_curves_are_means_over_the_tasks_they_name(make: Make) -> None:
    known, taught, new = stream_figures(section(make), "exact")
    assert known.rows[0] == ("plain", "95.0 %", "75.0 %", "50.0 %", "30.0 %")
    assert taught.rows[0] == ("plain", "–", "100.0 %", "77.5 %", "58.3 %")  # (22 + 40) / 80, (10 + 20 + 40) / 120
    assert new.rows[0] == ("plain", "–", "100.0 %", "100.0 %", "100.0 %")
    assert known.rows[2] == ("joint", "95.0 %", "–", "–", "97.5 %")
    assert "plain 30.0 %" in known.alt


def test_what_was_measured_beside_the_tasks_is_drawn(make: Make) -> None:
    assert [figure.title for figure in extra_figures(section(make))] == ["Outdated answers", "Distance from the start", "Perplexity"]
    cost = cost_figure(section(lambda **more: make("b", **more)))
    assert cost is not None
    assert [row[-1] for row in cost.rows] == ["yes", "yes", "a reference"]


def test_probes_at_both_ends_are_a_table_and_others_a_figure(make: Make) -> None:
    assert probe_columns(section(make)) == [("arithmetic", ["100.0 % → 90.0 %"] * 3)]

    def between(saved: dict[str, Any]) -> None:
        saved["runs"][0]["probes"] = {"arithmetic": [1.0, 0.5, 0.5, 0.25]}

    often = section(lambda **more: make("b", **more), between)
    assert probe_columns(often) == []
    assert extra_figures(often)[-1].title == "Arithmetic"


def test_without_seconds_there_is_no_figure_of_cost(make: Make) -> None:
    def free(saved: dict[str, Any]) -> None:
        for run in saved["runs"]:
            run["cost"] = {}

    assert cost_figure(section(make, free)) is None


def test_all_that_are_level_are_marked_alike(make: Make) -> None:
    near = [*GOOD[:3], [37, 37, 38, 37]]
    (found,) = read_sections([make(right={"plain": PLAIN, "replay": GOOD, "ewc(strength=1)": near})])
    assert [(line.method.label, line.role) for line in summary(found)] == [("replay", "tied"), ("ewc(strength=1)", "tied"), ("plain", "plain")]
    assert {label: cells[0].best for label, _, cells, _ in overview([found])} == {"replay": True, "ewc(strength=1)": True, "plain": False}


def test_perplexity_and_nats_per_byte_are_drawn_where_they_lie_and_long_names_are_cut_on_the_axis(make: Make) -> None:
    def change(saved: dict[str, Any]) -> None:
        for run in saved["runs"]:
            run["divergence"] = {"perplexity": [25.1, 25.2, 25.3, 25.4], "nats_per_byte": [2.8, 3.1, 3.3, 3.5], "kl": [4.3e-10, 1.0, 1.0, 1710.2]}
            run["matrix"]["experiences"][0] = "kitchen_and_dining"

    figures = {figure.title: figure for figure in extra_figures(section(make, change))}
    drawn = ("Perplexity", "Nats per byte", "Distance from the start")
    modes = {title: figures[title].layout["yaxis"]["rangemode"] for title in drawn}  # type: ignore[index,call-overload]
    assert modes == {"Perplexity": "normal", "Nats per byte": "normal", "Distance from the start": "tozero"}
    assert figures["Distance from the start"].rows[0][1:] == ("0", "1", "1", "1,710")
    assert figures["Nats per byte"].heads[2] == "kitchen_and_…"


def test_questions_that_no_longer_count_are_not_behind_a_score_at_the_end(make: Make) -> None:
    folder = make(right={"plain": PLAIN})
    lines = [json.loads(line) for line in gzip.decompress((folder / "questions.jsonl.gz").read_bytes()).splitlines()]
    for line in lines[40:43]:  # three of the task "first"
        line["until"] = 2
    (folder / "questions.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    (without,) = read_sections([folder])
    (path,) = (folder / "runs").glob("*.gz")
    kept = path.read_bytes()
    path.unlink()
    assert without.asked_at_end == {"old": 40, "first": 37, "second": 40, "third": 40}
    answers = [json.loads(line) for line in gzip.decompress(kept).splitlines()]
    next(line for line in answers if line.get("experience") == 3 and line["task"] == "second")["values"][:4] = [None] * 4
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in answers).encode()))
    (told,) = read_sections([folder])
    assert told.asked_at_end["second"] == 36
    assert heats(told, told.methods[0])[0].asked[2] == "36"


def test_the_almanac_tells_just_taught_from_the_end_and_how_many_were_never_rehearsed(make: Make) -> None:
    folder = make(right={"plain": PLAIN, "replay": GOOD})
    saved = json.loads((folder / "results.json").read_text())
    names = ("kept", "kept_never_rehearsed", "changed", "changed_at_end", "new", "new_at_end")
    for run in saved["runs"]:
        run["metrics"] |= dict.fromkeys(names, 0.5)
        path = folder / "runs" / f"{run['name']}.answers.jsonl.gz"
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        shares = {"shares": {"kept_never_rehearsed": {"old": [1.0, None, 0.0]}}}
        path.write_bytes(gzip.compress(json.dumps(shares).encode() + b"\n" + b"".join(lines[1:])))
    (folder / "results.json").write_text(json.dumps(saved))
    (found,) = read_sections([folder])
    cells = dict(zip((column.head for column in columns(found)), summary(found)[0].cells, strict=True))
    assert {"changed, just taught", "changed, at the end", "new, just taught", "new, at the end"} <= set(cells)
    assert cells["kept, never rehearsed"].range == "of 2"
