"""What stands around or beside a version's weights when it answers, made from its recipe and its learner's state alone.

Each function is the answering half of a learner of the same name, with the same settings and defaults; tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from everlearn.memory.codebook import CodebookModel
from everlearn.memory.codes import Codes
from everlearn.memory.embedding import embedder_of
from everlearn.memory.knn_lm import NeighbourModel
from everlearn.memory.neighbours import Neighbours
from everlearn.memory.retrieval import RetrievalModel
from everlearn.memory.store import DatedStore
from everlearn.models.adapters import FIRST, Lora, adapted, add_adapter, pairs
from everlearn.models.arrow import directions, scores
from everlearn.models.feed_forward import last_projections, place_of
from everlearn.models.product_keys import add_memories
from everlearn.models.routed import RoutedModel
from everlearn.models.router import BASE, Router
from everlearn.models.state import on_device
from everlearn.models.weights import TrainedModel
from everlearn.models.wording import Prompt

Saved = Mapping[str, Any]


def retrieval(
    model: TrainedModel,
    beneath: TrainedModel,
    saved: Saved,
    k: int = 1,
    least: float = 0.96,
    same: float = 0.02,
    names: bool = True,
    as_of: str = "",
    template: str = "Context: {passages} ",
    embedder: str = "model",
    store: str = "",
) -> RetrievalModel:
    """The model with its store as it was, in memory, so that what is forgotten lies in no file of the server's; a store with an address is another's."""
    maker = embedder_of(embedder, beneath)
    found = RetrievalModel(model, DatedStore("memory://", maker), maker, k, least, same, names, as_of, template)
    found.store.replace(saved["passages"], saved["vectors"].cpu().numpy())
    return found


def knn_lm(
    model: TrainedModel, beneath: TrainedModel, saved: Saved, k: int = 8, share: float = 0.9, temperature: float = 0.3, most: int = 200_000
) -> NeighbourModel:
    """The model with what it read."""
    neighbours = Neighbours(most)
    neighbours.load(on_device(saved["neighbours"], model.device))
    return NeighbourModel(model, neighbours, k, share, temperature)


def codebook(
    model: TrainedModel, beneath: TrainedModel, saved: Saved, layer: int = -3, radius: float = 0.2, steps: int = 100, rate: float = 1.0, tokens: int = 16
) -> CodebookModel:
    """The model with its edits."""
    codes, projections = Codes(radius), last_projections(model)
    codes.load(on_device(saved["codes"], model.device))
    return CodebookModel(model, projections[place_of("codebook layer", layer, len(projections))], codes)


def routed_adapters(
    model: TrainedModel,
    beneath: TrainedModel,
    saved: Saved,
    rank: int = 16,
    router: str = "prototype",
    novelty: float = 0.6,
    unknown: float = 4.0,
    cap: int = 16,
    features: int = 2048,
    base: bool = False,
) -> RoutedModel:
    """The model with every domain's adapter, and the router that names a prompt's domain."""
    adapted(model, Lora(rank))
    rank = next(iter(pairs(model, FIRST).values())).a.shape[0]
    naming, domains = Router(model, features, unknown), list(saved["domains"])
    naming.load(saved["router"])
    for name in domains:
        add_adapter(model, name, Lora(rank))
        with torch.no_grad():
            for place, pair in pairs(model, name).items():
                pair.a.copy_(saved["domains"][name]["adapter"][f"{place}.a"])
                pair.b.copy_(saved["domains"][name]["adapter"][f"{place}.b"])
    excited = directions(model, domains) if router == "arrow" and domains else None

    def choose(prompts: Sequence[Prompt]) -> list[str]:
        known = naming.choose(prompts)
        if excited is None:
            return known
        best = scores(model, prompts, excited).argmax(1).tolist()
        return [BASE if name == BASE else domains[at] for name, at in zip(known, best, strict=True)]

    return RoutedModel(model, choose)


def consolidate(
    model: TrainedModel | RetrievalModel, beneath: TrainedModel, saved: Saved, after: int = 2, change: float = 0.015, most: int | None = None
) -> RetrievalModel:
    """The model with the store that its weights are taught from; where the recipe names none, the one with defaults."""
    return model if isinstance(model, RetrievalModel) else retrieval(model, beneath, saved["inner"])


def sparse_memory(
    model: TrainedModel,
    slots: int = 16384,
    top: int = 1024,
    blocks: int = 1,
    heads: int = 4,
    reads: int = 8,
    factor: float = 1500.0,
    rows: int = 1024,
    seed: int = 0,
) -> None:
    """Put the memories in; their values come with the version's weights."""
    if slots:
        for weight in model.module.parameters():
            weight.requires_grad_(False)
        add_memories(model, slots, blocks, heads, reads)


WRAPPERS: Mapping[str, Callable[..., TrainedModel | RetrievalModel]] = {
    "codebook": codebook,
    "consolidate": consolidate,
    "knn_lm": knn_lm,
    "retrieval": retrieval,
    "routed_adapters": routed_adapters,
}
SHAPES: Mapping[str, Callable[..., None]] = {"sparse_memory": sparse_memory}  # by the method's name, what it puts into a model before its weights
AROUND = {*WRAPPERS, "recover"}  # learners around the loop: each keeps the state of the one inside it
BENEATH = {"expand", "inf_lora", "o_lora"}  # change what lies beneath the weights that a version keeps
