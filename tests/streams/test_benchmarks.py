"""Benchmark folders as their repositories have them: recognised, ordered, scored, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everlearn.errors import DataError
from everlearn.streams.benchmark_rows import ORDERS, Form, as_test, trace_row
from everlearn.streams.benchmarks import load_benchmark, read_benchmark, recognised
from everlearn.streams.folder import load_stream
from everlearn.types import Example


def put(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def o_lora(tmp_path: Path) -> Path:
    """Four tasks of the short orders and one more, with the instructions beside the folder."""
    root = tmp_path / "CL_Benchmark"
    for group, task, label in (
        ("TC", "dbpedia", "Film"),
        ("SC", "amazon", "good"),
        ("TC", "yahoo", "Health"),
        ("TC", "agnews", "World"),
        ("SC", "yelp", "good"),
    ):
        for split in ("train", "dev", "test"):
            put(root / group / task / f"{split}.json", [{"sentence": f"{task} {split}", "label": label}])
        put(root / group / task / "labels.json", [label, "other"])
    put(tmp_path / "configs" / "instruction_config.json", {"SC": [{"instruction_type": "zero-shot", "instruction": "Good or bad?\n"}]})
    return root


@pytest.fixture
def sapt(tmp_path: Path) -> Path:
    """Two groups, as SAPT has them."""
    for group, tasks in (("SuperNI", ("task363_sst2_polarity_classification", "task1572_samsum_summary")), ("Long_Sequence", ("yelp", "cb"))):
        for task in tasks:
            for split in ("train", "dev", "test"):
                entries = [{"id": "1", "input": f"{split} of {task}", "output": [" one ", "two"] if group == "SuperNI" else "one"}]
                put(tmp_path / "bench" / group / task / f"{split}.json", {"Contributors": ["x"], "Definition": ["Say it. "], "Instances": entries})
    return tmp_path / "bench"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """All eight tasks of TRACE and the data for its replay, which is no task of its order."""
    for task in (*ORDERS["trace"]["order1"], "Lima"):
        answer = "B\nBecause of that." if task == "ScienceQA" else "12" if "NumGLUE" in task else "A"
        for split in ("train", "eval", "test"):
            put(tmp_path / "LLM-CL" / task / f"{split}.json", [{"prompt": f"{task} {split}?\nA. this\nB. that\nAnswer:", "answer": answer}])
    return tmp_path / "LLM-CL"


def test_o_lora_is_recognised_with_its_prompts_options_and_longest_whole_order(o_lora: Path) -> None:
    stream = load_benchmark(o_lora)
    assert (recognised(o_lora), stream.name, [e.name for e in stream]) == ("o-lora", "o-lora-order1", ["dbpedia", "amazon", "yahoo", "agnews"])
    assert stream.about == "o-lora, order1; left out: yelp"
    amazon = stream.experiences[1]
    assert amazon.train == (
        Example(prompt="Good or bad?\nOption: good, other \namazon train\nAnswer:", completion=" good", source="o-lora/amazon", task="amazon"),
    )
    assert (amazon.scores, amazon.chance, amazon.valid["amazon"][0].choices) == ({"amazon": "exact"}, {"amazon": 0.5}, (" good", " other"))
    assert stream.experiences[0].train[0].prompt == "Option: Film, other \ndbpedia train\nAnswer:"


def test_o_loras_own_runs_name_group_and_task(o_lora: Path) -> None:
    assert (
        load_benchmark(o_lora, named=True).experiences[1].train[0].prompt
        == "Task:SC\nDataset:amazon\nGood or bad?\nOption: good, other \namazon train\nAnswer:"
    )


def test_a_benchmark_is_compared_through_load_stream_which_needs_no_stream_toml_then(o_lora: Path, trace: Path) -> None:
    assert load_stream(o_lora) == load_benchmark(o_lora)
    assert load_stream(trace).name == "trace-order1"
    (trace / "stream.toml").write_text('name = "mine"')
    with pytest.raises(DataError, match="files have no place in a stream"):
        load_stream(trace)


def test_an_order_is_a_published_one_or_task_names(o_lora: Path) -> None:
    assert [e.name for e in load_benchmark(o_lora, order="order3")] == ["yahoo", "amazon", "agnews", "dbpedia"]
    for order in ("yelp, amazon", ["yelp", "amazon"]):
        stream = load_benchmark(o_lora, "o-lora", order)
        assert ([e.name for e in stream], stream.name) == (["yelp", "amazon"], "o-lora")
    for order, missing in (("order4", "'MNLI'"), (["yelp", "yelp"], r"\[\]"), ("amzon", "'amzon'.*Did you mean 'amazon'"), ([], r"\[\]")):
        with pytest.raises(DataError, match=rf"order cannot be used \(order=.*not there: .*{missing}"):
            load_benchmark(o_lora, order=order)


def test_published_orders_hold_each_task_once_and_the_long_ones_fifteen() -> None:
    for orders in ORDERS.values():
        for order in orders.values():
            assert len(set(order)) == len(order)
    assert {len(set(ORDERS[layout][name])) for layout, name in (("o-lora", "order4"), ("o-lora", "order5"), ("o-lora", "order6"), ("sapt", "order1"))} == {15}
    assert set(ORDERS["o-lora"]["order4"]) == set(ORDERS["o-lora"]["order5"]) == set(ORDERS["o-lora"]["order6"])
    assert set(ORDERS["sapt"]["order1"]) == set(ORDERS["sapt"]["order2"])
    assert set(ORDERS["sapt"]["order4"]) == set(ORDERS["sapt"]["order5"])
    assert ORDERS["sapt"]["order2"][:2] == ("task748_glucose_reverse_cause_event_detection", "task073_commonsenseqa_answer_generation")


def test_sapt_has_one_prompt_for_super_natural_instructions_and_one_for_the_long_sequence(sapt: Path) -> None:
    tasks = load_benchmark(sapt / "SuperNI")
    assert [e.name for e in tasks] == ["task1572_samsum_summary", "task363_sst2_polarity_classification"]
    row = tasks.experiences[0].train[0]
    assert row.prompt == "Definition: Say it.\n\nNow complete the following example -\nInput: train of task1572_samsum_summary\nOutput:"
    assert (row.completion, tasks.experiences[0].scores) == (" one", {"task1572_samsum_summary": "rouge"})
    long = load_benchmark(sapt / "Long_Sequence", "sapt")
    assert (long.experiences[0].train[0].prompt, long.experiences[0].scores) == ("Say it.\ntrain of yelp\nOutput:", {"yelp": "exact"})
    with pytest.raises(DataError, match=r"several benchmarks \(Long_Sequence, SuperNI\)"):
        load_benchmark(sapt)


def test_trace_has_its_order_and_a_score_for_each_task(trace: Path) -> None:
    stream = load_benchmark(trace)
    assert tuple(e.name for e in stream) == ORDERS["trace"]["order1"]
    scores = {task: kind for e in stream for task, kind in e.scores.items()}
    assert scores == {
        "C-STANCE": "exact",
        "FOMC": "exact",
        "MeetingBank": "rouge",
        "Py150": "chrf",
        "ScienceQA": "choice",
        "NumGLUE-cm": "exact",
        "NumGLUE-ds": "exact",
        "20Minuten": "rouge",
    }
    science = stream.experiences[4]
    assert (science.train[0].completion, science.tests["ScienceQA"][0].completion) == (" B\nBecause of that.", " B")
    assert (science.tests["ScienceQA"][0].choices, science.chance) == ((" A", " B"), {"ScienceQA": 0.5})


def test_a_task_that_nobody_published_is_exact_with_few_answers_and_else_rouge(trace: Path) -> None:
    put(trace / "Lima" / "train.json", [{"prompt": f"p{n}", "answer": f"a{n}"} for n in range(21)])
    assert load_benchmark(trace, order=["Lima"]).experiences[0].scores == {"Lima": "rouge"}
    put(trace / "Lima" / "train.json", [{"prompt": f"p{n}", "answer": n % 2} for n in range(21)])
    stream = load_benchmark(trace, order=["Lima"])
    assert (stream.experiences[0].scores, stream.experiences[0].train[1].completion) == ({"Lima": "exact"}, " 1")
    put(trace / "Lima" / "test.json", [{"prompt": "p", "answer": "two\nlines"}])
    assert load_benchmark(trace, order=["Lima"]).experiences[0].scores == {"Lima": "rouge"}


def test_answers_follow_a_space_only_where_words_need_one() -> None:
    assert trace_row({"prompt": "态度：", "answer": "支持"}, Form("C-STANCE"))["completion"] == "支持"
    assert trace_row({"prompt": "Stance:\n", "answer": "A"}, Form("FOMC"))["completion"] == "A"
    assert trace_row({"prompt": "Stance:", "answer": "A"}, Form("FOMC"))["completion"] == " A"


def test_a_science_question_without_listed_letters_keeps_its_answer_and_is_not_scored_by_choice(trace: Path) -> None:
    row = {"prompt": "Which?", "completion": " A\nBecause."}
    assert as_test(row, "trace", Form("ScienceQA")) == row
    put(trace / "ScienceQA" / "test.json", [{"prompt": "Which?", "answer": "A\nBecause."}])
    assert load_benchmark(trace, order=["ScienceQA"]).experiences[0].scores == {"ScienceQA": "rouge"}


def test_bad_entries_are_named_with_file_and_number(trace: Path) -> None:
    put(trace / "FOMC" / "train.json", [{"prompt": "p", "answer": "A"}, {"prompt": "p"}, 7])
    with pytest.raises(DataError, match=r"(?s)FOMC/train.json, entry 2: answer must be text \(answer=None.*entry 3: no object \(7\)"):
        load_benchmark(trace)
    assert [list(part.reading.bad) for part in read_benchmark(trace).parts if part.reading.bad] == [[2, 3]]


def test_a_folder_of_another_kind_is_refused_with_what_was_looked_for(tmp_path: Path, trace: Path) -> None:
    put(tmp_path / "other" / "task" / "train.json", [{"x": 1}])
    for path, layout in ((tmp_path / "other", "auto"), (trace, "o-lora")):
        with pytest.raises(DataError, match=rf"no benchmark that is known here \(layout='{layout}'.*Looked for: GROUP/TASK/train.json"):
            load_benchmark(path, layout)
    with pytest.raises(DataError, match="nowhere is no folder"):
        load_benchmark(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no such layout \(layout='olora'\). Did you mean 'o-lora'"):
        load_benchmark(trace, "olora")
    for content in ("[]", '{"a": 1}', "[1, 2]", ""):
        (tmp_path / "other" / "task" / "train.json").write_text(content)
        assert recognised(tmp_path / "other") is None
    assert recognised(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("FOMC/test.json", None, r"FOMC has no test.json. A task of trace"),
        ("FOMC/test.json", "[", r"FOMC/test.json is not JSON \(Expecting value"),
        ("FOMC/test.json", "{}", r"FOMC/test.json has no list of entries \(\{\}\)"),
        ("FOMC/eval.json", "[]", r"FOMC/eval.json has no list of entries \(\[\]\)"),
    ],
)
def test_a_file_that_is_missing_or_broken_is_named(trace: Path, file: str, content: str | None, reason: str) -> None:
    if content is None:
        (trace / file).unlink()
    else:
        (trace / file).write_text(content)
    with pytest.raises(DataError, match=reason):
        load_benchmark(trace)


def test_two_tasks_of_one_name_and_labels_that_are_no_list_are_refused(o_lora: Path) -> None:
    put(o_lora / "TC" / "amazon" / "train.json", [{"sentence": "x", "label": "y"}])
    with pytest.raises(DataError, match=r"two tasks of one name \(.*TC/amazon and .*SC/amazon"):
        load_benchmark(o_lora)
    (o_lora / "TC" / "amazon" / "train.json").unlink()
    put(o_lora / "SC" / "amazon" / "labels.json", {"a": 1})
    with pytest.raises(DataError, match=r"labels.json is no list \(\{'a': 1\}\)"):
        load_benchmark(o_lora)
