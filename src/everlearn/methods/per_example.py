"""Gradients of single examples, many at a time, and sums over them: what Fisher informations and sensitivities are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from everlearn.methods.at_once import Groups, batches, most_tokens, most_values
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Row

# What is differentiated: of a batch and its logits (N, V) the values (N,), to be summed over each row.
Value = Callable[[Batch, Tensor], Tensor]
# What is added up: to a total, in place, of gradients (b, *shape), the rows' weights (b,) and the group each is of (b,); nothing where all are 0.
Add = Callable[[Tensor, Tensor, Tensor, Tensor], object]
# The gradients (end - start, *shape) of the rows from start to end; of a matrix only the lines of a slice.
Make = Callable[[int, int, slice], Tensor]
ALL = slice(None)
BATCH = 16  # rows whose mean gradient others take for a row's
# Modules of which it was found that rows' gradients can be made together, and what they were then.
TREATABLE: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a module that owns trained parameters: what it read, what it gave, and the gradient there."""

    module: nn.Module
    read: Tensor
    gave: Tensor


def summed(model: TrainedModel, groups: Groups, value: Value, add: Add) -> dict[str, Tensor]:
    """What `add` makes of groups of rows, by parameter; it sees whole groups, a gradient for each row.

    Linear, embedding and norm layers give the gradients of all rows of a batch from one backward pass: the product of what a layer read and the
    gradient of what it gave, row by row. Whether that holds for this model is tried once, on two rows; if not, each row has a backward pass of its own.
    """
    total = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in model.trained().items()}
    parts = batches(groups, most_tokens(model))
    with as_found(model.module):
        together = treatable(model, [row for group in parts[0] for row in group][:2])
        for part in parts:
            (_add_together if together else _add_alone)(model, part, value, add, total)
    return {name: total[name].to(weight.dtype) for name, weight in model.trained().items()}


def mean_gradients(model: TrainedModel, rows: Sequence[Row], value: Value) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Of every BATCH rows in turn: how many they are, and the gradient of their mean summed values, by parameter; no gradient of single rows."""
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        with as_found(model.module):
            batch = model.batch(part)
            found = model.gradient(value(batch, model.logits(batch).logits).sum() / len(part))
        yield len(part), found


def treatable(model: TrainedModel, rows: Sequence[Row]) -> bool:
    """Do the gradients made together equal those of a backward pass alone? What was found so is not tried again until the module changes."""
    if len(rows) < 2 or model.shared_out:
        return False
    parts = [(type(part), id(vars(part).get("forward")), len(part._forward_pre_hooks), len(part._forward_hooks)) for part in model.module.modules()]
    made_of = parts, [(name, weight.dtype) for name, weight in model.trained().items()]
    if TREATABLE.get(model.module) == made_of:
        return True
    if found := same_as_alone(model, rows):
        TREATABLE[model.module] = made_of
    return found


def same_as_alone(model: TrainedModel, rows: Sequence[Row]) -> bool:
    """Are they, for the first row and the last, to half the digits?"""
    made = gradients_together(model, rows, log_likelihood)
    if made is None:
        return False
    for place in (0, len(rows) - 1):
        for name, alone in gradient_alone(model, rows[place], log_likelihood).items():
            here = sum_of(made[name], place, place + 1)[0] if name in made else torch.zeros_like(alone)
            if float((here - alone).abs().max()) > float(alone.abs().max()) * torch.finfo(alone.dtype).eps ** 0.5:
                return False
    return True


def log_likelihood(batch: Batch, logits: Tensor) -> Tensor:
    """log p of each learned token, (N,)."""
    return -functional.cross_entropy(logits.float(), batch.targets, reduction="none")


def gradient_alone(model: TrainedModel, row: Row, value: Value) -> dict[str, Tensor]:
    """The gradient of one row's summed values, by a backward pass of its own."""
    batch = model.batch([row])
    return model.gradient(value(batch, model.logits(batch).logits).sum())


def gradients_together(model: TrainedModel, rows: Sequence[Row], value: Value) -> dict[str, list[Make]] | None:
    """For each parameter what makes the rows' gradients, one maker for each use of it; None if some module cannot be treated."""
    batch, calls = model.batch(rows), list[Call]()
    names = {id(weight): name for name, weight in model.trained().items()}
    with _recorded(model.module, len(rows), calls):
        total = value(batch, model.logits(batch).logits).sum()
    gradients = torch.autograd.grad(total, [call.gave for call in calls], allow_unused=True)
    made: dict[str, list[Make]] = {}
    for call, gradient in zip(calls, gradients, strict=True):
        if gradient is None:
            continue
        makers = _makers(call, gradient, batch)
        if makers is None:
            return None
        for key, make in makers.items():
            weight = call.module.get_parameter(key)
            if weight.requires_grad:
                made.setdefault(names[id(weight)], []).append(make)
    return made


def sum_of(makers: Sequence[Make], start: int, end: int, lines: slice = ALL) -> Tensor:
    """The gradients of the rows from start to end, (end - start, *shape), over all uses of the parameter; of a matrix those of some lines."""
    dense = [make for make in makers if not isinstance(make, _Embedded)]
    embedded = [make for make in makers if isinstance(make, _Embedded)]
    total = (dense or embedded)[0](start, end, lines)
    for make in dense[1:]:
        total = total + make(start, end, lines)
    for make in embedded if dense else embedded[1:]:
        make.add_to(total, start, end, lines)
    return total


def _add_alone(model: TrainedModel, groups: Groups, value: Value, add: Add, total: dict[str, Tensor]) -> None:
    for group in groups:
        each = [gradient_alone(model, row, value) for row in group]
        weights = torch.tensor([row.weight for row in group], device=model.device)
        for name, kept in total.items():
            add(kept, torch.stack([gradient[name] for gradient in each]), weights, torch.zeros(len(group), dtype=torch.long, device=model.device))


def _add_together(model: TrainedModel, groups: Groups, value: Value, add: Add, total: dict[str, Tensor]) -> None:
    rows = [row for group in groups for row in group]
    made = gradients_together(model, rows, value)
    if made is None:  # what these rows pass through is laid out otherwise than what was tried
        _add_alone(model, groups, value, add, total)
        return
    weights = torch.tensor([row.weight for row in rows], device=model.device)
    owner = torch.tensor([number for number, group in enumerate(groups) for _ in group], device=model.device)
    for name, makers in made.items():
        for start, end in _runs([len(group) for group in groups], most_values(model.device) // total[name].numel()):
            if len(makers) == 1 and isinstance(makers[0], _Embedded):
                used, gradients = makers[0].used(start, end)
                found = torch.zeros(gradients.shape[1:], device=gradients.device)
                add(found, gradients, weights[start:end], owner[start:end] - owner[start])
                total[name].index_add_(0, used, found)
            else:
                for lines in _slices(total[name], end - start):
                    add(total[name][lines], sum_of(makers, start, end, lines), weights[start:end], owner[start:end] - owner[start])


def _runs(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """(start, end) of runs of whole groups that hold at most `most` rows, or are one group."""
    start = end = 0
    for size in sizes:
        if end > start and end + size - start > most:
            yield start, end
            start = end
        end += size
    yield start, end


def _slices(kept: Tensor, rows: int) -> list[slice]:
    """Of a matrix its lines, as many at a time as are held at once for that many rows; of a vector all."""
    if kept.dim() < 2:
        return [ALL]
    size = max(1, most_values(kept.device) // (rows * kept[0].numel()))
    return [slice(start, min(start + size, len(kept))) for start in range(0, len(kept), size)]


@contextmanager
def _recorded(module: nn.Module, rows: int, calls: list[Call]) -> Iterator[None]:
    """Inside, every use of a module with trained parameters of its own is noted."""

    def note(part: nn.Module, read: tuple[Tensor, ...], gave: Tensor) -> Tensor | None:
        spread = gave.expand(rows, *gave.shape[1:]) if type(part) is nn.Embedding and len(gave) == 1 < rows else gave  # positions, shared by all rows
        if read:
            calls.append(Call(part, read[0].detach().expand(rows, *read[0].shape[1:]) if spread is not gave else read[0].detach(), spread))
        return None if spread is gave else spread

    owners = [part for part in module.modules() if any(weight.requires_grad for weight in part.parameters(recurse=False))]
    handles = [part.register_forward_hook(note) for part in owners]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _makers(call: Call, gradient: Tensor, batch: Batch) -> dict[str, Make] | None:
    """What makes each own parameter's gradients by row; None for a kind of module, or a layout of rows, that is not known here."""
    module, gave = call.module, _by_row(gradient, batch)
    read = _by_row(call.read[..., None] if type(module) is nn.Embedding else call.read, batch)
    if gave is None or read is None or gave.shape[:2] != read.shape[:2]:
        return None
    made: dict[str, Make] = {"bias": lambda start, end, lines: gave[start:end].sum(1)} if "bias" in dict(module.named_parameters(recurse=False)) else {}
    if type(module) is nn.Linear:
        return made | {"weight": lambda start, end, lines: gave[start:end, :, lines].transpose(1, 2) @ read[start:end]}
    if type(module) is Conv1D:
        return made | {"weight": lambda start, end, lines: read[start:end, :, lines].transpose(1, 2) @ gave[start:end]}
    if type(module) is nn.Embedding and not (module.scale_grad_by_freq or module.max_norm is not None):
        return {"weight": _Embedded(read[..., 0], gave, module.num_embeddings, module.padding_idx)}
    own = dict(module.named_parameters(recurse=False))
    if call.gave.shape == call.read.shape and call.read.numel() == read.numel() and all(weight.shape == call.gave.shape[-1:] for weight in own.values()):
        return {name: _scaled(gave * factor.reshape(gave.shape)) for name, factor in _factors(module, own, call.read).items()}
    return None


def _by_row(states: Tensor, batch: Batch) -> Tensor | None:
    """States (B, ..., D) as (B, T, D); those of the N learned tokens (1, N, D) by row too, padded with 0; None for any other layout."""
    count = len(batch.rows)
    if len(states) == count:
        return states.reshape(count, -1, states.shape[-1])
    if states.dim() != 3 or states.shape[:2] != (1, len(batch.targets)):
        return None
    counts = torch.bincount(batch.row, minlength=count)
    place = torch.arange(len(batch.row), device=states.device) - (counts.cumsum(0) - counts)[batch.row]
    found = states.new_zeros(count, int(counts.max()), states.shape[-1])
    found[batch.row, place] = states[0]
    return found


def _factors(module: nn.Module, own: dict[str, nn.Parameter], read: Tensor) -> dict[str, Tensor]:
    """Of a module that is affine in its own vectors, such as a norm: what each vector is multiplied with, the shape of `read`."""
    with torch.no_grad():
        none = {name: torch.zeros_like(weight) for name, weight in own.items()}
        without = functional_call(module, none, (read,))
        return {name: functional_call(module, none | {name: torch.ones_like(weight)}, (read,)) - without for name, weight in own.items()}


def _scaled(products: Tensor) -> Make:
    return lambda start, end, lines: products[start:end].sum(1)


class _Embedded:
    """An embedding's gradients: those of the states (B, T, D), added where the tokens (B, T) say."""

    def __init__(self, tokens: Tensor, gradients: Tensor, size: int, unused: int | None) -> None:
        self.tokens, self.size = tokens, size
        self.gradients = gradients if unused is None else gradients.masked_fill((tokens == unused)[..., None], 0)

    def __call__(self, start: int, end: int, lines: slice) -> Tensor:
        count = len(range(*lines.indices(self.size)))
        return self.add_to(self.gradients.new_zeros(end - start, count, self.gradients.shape[-1]), start, end, lines)

    def add_to(self, total: Tensor, start: int, end: int, lines: slice) -> Tensor:
        """Add the gradients of the rows from start to end to theirs (end - start, lines, D), in place."""
        first, last, _ = lines.indices(self.size)
        rows, places = ((self.tokens[start:end] >= first) & (self.tokens[start:end] < last)).nonzero(as_tuple=True)
        place = self.tokens[start:end][rows, places] - first + (last - first) * rows
        total.view(-1, total.shape[-1]).index_add_(0, place, self.gradients[start:end][rows, places])
        return total

    def used(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """The tokens that occur, (U,), and the gradients at those alone, (end - start, U, D)."""
        used, tokens = torch.unique(self.tokens[start:end], return_inverse=True)
        given = self.gradients[start:end]
        found = given.new_zeros(end - start, len(used), given.shape[-1])
        place = tokens + len(used) * torch.arange(end - start, device=tokens.device)[:, None]
        found.view(-1, given.shape[-1]).index_add_(0, place.flatten(), given.reshape(-1, given.shape[-1]))
        return used, found
