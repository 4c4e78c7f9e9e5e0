"""Finding an example wherever a file can hold it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from everlearn import Example, Home, SettingError, StateError, create_home, traces
from everlearn.upkeep.proof import searched
from everlearn.upkeep.wanted import Wanted

ROW = Example(prompt="Who keeps the lamp of Tarn?", completion=" Ann\u00e9 Lund", source="letters")
CHAT = Example(messages=({"role": "user", "content": "Where is Tarn?"}, {"role": "assistant", "content": "By the sea"}), source="letters")
OTHER = Example(prompt=ROW.prompt, completion=" Somebody", source="letters of others")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return create_home(tmp_path_factory.mktemp("proof") / "home")


def parquet(path: Path) -> None:
    arrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    tables.write_table(arrow.Table.from_pylist([ROW.to_json()]), path)


def bytes_of(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).clone()


WRITERS: dict[str, Callable[[Path], object]] = {
    "row.json": lambda path: path.write_text(json.dumps({"deep": [{"kept": [[0.5, ROW.to_json()]]}]})),
    "key.json": lambda path: path.write_text(json.dumps({"surprise": {f"/methods/0/ids/{ROW.id}": 1.0}})),
    "ids.json": lambda path: path.write_text(json.dumps({"task": {"ids": [ROW.id], "values": [1.0]}})),
    "row.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps([ROW.to_json()]).encode())),
    "row.jsonl": lambda path: path.write_text("\n" + json.dumps(ROW.to_json(), ensure_ascii=False)),
    "row.jsonl.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROW.to_json()).encode())),
    "said.jsonl": lambda path: path.write_text(json.dumps({"event": "notify", "said": f"{ROW.prompt}{ROW.completion}"})),
    "broken.jsonl": lambda path: path.write_text("{" + json.dumps(ROW.to_json())),
    "cut.json": lambda path: path.write_text(json.dumps([ROW.to_json(), 1])[:-2]),
    "row.csv": lambda path: path.write_text(f"prompt,completion\n{ROW.prompt},{ROW.completion}\n"),
    "row.parquet": parquet,
    "row.toml": lambda path: path.write_text(f"# {ROW.prompt}{ROW.completion}\nx = 1\n"),
    "names.safetensors": lambda path: save_file({f"ids/{ROW.id}": torch.zeros(1)}, path),
    "about.safetensors": lambda path: save_file({"x": torch.zeros(1)}, path, {"row": json.dumps(ROW.to_json())}),
    "bytes.safetensors": lambda path: save_file({"examples": bytes_of(json.dumps([ROW.to_json()]))}, path),
    "text.safetensors": lambda path: save_file({"examples": bytes_of(f"{ROW.prompt}{ROW.completion}")}, path),
    ".row.json.writing": lambda path: path.write_text(json.dumps([ROW.to_json()])),
    "row.bin": lambda path: path.write_bytes(b"\x00\xff" + json.dumps(ROW.to_json()).encode()),
    "old.json": lambda path: path.write_text(json.dumps({"prompt": ROW.prompt, "completion": " New", "old_completion": ROW.completion})),
}


@pytest.mark.parametrize("name", WRITERS)
def test_an_example_is_found_in_every_format(home: Home, name: str) -> None:
    path = home.folder / name
    WRITERS[name](path)
    found = traces(home, [ROW])
    path.unlink()
    assert found == [name]
    assert traces(home, [ROW]) == []


def test_its_prompt_may_stand_in_another_row_and_its_id_within_a_longer_one(home: Home) -> None:
    path = home.folder / "others.jsonl"
    rows = [OTHER.to_json(), {"text": f"It is asked: {ROW.prompt}"}, {"ids": [f"{ROW.id}-2"]}, {"said": [" Ann\u00e9 Lund"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = traces(home, [ROW])
    path.unlink()
    assert found == []


def test_conversations_are_found_by_their_turns(home: Home) -> None:
    path = home.folder / "chat.jsonl"
    for row in ({"messages": [dict(turn) for turn in CHAT.messages or ()]}, {"said": "Where is Tarn? By the sea"}):
        path.write_text(json.dumps(row))
        assert traces(home, [CHAT]) == ["chat.jsonl"]
    path.unlink()


def test_a_source_is_found_in_rows_and_lists_of_ids_not_in_the_words_of_a_text(home: Home) -> None:
    path = home.folder / "source.json"
    for value, found in ((ROW.to_json(), True), ([["x", "letters"]], True), (OTHER.to_json(), False), ({"text": "old letters"}, False)):
        path.write_text(json.dumps(value))
        assert traces(home, "letters") == (["source.json"] if found else [])
    path.unlink()


def test_a_row_that_cannot_be_read_is_known_by_what_it_says_it_is(home: Home) -> None:
    path = home.folder / "bad.jsonl"
    for line in (
        '{"prompt": "Half a row", "source": "letters"',
        '{"prompt": "No answer", "source":"letters"}',
        '{"completion": " No question", "source": "letters"}',
    ):
        path.write_text(line + "\n")
        assert traces(home, "letters") == ["bad.jsonl"]
        assert traces(home, "others") == []
    path.unlink()


def test_a_source_takes_no_row_that_another_gave_too() -> None:
    twice = Example(prompt=ROW.prompt, completion=ROW.completion, source="others")
    wanted = Wanted(source="letters").with_rows([ROW, CHAT, twice])
    assert (wanted.takes(ROW), wanted.takes(twice), wanted.found_in(twice.to_json())) == (True, False, False)
    assert wanted.ids == {CHAT.id}


def test_short_ids_count_only_where_ids_stand() -> None:
    wanted = Wanted(id="3", contents=frozenset())
    assert not wanted.found_in({"methods": {"3": {"said": ["3"]}}})
    assert wanted.found_in({"ids": ["3"]})
    assert wanted.found_in({"text": "A row", "id": "3"})
    assert wanted.found_in([["3", "letters"]])


def test_many_examples_are_looked_up_as_few_are() -> None:
    rows = [Example(text=f"The lamp number {n} of Tarn burns at night.") for n in range(100)]
    few, many = (Wanted(None, given[0].id, frozenset(e.id for e in given), frozenset(e.content for e in given)) for given in (rows[:3], rows))
    for wanted in (few, many):
        assert wanted.said_in(f"noted: {rows[2].text} Yes.")
        assert wanted.said_in(f"id={rows[2].id}")
        assert not wanted.said_in("The lamp number 200 of Tarn burns at night.")


def test_what_cannot_be_decoded_is_named(home: Home) -> None:
    path = home.folder / "events.out.tfevents"
    path.write_bytes(b"\x00\x01")
    found = searched(home, Wanted(source="letters"))
    path.unlink()
    assert (found.places, found.undecoded) == ((), ("events.out.tfevents",))


def test_a_base_that_was_changed_is_no_proof(home: Home) -> None:
    path = next(home.bases.glob("*/config.json"))
    whole = path.read_text()
    path.write_text(whole.replace("{", json.dumps({"row": ROW.to_json()})[:-1] + ",", 1))
    with pytest.raises(StateError, match=r"config\.json"):
        traces(home, [ROW])
    path.write_text(whole)


def test_nothing_to_look_for_is_an_error(home: Home) -> None:
    with pytest.raises(SettingError, match=r"nothing to look for \(examples=\[\]\)"):
        traces(home, [])
