"""A version as files that others open: a whole model for transformers, or an adapter for PEFT."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from peft import PeftModel

from everlearn.errors import ModelError, StateError
from everlearn.learn.base import Around
from everlearn.learn.gradient import Gradient
from everlearn.learn.routed_adapters import RoutedAdapters
from everlearn.methods.inf_lora import InfLoRA
from everlearn.methods.o_lora import OLoRA
from everlearn.models.adapters import write_adapter
from everlearn.models.load import quiet_bars
from everlearn.models.product_keys import memories
from everlearn.models.routed import RoutedModel
from everlearn.upkeep.opening import Opened, open_version
from everlearn.versions.home import Home


def export(home: Home | str | Path, out: str | Path, version: str | int = "head", form: Literal["merged", "adapter"] | None = None) -> Path:
    """Write a version to a new folder, which `AutoModel...from_pretrained` opens, or `PeftModel.from_pretrained` on the starting model.

    form: "merged" for one whole model (adapters added into its weights), "adapter" for the adapters alone, each domain's in a folder of its own; by
    default merged. The folder appears whole or not at all. Raises ModelError for a version that has no such form (with memory layers none), StateError where
    the folder exists.
    """
    place, target = home if isinstance(home, Home) else Home(home), Path(out)
    if target.exists():
        raise StateError(f"there is something here already (out={str(target)!r}). An export is a new folder; name another.")
    opened = open_version(place, version)
    aside = target.absolute().parent / f".{target.absolute().name}.writing"
    shutil.rmtree(aside, ignore_errors=True)
    module = opened.model.module
    if memories(module):
        raise ModelError(f"this version has memory layers, which no other program reads (version={opened.model.name!r}). Serve it from the home.")
    try:
        if form == "adapter":
            if not isinstance(module, PeftModel):
                raise ModelError(f"this version has no adapters (version={opened.model.name!r}, form='adapter'). Export it merged.")
            _write_adapters(opened, aside)
        else:
            if isinstance(opened.served, RoutedModel):
                raise ModelError("this version answers each prompt with its domain's adapter, so there is no one merged model. Export it with form='adapter'.")
            whole = module.merge_and_unload() if isinstance(module, PeftModel) else module
            with quiet_bars():
                whole.save_pretrained(str(aside))
        opened.model.tokenizer.save_pretrained(str(aside))
        aside.rename(target)
    except OSError as problem:
        raise StateError(f"the export could not be written (out={str(target)!r}): {problem.strerror or problem}. Make room or give access.") from problem
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _write_adapters(opened: Opened, folder: Path) -> None:
    """All that was learned as PEFT reads it: also what a method has folded into the weights beneath."""
    learner = opened.learner
    if isinstance(learner, RoutedAdapters):
        learner.write(folder)
        return
    while isinstance(learner, Around):
        learner = learner.inner
    methods = learner.methods if isinstance(learner, Gradient) else ()
    folding = [method for method in methods if isinstance(method, OLoRA | InfLoRA)]
    if folding:
        folding[0].write(opened.model, folder)
    else:
        write_adapter(opened.model, folder)
