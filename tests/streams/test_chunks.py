from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from everlearn.errors import DataError, SettingError
from everlearn.streams.chunks import by_rows, by_time, by_tokens, folder_rows, tail_rows
from everlearn.types import Example

ROWS = [Example(text="x" * size) for size in (3, 4, 1, 9, 2)]


def test_chunks_of_tokens_end_with_the_row_that_fills_them() -> None:
    assert [len(chunk) for chunk in by_tokens(ROWS, 5, lambda row: len(row.text or ""))] == [2, 2, 1]
    assert [row for chunk in by_tokens(ROWS, 5, lambda row: 1) for row in chunk] == ROWS


def test_a_chunk_comes_as_soon_as_it_is_full() -> None:
    def endless():  # type: ignore[no-untyped-def]
        yield from ROWS
        raise AssertionError("the next chunk was not asked for")

    assert next(iter(by_rows(endless(), 5))) == tuple(ROWS)


def test_chunks_of_time_end_where_the_span_does() -> None:
    dated = [Example(text=f"{number}", time=when) for number, when in enumerate(("2023-12-31", "2024-01-01", "2024-01-07", "2024-01-08T09:00", "2024-02-01"))]
    assert {span: [len(chunk) for chunk in by_time(dated, span)] for span in ("day", "week", "month", "year")} == {  # type: ignore[arg-type]
        "day": [1, 1, 1, 1, 1],
        "week": [1, 2, 1, 1],
        "month": [1, 3, 1],
        "year": [1, 4],
    }


@pytest.mark.parametrize(
    ("times", "told"),
    [(("",), "no time to cut by .*time=''"), (("2024",), "at least to the day"), (("2024-02-01", "2024-01-01"), "older than the one before")],
)
def test_times_that_cannot_be_cut_are_refused(times: tuple[str, ...], told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(by_time([Example(text=f"{number}", time=when) for number, when in enumerate(times)], "day"))


def test_sizes_and_spans_that_are_none_are_refused() -> None:
    with pytest.raises(SettingError, match="size must be at least 1, got 0"):
        list(by_rows(ROWS, 0))
    with pytest.raises(SettingError, match="day, week, month, year, got 'hour'"):
        list(by_time(ROWS, "hour"))  # type: ignore[arg-type]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("text\nsecond\n")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}\n')
    (tmp_path / "notes.txt").write_text("no rows")
    assert [row.text for row in folder_rows(tmp_path)] == ["first", "second"]
    with pytest.raises(DataError, match="no such folder"):
        list(folder_rows(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no rows"):
        list(folder_rows(tmp_path / "empty"))


def test_a_file_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"text": "one"}\n{"text": "tw')

    def append() -> None:
        time.sleep(0.05)
        with path.open("a") as file:
            file.write('o"}\n')

    writer = threading.Thread(target=append)
    rows = tail_rows(path, every=0.01, idle=30)
    assert next(rows).text == "one"
    writer.start()
    assert next(rows).text == "two"
    writer.join()
    assert list(tail_rows(path, every=0.01, idle=0.02))[-1].text == "two"


def test_a_followed_file_with_a_bad_line_or_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"text": "one"}\n[]\n')
    rows = tail_rows(path, every=0.01, idle=30)
    next(rows)
    with pytest.raises(DataError, match=r"log.jsonl:2: JSON, but not an object"):
        next(rows)
    path.write_text('{"text": "one"}\n')
    rows = tail_rows(path, every=0.01, idle=30)
    next(rows)
    path.write_text("")
    with pytest.raises(DataError, match="became shorter"):
        next(rows)
    with pytest.raises(DataError, match="no such file to follow"):
        next(tail_rows(tmp_path / "log.csv"))
