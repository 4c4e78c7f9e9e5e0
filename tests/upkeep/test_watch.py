"""Dropped files are learned in order, once, or put aside with the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

import everlearn
from everlearn import HomeSettings, SettingError, approve, create_home, update, watch
from everlearn.cli import app
from everlearn.upkeep import watch as module
from everlearn.upkeep.update import decided
from everlearn.upkeep.watch import waiting
from everlearn.versions.home import Home
from everlearn.versions.inbox import Inbox
from everlearn.versions.watching import Watched, watched
from tests.upkeep.conftest import SMALL, Rows, change_settings


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def became(home: Home, drops: Path) -> list[tuple[int, str, str]]:
    return [(taken.number, taken.name, taken.became) for taken in watch(home, drops, once=True)]


def test_files_are_learned_in_order_and_their_numbers_are_in_the_versions(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    write_rows(drops / "b.jsonl", "bee")
    write_rows(drops / "a.jsonl", "ant")
    write_rows(drops / "b.test.jsonl", "bee")
    assert became(quick_home, drops) == [(1, "a.jsonl", "promoted"), (2, "b.jsonl", "promoted")]
    assert [(v.arrived.inbox, v.arrived.name, list(v.tasks)) for v in quick_home.versions()[1:] if v.arrived] == [
        (1, "a.jsonl", ["taught"]),
        (2, "b.jsonl", ["b", "taught"]),
    ]
    assert sorted(str(path.relative_to(quick_home.folder)) for path in quick_home.folder.glob("done/*/*.jsonl")) == [
        "done/000001-a.jsonl/a.jsonl",
        "done/000002-b.jsonl/b.jsonl",
    ]
    assert list(drops.iterdir()) == []
    assert became(quick_home, drops) == []


def test_a_refused_file_is_done_as_well(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    change_settings(quick_home, gate={"least_gain": 1.0})
    write_rows(drops / "a.jsonl", "ant")
    (taken,) = watch(quick_home, drops, once=True)
    assert (taken.became, taken.place.parent.name) == ("refused", "done")
    assert "was learned" in taken.why
    assert quick_home.head.number == 0


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [("a.jsonl", "no JSON", "a.jsonl:1: not JSON"), ("a.jsonl", "", "has no rows"), ("a.txt", "x", "unknown kind of file"), ("a.parquet", "x", "parquet")],
)
def test_a_bad_file_is_rejected_with_the_reason_beside_it(quick_home: Home, drops: Path, write_rows: Rows, name: str, text: str, why: str) -> None:
    (drops / name).write_text(text)
    write_rows(drops / "b.jsonl", "bee")
    assert became(quick_home, drops) == [(1, name, "rejected"), (2, "b.jsonl", "promoted")]
    folder = quick_home.folder / "rejected" / f"000001-{name}"
    assert (folder / name).read_text() == text
    assert why in (folder / "reason.txt").read_text()
    assert "/inbox/" not in (folder / "reason.txt").read_text()


def test_a_share_of_bad_lines_is_allowed_by_the_settings(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    path = write_rows(drops / "a.jsonl", "ant")
    path.write_text(path.read_text() + "no JSON\n")
    change_settings(quick_home, watch={"settle": 0.0, "most_bad": 0.2})
    assert became(quick_home, drops) == [(1, "a.jsonl", "promoted")]


def test_an_untrusted_source_waits_until_it_is_approved(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    change_settings(quick_home, watch={"settle": 0.0, "trusted": ["ours*"]})
    write_rows(drops / "a.jsonl", "theirs")
    write_rows(drops / "b.jsonl", "ours 1")
    write_rows(drops / "c.jsonl", "ours 2")
    write_rows(drops / "c.test.jsonl", "theirs")
    assert became(quick_home, drops) == [(1, "a.jsonl", "waiting"), (2, "b.jsonl", "promoted"), (3, "c.jsonl", "waiting")]
    assert "rows from 'theirs'" in (waiting(quick_home)[0].place / "reason.txt").read_text()
    assert became(quick_home, drops) == []
    approve(quick_home, "a.jsonl")
    approve(quick_home, "3", reject=True)
    assert became(quick_home, drops) == [(1, "a.jsonl", "promoted")]
    assert waiting(quick_home) == []
    assert [path.name for path in (quick_home.folder / "rejected").iterdir()] == ["000003-c.jsonl"]


@pytest.mark.parametrize("name", ["../inbox", "..", "/etc/passwd", "000001-a.jsonl/..", ""])
def test_no_name_leads_out_of_quarantine(quick_home: Home, name: str) -> None:
    with pytest.raises(SettingError, match=f"no such file waits in quarantine .name='{name}'"):
        approve(quick_home, name)


def test_what_was_learned_is_not_learned_again_even_after_the_head_moved_on(quick_home: Home, drops: Path, tmp_path: Path, write_rows: Rows) -> None:
    """As if a crash had come between the promotion and the move to done."""
    write_rows(drops / "a.jsonl", "ant")
    (taken,) = watch(quick_home, drops, once=True)
    shutil.move(taken.place, quick_home.folder / "inbox" / taken.place.name)
    update(quick_home, write_rows(tmp_path / "b.jsonl", "bee"))
    quick_home.serve(quick_home.version(0), "rollback")
    assert became(quick_home, drops) == [(1, "a.jsonl", "promoted")]
    assert [v.arrived.name for v in quick_home.versions()[1:] if v.arrived] == ["a.jsonl", "b.jsonl"]
    assert quick_home.head.number == 0


def test_a_refusal_holds_when_the_settings_change(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    change_settings(quick_home, gate={"least_gain": 1.0})
    write_rows(drops / "a.jsonl", "ant")
    (taken,) = watch(quick_home, drops, once=True)
    shutil.move(taken.place, quick_home.folder / "inbox" / taken.place.name)
    change_settings(quick_home, learn={"rate": 1e-4})
    assert became(quick_home, drops) == [(1, "a.jsonl", "refused")]
    assert len(quick_home.versions()) == 2


def test_an_accepted_version_that_a_crash_kept_from_service_and_others_overtook_is_learned_anew(
    quick_home: Home, drops: Path, tmp_path: Path, write_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(drops / "a.jsonl", "ant")
    with monkeypatch.context() as patched:
        patched.setattr(Home, "serve", stopped)
        with pytest.raises(KeyboardInterrupt):
            became(quick_home, drops)
    assert decided(quick_home, 1) is None
    update(quick_home, write_rows(tmp_path / "b.jsonl", "bee"))
    assert became(quick_home, drops) == [(1, "a.jsonl", "promoted")]
    assert [v.arrived.name for v in quick_home.lineage(quick_home.head) if v.arrived] == ["a.jsonl", "b.jsonl"]


def test_without_kept_data_only_the_record_stays_of_what_was_learned(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    change_settings(quick_home, keep={"data": False})
    write_rows(drops / "a.jsonl", "ant")
    write_rows(drops / "a.test.jsonl", "ant")
    (taken,) = watch(quick_home, drops, once=True)
    assert [path.name for path in taken.place.rglob("*") if path.is_file()] == ["claim.json"]


def test_another_writer_is_waited_for(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    write_rows(drops / "a.jsonl", "ant")
    said, free = list[str](), threading.Event()
    code = f"from everlearn.versions.home import Home\nwith Home({str(quick_home.folder)!r}).writing():\n  print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"

        def say(text: str) -> None:
            said.append(text)
            assert other.stdin is not None
            other.stdin.close()
            free.set()

        found = [taken.became for taken in watch(quick_home, drops, once=True, say=say)]
    assert found == ["promoted"]
    assert said == ["Another process is writing to this home; waiting for it."]


def test_a_file_that_goes_on_changing_is_left_for_the_next_time(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    change_settings(quick_home, watch={"settle": 1.0, "every": 0.01})  # long, so that a busy machine does not let the file rest
    said = list[str]()
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        with (drops / "a.jsonl").open("a") as file:
            while not stop.wait(0.005):
                file.write("{}\n")
                file.flush()
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        assert list(watch(quick_home, drops, once=True, say=said.append)) == []
    finally:
        stop.set()
        writer.join()
    assert said == ["Still being written, so not taken yet: a.jsonl."]


def test_links_are_left_and_that_is_said_once(quick_home: Home, drops: Path, write_rows: Rows, tmp_path: Path) -> None:
    (drops / "a.jsonl").symlink_to(write_rows(tmp_path / "outside.jsonl", "ant"))
    write_rows(drops / "b.jsonl", "bee")
    said = list[str]()
    assert [taken.name for taken in watch(quick_home, drops, once=True, say=said.append)] == ["b.jsonl"]
    assert said == ["Left: 'a.jsonl', a link is not followed; put the file itself here."]


def test_a_folder_in_the_home_cannot_be_watched(quick_home: Home) -> None:
    with pytest.raises(SettingError, match="a folder in the home cannot be watched .folder='.*objects'"):
        watch(quick_home, quick_home.folder / "objects")


def test_the_loop_learns_what_comes_while_it_runs_until_it_is_stopped(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    write_rows(drops / "a.jsonl", "ant")
    running = watch(quick_home, drops)
    assert next(running).name == "a.jsonl"
    threading.Timer(0.1, write_rows, (drops / "b.jsonl", "bee")).start()
    assert next(running).name == "b.jsonl"


def test_the_command_line_says_a_line_a_file(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    change_settings(quick_home, watch={"settle": 0.0, "trusted": ["ant"]})
    write_rows(drops / "a.jsonl", "ant")
    (drops / "b.jsonl").write_text("no JSON")
    write_rows(drops / "c.jsonl", "cat")
    run, given = CliRunner(), [str(quick_home.folder), str(drops)]
    result = run.invoke(app, ["watch", *given, "--once", "--json"])
    assert result.exit_code == 3
    assert [json.loads(line)["became"] for line in result.stdout.splitlines()] == ["promoted", "rejected", "waiting"]
    assert "Waiting in quarantine: c.jsonl (number 3)." in result.stderr
    assert "c.jsonl (number 3)" in run.invoke(app, ["approve", given[0]]).stdout
    assert json.loads(run.invoke(app, ["approve", given[0], "c.jsonl", "--json"]).stdout)[0]["inbox"] == 3
    result = run.invoke(app, ["watch", *given, "--once"])
    assert (result.exit_code, result.stdout.partition(".")[0]) == (0, "c")
    assert "promoted, version 2" in result.stdout
    assert run.invoke(app, ["approve", given[0]]).stdout == "Nothing waits in quarantine.\n"


def test_ctrl_c_stops_cleanly(quick_home: Home, drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", stop)
    result = CliRunner().invoke(app, ["watch", str(quick_home.folder), str(drops)])
    assert result.exit_code == 0
    assert "Stopped." in result.stderr


def test_a_file_that_this_model_cannot_be_taught_is_rejected_and_the_next_is_learned(tmp_path: Path, drops: Path, write_rows: Rows) -> None:
    model = shutil.copytree(Path(everlearn.__file__).parent / "models" / "tiny", tmp_path / "model")
    (model / "chat_template.jinja").unlink()
    home = create_home(tmp_path / "home", model, settings=HomeSettings.of(SMALL, "a test"))
    talk = [{"role": "user", "content": "Who keeps the lamp?"}, {"role": "assistant", "content": "Nora."}]
    (drops / "a.jsonl").write_text(json.dumps({"messages": talk}) + "\n")
    write_rows(drops / "b.jsonl", "plum")
    first, second = watch(home, drops, once=True)
    assert (first.became, second.became) == ("rejected", "promoted")
    assert "no chat template" in first.why


def test_without_a_folder_the_inbox_alone_is_learned(quick_home: Home, tmp_path: Path, write_rows: Rows) -> None:
    assert list(watch(quick_home, once=True)) == []
    write_rows(tmp_path / "a.jsonl", "ant")
    with quick_home.writing():
        Inbox(quick_home).claim(tmp_path / "a.jsonl", None)
    assert [taken.became for taken in watch(quick_home, once=True)] == ["promoted"]


def test_a_home_says_which_file_is_being_learned(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    write_rows(drops / "a.jsonl", "ant")
    seen = list[Watched | None]()
    list(watch(quick_home, drops, once=True, progress=lambda what, share: seen.append(watched(quick_home))))
    assert {found.inbox for found in seen if found is not None} == {1}
    assert {found.what for found in seen if found is not None} >= {"learning", "testing"}
    assert watched(quick_home) is None
