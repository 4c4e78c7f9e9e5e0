"""The starting models of a home: copies of a model's files, named and checked by their content."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from everlearn.disk import flush_folder, write_whole
from everlearn.errors import ModelError, StateError
from everlearn.models.load import TINY, WANTED

FILES = "files.json"  # by name the SHA-256 of each; written last
TAKEN = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # no pickle, no code
DIGITS = 16


def add_base(folder: Path, model: str) -> str:
    """Copy a model's files into this folder of bases; the base's name. model: "tiny", a folder, or a hub id.

    Raises ModelError where there is no model with safetensors.
    """
    source = _found(model)
    files = sorted({path for pattern in TAKEN for path in source.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        pickles = sorted(path.name for path in source.glob("*.bin"))
        told = f"it has {pickles[0]}, a pickle, which can run code" if pickles else "it has no *.safetensors"
        raise ModelError(f"the model has no weights that a home takes (model={model!r}): {told}. {WANTED}")
    hashes = {path.name: _hash(path) for path in files}
    name = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:DIGITS]
    place = folder / name
    if not (place / FILES).exists():
        place.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, place / path.name)
        flush_folder(place)
        write_whole(place / FILES, json.dumps({"model": model if model == "tiny" else source.name, "files": hashes}, indent=1).encode())
    return name


def base_path(folder: Path, name: str) -> Path:
    """The base's folder, every file of it checked. Raises StateError for one that is missing, cut off or edited."""
    if len(name) != DIGITS or not set(name) <= set("0123456789abcdef"):
        raise StateError(f"this is no base's name (name={name!r}). Names are {DIGITS} hexadecimal digits. Restore the record from a copy of the home.")
    place = folder / name
    try:
        hashes = json.loads((place / FILES).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise StateError(f"a base cannot be read (file={str(place / FILES)!r}): {problem}. Restore it from a copy of the home.") from problem
    for file, wanted in hashes.items():
        path = place / Path(file).name
        if not path.is_file() or _hash(path) != wanted:
            raise StateError(f"a file of the base is missing or was changed (file={str(path)!r}). Restore it from a copy of the home.")
    return place


def _found(model: str) -> Path:
    """The folder that holds the model's files, from the hub where it is no folder."""
    place = TINY if model == "tiny" else Path(model)
    if place.is_dir():
        return place
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelError(f"there is no model folder here (model={model!r}). {WANTED}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=list(TAKEN)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as problem:
        raise ModelError(f"the model could not be fetched (model={model!r}): {str(problem).strip().splitlines()[0]}. {WANTED}") from problem


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
