"""Which domain a prompt belongs to, told from the model's input embeddings by statistics of a fixed size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import torch
from torch import Tensor, nn

from everlearn.errors import StateError
from everlearn.models.weights import TrainedModel
from everlearn.models.wording import BUCKETS, Prompt, counted, likelihoods, log_shares
from everlearn.types import Row

BASE = "__base__"  # PEFT's word for no adapter at all
SHRINK = 0.1  # of the covariance, towards a sphere: best or next to it on cross-validated training prompts of `support`
SMALLEST = 1e-12  # variance, so that equal prompts have one
CHUNK = 2048  # prompts embedded at once


@dataclass(frozen=True, slots=True)
class Moments:
    """How many vectors, their mean (d,) and the scatter around it (d, d), float64."""

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Moments:
        """Of vectors (n, d), n >= 1."""
        mean = vectors.mean(0)
        return cls(len(vectors), mean, (vectors - mean).T @ (vectors - mean))

    def __add__(self, other: Moments) -> Moments:
        """Of both together, as if they had been seen at once."""
        count, apart = self.count + other.count, other.mean - self.mean
        between = torch.outer(apart, apart) * (self.count * other.count / count)
        return Moments(count, self.mean + apart * (other.count / count), self.scatter + other.scatter + between)


class Router:
    """Names the domain of each prompt, or that it is of none.

    A prompt's vector is the mean over its tokens of relu(W e), with e the token's input embedding at length 1 and W a fixed Gaussian matrix (McDonnell
    et al. 2023, arXiv:2307.02251, project so). Kept are each domain's mean and count, and one scatter within domains for all, merged exactly as
    prompts arrive (streaming LDA, Hayes and Kanan 2020, arXiv:1909.01520), and in how many of each domain's prompts each token and pair of neighbours was.
    The likeliest domain is named: a prompt's density under LDA (the least distance in the shrunk covariance's metric) times that of its tokens and pairs
    under naive Bayes. No prompt is stored, and the size grows with domains alone. What is of no domain, or new, is told by distances alone.

    features: length d of the vectors; d * d numbers are kept.   unknown: how many standard deviations farther than held-out prompts of its own
    domain a prompt may lie before it is of none.
    """

    def __init__(self, model: TrainedModel, features: int = 2048, unknown: float = 4.0) -> None:
        self._table = cast(nn.Embedding, model.module.get_input_embeddings()).weight
        width = int(self._table.shape[1])
        self._matrix = torch.randn(width, features, generator=torch.Generator().manual_seed(0))
        self.features, self.unknown = features, unknown
        self.counts: dict[str, int] = {}
        self.means = torch.zeros(0, features)
        self.scatter = torch.zeros(features, features)
        self.grams = torch.zeros(0, BUCKETS)  # NaN for a domain of a state from before they were counted
        self.near: tuple[float, float] | None = None  # mean and standard deviation of held-out prompts' distances to their own domain
        self._metric: Tensor | None = None
        self._said: Tensor | None = None

    @property
    def names(self) -> list[str]:
        return list(self.counts)

    def embed(self, prompts: Sequence[Prompt]) -> Tensor:
        """Vectors (n, d) in float64."""
        ids, place = torch.unique(torch.tensor([t for prompt in prompts for t in prompt], dtype=torch.int64), return_inverse=True)
        known = nn.functional.normalize(self._table.detach()[ids.to(self._table.device)].float().cpu(), dim=1)
        lengths = torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int64)
        shares = torch.zeros(len(prompts), len(ids))
        shares.index_put_((torch.arange(len(prompts)).repeat_interleave(lengths), place), (1 / lengths).repeat_interleave(lengths), accumulate=True)
        return (shares @ torch.relu(known @ self._matrix)).double()

    def choose(self, prompts: Sequence[Prompt]) -> list[str]:
        """Each prompt's domain, BASE for those that are of none."""
        if not self.counts or not prompts:
            return [BASE] * len(prompts)
        apart = self.distances(self.embed(prompts))
        within = apart <= self.farthest()
        names = self._likeliest(prompts, apart.masked_fill(~within, torch.inf))
        return [name if known else BASE for name, known in zip(names, within.any(1).tolist(), strict=True)]

    def farthest(self) -> float:
        """The distance up to which a prompt is of a known domain."""
        return float("inf") if self.near is None else self.near[0] + self.unknown * self.near[1]

    def distances(self, vectors: Tensor) -> Tensor:
        """From each vector to each domain's mean, (n, K), in the covariance's metric."""
        if self._metric is None:
            self._metric = _metric(self.scatter.double(), sum(self.counts.values()))
        return _apart(self._metric, vectors, self.means.double())

    def newness(self, prompts: Sequence[Prompt]) -> float:
        """The share of these prompts that lie nearer to others of them than to any known domain: 1 for what is all new, at most about 1/2 for what is known.

        The prompts are halved, and each half is measured against the mean of the other and the known means, so none is compared with itself.
        """
        halves = self._halved(prompts)
        if not self.counts or halves is None:
            return 0.0 if self.counts else 1.0
        nearer = 0
        for held, seen in (halves, halves[::-1]):
            other = Moments.of(self.embed(seen))
            metric = _metric(self.scatter.double() + other.scatter, sum(self.counts.values()) + other.count)
            apart = _apart(metric, self.embed(held), torch.cat([self.means.double(), other.mean[None]]))
            nearer += int((apart.argmin(1) == len(self.counts)).sum())
        return nearer / sum(map(len, halves))

    def nearest(self, prompts: Sequence[Prompt]) -> str:
        """The known domain that is the likeliest for most of these prompts."""
        names = self._likeliest(prompts, self.distances(self.embed(prompts)))
        return max(self.names, key=names.count)

    def _likeliest(self, prompts: Sequence[Prompt], apart: Tensor) -> list[str]:
        """The domain of each prompt, its distances from all given, infinite where it can't be."""
        if self._said is None:
            said = log_shares(self.grams)  # all NaN where a domain was counted in part: it would lose what it was not counted of, so distances alone tell
            self._said = torch.zeros_like(said) if bool(said.isnan().any()) else said
        density, names = likelihoods(prompts, self._said) - apart.square() / 2, self.names
        return [names[at] for at in density.argmax(1).tolist()]

    def learn(self, name: str, prompts: Sequence[Prompt]) -> None:
        """Take prompts into a domain's statistics; an unknown name is a new domain."""
        self._measure(name, prompts)
        new = self._moments(prompts)
        if name not in self.counts:
            self.means = torch.cat([self.means, torch.zeros(1, self.features)])
            self.grams = torch.cat([self.grams, torch.zeros(1, BUCKETS)])
            self.counts[name] = 0
        at = self.names.index(name)
        count = self.counts[name]
        both = new if not count else Moments(count, self.means[at].double(), self.scatter.double()) + new
        self.scatter = (both.scatter if count else self.scatter.double() + new.scatter).float()
        self.means[at], self.counts[name] = both.mean.float(), both.count
        self.grams[at] += counted(prompts)
        self._metric = self._said = None

    def closest(self) -> tuple[str, str]:
        """The two domains with the nearest means, BASE not among them, the older first."""
        apart = self.distances(self.means.double())
        for at, name in enumerate(self.names):
            apart[at, : at + 1] = torch.inf
            if name == BASE:
                apart[at], apart[:, at] = torch.inf, torch.inf
        first, second = divmod(int(apart.argmin()), len(self.counts))
        return self.names[first], self.names[second]

    def merge(self, kept: str, gone: str) -> None:
        """One domain of two, under the first name, exactly as if all prompts had been its own."""
        one, other = self.names.index(kept), self.names.index(gone)
        empty = torch.zeros_like(self.scatter, dtype=torch.float64)
        both = Moments(self.counts[kept], self.means[one].double(), self.scatter.double()) + Moments(self.counts[gone], self.means[other].double(), empty)
        self.scatter = both.scatter.float()
        self.means[one] = both.mean.float()
        self.means = torch.cat([self.means[:other], self.means[other + 1 :]])
        self.grams[one] += self.grams[other]
        self.grams = torch.cat([self.grams[:other], self.grams[other + 1 :]])
        self.counts[kept], self._metric, self._said = both.count, None, None
        del self.counts[gone]

    def state(self) -> dict[str, object]:
        near = None if self.near is None else list(self.near)
        return {"counts": dict(self.counts), "means": self.means.clone(), "scatter": self.scatter.clone(), "grams": self.grams.clone(), "near": near}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state; raises StateError for one of other features."""
        if "grams" in state and state["grams"].shape[1] != BUCKETS:
            raise StateError(f"the saved router counts in other buckets (buckets={state['grams'].shape[1]!r}, here {BUCKETS}). Learn its domains anew.")
        if state["scatter"].shape != self.scatter.shape:
            raise StateError(f"the saved router has other features (features={len(state['scatter'])!r}). Load it with features={len(state['scatter'])}.")
        self.counts = {name: int(count) for name, count in state["counts"].items()}
        self.means, self.scatter = state["means"].cpu().clone(), state["scatter"].cpu().clone()
        self.grams = state["grams"].cpu().clone() if "grams" in state else torch.full((len(self.counts), BUCKETS), torch.nan)
        self.near = None if state["near"] is None else (state["near"][0], state["near"][1])
        self._metric = self._said = None

    def _measure(self, name: str, prompts: Sequence[Prompt]) -> None:
        """How far held-out prompts lie from their own domain's mean: half what was known of it, half what these say."""
        halves = self._halved(prompts)
        if halves is None:
            return
        far = []
        for held, seen in (halves, halves[::-1]):
            own, total = Moments.of(self.embed(seen)), sum(self.counts.values())
            if count := self.counts.get(name, 0):
                own = Moments(count, self.means[self.names.index(name)].double(), self.scatter.double()) + own
                scatter = own.scatter
            else:
                scatter = self.scatter.double() + own.scatter
            far.append(_apart(_metric(scatter, total + len(seen)), self.embed(held), own.mean[None])[:, 0])
        found = torch.cat(far)
        mean, deviation = float(found.mean()), float(found.std(correction=0))
        self.near = (mean, deviation) if self.near is None else ((self.near[0] + mean) / 2, (self.near[1] + deviation) / 2)

    def _moments(self, prompts: Sequence[Prompt]) -> Moments:
        found = [Moments.of(self.embed(prompts[at : at + CHUNK])) for at in range(0, len(prompts), CHUNK)]
        return sum(found[1:], start=found[0])

    @staticmethod
    def _halved(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]] | None:
        """At most CHUNK different prompts in two random halves; None of fewer than two."""
        different = list(dict.fromkeys(prompts))
        mixed = Random("halves").sample(different, min(len(different), CHUNK))
        return (mixed[::2], mixed[1::2]) if len(mixed) > 1 else None


def asked(row: Row, start: int) -> Prompt:
    """The tokens a row is routed by: its prompt; of a text without one, or with nothing before its first target but the `start` tokens, all of it."""
    first = row.learned[0] if row.learned else len(row.tokens)
    return row.tokens[:first] if first > max(1, start) else row.tokens


def _metric(scatter: Tensor, count: int) -> Tensor:
    """The lower Cholesky factor of the covariance within domains, shrunk towards a sphere of the same size."""
    covariance = scatter * ((1 - SHRINK) / count)
    covariance.diagonal().add_(SHRINK * scatter.trace() / (count * len(scatter)) + SMALLEST)
    return cast(Tensor, torch.linalg.cholesky(covariance))


def _apart(metric: Tensor, vectors: Tensor, means: Tensor) -> Tensor:
    """Mahalanobis distances (n, K)."""
    white = torch.linalg.solve_triangular(metric, torch.cat([vectors, means]).T, upper=False).T
    return torch.cdist(white[: len(vectors)], white[len(vectors) :], compute_mode="donot_use_mm_for_euclid_dist")
