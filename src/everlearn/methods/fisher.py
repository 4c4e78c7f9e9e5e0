"""Diagonal Fisher informations, each named for what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from everlearn.errors import DataError, SettingError
from everlearn.methods.at_once import batches
from everlearn.methods.per_example import BATCH, Value, log_likelihood, mean_gradients, summed
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Example, Row

Kind = Literal["empirical", "sampled", "exact", "batched"]


def fisher(model: TrainedModel, rows: Sequence[Row], kind: Kind, random: Random) -> dict[str, Tensor]:
    """The diagonal of a Fisher information, the mean over rows, by parameter.

    empirical: the squared gradient of the label's log-likelihood, summed over its tokens, of each row by itself.   sampled: the same with every
    learned token drawn from the model, after the true ones before it.   exact: for rows with choices, the expectation over all choices under the
    model's own probabilities, the probability of a choice being that of its text and its end among the choices.   batched: the squared mean
    gradient of 16 rows, which other libraries call Fisher; too small by about that factor, for comparisons with them.

    Raises DataError where "exact" meets a row without prompt and choices.
    """
    if kind == "batched":
        return _batched(model, rows)
    if kind == "exact":
        groups = _weighted(model, _choices(model, rows))
        total = summed(model, groups, log_likelihood, _variance)
    else:
        total = summed(model, [[row] for row in rows], log_likelihood if kind == "empirical" else _drawn(model, random), _squares)
    return {name: value / len(rows) for name, value in total.items()}


def check_kind(name: str, kind: str) -> None:
    """Raise SettingError for no Fisher's name."""
    if kind not in get_args(Kind):
        raise SettingError(f"{name} must be one of {', '.join(get_args(Kind))}, got {kind!r}.")


def _squares(total: Tensor, gradients: Tensor, weights: Tensor, group: Tensor) -> None:
    for gradient in gradients.float():  # one by one: each is read once, where squares of all would be written, and read again
        total.addcmul_(gradient, gradient)


def _variance(total: Tensor, gradients: Tensor, weights: Tensor, group: Tensor) -> None:
    """With weights p that sum to 1 in each group, the sum over groups of sum_c p_c (g_c - sum_k p_k g_k)^2.

    The gradient of the log-probability among the choices, log p_c = s_c - logsumexp(s), is g_c minus the mean gradient.
    """
    chance = weights.view(-1, *(1,) * (gradients.dim() - 1))
    mean = gradients.new_zeros(int(group[-1]) + 1, *gradients.shape[1:]).index_add_(0, group, chance * gradients)
    total += (chance * (gradients - mean[group]).square()).sum(0)


def _drawn(model: TrainedModel, random: Random) -> Value:
    """log p of tokens drawn from the model itself."""
    generator = torch.Generator(model.device).manual_seed(random.getrandbits(63))

    def value(batch: Batch, logits: Tensor) -> Tensor:
        tokens = torch.multinomial(logits.detach().float().softmax(1), 1, generator=generator)[:, 0]
        return -functional.cross_entropy(logits.float(), tokens, reduction="none")

    return value


def _choices(model: TrainedModel, rows: Sequence[Row]) -> list[list[Row]]:
    """For each row, one row a choice."""
    for row in rows:
        if row.example.prompt is None or len(row.example.choices) < 2:
            raise DataError(
                f"the exact Fisher needs rows with a prompt and at least two choices (id={row.id!r}, choices={row.example.choices!r}). "
                "Add choices, or set fisher='sampled'."
            )
    return [model.encoder.rows([Example(prompt=row.example.prompt, completion=choice) for choice in row.example.choices]) for row in rows]


def _weighted(model: TrainedModel, groups: Sequence[Sequence[Row]]) -> list[list[Row]]:
    """The rows, each with the model's probability of it within its group as its weight."""
    found: list[list[Row]] = []
    with as_found(model.module), torch.no_grad():
        for part in batches(groups):
            rows = [row for group in part for row in group]
            batch = model.batch(rows)
            sums = torch.zeros(len(rows), device=model.device).index_add_(0, batch.row, log_likelihood(batch, model.logits(batch).logits))
            for group, nats in zip(part, torch.split(sums, [len(group) for group in part]), strict=True):
                found.append([replace(row, weight=chance) for row, chance in zip(group, nats.softmax(0).tolist(), strict=True)])
    return found


def _batched(model: TrainedModel, rows: Sequence[Row]) -> dict[str, Tensor]:
    total = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in model.trained().items()}
    parts = -(-len(rows) // BATCH)
    for _, gradients in mean_gradients(model, rows, log_likelihood):
        for name, gradient in gradients.items():
            total[name].addcmul_(gradient.float(), gradient.float(), value=1 / parts)
    return {name: total[name].to(weight.dtype) for name, weight in model.trained().items()}
