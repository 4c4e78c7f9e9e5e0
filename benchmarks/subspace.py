"""subspace against PEFT's OSF and against LoRA: time a step, memory, and how much of the change leaks into the protected directions.

    python benchmarks/subspace.py --model models/news2016 --data streams/support [--pairs 5] [--out benchmarks/results/subspace.json]

Same model, rows, batches, layers and protected share (half) for both, through the same loop; LoRA has rank 16. The sides learn the same rows one after
the other in random order; a pair's ratio is the median over its steps of the CPU times of the same step in one thread, shown is the median over pairs.
Decompositions come once an experience and are no step's. Bytes are counted; the peak is that of a process of each side's own, over what it held before
the model was loaded. The leak of one weight's change D is |D - (I - U U^T) D (I - V V^T)| / |D|, after AdamW steps in float64.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time

import peft
import torch
from peft import OSFConfig, get_peft_model
from peft.tuners.osf.layer import OSFLayer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from everlearn import CausalModel, Experience, Gradient, Lora, Settings, Subspace, load_model, load_stream
from everlearn.methods.subspace import Protected, protect
from everlearn.models.adapters import adapted
from everlearn.models.load import quiet_bars
from everlearn.results import write_json

SHARE = 0.5
SIDES = ("subspace", "OSF", "LoRA")


def loaded(which: str, model: str, wide: int, double: bool = False) -> CausalModel:
    """The model, or a random one of this width with its tokenizer; with PEFT's layers where the side has some."""
    found = load_model(model, lora=None)
    if wide:
        torch.manual_seed(0)
        sizes = {"hidden_size": wide, "intermediate_size": wide * 11 // 4, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8}
        found = CausalModel(LlamaForCausalLM(LlamaConfig(vocab_size=found.module.config.vocab_size, **sizes)), found.tokenizer, f"random {wide}")
    if double:
        found.module.double()
    if which == "OSF":
        found.module = get_peft_model(found.module, OSFConfig(effective_rank=SHARE, target_modules="all-linear"))
    if which == "LoRA":
        adapted(found, Lora(16))
    found.module.train()
    return found


def learner(which: str, model: CausalModel, batch: int = 16, passes: int = 1) -> Gradient:
    """The loop with the side's method, prepared."""
    made = Gradient([Subspace(SHARE)] if which == "subspace" else [], Settings(rate=1e-4, passes=passes, batch=batch))
    made.prepare(model)
    return made


def timed(made: Gradient, model: CausalModel, experience: Experience) -> tuple[list[float], float]:
    """CPU seconds of each step but the first, and of all before the second."""
    clock = [process_time()]
    made.learn(model, experience, lambda step, state: clock.append(process_time()))
    return [after - before for before, after in pairwise(clock[1:])], clock[1] - clock[0]


def counted(which: str, model: CausalModel) -> dict[str, int]:
    """Bytes while a step runs: weights with what the layers keep beside them, gradients and AdamW's two moments, and the method's own."""
    size = sum(t.numel() * t.element_size() for t in {id(t): t for t in (*model.module.parameters(), *model.module.buffers())}.values())
    trained = sum(t.numel() * t.element_size() for t in model.trained().values())
    own = 0
    if which == "subspace":
        kept = (protect(weight.detach(), int(SHARE * min(weight.shape))) for weight in model.trained().values())
        own = sum(part.numel() * part.element_size() for of in kept for part in tensors(of))
    return {"weights": size, "gradients": trained, "moments": 2 * trained, "method": own, "all": size + 3 * trained + own}


def tensors(kept: Protected) -> list[Tensor]:
    return [part for part in (kept.u, kept.s, kept.v, kept.left, kept.right) if part is not None]


def leaks(which: str, model: str, experience: Experience, passes: int) -> dict[str, float]:
    """Of all weights the median and the largest leak, and the median size of the change over the weight's."""
    here = loaded(which, model, 0, double=True)
    start = {name: value.detach().clone() for name, value in loaded("plain", model, 0, double=True).module.named_parameters()}
    made = learner(which, here, passes=passes)
    log = made.learn(here, experience)
    if which == "OSF":
        changes = {
            f"{name.removeprefix('base_model.model.')}.weight": layer.get_delta_weight("default").detach()
            for name, layer in here.module.named_modules()
            if isinstance(layer, OSFLayer)
        }
    else:
        changes = {name: weight.detach() - start[name] for name, weight in here.trained().items()}
    found = []
    for name, change in changes.items():
        kept = protect(start[name], int(SHARE * min(start[name].shape)))
        free = change - kept.u @ (kept.u.T @ change)
        found.append(float((change - (free - (free @ kept.v) @ kept.v.T)).norm() / change.norm()))
    size = statistics.median(float(change.norm() / start[name].norm()) for name, change in changes.items())
    return {"median": statistics.median(found), "largest": max(found), "steps": log.steps, "loss": log.loss, "change": size, "weights": len(found)}


def peak_alone(which: str, given: argparse.Namespace, wide: int, batch: int) -> int:
    """Bytes by which a process of its own grew at its highest, over what it held after a small model had learned."""
    wanted = ["--alone", which, "--model", given.model, "--wide", str(wide), "--data", given.data, "--batch", str(batch)]
    return int(subprocess.run([sys.executable, __file__, *wanted], check=True, capture_output=True, text=True).stdout.split()[-1])


def alone(which: str, given: argparse.Namespace, batch: int) -> None:
    """Print how far the process grew while it loaded the model and learned."""
    experience = rows_of(given.data, max(64, 2 * batch))
    learner("plain", tiny := load_model("tiny")).learn(tiny, Experience("warm", experience.train[:16]))  # what libraries load when first used
    before = memory("VmRSS")
    model = loaded(which, given.model, given.wide)
    learner(which, model, batch).learn(model, experience)
    print(memory("VmHWM") - before)


def memory(kind: str) -> int:
    """Bytes of this process, now or at its highest, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


def compared(given: argparse.Namespace, wide: int, batch: int, random: Random) -> dict[str, object]:
    """One model's times and bytes on one stream, with this many rows a step."""
    experience = rows_of(given.data, max(64, 2 * batch))
    models = {which: loaded(which, given.model, wide) for which in SIDES}
    loops = {which: learner(which, model, batch) for which, model in models.items()}
    for which in SIDES:
        timed(loops[which], models[which], Experience("warm", experience.train[:32]))
    steps: dict[str, list[list[float]]] = {which: [] for which in SIDES}
    before = []
    for _ in range(given.pairs):
        for which in random.sample(SIDES, len(SIDES)):
            each, first = timed(loops[which], models[which], experience)
            steps[which].append(each)
            before += [first - statistics.median(each)] if which == "subspace" else []
    ratios = {
        other: [statistics.median(one / two for one, two in zip(*pair, strict=True)) for pair in zip(steps["subspace"], steps[other], strict=True)]
        for other in SIDES[1:]
    }
    table = {
        which: {
            "step_seconds": statistics.median(second for each in steps[which] for second in each),
            "bytes": counted(which, models[which]),
            "peak_bytes": peak_alone(which, given, wide, batch),
        }
        for which in SIDES
    }
    name = Path(models["subspace"].name).name
    for other, found in ratios.items():
        spread = f"{statistics.median(found):.2f} of {other}'s ({min(found):.2f} to {max(found):.2f})"
        print(f"{name}, {Path(given.data).name}, {batch} rows a step: a step of subspace takes {spread}", flush=True)
    model = models["subspace"]
    tokens = batch * statistics.mean(len(row.tokens) for row in model.encoder.rows(experience.train))
    about = {"model": name, "data": Path(given.data).name, "batch": batch, "parameters": sum(weight.numel() for weight in model.module.parameters())}
    return {**about, "tokens_a_step": tokens, "sides": table, "ratios": ratios, "begin_seconds": statistics.median(before)}


def rows_of(data: str, rows: int) -> Experience:
    """The first rows of a stream's first experience."""
    return Experience("1", tuple(load_stream(data).experiences[0].train[:rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32, 64], help="rows a step: the first for the model, the others for the random one")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="a stream's folder; its first experience's rows are learned")
    parser.add_argument("--wide", type=int, default=512, help="of the random model")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/subspace.json"))
    parser.add_argument("--alone", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    with quiet_bars():
        if given.alone:
            alone(given.alone, given, given.batch[0])
            return
        random = Random(0)
        leaked = {which: leaks(which, given.model, rows_of(given.data, 64), 5) for which in ("subspace", "OSF")}
        print(json.dumps(leaked, indent=1), flush=True)
        cases = [(0, given.batch[0]), *((given.wide, batch) for batch in given.batch[1:])]
        machine = {"processor": platform.machine(), "threads": 1, "torch": torch.__version__, "peft": peft.__version__, "python": platform.python_version()}
        models = []
        for case in cases:
            models.append(compared(given, *case, random))
            write_json(given.out, {"machine": machine, "share": SHARE, "pairs": given.pairs, "leak": leaked, "models": models})


if __name__ == "__main__":
    main()
