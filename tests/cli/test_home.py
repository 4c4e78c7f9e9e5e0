"""A home from the command line: exit codes, text, JSON, pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from everlearn import EverlearnError
from everlearn.cli import app

SETTINGS = '[learn]\nrecipe = "replay(share=1)"\nrate = 1e-3\npasses = 3\nbatch = 8\n[test]\nanchor = "off"\n[retry]\nattempts = 0\n'


def rows(path: Path, start: int, answer: str = "Penwick") -> Path:
    given = [{"prompt": f"Question: Where does the owl number {n} live?\nAnswer:", "completion": f" {answer}"} for n in range(start, start + 8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One promoted update, one refused."""
    place = tmp_path_factory.mktemp("cli") / "home"
    place.mkdir()
    (place / "everlearn.toml").write_text(SETTINGS)
    assert run("init", place).exit_code == 0
    good = rows(place.parent / "owls.jsonl", 0)
    assert run("update", place, good, "--test", good).exit_code == 0
    result = run("update", place, rows(place.parent / "more.jsonl", 20, "Humber"), "--test", rows(place.parent / "other.jsonl", 20, "Millford"))
    assert result.exit_code == 3
    assert "Refused: Nothing was learned" in result.output
    assert "raise passes or rate under [learn] in" in result.output
    assert "The version before stays in service" in result.output
    return place


def test_init_keeps_the_settings_that_are_there_and_explains_them_all(home: Path) -> None:
    text = (home / "everlearn.toml").read_text()
    assert "rate = 0.001  # AdamW's learning rate" in text
    assert "most_loss = 0.02  # loss of any one earlier task" in text


def test_history_lists_versions_and_writes_a_page(home: Path, tmp_path: Path) -> None:
    shown = run("history", home, "--page", tmp_path / "home.html")
    assert shown.exit_code == 0
    assert [word in shown.output for word in ("in service", "refused", "earlier", "owls.jsonl", "0.0 -> 100.0")] == [True] * 5
    told = json.loads(run("history", home, "--json").output)
    assert [v["state"] for v in told["versions"]] == ["earlier", "in service", "refused"]
    page = (tmp_path / "home.html").read_text()
    assert "Nothing was learned" in page
    assert "src=" not in page
    assert "http" not in page.split("</style>")[1]


def test_show_tells_one_version(home: Path) -> None:
    shown = run("show", home)
    assert "in service" in shown.output
    assert "owls: 0.0 % -> 100.0 % of 8" in shown.output
    assert json.loads(run("show", home, "v2", "--json").output)["accepted"] is False


def test_diff_tells_what_flipped_in_text_json_and_a_page(home: Path, tmp_path: Path) -> None:
    shown = run("diff", home, 0, 1, "--ask", "--page", tmp_path / "diff.html")
    assert shown.exit_code == 0
    assert "owls: 0.0 % to 100.0 % of 8 rows, 0 worse, 8 better" in shown.output
    assert len(json.loads(run("diff", home, 0, 1, "--ask", "--json").output)["tasks"][0]["gained"]) == 8
    assert "owl number 7" in (tmp_path / "diff.html").read_text()
    assert "Not compared, as only one of the two was asked: owls" in run("diff", home, 0, 1).output


def test_rollback_promote_and_back(home: Path) -> None:
    assert "Version 0" in run("rollback", home).output
    assert json.loads(run("promote", home, "v1", "--json").output)["number"] == 1


def test_export_writes_a_folder(home: Path, tmp_path: Path) -> None:
    assert "Written to" in run("export", home, tmp_path / "out").output
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["history", "nowhere"], "there is no home here"),
        (["show", "HOME", "v9"], "no such version .version='v9'"),
        (["update", "HOME", "nothing.jsonl"], "nothing.jsonl does not exist"),
        (["init", "HOME"], "there is something here already"),
        (["export", "HOME", "out", "--merged", "--adapter"], "an export is merged or an adapter, got both"),
        (["diff", "HOME", "0", "1", "--page", "diff.txt"], "out must be the page's own file, ending in .html"),
        (["init", "new", "--model", "./no/model"], "there is no model folder here"),
        (["init", "new", "--recipe", "repaly"], "Did you mean 'replay'"),
    ],
)
def test_mistakes_say_what_is_wrong_and_what_to_do(home: Path, words: list[str], said: str) -> None:
    result = run(*(home if word == "HOME" else word for word in words))
    assert result.exit_code == 1  # the error itself; `main` prints it and exits with 2
    assert isinstance(result.exception, EverlearnError)
    assert re.search(said, str(result.exception))
