"""Models from a path or a hub id, whole or with LoRA adapters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Literal, cast, get_args

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.utils import logging

from everlearn.errors import MissingExtra, ModelError, SettingError
from everlearn.models.adapters import Lora, with_lora
from everlearn.models.language import CausalModel
from everlearn.models.seq2seq import Seq2SeqModel
from everlearn.models.weights import TrainedModel

Dtype = Literal["float32", "bfloat16", "auto", "4bit", "8bit"]
LARGE = 500_000_000  # parameters from which on AdamW on all weights is too much for most machines
WANTED = "Give 'tiny', a folder with config.json, tokenizer and *.safetensors, or a hub id such as 'org/name'."
TINY = Path(__file__).parent / "tiny"
# transformers sets methods of every model class aside while it loads one: of two at once, the later leaves the wrong ones behind for good.
ONE_AT_A_TIME = Lock()


def parse_lora(text: str) -> Lora | Literal["auto"] | None:
    """'auto', 'off' or a rank, as the command line takes it.

    >>> parse_lora("8"), parse_lora("off")
    (Lora(rank=8, dropout=0.0, seed=0), None)
    """
    if text in ("auto", "off"):
        return "auto" if text == "auto" else None
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"lora must be 'auto', 'off' or a rank of at least 1, got {text!r}.")
    return Lora(int(text))


def parse_dtype(text: str) -> Dtype:
    """The type of weights in memory, as the command line takes it.

    >>> parse_dtype("auto")
    'auto'
    """
    if text not in get_args(Dtype):
        raise SettingError(f"dtype must be one of {', '.join(get_args(Dtype))}, got {text!r}.")
    return cast(Dtype, text)


def load_model(
    name: str | Path = "tiny",
    lora: Lora | Literal["auto"] | None = "auto",
    dtype: Dtype = "float32",
    device: str | None = None,
) -> TrainedModel:
    """The language model `name`, decoder-only or encoder-decoder: "tiny" (ships with everlearn), a local folder, or a hub id.

    Only safetensors are read and no code of the repository runs. lora: the adapters to train, None for all weights; "auto" trains adapters
    of rank 16 from half a billion parameters on. dtype: of the weights in memory; "auto" is the file's own; "4bit" (NF4, as QLoRA, Dettmers et al.
    2023, arXiv:2305.14314) and "8bit" quantise the frozen weights beneath adapters, with bitsandbytes (extra `quantised`).
    device: by default the accelerator of this machine, else the CPU. Of several threads one reads weights at a time.
    Raises ModelError where there is no such model.
    """
    quantised = _quantised(dtype, lora, device)
    place = TINY if str(name) == "tiny" else Path(name)
    found = str(place) if place.exists() else str(name)
    if not place.exists() and (str(name).startswith((".", "/", "~")) or str(name).count("/") > 1):
        raise ModelError(f"there is no model folder here (model={str(name)!r}). {WANTED}")
    try:
        config = AutoConfig.from_pretrained(found)
        tokenizer = AutoTokenizer.from_pretrained(found)
        family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        if _only_reads(config):
            raise ModelError(f"an encoder-only model cannot answer (model={str(name)!r}, type={config.model_type!r}). Give one with a decoder.")
        kind = dtype if dtype == "auto" else torch.float32 if quantised else getattr(torch, dtype)
        module = _read(family, found, config=config, dtype=kind, **quantised)
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, SafetensorError) as problem:
        why = str(problem).strip().splitlines()[0].rstrip(".")
        raise ModelError(f"the model could not be loaded (model={str(name)!r}): {why}. {WANTED}") from problem
    try:
        if not quantised:
            module.to(torch.device(device or _place()))  # type: ignore[arg-type]
    except (RuntimeError, AssertionError) as problem:
        raise ModelError(f"the model cannot be put on this device (device={device!r}). Give one such as cpu or cuda:0 that this machine has.") from problem
    module.train()
    if lora == "auto" and quantised:
        lora = Lora()
    if lora == "auto":
        lora = Lora() if sum(p.numel() for p in module.parameters()) >= LARGE else None
    module = module if lora is None else with_lora(module, lora)
    return Seq2SeqModel(module, tokenizer, str(name)) if config.is_encoder_decoder else CausalModel(module, tokenizer, str(name))


def _read(family: Any, found: str, **how: Any) -> PreTrainedModel:
    """The module with its weights from a folder or hub id; those that are not there, or of other shapes, would be random numbers: an error."""
    with ONE_AT_A_TIME, quiet_bars():
        module, told = family.from_pretrained(found, **how, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True)
    lacking, other = sorted(told["missing_keys"]), sorted(str(key[0]) for key in told["mismatched_keys"])
    if lacking or other:
        what = f"lack {len(lacking)} of its weights, such as {lacking[0]}" if lacking else f"have weights of another shape ({len(other)}), such as {other[0]}"
        raise ModelError(f"the model's files {what} (model={found!r}). Give the whole model, with a config.json that fits its weights.")
    return cast(PreTrainedModel, module)


def _place() -> str:
    """This machine's accelerator, of several that of this process; else the CPU."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() and "LOCAL_RANK" in os.environ else "cuda" if torch.cuda.is_available() else "cpu"


def _quantised(dtype: Dtype, lora: Lora | Literal["auto"] | None, device: str | None) -> dict[str, Any]:
    """What transformers is to be told so that the weights are quantised as they are loaded; nothing for other types."""
    if dtype not in ("4bit", "8bit"):
        return {}
    if lora is None:
        raise ModelError(f"quantised weights cannot learn (dtype={dtype!r}, lora=None). Give lora a rank, or leave it at 'auto'.")
    if find_spec("bitsandbytes") is None:
        raise MissingExtra(f"bitsandbytes is not installed, and quantised weights need it (dtype={dtype!r}). Run pip install 'everlearn[quantised]'.")
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": torch.float32}
    how = BitsAndBytesConfig(**({"load_in_4bit": True, **four} if dtype == "4bit" else {"load_in_8bit": True}))  # type: ignore[no-untyped-call]
    return {"quantization_config": how, "device_map": {"": device or _place()}}


def _only_reads(config: PreTrainedConfig) -> bool:
    """An encoder with a masked-language-model head, such as BERT: transformers would load it as a decoder that looks ahead."""
    told = config.to_dict()
    decodes = config.is_encoder_decoder or told.get("is_decoder") or told.get("causal")
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not decodes


@contextmanager
def quiet_bars() -> Iterator[None]:
    """No progress bars of transformers inside; afterwards as before."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
