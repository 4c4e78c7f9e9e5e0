"""Tables: what a parquet file's columns become, and every refusal. CSV is tested with the files."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pytest

from everlearn.errors import DataError, MissingExtra
from everlearn.streams.files import read_examples, scan_examples
from everlearn.streams.folder import load_stream
from everlearn.types import Example

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def table(path: Path, **columns: list[object]) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_a_parquet_file_gives_its_rows_with_null_absent_and_other_columns_unread(tmp_path: Path) -> None:
    file = table(
        tmp_path / "rows.parquet",
        prompt=["Rome?", "Oslo?"],
        completion=[" Italy", " Norway"],
        choices=[[" Italy", " Spain"], None],
        until=[3, None],
        time=[date(2024, 5, 31), None],
        picture=[b"\0", b"\1"],
    )
    rome = Example(prompt="Rome?", completion=" Italy", choices=(" Italy", " Spain"), until=3, time="2024-05-31")
    assert read_examples(file) == [rome, Example(prompt="Oslo?", completion=" Norway")]
    assert scan_examples(file).lines[rome.id] == 1


def test_conversations_of_a_parquet_file_become_messages(tmp_path: Path) -> None:
    assert read_examples(table(tmp_path / "rows.parquet", messages=[CHAT])) == [Example(messages=tuple(CHAT))]


def test_bad_rows_of_a_parquet_file_are_counted_from_1(tmp_path: Path) -> None:
    reading = scan_examples(table(tmp_path / "rows.parquet", text=["good", " ", None, "x" * 300]), longest_line=200)
    assert (list(reading.bad), [e.text for e in reading.examples]) == ([2, 3, 4], ["good"])
    assert "text is empty" in reading.bad[2]
    assert "longer than 200 bytes (text starts 'xxx" in reading.bad[4]


def test_a_misspelt_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'completion' by 'compltion'"):
        read_examples(table(tmp_path / "rows.parquet", prompt=["p"], compltion=["c"]))


def test_a_parquet_file_without_columns_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column to learn from \(columns=\['question', 'answer'\]\)"):
        read_examples(table(tmp_path / "rows.parquet", question=["q"], answer=["a"]))


def test_a_damaged_or_empty_parquet_file_is_refused(tmp_path: Path) -> None:
    whole = table(tmp_path / "rows.parquet", text=["x"]).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-9])
    with pytest.raises(DataError, match="cut.parquet is no whole parquet file: after row 0"):
        read_examples(tmp_path / "cut.parquet")
    with pytest.raises(DataError, match="has no rows"):
        read_examples(table(tmp_path / "none.parquet", text=pyarrow.array([], pyarrow.string())))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = table(tmp_path / "rows.parquet", text=["x"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"a parquet file needs pyarrow.*\(module='pyarrow'\).*everlearn\[data\]"):
        read_examples(file)


def test_a_streams_folder_may_hold_parquet_files(tmp_path: Path) -> None:
    (tmp_path / "towns" / "01-rome").mkdir(parents=True)
    (tmp_path / "towns" / "stream.toml").write_text('name = "towns"\n[scores]\nask = "exact"\n')
    table(tmp_path / "towns" / "01-rome" / "train.parquet", prompt=["Rome?"], completion=[" Italy"], task=["ask"])
    table(tmp_path / "towns" / "01-rome" / "test.ask.parquet", prompt=["Rome is in?"], completion=[" Italy"])
    stream = load_stream(tmp_path / "towns")
    assert [e.completion for e in (*stream.experiences[0].train, *stream.experiences[0].tests["ask"])] == [" Italy", " Italy"]
