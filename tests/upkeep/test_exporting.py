"""What is exported opens elsewhere and answers the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from everlearn import Example, Home, HomeSettings, ModelError, SettingError, StateError, TestSet, create_home, export, open_version, update
from everlearn.models.load import TINY

Owls = Callable[[int, int], list[Example]]
LORA = {"lora": 4}
LEARNED = [("replay(share=1)", {}), ("replay(share=1)", LORA), ("o_lora(rank=4)", {}), ("slao(rank=4)", {}), ("expand", {})]
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers the old way


def learned(folder: Path, owls: Owls, recipe: str, model: dict[str, object]) -> Home:
    settings = HomeSettings.of({"model": model, "learn": {"recipe": recipe, "rate": 3e-3, "passes": 2, "batch": 8}, "test": {"anchor": "off"}}, "the test")
    settings = settings.model_copy(update={"retry": settings.retry.model_copy(update={"attempts": 0})})
    home = create_home(folder / "home", "tiny", settings=settings)
    for start in (0, 8):
        home.promote(update(home, owls(start, 8), {f"owls{start}": TestSet("exact", tuple(owls(start, 8)))}).number)
    return home


def logits(module: torch.nn.Module, text: str = "Question: Where does the owl number 3 live?") -> torch.Tensor:
    tokens = AutoTokenizer.from_pretrained(TINY)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return module.eval()(input_ids=tokens).logits


@pytest.mark.parametrize(
    ("recipe", "model"), [("replay(share=1)", {}), ("replay(share=1)", LORA), ("o_lora(rank=4)", {}), ("slao(rank=4)", {}), ("expand", {})]
)
def test_a_merged_export_opens_with_plain_transformers_and_gives_the_same_logits(tmp_path: Path, owls: Owls, recipe: str, model: dict[str, object]) -> None:
    home = learned(tmp_path, owls, recipe, model)
    place = export(home, tmp_path / "out")
    ours = logits(open_version(home).model.module)
    theirs = logits(AutoModelForCausalLM.from_pretrained(place))
    assert torch.equal(ours, theirs) if not model and "lora" not in recipe and "slao" not in recipe else torch.allclose(ours, theirs, atol=2e-4)
    assert not torch.allclose(ours, logits(AutoModelForCausalLM.from_pretrained(TINY)), atol=1e-2)
    assert AutoTokenizer.from_pretrained(place)("owl").input_ids == AutoTokenizer.from_pretrained(TINY)("owl").input_ids


@pytest.mark.parametrize(("recipe", "model"), [("replay(share=1)", LORA), ("o_lora(rank=4)", {}), ("inf_lora(rank=4)", {}), ("slao(rank=4)", {})])
def test_an_adapter_opens_with_peft_on_the_starting_model_and_gives_the_same_logits(tmp_path: Path, owls: Owls, recipe: str, model: dict[str, object]) -> None:
    home = learned(tmp_path, owls, recipe, model)
    place = export(home, tmp_path / "out", form="adapter")
    base = AutoModelForCausalLM.from_pretrained(TINY)
    assert torch.allclose(logits(open_version(home).model.module), logits(PeftModel.from_pretrained(base, str(place))), atol=2e-4)


def test_routed_adapters_are_exported_one_folder_a_domain(tmp_path: Path, owls: Owls) -> None:
    home = learned(tmp_path, owls, "routed_adapters(rank=2,features=64)", {})
    with pytest.raises(ModelError, match="there is no one merged model"):
        export(home, tmp_path / "out")
    place = export(home, tmp_path / "out", form="adapter")
    found = sorted(path.parent for path in place.rglob("adapter_config.json"))
    assert found
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(TINY), str(found[0]))


def test_a_version_of_ones_choice_and_mistakes(home: Home, tmp_path: Path) -> None:
    start = export(home, tmp_path / "start", version=0)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(start)), logits(AutoModelForCausalLM.from_pretrained(TINY)))
    with pytest.raises(StateError, match="there is something here already .out="):
        export(home, start)
    with pytest.raises(ModelError, match="this version has no adapters"):
        export(home, tmp_path / "out", form="adapter")
    with pytest.raises(SettingError, match="no such version .version='7'"):
        export(home, tmp_path / "out", version=7)
    assert not list(tmp_path.glob("*out*"))
