"""compare: what it writes, skips and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from everlearn import (
    Almanac,
    DataError,
    Example,
    Experience,
    Method,
    Results,
    SettingError,
    Settings,
    StateError,
    Step,
    Stream,
    almanac_stream,
    register,
    save_stream,
)
from everlearn import compare as compare_all
from everlearn.methods import BY_NAME
from everlearn.models.load import TINY

compare = partial(compare_all, anchor=None, probes=False)  # what these tests are not about costs them seconds
SETTINGS = Settings(rate=1e-3, passes=2, batch=32)
METHODS = "plain,replay(share=1)+distill(on=memory),frozen,joint"
METRICS = {"average_accuracy", "forgetting", "forgetting_from_learned", "backward_transfer", "forward_transfer", "learning_accuracy"}
SHARES = {"kept", "kept_never_rehearsed", "changed", "new", "unseen_phrasing", "stale", "skills"}
COST = {"seconds", "learn_seconds", "evaluate_seconds", "end_seconds", "seconds_over_plain", "peak_bytes", "extra_state_bytes", "learned_tokens"}


@pytest.fixture(scope="module")
def stream() -> Stream:
    """The real almanac, two periods, its tests and base thinned out."""
    whole = almanac_stream(Almanac(), periods=2, skills=30)
    thin = tuple(replace(e, tests={task: rows[:: max(1, len(rows) // 40)] for task, rows in e.tests.items()}) for e in whole)
    return replace(whole, experiences=thin, base=whole.base[::6])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def results(stream: Stream, out: Path) -> Results:
    return compare_all(stream, methods=METHODS, out=out, settings=SETTINGS)


def test_results_json_has_the_agreed_form(results: Results, out: Path) -> None:
    saved = json.loads((out / "results.json").read_text())
    assert (saved["stream"], saved["model"]) == ("almanac", "tiny")
    assert [run["method"] for run in saved["runs"]] == ["plain", "replay(share=1)+distill(on=memory)", "frozen", "joint"]
    for run in saved["runs"]:
        assert set(run["metrics"]) >= METRICS | SHARES
        assert set(run["cost"]) >= COST
        assert len(run["matrix"]["rows"]) == 3
        assert {len(row) for row in run["matrix"]["rows"]} == {len(run["matrix"]["tasks"])}
        assert len(run["matrix"]["experiences"]) == 2
        assert set(run["hardware"]) == {"device", "threads", "memory_bytes", "torch", "transformers"}


def test_plain_forgets_and_the_method_forgets_less(results: Results) -> None:
    plain, method = results.runs[0].metrics, results.runs[1].metrics
    assert (plain["kept"] or 0) + 0.1 < (method["kept"] or 0)
    assert (plain["changed"] or 0) > 0.5
    assert (method["changed"] or 0) > 0.5


def test_frozen_learns_nothing_and_joint_has_its_last_row_alone(results: Results) -> None:
    frozen, joint = results.runs[2], results.runs[3]
    rows = frozen.matrix["rows"]
    assert rows[0] == rows[1]  # type: ignore[index]
    assert frozen.metrics["changed"] == 0
    assert joint.matrix["rows"][1] == [None] * len(joint.matrix["tasks"])  # type: ignore[index, arg-type]
    assert joint.metrics["average_accuracy"] is not None
    assert (joint.metrics["changed"], joint.metrics["new"]) == (None, None)
    assert joint.metrics["changed_at_end"] is not None
    assert (joint.cost["steps"] or 0) > (results.runs[0].cost["steps"] or 0)


def test_seconds_hold_learning_and_evaluation(results: Results) -> None:
    assert all((run.cost["seconds"] or 0) >= (run.cost["learn_seconds"] or 0) + (run.cost["evaluate_seconds"] or 0) for run in results.runs)


def test_the_cost_is_that_of_the_run(results: Results) -> None:
    plain, method, frozen, _ = results.runs
    assert plain.cost["seconds_over_plain"] == 0
    assert (method.cost["learned_tokens"] or 0) > 1.5 * (plain.cost["learned_tokens"] or 0)
    assert plain.cost["steps"] == method.cost["steps"] == 2 * SETTINGS.steps(240)
    assert (method.cost["extra_state_bytes"] or 0) > 50_000 > (plain.cost["extra_state_bytes"] or 0)
    assert frozen.cost["learned_tokens"] == 0
    assert all((run.cost["peak_bytes"] or 0) > 1e8 for run in results.runs)


def test_every_run_is_a_small_json_of_its_own(results: Results, out: Path) -> None:
    files = sorted((out / "runs").glob("*.json"))
    assert len(files) == 4
    assert all(path.stat().st_size < 20_000 for path in files)


def test_what_is_done_is_not_run_again(results: Results, stream: Stream, out: Path) -> None:
    seen: list[str] = []
    again = compare_all(
        stream, methods=METHODS + ",plain+settings(passes=1)", out=out, settings=SETTINGS, watch=lambda label, number, answers: seen.append(label)
    )
    assert set(seen) == {"plain+settings(passes=1)"}
    assert [run.metrics for run in again.runs[:4]] == [run.metrics for run in results.runs]


def test_other_settings_are_another_run(stream: Stream, out: Path, results: Results) -> None:
    before = len(list((out / "runs").glob("*.json")))
    compare(stream, methods="frozen", out=out, settings=replace(SETTINGS, rate=2e-3))
    assert len(list((out / "runs").glob("*.json"))) == before + 1


def test_the_same_seed_gives_the_same_numbers(results: Results, stream: Stream) -> None:
    again = compare(stream, methods="plain", settings=SETTINGS).runs[0]
    assert again.matrix == results.runs[0].matrix


def test_another_seed_is_another_order(stream: Stream) -> None:
    runs = compare(stream, methods="plain", seeds=2, settings=replace(SETTINGS, passes=1)).runs
    assert [run.seed for run in runs] == [0, 1]
    assert runs[0].matrix != runs[1].matrix


def test_a_generator_is_a_stream() -> None:
    row = Example(prompt="Question: What is the river of Penwick?\nAnswer:", completion=" Exe", task="t")

    def arriving() -> Iterator[Experience]:
        for name in ("monday", "tuesday"):
            yield Experience(name, (row,), {"t": (row,)}, {"t": "exact"})

    run = compare(arriving(), methods="plain", settings=Settings(rate=1e-3, passes=10)).runs[0]
    assert run.matrix["experiences"] == ["monday", "tuesday"]
    assert run.metrics["average_accuracy"] == 1.0


def test_the_learner_never_sees_a_task(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    from everlearn import Gradient, LearnLog

    seen: list[Experience] = []
    monkeypatch.setattr(Gradient, "learn", lambda self, model, experience, checkpoint=None: seen.append(experience) or LearnLog())
    compare(stream, methods="plain", settings=SETTINGS)
    assert len(seen) == 2
    assert [experience.name for experience in seen] == ["1", "2"]
    assert all(example.task is None for experience in seen for example in experience.train)
    assert all(not experience.tests for experience in seen)


def test_a_base_loses_its_tasks_too(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    from everlearn import Gradient

    seen: list[Example] = []
    monkeypatch.setattr(Gradient, "remember", lambda self, model, examples: seen.extend(examples))
    named = replace(stream, base=tuple(replace(e, task="secret") for e in stream.base[:5]), experiences=stream.experiences[:1])
    compare(named, methods="plain", settings=replace(SETTINGS, passes=1))
    assert len(seen) == 5
    assert all(example.task is None for example in seen)


def test_changed_data_under_the_same_ids_is_another_run(tmp_path: Path) -> None:
    row = Example(prompt="a", completion=" b", id="1", task="t")
    for answer in (" b", " c"):
        changed = replace(row, completion=answer)
        compare([Experience("1", (changed,), {"t": (changed,)}, {"t": "exact"})], methods="frozen", out=tmp_path)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2


def test_rows_without_a_task_are_pointed_out() -> None:
    row = Example(prompt="a", completion=" b")
    with pytest.warns(UserWarning, match="no training row names a tested task"):
        compare([Experience("1", (row,), {"t": (row,)}, {"t": "exact"})], methods="frozen")


def test_validation_rows_can_be_tested_on_instead(tmp_path: Path) -> None:
    row, held = Example(prompt="a", completion=" b", task="t"), Example(prompt="c", completion=" d")
    experience = Experience("1", (row,), {"t": (row,)}, {"t": "exact"}, valid={"t": (held,)})
    seen: list[int] = []
    compare([experience], methods="frozen", valid=True, watch=lambda label, number, answers: seen.append(len(answers["t"])))
    assert seen == [1, 1]
    with pytest.raises(DataError, match="nothing to test on.*rows='valid'"):
        compare([replace(experience, valid={})], methods="frozen", valid=True)


def test_mistakes_are_named_before_anything_is_learned(stream: Stream, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="seeds must be at least 1, got 0"):
        compare(stream, seeds=0)
    with pytest.raises(SettingError, match="no method 'repaly'. Did you mean 'replay'"):
        compare(stream, methods="repaly")
    with pytest.raises(DataError, match="experiences=0"):
        compare([])


def test_a_folder_that_cannot_take_runs_is_refused(stream: Stream, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(SettingError, match="out must be a folder.*which is a file"):
            compare(stream, methods="frozen", out=out)
    save_stream(replace(stream, experiences=stream.experiences[:1]), tmp_path / "s")
    with pytest.raises(SettingError, match="out must not be inside the stream"):
        compare(tmp_path / "s", methods="frozen", out=tmp_path / "s" / "runs")


def test_a_method_of_ones_own_is_compared_by_its_name(stream: Stream) -> None:
    class Half(Method):
        def __init__(self, by: float = 0.5) -> None:
            self.by = by

        def rate(self, step: Step) -> float:
            return self.by

    register("half", Half)
    try:
        runs = compare(
            replace(stream, experiences=stream.experiences[:1]), methods="plain+settings(rate=5e-4),half(by=0.5)", settings=replace(SETTINGS, passes=1)
        ).runs
    finally:
        BY_NAME.pop("half")
    assert runs[0].matrix == runs[1].matrix


def test_a_broken_run_file_says_which(stream: Stream, tmp_path: Path) -> None:
    compare(stream, methods="frozen", out=tmp_path, settings=SETTINGS)
    path = next((tmp_path / "runs").glob("*.json"))
    path.write_text("{}")
    with pytest.raises(StateError, match=path.name):
        compare(stream, methods="frozen", out=tmp_path, settings=SETTINGS)


def test_the_packaged_model_by_its_folder_is_the_same_model(stream: Stream, results: Results) -> None:
    run = compare(stream, TINY, methods="frozen", settings=SETTINGS).runs[0]
    assert run.matrix == results.runs[2].matrix


def test_the_table_names_every_method(results: Results) -> None:
    text = results.markdown()
    assert all(f"| {run.method} |" in text for run in results.runs)
    assert "kept %" in text


def test_the_distance_from_the_start_and_the_probes_are_in_every_run(results: Results) -> None:
    plain, method, frozen, joint = results.runs
    assert frozen.divergence["kl"] == [0, 0, 0]
    assert joint.divergence["kl"][1] is None
    assert 0 < (method.divergence["kl"][2] or 0) < (plain.divergence["kl"][2] or 0)
    assert all(len(values) == 3 for run in results.runs for values in run.divergence.values())
    assert set(plain.probes) == {"arithmetic", "instructions", "refusals"}
    assert plain.probes["arithmetic"][1] is None
    assert frozen.probes["refusals"][0] == frozen.probes["refusals"][2]


def test_every_run_has_intervals_and_is_compared_with_plain(results: Results) -> None:
    for run in results.runs:
        for metric, (low, high) in run.intervals.items():
            assert low - 1e-9 <= (run.metrics[metric] or 0) <= high + 1e-9
    assert set(results.runs[3].intervals) >= {"average_accuracy", "kept"}
    assert "forgetting" not in results.runs[3].intervals  # joint is measured at the end alone
    kept = next(d for d in results.differences if (d.method, d.metric) == (results.runs[1].method, "kept"))
    assert 0.1 < kept.low < kept.mean < kept.high


def test_answers_are_kept_with_the_questions(results: Results, out: Path) -> None:
    from everlearn.records import AnswerRecord, answers_path, read_lines

    asked = read_lines(out / "questions.jsonl.gz")
    assert len(asked) == sum(int(str(task["examples"])) for task in results.tasks)
    kept, unseen = ([row["fact"] for row in asked if row["task"] == task] for task in ("kept", "unseen0"))
    assert kept == unseen == list(dict.fromkeys(kept))
    run = results.runs[0]
    record = AnswerRecord.load(answers_path(out / "runs" / f"{run.name}.json"))
    tasks = run.matrix["tasks"]
    for answered in record.answered:
        values = [value for value in answered.values if value is not None]
        cell = run.matrix["rows"][answered.experience][tasks.index(answered.task)]  # type: ignore[index, attr-defined]
        assert cell == (pytest.approx(sum(values) / len(values)) if values else None)
