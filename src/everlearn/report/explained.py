"""What each method does, in a sentence, and its settings in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from everlearn.report.saved import RunRecord
from everlearn.report.sections import Method, parts_of
from everlearn.report.words import counted, size

METHODS = {
    "agem": "where a step would harm remembered rows, the harmful part of it is taken out",
    "autoregressive": "each experience's learning rate is where one long fall over the whole stream would stand",
    "average": "what is kept is a running average of the weights",
    "codebook": "each wrong answer is put right by a code at one layer, which holds for its prompt and no other; no weight moves",
    "consolidate": "what arrives is written into a dated store and read; the weights are taught what held there and is of a kind that rarely changes",
    "der": "remembered rows are learned with what the model said when it first learned them",
    "distill": "the model is held to what it said before the experience, token by token",
    "ewc": "weights that mattered to past experiences are pulled back to where those left them",
    "dpo": "of two answers the chosen one is made likelier than the rejected one",
    "expand": "new blocks are put between the old ones, and only these learn",
    "finch": "the learning rate is lowered where the loss is high",
    "fisher_mask": "only a share of the weights learns, chosen by how much they matter; the others stay as they were",
    "frozen": "the untouched model, which learns nothing",
    "generative_replay": "the old model writes its own questions and answers, which are learned beside the new rows",
    "grpo": "the model draws answers, and those that earn more reward than the others become likelier",
    "inf_lora": "small adapters learn only in directions that earlier experiences did not use",
    "joint": "trained once on everything at the same time, with all data kept",
    "keep_current": "the default recipe: old rows are learned again, and on these the model is held to what it said before",
    "kl_budget": "the model is not let farther from where it started than its owner allows",
    "knn_lm": "every learned token is kept with the state before it, and looked up while answering; no weight moves",
    "l2": "all weights are pulled towards 0",
    "l2_sp": "all weights are pulled towards where the last experience left them",
    "la_maml": "each group of weights learns its own step size, from whether its steps agree with remembered rows",
    "magnitude_mask": "a fixed share of the weights learns, chosen once by their size or at random",
    "mas": "weights that move the model's answers most are pulled back to where they were",
    "merge": "after each experience the new weights are merged with the old ones",
    "migu": "in each layer only the parts that respond most to the new rows learn",
    "mir": "of the remembered rows, those are learned again that the next step would harm most",
    "mofo": "at each step only the weights that were moving fastest are moved",
    "movement": "weights that earlier experiences moved most are held where they are",
    "o_lora": "each experience has a small adapter of its own, at right angles to the earlier ones",
    "on_policy_replay": "the newest model's own good answers to remembered questions are learned again",
    "packnet": "each experience has weights of its own, which are then frozen",
    "plain": "learns the new rows, with nothing against forgetting",
    "recover": "after each experience the model from before it corrects what the new one says in general",
    "rejection": "the model learns those of its own answers that are right",
    "replay": "remembered rows of earlier experiences are learned again, mixed with the new ones",
    "reptile": "every few steps the weights go back part of the way they came",
    "retrieval": "what arrives is written into a dated store and read before the model answers; no weight moves",
    "rewarm": "the learning rate rises again for each experience, then falls",
    "routed_adapters": "each domain has a small adapter of its own, and a router finds the one for a prompt",
    "rsqrt": "the learning rate falls over all steps of the stream, and cools down at the end of each experience",
    "self_distill": "the model that is shown the answer teaches the model that is not",
    "settings": "the learning settings are its own",
    "si": "weights that lowered the loss most on their way are pulled back to where they were",
    "slao": "one small adapter is kept, into which each experience's is merged",
    "sparse_memory": "a memory beside the layers learns, and of it only the places that the new rows read more than the old; no other weight moves",
    "subspace": "the weights change only outside the directions that carry most of what they do",
    "wsd": "the learning rate warms up, stays, and cools down at the end of each experience",
}
LEARNING = {"rate": "learning rate", "passes": "passes over the rows", "batch": "rows a step", "micro_tokens": "tokens at once"}


def explained(method: Method) -> str:
    """A sentence on what the method does, of each part where several are joined; "" for a method of the user's own."""
    return "; ".join(METHODS[part] for part in dict.fromkeys(parts_of(method.label)) if part in METHODS)


def settings_of(method: Method) -> list[tuple[str, str]]:
    """The settings of a method's runs: ("method", "replay(share=1)"), ("learning", "learning rate 0.0003, ..."), then the others, flat."""
    first = method.runs[0]
    rest = {name: value for name, value in first.settings.items() if name not in ("methods", "learning")}
    learning = first.settings.get("learning")
    found = [("method", _called(first.settings.get("methods")) or first.method)]
    if isinstance(learning, dict):
        found.append(("learning", ", ".join(f"{LEARNING.get(name, name.replace('_', ' '))} {text}" for name, text in _flat(learning))))
    found += [(name.replace("_", " "), text) for name, text in _flat(rest)]
    found.append(("seeds", ", ".join(str(seed) for seed in sorted({run.seed for run in method.runs}))))
    found += [("version", first.version)] if first.version else []
    found += [("computed on", "; ".join(computed))] if (computed := computed_on(method.runs)) else []
    prints = [run.fingerprint[:12] for run in method.runs if run.fingerprint]
    return [*found, ("fingerprints", ", ".join(prints))] if prints else found


def computed_on(runs: Sequence[RunRecord]) -> list[str]:
    """The hardware and libraries of runs that say theirs, each once: "AMD EPYC, 2 threads, 25.3 GB of memory, torch 2.9.0, transformers 5.1.0"."""
    return list(dict.fromkeys(said for run in runs if (said := ", ".join(_machine(run.hardware)))))


def _machine(told: Mapping[str, JsonValue]) -> Iterator[str]:
    for name, value in told.items():
        if name == "memory_bytes" and isinstance(value, int | float):
            yield f"{size(value)} of memory"
        elif name == "threads" and isinstance(value, int):
            yield counted(value, "thread")
        else:
            yield _text(value) if name == "device" else f"{name.replace('_', ' ')} {_text(value)}"


def _called(methods: JsonValue) -> str:
    """As one would write it: [["replay", {"share": 1.0}]] is replay(share=1)."""
    said = []
    for entry in methods if isinstance(methods, list) else []:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict)):
            return json.dumps(methods, ensure_ascii=False)
        settings = ", ".join(f"{name}={_text(value)}" for name, value in entry[1].items())
        said.append(f"{entry[0]}({settings})" if settings else str(entry[0]))
    return " + ".join(said)


def _flat(settings: Mapping[str, JsonValue], before: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            found += _flat(value, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", _text(value)))
    return found


def _text(value: JsonValue) -> str:
    """A value as one says it.

    >>> _text(1.0), _text(None), _text(True), _text([1, "a"]), _text("auto"), _text(0.0003)
    ('1', 'none', 'yes', '[1, "a"]', 'auto', '0.0003')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
