"""Tensors and JSON by their content: what is equal is stored once, what was changed is found out."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from everlearn.disk import put_whole, write_whole
from everlearn.errors import StateError
from everlearn.versions.names import DIGITS, changed, digest, plain_name, unpacked
from everlearn.versions.rows import PLACES, RowPacks

SHARED = json.dumps(PLACES).encode()  # is in an object's text where rows of it lie in packs
# By pack, by name in the state: the tensor's hash.
Addresses = Mapping[str, Mapping[str, str]]


class Objects:
    """The folder of a home that holds what its versions are made of; a file is named by the hash of what it holds.

    Tensors lie in packs, one safetensors file for all that a version brought that no other had; JSON lies in gzipped files, its longer lists of rows in
    packs of their own. Raises StateError for a file that is missing, cut off, edited, or no safetensors, with its path.
    """

    def __init__(self, folder: Path, forgotten: Path) -> None:
        self.folder, self.forgotten = folder, forgotten
        self.rows = RowPacks(folder, self.replaced)

    def put_json(self, value: object) -> str:
        """Store it; its name. Equal values are one file, and so are equal rows in longer lists of them."""
        try:
            plain = json.loads(_text(value))  # as it will be read: keys are strings
        except (TypeError, ValueError) as problem:
            raise StateError(f"a version may hold tensors and JSON alone: {problem}. Turn it into one of them.") from problem
        data, taken, spaces = _bytes(plain), self.replaced(), 0
        while (name := digest(data + b" " * spaces)) in taken:
            spaces += 1  # what was taken back and comes again needs another name: the old one means what was left of it
        if not self.json_path(name).exists():
            write_whole(self.json_path(name), gzip.compress(_bytes(self.rows.put(plain)) + b" " * spaces, 6, mtime=0))
        return name

    def get_json(self, name: str) -> Any:
        """What was stored under this name, or what took its place when something was taken back."""
        name = self.replaced().get(name, name)
        data = unpacked(self.json_path(name))
        value, whole = self._parsed(data, name), data
        if SHARED in data:
            value = self.rows.whole(value)
            whole = _bytes(value) + b" " * (len(data) - len(data.rstrip(b" ")))
        if digest(whole) != name:
            raise changed(self.json_path(name))
        return value

    def held_rows(self, names: Iterable[str]) -> dict[str, set[int]]:
        """By pack of rows the lines that these JSON objects need; "" stands for one that was not kept."""
        found = dict[str, set[int]]()
        for name in filter(None, names):
            data = unpacked(self.json_path(name))
            if SHARED in data:
                self.rows.held_by(self._parsed(data, name), found)
        return found

    def _parsed(self, data: bytes, name: str) -> Any:
        try:
            return json.loads(data.decode("utf-8", "surrogatepass"))
        except ValueError as problem:
            raise changed(self.json_path(name)) from problem

    def replaced(self) -> dict[str, str]:
        """By the name of a JSON object or pack from which something was taken back: the name of what is left."""
        return dict(self._forgotten()["replaced"])

    def withdrawn(self) -> dict[str, str]:
        """By a version's id why it was withdrawn: its weights, learner and answers are gone."""
        return dict(self._forgotten()["withdrawn"])

    def take_back(self, replaced: Mapping[str, str], withdrawn: Mapping[str, str]) -> None:
        """Note what stands in for objects (JSON or packs) that are to be deleted, and which versions are gone and why: in one file, written whole."""
        before = self._forgotten()
        new = {old: name for old, name in replaced.items() if old != name}
        told = {
            "replaced": {**{old: new.get(name, name) for old, name in before["replaced"].items()}, **new},
            "withdrawn": {**withdrawn, **before["withdrawn"]},
        }
        if told != before:
            write_whole(self.forgotten, (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode())

    def _forgotten(self) -> dict[str, Any]:
        try:
            found = json.loads(self.forgotten.read_text(encoding="utf-8"))
            return {"replaced": dict(found["replaced"]), "withdrawn": dict(found["withdrawn"])}
        except FileNotFoundError:
            return {"replaced": {}, "withdrawn": {}}
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise StateError(f"what was taken back cannot be read (file={str(self.forgotten)!r}): {problem}. Restore it from a copy of the home.") from problem

    def put_tensors(self, tensors: Mapping[str, Tensor], known: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Store those that are not stored yet in one new pack; the addresses of all. known: by a tensor's hash, the pack that holds it."""
        hashes = {name: tensor_hash(value) for name, value in tensors.items()}
        fresh = {key: tensors[name].detach().contiguous() for name, key in hashes.items() if key not in known}
        pack = self.put_pack(fresh) if fresh else ""
        found: dict[str, dict[str, str]] = {}
        for name, key in hashes.items():
            found.setdefault(known.get(key, pack), {})[name] = key
        return found

    def put_pack(self, tensors: Mapping[str, Tensor]) -> str:
        """Store tensors by their hashes in one pack; its name."""
        said, taken = "".join(sorted(tensors)), self.replaced()
        while (pack := hashlib.sha256(said.encode()).hexdigest()[:DIGITS]) in taken:
            said += " "
        if not self.pack_path(pack).exists():
            apart = {key: value.clone() for key, value in tensors.items()}  # safetensors refuses tensors that share memory
            put_whole(self.pack_path(pack), lambda aside: save_file(apart, aside))
        return pack

    def get_tensors(self, addresses: Addresses) -> dict[str, Tensor]:
        """The tensors at these addresses, each checked against its hash."""
        found, replaced = {}, self.replaced()
        for pack, names in ((replaced.get(pack, pack), names) for pack, names in addresses.items()):
            for name, (key, value) in zip(names, self._read(pack, list(names.values())), strict=True):
                if tensor_hash(value) != key:
                    raise StateError(
                        f"a weight file of the home was changed (file={str(self.pack_path(pack))!r}, tensor={name!r}). Restore it from a copy of the home."
                    )
                found[name] = value
        return found

    def keys(self, pack: str) -> list[str]:
        """The hashes of the tensors in a pack."""
        with self._opened(pack) as file:
            return sorted(file.keys())

    def _read(self, pack: str, keys: list[str]) -> Iterator[tuple[str, Tensor]]:
        with self._opened(pack) as file:
            for key in keys:
                yield key, file.get_tensor(key)

    @contextmanager
    def _opened(self, pack: str) -> Iterator[Any]:
        path = self.pack_path(pack)
        try:
            with safe_open(path, "pt") as file:
                yield file
        except (OSError, SafetensorError) as problem:
            raise StateError(
                f"a weight file of the home cannot be read (file={str(path)!r}): {problem}. It is no whole safetensors. Restore it from a copy of the home."
            ) from problem

    def json_path(self, name: str) -> Path:
        return self.folder / f"{plain_name(name)}.json.gz"

    def pack_path(self, name: str) -> Path:
        return self.folder / f"{plain_name(name)}.safetensors"

    def names(self) -> list[str]:
        """Every object there, JSON and packs."""
        return sorted(path.name.partition(".")[0] for path in self.folder.glob("*") if not path.name.startswith("."))


def tensor_hash(value: Tensor) -> str:
    """A hash of a tensor's type, shape and bytes."""
    plain = value.detach().cpu().contiguous()
    found = hashlib.sha256(f"{plain.dtype}{tuple(plain.shape)}".encode())
    found.update(plain.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]  # an array is a buffer
    return found.hexdigest()[:DIGITS]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _bytes(value: object) -> bytes:
    return _text(value).encode("utf-8", "surrogatepass")
