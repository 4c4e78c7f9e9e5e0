"""A home: its versions, which one serves, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from everlearn import Home, HomeSettings, SettingError, StateError, Version
from everlearn.versions.home import finish_folder, free
from everlearn.versions.migrations import migrated, read_about, write_about
from everlearn.versions.record import Arrived, Kept, TaskScore


def version(number: int, parent: Version | None = None, **other: object) -> Version:
    came = Arrived(f"{number}.jsonl", "h", "", "", 3)
    start = Version(
        number, parent.id if parent else None, "base", "update", "0.1", "plain", {}, came, 0, Kept({}, "learner", {}, "", ""), {}, {}, True, ("Good.",)
    )
    return replace(start, **other)  # type: ignore[arg-type]


@pytest.fixture
def lived(tmp_path: Path) -> tuple[Home, list[Version]]:
    """A start and two updates, each served in its turn."""
    folder = tmp_path / "home"
    HomeSettings().save(folder / "everlearn.toml")
    finish_folder(folder)
    home, made = Home(folder), [version(0)]
    made += [version(1, made[0])]
    made += [version(2, made[1])]
    for one in made:
        home.commit(one)
        home.serve(one, "accepted")
    return Home(folder), made


def test_a_record_comes_back_and_its_id_is_what_it_says(tmp_path: Path) -> None:
    one = version(3, version(2), tasks={"a": TaskScore(0.25, 1 / 3, 12, True)}, measured={"kl": None}, created="2026-01-01", cost={"learn": 2.5})
    one.save(tmp_path)
    assert Version.load(tmp_path / f"{one.name}.json") == one
    assert replace(one, created="later", cost={}).id == one.id
    assert replace(one, accepted=False).id != one.id


@pytest.mark.parametrize("change", ["text", "name", "cut"])
def test_a_record_that_was_changed_is_found_out(tmp_path: Path, change: str) -> None:
    one = version(3)
    one.save(tmp_path)
    path = tmp_path / f"{one.name}.json"
    text = path.read_text()
    if change == "name":
        path = path.rename(tmp_path / f"000004-{one.id}.json")
    path.write_text({"text": text.replace("Good.", "Bad."), "name": text, "cut": text[:90]}[change])
    with pytest.raises(StateError, match=r"a version (was changed|cannot be read) .file='"):
        Version.load(path)


def test_versions_are_named_by_number_id_or_head(lived: tuple[Home, list[Version]]) -> None:
    home, made = lived
    assert home.head == made[2] == home.version() == home.version(2) == home.version("v2") == home.version(made[2].id[:6])
    assert home.lineage(made[2]) == made[::-1]
    for name in ("9", "v9", "zzzz", made[0].id[:2]):
        with pytest.raises(SettingError, match=rf"no such version .version='{name}'"):
            home.version(name)


def test_rollback_goes_back_step_by_step_and_promote_forward(lived: tuple[Home, list[Version]]) -> None:
    home, made = lived
    assert home.rollback() == made[1] == home.head
    assert home.rollback() == made[0] == home.head
    with pytest.raises(SettingError, match="there is no version before this one to go back to"):
        home.rollback()
    assert home.promote("v2") == home.head
    assert home.rollback("v0") == home.head
    assert [move["why"] for move in home.moves] == ["accepted"] * 3 + ["rollback", "rollback", "accepted", "rollback"]


def test_a_refused_version_is_promoted_by_hand_and_the_moves_say_so(lived: tuple[Home, list[Version]]) -> None:
    home, made = lived
    home.commit(version(3, made[2], accepted=False))
    home.promote(3)
    assert home.moves[-1]["why"] == "by hand, against the gate"


def test_a_withdrawn_version_does_not_serve(lived: tuple[Home, list[Version]]) -> None:
    home, made = lived
    home.objects.take_back({}, {made[1].id: "it learned from a source that was taken back"})
    with pytest.raises(StateError, match=rf"this version was withdrawn .version='{made[1].id}'.: it learned from"):
        home.rollback(1)
    assert home.rollback() == made[0]


def test_what_is_no_home_or_broken_says_so(tmp_path: Path, lived: tuple[Home, list[Version]]) -> None:
    home, made = lived
    with pytest.raises(StateError, match="there is no home here .home='.*nothing'.. Make one with `everlearn init"):
        Home(tmp_path / "nothing")
    (home.folder / "versions" / f"{made[2].name}.json").unlink()
    with pytest.raises(StateError, match=f"the version in service is missing .*{made[2].id}"):
        Home(home.folder).head  # noqa: B018
    (home.folder / "head.json").write_text("{")
    with pytest.raises(StateError, match="which version is in service cannot be read"):
        Home(home.folder).head  # noqa: B018
    (home.folder / "home.json").write_text("[]")
    with pytest.raises(StateError, match="this home cannot be read .file="):
        Home(home.folder)


def test_a_home_is_made_in_a_free_folder_alone(tmp_path: Path) -> None:
    free(tmp_path / "new")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "everlearn.toml").write_text("")
    free(tmp_path / "used")
    (tmp_path / "used" / "notes.txt").write_text("")
    with pytest.raises(StateError, match="there is something here already .home='.*used'"):
        free(tmp_path / "used")


def test_an_older_home_is_brought_to_the_present_format_step_by_step(tmp_path: Path) -> None:
    write_about(tmp_path, {"format": 1, "created": "then"})

    def second(folder: Path) -> None:
        (folder / "two").write_text("2")

    def third(folder: Path) -> None:
        assert (folder / "two").exists()
        assert read_about(folder)["format"] == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrated(tmp_path, {1: second, 2: third}, 3)
    assert read_about(tmp_path) == {"format": 2, "created": "then"}
    assert migrated(tmp_path, {2: lambda folder: None}, 3) == {"format": 3, "created": "then"}
    with pytest.raises(StateError, match=r"this home has a format that everlearn .* does not know .*, format=3.*Install a newer everlearn"):
        migrated(tmp_path)


def test_settings_come_back_as_they_are_written_and_mistakes_are_told_at_once(tmp_path: Path) -> None:
    settings = HomeSettings.of({"gate": {"most_kl": 0.2, "most_loss": "off"}, "track": {"with": ["tensorboard"]}, "model": {"lora": 8}}, "x")
    settings.save(tmp_path / "everlearn.toml")
    assert HomeSettings.load(tmp_path / "everlearn.toml") == settings
    assert settings.gate.rules().most_loss is None
    (tmp_path / "bad.toml").write_text('[learn]\nrat = 1\nrate = -1\n[gaet]\n[gate]\nsure = 0.1\nmost_loss = "of"\n')
    with pytest.raises(SettingError) as told:
        HomeSettings.load(tmp_path / "bad.toml")
    for part in ("[learn] has no 'rat'. Did you mean 'rate'?", "rate: input should be greater than 0, got -1", "no [gaet]. Did you mean 'gate'?", "got 'of'"):
        assert part in str(told.value)
    (tmp_path / "bad.toml").write_text("[gate]\nsure = 0.1\n")
    with pytest.raises(SettingError, match=r"bad.toml cannot be used: gate: sure must be at least 0.5 and below 1, got 0.1"):
        HomeSettings.load(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("rate = fast")
    with pytest.raises(SettingError, match=r"bad.toml is not TOML"):
        HomeSettings.load(tmp_path / "bad.toml")
    with pytest.raises(SettingError, match=r"there are no settings .file='.*none.toml'"):
        HomeSettings.load(tmp_path / "none.toml")


def test_what_happened_is_one_json_object_a_line(lived: tuple[Home, list[Version]]) -> None:
    home, made = lived
    events = [json.loads(line) for line in (home.folder / "log.jsonl").read_text().splitlines()]
    assert [(event["event"], event["version"]) for event in events] == [("serve", one.id) for one in made]
