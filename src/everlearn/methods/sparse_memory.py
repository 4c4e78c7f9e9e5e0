"""Sparse memory: product-key memories are put beside feed-forwards, and of them only the slots that the new data reads more than the old learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from random import Random

import torch
from torch import Tensor, nn

from everlearn.errors import DataError, ModelError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.ewc import sampled
from everlearn.methods.masks import mask_gradients
from everlearn.methods.tensors import tensors_of
from everlearn.models.batch import by_length
from everlearn.models.product_keys import ProductKeys, Reader, add_memories
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Example, Row

OWN, LENGTH = 256, 48  # texts that the model writes where no past was shown, and their tokens at most
FITTED = 8192  # positions at most that a reader is fitted on
MOST_TOKENS = 4096  # padded tokens of one forward pass: on two cores, more were no faster


class SparseMemory(Method):
    """All weights are frozen; beside the feed-forwards of `blocks` blocks lie memories of `slots` values, of which in each experience `top` learn.

    A slot's score is c / sum c * log((N + 1) / (1 + n)): c is how much the new rows read it, n how many of N background rows read it (TF-IDF). The
    background is what `remember` shows (a stream's base) and every experience once it is learned; where there was no past, texts that the model
    writes. All other slots stay bit for bit. Sparse memory fine-tuning, Lin et al. 2025, arXiv:2510.15103; product keys, Lample et al. 2019,
    arXiv:1907.05242. Differs: put into a finished model, with nothing pre-trained: values start at 0, keys are fitted to the background once. Reads
    count at the positions whose next token is learned, by their shares. The slots are chosen once an experience. AdamW, not SGD: neither keeps more here.

    slots: of one memory, >= 0, rounded down to a square; 0 puts none in and is exactly plain training.   top: of them learn in an experience, >= 1.
    blocks: that get a memory, evenly from the first to the last, >= 1.   heads, reads: queries a token, and slots that each reads, >= 1.
    factor: of the values' rate over the loop's, in units of what the feed-forward gives, > 0.   rows: of a past counted, >= 1.   seed: of the keys.

    >>> from everlearn import Gradient, SparseMemory
    >>> learner = Gradient([SparseMemory(slots=4096, top=512)])
    """

    neutral = {"slots": 0}
    active = {"slots": 64, "top": 16, "rows": 16}
    stage = "mask"
    wants_before = True
    family = "memory networks"
    paper = "Lin et al. 2025, arXiv:2510.15103"
    stores = "the memories; a number a slot, how many rows have read it"
    cost = "the lookup at learning and answering; no gradient of other weights is kept; twice an experience its rows are read"

    def __init__(
        self,
        slots: int = 16384,
        top: int = 1024,
        blocks: int = 1,
        heads: int = 4,
        reads: int = 8,
        factor: float = 1500.0,
        rows: int = 1024,
        seed: int = 0,
    ) -> None:
        at_least("sparse_memory slots", slots, 0)
        for name, value in (("top", top), ("blocks", blocks), ("heads", heads), ("reads", reads), ("rows", rows)):
            at_least(f"sparse_memory {name}", value, 1)
        at_least("sparse_memory factor", factor, 1e-9)
        self.slots, self.top, self.blocks, self.heads, self.reads = slots, top, blocks, heads, reads
        self.factor, self.rows, self.seed = factor, rows, seed
        self.documents = 0
        self.read: dict[str, Tensor] = {}  # by the values' name, (slots,): how many background rows read each
        self.learns: dict[str, Tensor] = {}  # by the values' name, (slots, 1)
        self._readers: dict[str, Reader] = {}  # fitted to a past before the first experience, and not yet in the model
        self._parts: dict[str, nn.Module] = {}  # the feed-forwards, by the name of their memory's values

    def prepare(self, model: TrainedModel) -> None:
        self.documents, self.read, self.learns, self._readers, self._parts = 0, {}, {}, {}, {}
        if not self.slots:
            return
        for weight in model.module.parameters():
            weight.requires_grad_(False)
        for part, memory in add_memories(model, self.slots, self.blocks, self.heads, self.reads):
            self._parts[next(name for name, weight in model.trained().items() if weight is memory.values)] = part
        _short_pass(model)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.learns = {}
        if not self.slots:
            return
        if not self.documents:
            self._take(model, self._written(model))
        for name, reader in self._readers.items():
            self._memory(name).take(reader)
        self._readers = {}
        uses, _ = self._counted(model, list({row.id: row for row in rows if not row.from_memory}.values()))
        for name, used in uses.items():
            score = used / used.sum() * torch.log((self.documents + 1) / (1 + self.read[name]))
            best = score.topk(min(self.top, len(score)))
            chosen = torch.zeros(len(score), dtype=torch.bool, device=score.device)
            self.learns[name] = chosen.index_fill(0, best.indices[best.values > 0], True)[:, None]

    def gradients(self, model: TrainedModel, step: Step) -> None:
        mask_gradients(model, self.learns)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        """The chosen slots go `factor` times as far as the optimizer took them; the others stay where they were."""
        trained, before = model.trained(), step.before or {}
        for name, learns in self.learns.items():
            here, old = trained[name].detach(), before[name]
            at = learns[:, 0].nonzero()[:, 0]
            moved = torch.lerp(old[at], here[at], self.factor)
            here.copy_(old)
            here[at] = moved

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.slots and step.rows:
            self._take(model, sampled(step.rows, self.rows, random))

    def state(self) -> State:
        readers = {part: {name: getattr(reader, part) for name, reader in self._readers.items()} for part in Reader.__slots__}
        return {"documents": self.documents, "read": dict(self.read), "learns": dict(self.learns), "readers": readers if self._readers else {}}

    def load(self, state: State) -> None:
        documents, readers = state.get("documents"), state.get("readers")
        if not isinstance(documents, int) or not isinstance(readers, dict):
            raise StateError(f"the saved state is no sparse_memory's (keys={sorted(state)[:5]!r}). Load the state of the same method.")
        self.documents, self.read, self.learns = documents, tensors_of(state, "read"), tensors_of(state, "learns")
        parts = {part: tensors_of(readers, part) for part in Reader.__slots__} if readers else {}
        self._readers = {name: Reader(**{part: parts[part][name] for part in Reader.__slots__}) for name in parts.get("keys", {})}

    def _memory(self, name: str) -> ProductKeys:
        return self._parts[name].get_submodule("memory")  # type: ignore[return-value]

    def _reader(self, name: str) -> Reader:
        return self._readers.get(name) or self._memory(name).reader

    def _take(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """Count the rows as background; fit what has no reader yet. The weights stay: what is fitted goes into the model when an experience begins."""
        self._fit(model, rows)
        _, found = self._counted(model, rows)
        self.read = {name: self.read.get(name, torch.zeros_like(count)) + count for name, count in found.items()}
        self.documents += len(rows)

    def _fit(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        new = [name for name in self._parts if name not in self._readers and not self._memory(name).fitted]
        if not new:
            return
        seen = [at for _, at in self._seen(model, rows)]
        for name in new:
            read, gave = (torch.cat([at[name][side] for at in seen]) for side in (0, 1))
            some = torch.randperm(len(read), generator=torch.Generator().manual_seed(self.seed))[:FITTED].to(read.device)
            self._readers[name] = Reader.fitted(read[some], gave[some], self._memory(name).keys.shape[2], self.heads, self.seed)

    def _counted(self, model: TrainedModel, rows: Sequence[Row]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """By the values' name: how much the rows read each slot, and how many rows do."""
        shape = {name: self._memory(name).values.shape[0] for name in self._parts}
        uses, counts = ({name: torch.zeros(size, device=model.device) for name, size in shape.items()} for _ in range(2))
        for batch, seen in self._seen(model, rows):
            for name, (read, _) in seen.items():
                slots, shares = self._reader(name).look(read, self._memory(name).reads)
                uses[name].index_add_(0, slots.flatten(), shares.flatten())
                pairs = (batch.row[:, None] * shape[name] + slots).unique()  # type: ignore[no-untyped-call]
                counts[name] += torch.bincount(pairs % shape[name], minlength=shape[name])
        return uses, counts

    def _seen(self, model: TrainedModel, rows: Sequence[Row]) -> Iterator[tuple[Batch, dict[str, tuple[Tensor, Tensor]]]]:
        """Batches of the rows, and of each feed-forward what it read and gave, (N, D), where the next token is learned."""
        seen: dict[str, tuple[Tensor, Tensor]] = {}

        def noted(part: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            seen[names[part]] = given[0].flatten(0, -2), out.flatten(0, -2)

        names = {part: name for name, part in self._parts.items()}
        with ExitStack() as hooks:
            for part in names:
                hooks.callback(part.register_forward_hook(noted).remove)
            for some in by_length(rows, MOST_TOKENS):
                batch = model.batch(some)
                with as_found(model.module), torch.no_grad():
                    model.logits(batch)
                yield batch, {name: (read[batch.at], gave[batch.at]) for name, (read, gave) in seen.items()}

    def _written(self, model: TrainedModel) -> list[Row]:
        """What the model writes from nothing stands for the past that nobody showed."""
        empty = [Example(prompt="", completion="")] * OWN
        said = model.sample(empty, LENGTH, Sampling(), Random(f"{self.seed}/own"), lines=True)
        rows = [row for row in model.encoder.rows([Example(text=text) for text in dict.fromkeys(said) if text.strip()]) if row.learned]
        if not rows:
            raise DataError(f"the model writes nothing that could stand for its past (model={model.name!r}). Show it what it was taught: a stream's base.")
        return rows


def _short_pass(model: TrainedModel) -> None:
    """Raise ModelError for a model in which a memory cannot stand."""
    tokens = torch.arange(8, device=model.device)[None] % int(model.module.config.get_text_config(decoder=True).vocab_size)
    try:
        with as_found(model.module), torch.no_grad():
            model.module(input_ids=tokens, use_cache=False)
    except (RuntimeError, TypeError) as problem:
        kind = type(model.module).__name__
        raise ModelError(f"a memory does not fit beside this model's feed-forwards (architecture={kind!r}): {problem}. Give another model.") from problem
