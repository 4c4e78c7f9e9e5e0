"""Reading examples from files: every form, every refusal."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everlearn.errors import DataError, SettingError
from everlearn.streams.files import Merged, listed, read_examples, scan_examples, to_example
from everlearn.types import Example

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
PAIR: dict[str, object] = {"prompt": "Capital of Kenya?", "completion": " Nairobi"}
NAIROBI = Example(prompt="Capital of Kenya?", completion=" Nairobi")


def lines(path: Path, *rows: object, name: str = "rows.jsonl") -> Path:
    file = path / name
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def table(path: Path, *rows: list[str]) -> Path:
    with (path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path / "rows.csv"


def test_every_form_of_trl_is_read(tmp_path: Path) -> None:
    rows = [{"text": "Once"}, PAIR, {"messages": CHAT}, {"prompt": "p", "chosen": "c", "rejected": "r"}]
    expected = [Example(text="Once"), NAIROBI, Example(messages=tuple(CHAT)), Example(prompt="p", chosen="c", rejected="r")]
    assert read_examples(lines(tmp_path, *rows)) == expected


def test_conversational_prompt_and_completion_become_messages_of_role_and_content_alone() -> None:
    turned = [{"content": turn["content"], "role": turn["role"], "name": "x"} for turn in CHAT]
    assert to_example({"prompt": turned[:1], "completion": turned[1:]}) == Example(messages=tuple(CHAT))
    assert to_example({"messages": turned}).id == Example(messages=tuple(CHAT)).id


def test_every_optional_key_arrives_in_its_field() -> None:
    plain: dict[str, object] = {"source": "s", "time": "2024-05-31", "task": "t", "old_completion": " Rome", "until": 3, "count": 2}
    example = to_example(PAIR | plain | {"id": "k", "choices": [" Nairobi", " Rome"]})
    assert (example.id, example.choices) == ("k", (" Nairobi", " Rome"))
    assert example.to_json().items() >= (PAIR | plain).items()


@pytest.mark.parametrize("time", ["2024", "2024-05", "2024-05-31", "2024-05-31T12:00", "2024-05-31 12:00:01+02:00"])
def test_whole_and_shortened_iso_dates_are_times(time: str) -> None:
    assert to_example(PAIR | {"time": time}).time == time


def test_null_is_absent_and_a_number_may_be_an_id() -> None:
    assert to_example(PAIR | {"text": None, "task": None, "id": 17}) == replace(NAIROBI, id="17")


@pytest.mark.parametrize("key", ["context", "label", "prompt_id", "completion_id", "idx", "score_chosen", "timestamp"])
def test_keys_of_their_own_are_ignored(key: str) -> None:
    assert to_example(PAIR | {key: 1}) == NAIROBI


def test_an_empty_system_message_is_allowed() -> None:
    assert to_example({"messages": [{"role": "system", "content": ""}, *CHAT]}).messages


def test_a_byte_order_mark_crlf_blank_lines_and_nul_just_work(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n  \n{"text": "t\\u0000o"}\r\n{"text": "three"}')
    assert [e.text for e in read_examples(file)] == ["one", "t\0o", "three"]


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"text": "packed"}\n'))
    assert read_examples(str(tmp_path / "rows.jsonl.gz")) == [Example(text="packed")]
    (tmp_path / "rows.jsonl.gz").rename(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match="The file is gzip: name it .jsonl.gz"):
        read_examples(tmp_path / "rows.jsonl")


def test_csv_cells_hold_text_and_json_and_empty_ones_are_absent(tmp_path: Path) -> None:
    file = table(tmp_path, ["prompt", " completion", "choices", "until", "note"], ["a,\n\nb", " x", '[" x", " y"]', "2", "n"], [], ["c", " é", "", "", ""])
    assert read_examples(file) == [Example(prompt="a,\n\nb", completion=" x", choices=(" x", " y"), until=2), Example(prompt="c", completion=" é")]


def test_a_csv_with_mark_crlf_and_a_cell_beyond_the_modules_limit_is_read(tmp_path: Path) -> None:
    csv.field_size_limit(131_072)
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbftext\r\n" + b"x" * 200_000 + b"\r\n")
    assert [len(e.text or "") for e in read_examples(tmp_path / "rows.csv")] == [200_000]
    assert csv.field_size_limit() == 131_072


def test_csv_rows_are_bad_at_the_line_they_start_on(tmp_path: Path) -> None:
    file = table(tmp_path, ["prompt", "completion"], ["two\nlines", "x"], ["only prompt"], ["p", "c"])
    assert list(scan_examples(file).bad) == [4]


def test_equal_content_is_one_example_counted_where_it_was_last_given(tmp_path: Path) -> None:
    reading = scan_examples(lines(tmp_path, PAIR | {"time": "2020"}, {"text": "between"}, PAIR | {"time": "2022", "count": 4}))
    assert reading.examples == [Example(text="between"), replace(NAIROBI, time="2022", count=5)]
    assert (reading.rows, reading.lines[reading.examples[1].id]) == (3, 3)


def test_an_id_with_other_content_is_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows.jsonl:2: line 1 has this id with other content \(id='k'\)"):
        read_examples(lines(tmp_path, {"text": "a", "id": "k"}, {"text": "b", "id": "k"}))


def test_an_id_stays_taken_when_its_example_took_another() -> None:
    merged = Merged()
    merged.add(Example(text="a", id="k"), 1)
    merged.add(Example(text="a", id="l"), 2)
    with pytest.raises(DataError, match="line 1 has this id with other content"):
        merged.add(Example(text="b", id="k"), 3)


def test_equal_content_with_another_until_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":2: line 1 has equal content, but .*, 4\), there .*, 3\)"):
        read_examples(lines(tmp_path, PAIR | {"until": 3}, PAIR | {"until": 4, "id": "other"}))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, r"wrong keys \(keys=\[\]\)"),
        ({"prompt": "p"}, r"wrong keys \(keys=\['prompt'\]\).*prompt \+ completion"),
        (PAIR | {"text": "t"}, r"keys=\['prompt', 'completion', 'text'\]"),
        ({"prompt": "p", "compltion": "c"}, "Did you mean 'completion' by 'compltion'"),
        (PAIR | {"untill": 2, "Choices": []}, "Did you mean 'until', 'choices' by 'untill', 'Choices'"),
        ({"text": 5}, r"text must be text \(text=5\)"),
        ({"text": " \n"}, r"text is empty \(text=' \\n'\)"),
        (PAIR | {"completion": ""}, r"completion is empty \(completion=''\)"),
        (PAIR | {"prompt": CHAT}, r"prompt must be text \(prompt=\[\{'role'"),
        ({"prompt": "p", "chosen": CHAT, "rejected": "r"}, r"chosen must be text \(chosen=\[\{"),
        ({"messages": "hi"}, r"ends with an answer \(roles=\[\]\)"),
        ({"messages": CHAT[:1]}, r"ends with an answer \(roles=\['user'\]\)"),
        ({"messages": CHAT[1:]}, r"ends with an answer \(roles=\['assistant'\]\)"),
        ({"messages": [*CHAT, {"role": "tool", "content": "x"}]}, r"message 3 has no known role \(\{'role': 'tool'"),
        ({"messages": ["hi"]}, r"message 1 has no known role \('hi'\)"),
        ({"messages": [CHAT[0], {"role": "assistant", "content": None}]}, r"content of message 2 must be text \(content of message 2=None\)"),
        ({"messages": [CHAT[0], {"role": "assistant", "content": " "}]}, r"message 2 is empty \(content=' '\)"),
        (PAIR | {"id": True}, r"id must be text \(id=True\)"),
        (PAIR | {"id": 1.5}, r"id must be text \(id=1.5\)"),
        (PAIR | {"source": 3}, r"source must be text \(source=3\)"),
        (PAIR | {"time": "2024-5-31"}, r"time must be an ISO date \(time='2024-5-31'\)"),
        (PAIR | {"time": 2024}, r"time must be text \(time=2024\)"),
        (PAIR | {"task": ""}, r"task is empty \(task=''\)"),
        (PAIR | {"until": 0}, r"until must be a whole number of 1 or more \(until=0\)"),
        (PAIR | {"until": "3"}, r"until must be a whole number of 1 or more \(until='3'\)"),
        (PAIR | {"until": True}, r"\(until=True\)"),
        (PAIR | {"count": 0}, r"count must be a whole number of 1 or more \(count=0\)"),
        (PAIR | {"choices": " Nairobi"}, r"choices must be a list of two or more.*\(choices=' Nairobi'"),
        (PAIR | {"choices": [" Nairobi"]}, r"two or more.*\(choices=\[' Nairobi'\]"),
        (PAIR | {"choices": ["Nairobi", "Rome"]}, r"the completion among them \(choices=\['Nairobi', 'Rome'\], completion=' Nairobi'\)"),
        (PAIR | {"choices": [" Nairobi", " Nairobi"]}, r"once each"),
        (PAIR | {"choices": [" Nairobi", 3]}, r"a choice must be text \(a choice=3\)"),
        ({"text": "t", "choices": ["a", "b"]}, r"completion=None"),
        ({"text": "cut \ud83d"}, r"text holds half a surrogate pair \(text='cut \\ud83d'\)"),
        (PAIR | {"id": "\udc00"}, r"id holds half a surrogate pair"),
        ({"messages": [{"role": "user", "content": "\ud800"}, CHAT[1]]}, "content of message 1 holds half a surrogate pair"),
    ],
)
def test_a_row_that_is_no_example_is_refused_with_its_value(row: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        to_example(row)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": ', r"not JSON \(Expecting value: column 9 \(char 8\): '\{\"text\":'"),
        (b"{'text': 'a'}", "not JSON"),
        (b"[" * 100_000, r"not JSON \(maximum recursion depth"),
        (b"[1, 2]", r"JSON, but not an object \(\[1, 2\]\)"),
        (b"null", r"JSON, but not an object \(None\)"),
        (b'{"text": "caf\xe9"}', r"not UTF-8 \(byte 0xe9 at byte 14\)"),
        (b'{"text": "cut \\ud83d"}', "text holds half a surrogate pair"),
        (b'{"text": "' + b"x" * 1_000_000 + b'"}', r"longer than 500000 bytes \(starts b'"),
    ],
)
def test_a_bad_line_is_reported_with_file_and_number(tmp_path: Path, line: bytes, reason: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "good"}\n\n' + line + b'\n{"text": "after"}\n')
    with pytest.raises(DataError, match=r"(?s)1 of 3 rows cannot be used.*rows.jsonl:3: " + reason):
        read_examples(tmp_path / "rows.jsonl", longest_line=500_000)
    assert [e.text for e in scan_examples(tmp_path / "rows.jsonl", longest_line=500_000).examples] == ["good", "after"]


def test_a_line_as_long_as_the_limit_is_read(tmp_path: Path) -> None:
    file = lines(tmp_path, {"text": "x"}, {"text": "y"})
    assert len(read_examples(file, longest_line=len('{"text": "x"}\n'))) == 2


def test_the_first_ten_bad_lines_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)13 of 14 rows cannot be used.*:10: .*\n  and 3 more\n") as caught:
        read_examples(lines(tmp_path, *["oops"] * 13, PAIR))
    assert str(caught.value).count("not JSON") == 10
    assert listed(["a"] * 10) == "\n  a" * 10


def test_a_share_of_bad_lines_may_be_allowed_with_a_warning_but_one_row_must_be_good(tmp_path: Path) -> None:
    file = lines(tmp_path, "oops", PAIR, {"text": "a"}, {"text": "b"})
    with pytest.warns(UserWarning, match=r"(?s)1 of 4 rows cannot be used.*rows.jsonl:1: not JSON"):
        assert len(read_examples(file, most_bad=0.25)) == 3
    with pytest.raises(DataError, match="most_bad=0.24"):
        read_examples(file, most_bad=0.24)
    with pytest.raises(DataError, match="1 of 1 rows cannot be used"):
        read_examples(lines(tmp_path, "oops"), most_bad=1.0)


def test_the_settings_are_a_share_and_at_least_one_byte(tmp_path: Path) -> None:
    for share in (-0.1, 5, float("nan")):
        with pytest.raises(SettingError, match=f"most_bad must be between 0 and 1 \\(most_bad={share!r}\\)"):
            read_examples(lines(tmp_path, PAIR), most_bad=share)
    with pytest.raises(SettingError, match=r"longest_line must be 1 or more \(longest_line=0\)"):
        read_examples(lines(tmp_path, PAIR), longest_line=0)


def test_a_missing_file_is_named_with_the_close_one_and_a_folder_is_none(tmp_path: Path) -> None:
    lines(tmp_path, PAIR, name="train.jsonl")
    with pytest.raises(DataError, match="trian.jsonl does not exist. Did you mean 'train.jsonl'"):
        read_examples(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match="b.jsonl does not exist. Check the path"):
        read_examples(tmp_path / "no" / "b.jsonl")
    with pytest.raises(DataError, match=f"{tmp_path} is a folder"):
        read_examples(tmp_path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown kind of file \(suffix='.json'\).*.jsonl, .jsonl.gz, .csv, .parquet"):
        read_examples(lines(tmp_path, PAIR, name="a.json"))


EMPTY = {"a.jsonl": b"", "b.jsonl": b"\xef\xbb\xbf\n \r\n", "c.csv": b"", "d.csv": b"text\n", "e.jsonl.gz": gzip.compress(b"")}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(EMPTY[name])
    with pytest.raises(DataError, match=rf"{name} has no rows \({len(EMPTY[name])} bytes\)"):
        read_examples(tmp_path / name)


PACKED = gzip.compress(b"".join(b'{"text": "%d"}\n' % i for i in range(9999)))
BROKEN = {"ended before": PACKED[:-20], "Not a gzipped file": b'{"text": "a"}\n', "CRC check failed": PACKED[:-8] + bytes(8), "": PACKED[:99] + bytes(99)}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_gzip_file_that_is_cut_off_damaged_or_none_is_refused(tmp_path: Path, reason: str) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(BROKEN[reason])
    with pytest.raises(DataError, match=rf"rows.jsonl.gz is no whole gzip file: after line \d+: .*{reason}"):
        read_examples(tmp_path / "rows.jsonl.gz", most_bad=1.0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"prompt;completion\na;b\n", r":1: not CSV: the first line is no header \(columns=\['prompt;completion'\]\)"),
        (b"text,text\na,b\n", r":1: not CSV: the first line is no header \(columns=\['text', 'text'\]\)"),
        (b'text\ngood\n"open\nmore\n', ":3: not CSV: unexpected end of data"),
        (b"text\ngood\ncaf\xe9\n", r":3: not CSV: not UTF-8 \(byte 0xe9 at byte 4\)"),
        (b"text\ngood\n" + b"x" * 2000 + b"\n", ":3: not CSV: longer than 1000 bytes"),
        (b"prompt,completion\na,b\nc\n", r":3: 1 cells under 2 columns \(\['c'\]\)"),
        (b"prompt,completion,until\na,b,soon\n", r":2: not JSON \(Expecting value.*'soon'"),
        (b"prompt,completion\na,\n", r":2: wrong keys \(keys=\['prompt'\]\)"),
    ],
)
def test_a_broken_csv_is_refused_with_the_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match="rows.csv" + reason):
        read_examples(tmp_path / "rows.csv", longest_line=1000)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
TURNS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT}), min_size=1, max_size=3)
FORMS = st.one_of(
    st.fixed_dictionaries({"text": TEXT}),
    st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}, optional={"old_completion": TEXT, "until": st.integers(1, 9)}),
    st.fixed_dictionaries({"messages": st.tuples(TURNS, TEXT).map(lambda parts: (*parts[0], {"role": "assistant", "content": parts[1]}))}),
    st.fixed_dictionaries({"prompt": TEXT, "chosen": TEXT, "rejected": TEXT}),
)
KEYS = st.fixed_dictionaries({}, optional={"source": TEXT, "time": st.dates().map(str), "task": TEXT, "count": st.integers(1, 5)})
EXAMPLES = st.builds(lambda form, keys: Example(**form, **keys), FORMS, KEYS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EXAMPLES, min_size=1, max_size=5, unique_by=lambda example: example.content))
def test_whatever_is_written_as_json_lines_is_read_back(tmp_path: Path, examples: list[Example]) -> None:
    for ascii_only in (True, False):
        file = tmp_path / "rows.jsonl"
        file.write_bytes("".join(json.dumps(e.to_json(), ensure_ascii=ascii_only) + "\n" for e in examples).encode())
        assert read_examples(file) == examples
