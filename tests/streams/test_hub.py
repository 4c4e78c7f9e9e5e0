"""Hub datasets, tested on folders of data files and saved datasets: nothing is loaded from a hub here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from everlearn.errors import DataError, MissingExtra, SettingError
from everlearn.streams.hub import hub_place, read_hub, scan_hub
from everlearn.types import Example

datasets = pytest.importorskip("datasets")
ASKED = {"question": ["Capital of Kenya?", "7 + 5?"], "answer": ["Nairobi", "12"]}


@pytest.fixture(autouse=True)
def no_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def saved(path: Path, **columns: Any) -> Path:
    datasets.Dataset.from_dict(columns).save_to_disk(path)
    return path


def test_columns_are_mapped_onto_our_keys_and_others_are_left_out(tmp_path: Path) -> None:
    place = saved(tmp_path / "asked", **ASKED, id=["a", "b"], text=["x", "y"])
    assert read_hub(place, columns={"prompt": "question", "completion": "answer"})[0] == Example(prompt="Capital of Kenya?", completion="Nairobi")


def test_columns_named_like_ours_need_no_mapping(tmp_path: Path) -> None:
    place = saved(tmp_path / "pairs", prompt=["p"], chosen=["c"], rejected=["r"], source=["s"], embedding=[[0.1]])
    assert read_hub(place) == [Example(prompt="p", chosen="c", rejected="r", source="s")]


def test_a_folder_of_data_files_gives_the_split_that_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "files" / f"{split}.jsonl").parent.mkdir(exist_ok=True)
        (tmp_path / "files" / f"{split}.jsonl").write_text(json.dumps({"text": f"of {split}"}) + "\n")
    assert [e.text for e in read_hub(tmp_path / "files", split="test")] == ["of test"]


def test_labels_become_names_numbers_text_and_from_value_turns_messages(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"]), "stars": datasets.Value("int64")})
    datasets.Dataset.from_dict({"text": ["Fine."], "label": [1], "stars": [5]}, features=features).save_to_disk(tmp_path / "labels")
    assert read_hub(tmp_path / "labels", columns={"prompt": "text", "completion": "label"})[0].completion == "good"
    assert read_hub(tmp_path / "labels", columns={"prompt": "text", "completion": "stars"})[0].completion == "5"
    turns = [[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]]
    chat = read_hub(saved(tmp_path / "chat", conversations=turns), columns={"messages": "conversations"})
    assert chat == [Example(messages=({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}))]


def test_bad_rows_are_listed_and_a_share_may_be_allowed(tmp_path: Path) -> None:
    place = saved(tmp_path / "rows", text=["good", " ", "fine"])
    assert list(scan_hub(place).bad) == [2]
    with pytest.raises(DataError, match=r"rows:train:2: text is empty"):
        read_hub(place)
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        assert len(read_hub(place, most_bad=0.5)) == 2


def test_a_split_of_a_saved_dictionary_is_named(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["x"]})}).save_to_disk(tmp_path / "splits")
    assert read_hub(tmp_path / "splits") == [Example(text="x")]
    with pytest.raises(DataError, match=r"has no such split \(split='trian'\). Did you mean 'train'"):
        read_hub(tmp_path / "splits", split="trian")


def test_missing_columns_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    place = saved(tmp_path / "asked", **ASKED)
    with pytest.raises(DataError, match=r"no column that is named like what is learned \(columns=\['question', 'answer'\]\).*--columns"):
        read_hub(place)
    with pytest.raises(DataError, match="no column 'quetsion'"):
        read_hub(place, columns={"prompt": "quetsion", "completion": "answer"})
    with pytest.raises(SettingError, match="columns name keys that a row has not .*'promt'.*Did you mean 'prompt'"):
        read_hub(place, columns={"promt": "question"})


def test_an_empty_split_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="could not be loaded .*none:train"):
        read_hub(saved(tmp_path / "none", text=[]))
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **named: datasets.Dataset.from_dict({"text": []}))
    with pytest.raises(DataError, match="hub:org/none:train has no rows"):
        read_hub("org/none")


@pytest.mark.parametrize("problem", [ConnectionError("Couldn't reach 'org/name' on the Hub"), ValueError("Unknown split"), FileNotFoundError("not found")])
def test_an_unreachable_hub_is_a_clear_error(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object, **named: object) -> None:
        raise problem

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=rf"could not be loaded \('hub:org/name/sub:test'\): {problem}.*the hub must be reachable"):
        read_hub("org/name", "test", "sub")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"a hub dataset needs datasets.*everlearn\[data\]"):
        read_hub("org/name")


def test_a_place_on_the_command_line_has_a_name() -> None:
    with pytest.raises(DataError, match=r"no dataset is named \('hub:'\)"):
        hub_place("hub:")
