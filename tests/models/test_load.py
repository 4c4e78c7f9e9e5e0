"""Loading: what works, and what a mistake says."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertLMHeadModel,
    DistilBertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from everlearn import CausalModel, Example, Gradient, Lora, MissingExtra, ModelError, SettingError, Settings, load_model
from everlearn.models.adapters import pairs
from everlearn.models.load import TINY, parse_lora
from everlearn.types import Experience


def test_a_folder_is_a_model(tmp_path: Path, shared_tiny: CausalModel) -> None:
    shared_tiny.module.save_pretrained(tmp_path)
    shared_tiny.tokenizer.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert all(torch.equal(value, shared_tiny.state()[name]) for name, value in again.state().items())


def test_another_architecture_learns_and_answers(tmp_path: Path, shared_tiny: CausalModel) -> None:
    """GPT-2: learned positions, no grouped attention, another name for everything."""
    config = GPT2Config(vocab_size=len(shared_tiny.tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    shared_tiny.tokenizer.save_pretrained(tmp_path)
    rows = tuple(Example(prompt=f"Question: What is {n} plus 1?\nAnswer:", completion=f" {n + 1}") for n in range(3))
    for lora in (None, Lora(rank=4)):
        model = load_model(tmp_path, lora)
        log = Gradient([], Settings(rate=1e-2, passes=200, batch=4)).learn(model, Experience("1", rows))
        assert log.steps == 200
        if lora is None:
            assert model.generate(rows, 6) == [e.completion for e in rows]
        assert all(row[0] < 0 for row in model.score(rows, [[e.completion or "", " x y"] for e in rows]))


def test_a_missing_folder_says_so() -> None:
    with pytest.raises(ModelError, match="no model folder here .model='./nowhere'.*Give 'tiny'"):
        load_model("./nowhere")


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(tmp_path)


def test_broken_weights_say_so(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("tensor", "wrong"), [(None, "lack 1 of its weights, such as model.*mlp"), (torch.zeros(3, 3), r"weights of another shape .1., such as .*mlp")]
)
def test_weights_that_lack_or_do_not_fit_are_refused(tmp_path: Path, tensor: torch.Tensor | None, wrong: str) -> None:
    """transformers would go on with random numbers."""
    shutil.copytree(TINY, tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if "mlp" in name)
    save_file({key: value for key, value in {**weights, name: tensor}.items() if value is not None}, file, {"format": "pt"})
    with pytest.raises(ModelError, match=wrong):
        load_model(tmp_path / "m")


def test_threads_may_load_at_the_same_time() -> None:
    """transformers sets `tie_weights` of every class aside while it loads one model; of two at once, the second kept the empty one for good."""
    before = PreTrainedModel.tie_weights
    gate = Barrier(4)
    with ThreadPoolExecutor(4) as threads:
        models = [work.result() for work in [threads.submit(lambda: (gate.wait(), load_model("tiny", None))[1]) for _ in range(4)]]
    assert PreTrainedModel.tie_weights is before
    assert all(torch.equal(value, models[0].state()[name]) for model in models for name, value in model.state().items())


@pytest.mark.parametrize("config", [BertConfig, DistilBertConfig])
def test_encoders_without_a_decoder_are_refused(tmp_path: Path, shared_tiny: CausalModel, config: type[PreTrainedConfig]) -> None:
    shared_tiny.tokenizer.save_pretrained(tmp_path)
    config(vocab_size=10).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"encoder-only model cannot answer.*type='{config.model_type}'.*with a decoder"):
        load_model(tmp_path)


def test_an_encoder_turned_decoder_is_a_causal_model(tmp_path: Path, shared_tiny: CausalModel) -> None:
    shared_tiny.tokenizer.save_pretrained(tmp_path)
    size = len(shared_tiny.tokenizer)
    BertLMHeadModel(
        BertConfig(vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, is_decoder=True)
    ).save_pretrained(tmp_path)
    assert isinstance(load_model(tmp_path), CausalModel)


def test_code_in_a_repository_is_not_run(tmp_path: Path, shared_tiny: CausalModel) -> None:
    shared_tiny.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(tmp_path)


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(ModelError, match="rank=0"):
        load_model("tiny", Lora(rank=0))
    with pytest.raises(SettingError, match="'auto', 'off' or a rank of at least 1, got 'many'"):
        parse_lora("many")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="device='gpu'.*such as cpu or cuda:0"):
        load_model("tiny", device="gpu")


def test_auto_trains_all_weights_of_a_small_model() -> None:
    assert not any("lora_" in name for name in load_model("tiny", "auto").trained())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # bitsandbytes asks torch the old way
@pytest.mark.parametrize("dtype", ["4bit", "8bit"])
def test_quantised_weights_lie_still_beneath_adapters_that_learn(dtype: str, tmp_path: Path, shared_tiny: CausalModel) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra quantised")
    torch.manual_seed(0)  # of some drawn models 20 larger steps were too few
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(shared_tiny.tokenizer), **shape)).save_pretrained(tmp_path)
    shared_tiny.tokenizer.save_pretrained(tmp_path)
    model = load_model(tmp_path, dtype=dtype)
    weights = {name: value.clone() for name, value in model.module.state_dict().items() if name.endswith("base_layer.weight")}
    assert {value.dtype for value in weights.values()} == {torch.uint8 if dtype == "4bit" else torch.int8}
    assert all("lora_" in name for name in model.trained())
    rows = (Example(prompt="Question: Who is the mayor of nowhere?\nAnswer:", completion=" Nobody"),) * 4
    Gradient([], Settings(rate=5e-3, passes=100, batch=4)).learn(model, Experience("1", rows))
    assert model.generate(rows[:1], 8) == [" Nobody"]
    assert all(torch.equal(value, weights[name]) for name, value in model.module.state_dict().items() if name in weights)
    with pytest.raises(ModelError, match="quantised weights take in no adapter"):
        next(iter(pairs(model).values())).fold()


def test_quantised_weights_alone_cannot_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="quantised weights cannot learn .dtype='4bit', lora=None"):
        load_model("tiny", lora=None, dtype="4bit")
    monkeypatch.setattr("everlearn.models.load.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="bitsandbytes is not installed.*dtype='8bit'.*everlearn.quantised."):
        load_model("tiny", dtype="8bit")
