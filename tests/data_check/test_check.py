"""What a check finds, and that it finds nothing in clean data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from everlearn import DataError, Example, Experience, SettingError, Settings, Stream
from everlearn.data_check.check import ForModel, check_data
from everlearn.data_check.lengths import tokens_of
from everlearn.data_check.text import normalised
from everlearn.models.language import CausalModel
from everlearn.models.pairs import PairEncoder

Row = Mapping[str, object]


def asked(prompt: str, completion: str, **more: object) -> Row:
    return {"prompt": prompt, "completion": completion, **more}


def put(file: Path, *rows: Row | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clean stream of two experiences, one question of which changes its answer."""
    root = tmp_path / "towns"
    put(root / "base.jsonl", asked("Mayor of Rome?", " Ann"))
    put(root / "01-first" / "train.jsonl", asked("Mayor of Rome?", " Bo", task="ask"), asked("River of Rome?", " Tiber", task="ask"))
    put(root / "01-first" / "test.ask.jsonl", asked("Who is mayor in Rome?", " Bo"))
    put(root / "02-second" / "train.jsonl", asked("Mayor of Oslo?", " Cleo", task="ask"))
    (root / "stream.toml").write_text('name = "towns"\n[scores]\nask = "exact"\n')
    return root


def test_a_clean_stream_is_clean_and_what_changed_is_told(root: Path) -> None:
    report = check_data(root)
    assert (report.clean, report.kind, [file.role for file in report.files]) == (True, "stream", ["base", "test", "train", "train"])
    (change,) = report.pairs["changes"]
    assert str(change) == f"{root}/01-first/train.jsonl:1 and {root}/base.jsonl:1: 'Mayor of Rome?' was 'Ann', is 'Bo'"
    assert {name: len(found) for name, found in report.pairs.items()} == {"conflicts": 0, "changes": 1, "taught": 0, "repeated": 0, "near": 0}


def test_bad_lines_are_all_listed_and_the_rest_is_reported(tmp_path: Path) -> None:
    file = put(tmp_path / "rows.jsonl", asked("p", "c"), "oops", asked("q", " "), asked("r", "d"))
    report = check_data(file)
    (found,) = report.files
    assert (found.rows, found.examples, list(found.bad), found.empty, dict(report.wrong)) == (4, 2, [2, 3], 1, {"bad_lines": 2})
    assert check_data(file, most_bad=0.5).clean
    assert not check_data(file, most_bad=0.49).clean
    with pytest.raises(SettingError, match=r"most_bad must be between 0 and 1 \(most_bad=2\)"):
        check_data(file, most_bad=2)


def test_conflicts_within_a_file_are_found_and_white_space_is_none(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    other = [chat[0], {"role": "assistant", "content": "Bye"}]
    rows = [asked("Capital?", " Nairobi"), asked("Capital?", "  Nairobi "), asked("Capital?", " Mombasa"), {"messages": chat}, {"messages": other}]
    report = check_data(put(tmp_path / "rows.jsonl", *rows))
    assert [pair.place[-2:] + pair.other[-2:] for pair in report.pairs["conflicts"]] == [":3:1", ":5:4"]
    assert dict(report.wrong) == {"conflicts": 2}
    assert check_data(tmp_path / "rows.jsonl", allow=["conflicts"]).clean
    with pytest.raises(SettingError, match=r"no such finding to allow \(allow='conflict'\). Did you mean 'conflicts'"):
        check_data(tmp_path / "rows.jsonl", allow=["conflict"])


def test_pairs_of_better_and_worse_answers_are_no_conflicts(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p", "chosen": "c", "rejected": "a"}]
    assert check_data(put(tmp_path / "rows.jsonl", *rows)).clean


def test_tests_that_are_taught_are_found_with_the_row_that_teaches_them(root: Path) -> None:
    put(root / "01-first" / "test.ask.jsonl", asked("River of Rome?", " Tiber"), asked("mayor  of OSLO", " Ann"), asked("Mayor of Rome?", " Bo"))
    report = check_data(root)
    assert [(pair.place.rpartition("/")[2], pair.other.rpartition("towns/")[2], pair.what) for pair in report.pairs["taught"]] == [
        ("test.ask.jsonl:1", "01-first/train.jsonl:2", "'River of Rome?' is taught word for word, with its answer"),
        ("test.ask.jsonl:2", "02-second/train.jsonl:1", "'mayor of OSLO' is taught but for case and punctuation, with another answer"),
        ("test.ask.jsonl:3", "01-first/train.jsonl:1", "'Mayor of Rome?' is taught word for word, with its answer"),
    ]
    assert (dict(report.wrong), report.files[1].taught) == ({"taught_tests": 3}, 3)
    assert check_data(root, allow=["taught_tests"]).clean


def test_plain_text_is_taught_when_it_is_tested(tmp_path: Path) -> None:
    once = Example(text="Once upon a time.")
    report = check_data(Stream("texts", (Experience("first", (once,), {"story": (once,)}, {"story": "loss"}),)))
    assert report.files[1].taught == 1


def test_duplicates_equal_rows_of_two_files_and_near_ones_are_counted_and_change_nothing(root: Path) -> None:
    line = "The mayor of Rome opened a new bridge over the river this morning, {} said"
    put(root / "02-second" / "train.jsonl", asked("River of Rome?", " Tiber"), *[asked(line.format(name), " so") for name in ("Ann", "Ann", "Bob")])
    report = check_data(root)
    second = report.files[-1]
    assert (second.duplicates, second.near, len(report.pairs["repeated"]), report.clean) == (1, 1, 1, True)


def test_labels_are_counted_where_few_stand_for_all(tmp_path: Path) -> None:
    report = check_data(put(tmp_path / "rows.jsonl", *[asked(f"p{n}", " yes" if n % 3 else " no") for n in range(12)]))
    assert dict(report.files[0].labels) == {"yes": 8, "no": 4}
    assert check_data(put(tmp_path / "rows.jsonl", *[asked(f"p{n}", f" {n}") for n in range(12)])).files[0].labels == {}


def test_a_file_that_cannot_be_read_is_a_problem_beside_the_others_but_alone_an_error(root: Path, tmp_path: Path) -> None:
    put(root / "02-second" / "train.jsonl", "")
    report = check_data(root)
    assert ("train.jsonl has no rows" in report.problems[0], dict(report.wrong), len(report.files)) == (True, {"problems": 1}, 3)
    with pytest.raises(DataError, match="has no rows"):
        check_data(root / "02-second" / "train.jsonl")
    with pytest.raises(DataError, match="has no stream.toml. Streams in it: towns"):
        check_data(tmp_path)
    with pytest.raises(DataError, match="nowhere does not exist"):
        check_data(tmp_path / "nowhere")


def test_what_a_stream_is_refused_for_is_a_problem(root: Path) -> None:
    (root / "stream.toml").write_text('name = "towns"\n')
    assert "has no score" in check_data(root).problems[0]


def test_a_benchmark_and_a_hub_dataset_are_checked_alike(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "LLM-CL" / "FOMC").mkdir(parents=True, exist_ok=True)
        (tmp_path / "LLM-CL" / "FOMC" / f"{split}.json").write_text(json.dumps([{"prompt": "same?", "answer": "A"}, {"prompt": f"{split}?"}]))
    report = check_data(tmp_path / "LLM-CL")
    assert (report.kind, dict(report.wrong)) == ("benchmark trace", {"bad_lines": 2, "taught_tests": 1})
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"q": ["a", "a"], "a": ["b", "c"]}).save_to_disk(tmp_path / "saved")
    assert check_data(f"hub:{tmp_path / 'saved'}", columns={"prompt": "q", "completion": "a"}).files[0].conflicts == 1


def test_what_is_normalised_keeps_what_matters() -> None:
    assert normalised("“Who” is it?!") == normalised("who is IT")
    assert len({normalised(text) for text in ("7+5=", "7-5=", "7 5", "75", "7.5")}) == 4  # 7.5 and 7 5 are one


def test_what_the_models_reach_cuts_is_counted_by_prompt_and_answer(shared_tiny: CausalModel) -> None:
    reach, before = shared_tiny.encoder.longest, shared_tiny.encoder.cut
    word = " a"
    size = len(shared_tiny.encoder.tokens([word * 100])[0]) / 100
    fits, long = Example(prompt="Q", completion=word), Example(prompt=word * int(reach / size), completion=word * 5)
    endless = Example(prompt="Q", completion=word * int(2 * reach / size))
    found = tokens_of(shared_tiny.encoder, [fits, long, endless])
    assert [cut.example for cut in found.cuts] == [long, endless]
    assert [(cut.prompt > 0, cut.answer > 0) for cut in found.cuts] == [(True, False), (False, True)]
    assert all(cut.tokens - cut.prompt - cut.answer == reach for cut in found.cuts[:1])
    assert (found.lengths.longest, shared_tiny.encoder.cut) == (max(cut.tokens for cut in found.cuts), before)
    rows = shared_tiny.encoder.rows([fits, long, endless])
    assert found.learned == sum(len(row.learned) for row in rows)


def test_an_encoder_decoder_cuts_source_and_target_apart(shared_tiny: CausalModel) -> None:
    encoder = PairEncoder(shared_tiny.tokenizer, longest=20, longest_target=10, start=0)
    source, target = Example(prompt=" a" * 100, completion=" b"), Example(prompt="a", completion=" b" * 50)
    found = tokens_of(encoder, [source, target])
    assert [(cut.example, cut.prompt > 0, cut.answer > 0) for cut in found.cuts] == [(source, True, False), (target, False, True)]
    assert found.learned == sum(len(row.learned) for row in encoder.rows([source, target]))


def test_rows_whose_answers_are_cut_make_results_untrustworthy(tmp_path: Path) -> None:
    file = put(tmp_path / "rows.jsonl", asked("Q", " a" * 5000), asked("R", " b"))
    report = check_data(file, ForModel("tiny", steps=0))
    assert (dict(report.wrong), report.files[0].truncated, report.cost) == ({"truncated_answers": 1}, 1, None)
    assert "rows.jsonl:1: " in report.truncated[0]
    with pytest.raises(SettingError, match=r"steps must be 0 or more \(steps=-1\)"):
        check_data(file, ForModel("tiny", steps=-1))


def test_rows_the_model_cannot_encode_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise DataError("the chat template refuses a conversation")

    monkeypatch.setattr("everlearn.data_check.check.tokens_of", refuse)
    report = check_data(put(tmp_path / "rows.jsonl", asked("p", "c")), "tiny")
    assert (dict(report.wrong), report.files[0].tokens, report.cost) == ({"problems": 1}, None, None)


def test_the_report_is_json(root: Path) -> None:
    settings = Settings(passes=2, batch=2)
    report = check_data(root, ForModel("tiny", "plain,replay(share=1),joint,frozen", settings, steps=1))
    found = json.loads(json.dumps(report.to_json()))
    assert (found["clean"], found["files"][1]["duplicates"], found["cost"]["memory"]["total"]) == (True, 0, report.cost.memory.total)  # type: ignore[union-attr]
