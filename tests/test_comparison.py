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
    Diverged,
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
from everlearn.conditions import Setup, reordered
from everlearn.evaluate.tasks import tasks_of
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


def small(name: str, count: int = 12, **more: object) -> Experience:
    """An experience that teaches `count` rows of a task of its name and asks for half of them."""
    rows = tuple(Example(prompt=f"Question: {name} {n}?\nAnswer:", completion=f" {name[0]}{n % 3}", task=name, **more) for n in range(count))  # type: ignore[arg-type]
    return Experience(name, rows, {name: rows[::2]}, {name: "exact"})


def test_orders_are_the_given_one_and_then_permutations(tmp_path: Path) -> None:
    stream = [small("a"), small("b"), small("c")]
    settings = Settings(rate=2e-3, passes=6)
    results = compare(stream, methods="plain,replay(share=1)", orders=3, out=tmp_path, settings=settings)
    assert [(run.order, run.method) for run in results.runs[::2]] == [(0, "plain"), (1, "plain"), (2, "plain")]
    learned = [tuple(run.matrix["experiences"]) for run in results.runs[::2]]  # type: ignore[arg-type]
    assert learned[0] == ("a", "b", "c")
    assert len(set(learned)) == 3
    assert all(run.matrix["tasks"] == ["a", "b", "c"] for run in results.runs)
    for run in results.runs:
        order = run.matrix["experiences"]
        assert run.matrix["learned"] == [order.index(task) + 1 for task in "abc"]  # type: ignore[attr-defined]
    assert all(difference.runs == 3 for difference in results.differences)
    assert "over test examples and over 3 orders" in results.caption()
    assert (tmp_path / "runs").exists()
    again = compare(stream, methods="plain,replay(share=1)", orders=3, out=tmp_path, settings=settings)
    assert again.runs == results.runs
    assert again.intervals == results.intervals


def test_answers_stay_beside_their_questions_in_every_order() -> None:
    """One task, tested twice with its rows in two orders: the other order of the stream comes upon the second first."""
    first, second = small("a"), small("b")
    stream = Stream("s", (first, replace(second, tests={**second.tests, "a": first.tests["a"][::-1]}, scores={"a": "exact", "b": "exact"})))
    setup = Setup(stream, tasks_of(stream.experiences), "tiny", SETTINGS, None, "float32", None, "")
    given, other = reordered(setup, 2, "tests")
    assert [task.examples for task in other.tasks] == [task.examples for task in given.tasks]
    assert [task.learned for task in other.tasks] == [2, 1]


def test_orders_that_are_not_there_or_would_be_untrue_are_refused() -> None:
    with pytest.raises(SettingError, match="orders must be between 1 and the number of orders of 2 experiences, got 3"):
        compare([small("a"), small("b")], orders=3)
    with pytest.raises(DataError, match="the stream's order is part of its truth.*Leave orders at 1"):
        compare([small("a"), small("b", old_completion=" x0")], orders=2)


def test_the_distance_from_the_start_and_the_probes_are_in_every_run(results: Results) -> None:
    plain, method, frozen, joint = results.runs
    assert frozen.divergence["kl"] == [0, 0, 0]
    assert joint.divergence["kl"][1] is None
    assert 0 < (method.divergence["kl"][2] or 0) < (plain.divergence["kl"][2] or 0)
    assert all(len(values) == 3 for run in results.runs for values in run.divergence.values())
    assert set(plain.probes) == {"arithmetic", "instructions", "refusals"}
    assert plain.probes["arithmetic"][1] is None
    assert frozen.probes["refusals"][0] == frozen.probes["refusals"][2]


def test_ones_own_anchor_text(tmp_path: Path) -> None:
    (tmp_path / "anchor.jsonl").write_text('{"text": "The mayor of Penwick is Ann."}\n')
    run = compare([small("a")], methods="plain", anchor=tmp_path / "anchor.jsonl").runs[0]
    assert run.divergence["kl"][0] == 0
    assert (run.divergence["kl"][1] or 0) > 0


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
    run = results.runs[0]
    record = AnswerRecord.load(answers_path(out / "runs" / f"{run.name}.json"))
    tasks = run.matrix["tasks"]
    for answered in record.answered:
        values = [value for value in answered.values if value is not None]
        cell = run.matrix["rows"][answered.experience][tasks.index(answered.task)]  # type: ignore[index, attr-defined]
        assert cell == (pytest.approx(sum(values) / len(values)) if values else None)


def test_intervals_of_other_runs_are_not_taken_over(tmp_path: Path) -> None:
    """Without their answers three seeds leave an interval that says nothing of one seed."""
    stream = [small("a"), small("b")]
    compare(stream, methods="plain,l2", seeds=2, out=tmp_path, settings=SETTINGS)
    for path in tmp_path.glob("runs/*.gz"):
        path.unlink()
    same = compare(stream, methods="plain,l2", seeds=2, out=tmp_path, settings=SETTINGS)
    assert set(same.intervals) == {"plain", "l2"}
    assert same.differences
    one = compare(stream, methods="plain,l2", seeds=1, out=tmp_path, settings=SETTINGS)
    assert (one.intervals, one.differences) == ({}, [])


def test_the_table_on_disk_never_loses_what_is_done(tmp_path: Path) -> None:
    stream = [small("a"), small("b")]
    compare(stream, methods="plain,l2", seeds=2, out=tmp_path, settings=SETTINGS)

    def stop(text: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(stream, methods="frozen,plain,l2", seeds=2, out=tmp_path, settings=SETTINGS, progress=stop)
    assert [(run.method, run.seed) for run in Results.load(tmp_path / "results.json").runs] == [("plain", 0), ("l2", 0), ("plain", 1), ("l2", 1)]


def test_the_questions_beside_the_answers_are_those_that_were_asked(tmp_path: Path) -> None:
    from everlearn.records import read_lines

    for name in ("first", "second"):
        compare([small(name)], methods="frozen", out=tmp_path, settings=SETTINGS)
        assert {row["task"] for row in read_lines(tmp_path / "questions.jsonl.gz")} == {name}


def test_seconds_between_savings_are_not_negative() -> None:
    with pytest.raises(SettingError, match="save_every must be at least 0, got -3"):
        compare([small("a")], save_every=-3)


def test_a_method_that_breaks_the_model_does_not_end_the_comparison(tmp_path: Path) -> None:
    settings, wild = Settings(rate=1e-3, passes=2), "plain+settings(rate=1e38)"
    with pytest.warns(UserWarning, match=r"rate=1e38\) with seed 0 has no result: .*rate"):
        results = compare([small("a")], methods=f"{wild},plain", out=tmp_path, settings=settings)
    assert [run.method for run in results.runs] == ["plain"]
    assert [run["method"] for run in json.loads((tmp_path / "results.json").read_text())["runs"]] == ["plain"]
    with pytest.warns(UserWarning, match="has no result"), pytest.raises(Diverged):
        compare([small("a")], methods=wild, settings=settings)


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    from everlearn.records import one_writer

    with one_writer(tmp_path), pytest.raises(StateError, match="another comparison is writing here .out="):
        compare([small("a")], methods="plain", out=tmp_path)
    assert compare([small("a")], methods="frozen", out=tmp_path).runs
