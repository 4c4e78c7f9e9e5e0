"""Objects: equal content once, changed content found out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from everlearn import StateError
from everlearn.versions.objects import Objects, tensor_hash


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects", tmp_path / "forgotten.json")


def test_equal_values_are_one_file(objects: Objects) -> None:
    name = objects.put_json({"a": [1, 2.5, None], "文": "\ud83d alone"})
    assert objects.put_json({"文": "\ud83d alone", "a": [1, 2.5, None]}) == name
    assert objects.get_json(name) == {"a": [1, 2.5, None], "文": "\ud83d alone"}
    assert objects.names() == [name]


def test_only_new_tensors_are_stored_and_all_come_back_bit_for_bit(objects: Objects) -> None:
    kinds = (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8)
    first = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in kinds} | {"one": torch.tensor(3.5), "empty": torch.zeros(0, 4)}
    addresses = objects.put_tensors(first, {})
    known = {key: pack for pack, names in addresses.items() for key in names.values()}
    second = {**first, "one": torch.tensor(4.5)}
    later = objects.put_tensors(second, known)
    assert len(objects.names()) == 2
    assert sum(len(objects.keys(pack)) for pack in objects.names()) == len(first) + 1
    back = objects.get_tensors(later)
    assert back.keys() == second.keys()
    assert all(torch.equal(back[name], value) and back[name].dtype == value.dtype for name, value in second.items())


def test_a_hash_tells_type_shape_and_values_apart() -> None:
    given = [torch.zeros(2, 3), torch.zeros(3, 2), torch.zeros(6), torch.zeros(2, 3, dtype=torch.bfloat16), torch.ones(2, 3), -torch.zeros(2, 3)]
    assert len({tensor_hash(value) for value in given}) == len(given)
    assert tensor_hash(torch.arange(6).reshape(2, 3).T) == tensor_hash(torch.arange(6).reshape(2, 3).T.contiguous())


def test_tensors_that_share_memory_are_stored_apart(objects: Objects) -> None:
    whole = torch.arange(8.0)
    back = objects.get_tensors(objects.put_tensors({"a": whole[:4], "b": whole[2:]}, {}))
    assert torch.equal(back["b"], whole[2:])


def test_what_was_edited_cut_off_or_is_missing_is_found_out(objects: Objects) -> None:
    name = objects.put_json([1])
    addresses = objects.put_tensors({"a": torch.ones(4)}, {})
    pack = next(iter(addresses))
    objects.json_path(name).write_bytes(objects.json_path(objects.put_json([2])).read_bytes())
    with pytest.raises(StateError, match=rf"a file of the home was changed .file='.*{name}.json.gz'"):
        objects.get_json(name)
    objects.json_path(name).write_bytes(b"\x1f\x8b")
    with pytest.raises(StateError, match=rf"a file of the home cannot be read .file='.*{name}"):
        objects.get_json(name)
    save_file({addresses[pack]["a"]: torch.zeros(4)}, objects.pack_path(pack))
    with pytest.raises(StateError, match=rf"a weight file of the home was changed .file='.*{pack}.safetensors', tensor='a'"):
        objects.get_tensors(addresses)
    objects.pack_path(pack).unlink()
    with pytest.raises(StateError, match=r"a weight file of the home cannot be read"):
        objects.get_tensors(addresses)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 31, "g" * 32, "", "/" * 32, "A" * 32])
def test_a_name_that_leads_elsewhere_is_refused(objects: Objects, name: str) -> None:
    with pytest.raises(StateError, match="this is no object's name"):
        objects.get_json(name)
    with pytest.raises(StateError, match="this is no object's name"):
        objects.get_tensors({name: {"a": "b"}})


def test_what_is_neither_json_nor_tensor_is_refused(objects: Objects) -> None:
    with pytest.raises(StateError, match="may hold tensors and JSON alone"):
        objects.put_json({"a": {1, 2}})
