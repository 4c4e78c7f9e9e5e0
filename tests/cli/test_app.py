"""`everlearn app` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everlearn import DataError
from everlearn.cli import app

RUNNER = CliRunner()


def mind(folder: Path) -> Path:
    titles = ["A putt is holed", "A vote is lost", "Rain is near", "A song is sung"]
    (folder / "news.tsv").write_text("".join(f"N{at}\tnews\tx\t{title}\n" for at, title in enumerate(titles)), encoding="utf-8")
    shown = [f"{day}\tU{day % 2}\t11/{day}/2019 8:36:57 AM\tN{day % 4}\tN{(day + 1) % 4}-1 N{(day + 2) % 4}-0\n" for day in range(10, 13)]
    (folder / "behaviors.tsv").write_text("".join(shown), encoding="utf-8")
    return folder


def test_a_users_folder_gives_a_table_a_record_and_a_page(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = RUNNER.invoke(app, ["app", "recommendation", str(mind(tmp_path)), "--methods", "frozen", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "item-kNN" in ran.output
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert [period["name"] for period in record["periods"]] == ["2019-11-10", "2019-11-11", "2019-11-12"]
    assert (out / "report.html").exists()


def test_pairs_and_a_glossary_of_ones_own(tmp_path: Path) -> None:
    rows = [{"src": f"Tea {at}", "tgt": f"Tee {at}", "tgt_lang": "de"} for at in range(10)]
    (tmp_path / "1-tea.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "terms.csv").write_text("source,target,language\ntea,Tee,de\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ["app", "translation", str(tmp_path), "--glossary", str(tmp_path / "terms.csv"), "--methods", "frozen", "--out", str(out)]
    ran = RUNNER.invoke(app, words)
    assert ran.exit_code == 0, ran.output
    lines = json.loads((out / "record.json").read_text(encoding="utf-8"))["lines"]
    assert [(line["name"], line["totals"]["terms"]) for line in lines] == [("frozen", 0.0), ("frozen with glossary", 1.0)]


def test_a_service_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "policies.jsonl").write_text('{"matter": "m", "answer": "Yes.", "since": "2024"}\n', encoding="utf-8")
    questions = [{"question": f"May I {word}?", "matter": "m", "split": split} for word, split in (("come", "train"), ("come in", "valid"), ("come", "test"))]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions), encoding="utf-8")
    out = tmp_path / "out"
    ran = RUNNER.invoke(app, ["app", "support", str(tmp_path), "--methods", "frozen", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert json.loads((out / "record.json").read_text(encoding="utf-8"))["lines"][-1]["totals"]["right"] == 1.0


@pytest.mark.parametrize("name", ["recommendation", "translation", "support"])
def test_a_folder_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    ran = RUNNER.invoke(app, ["app", name, str(tmp_path / "none")])
    assert isinstance(ran.exception, DataError)
    assert "none'" in str(ran.exception)
