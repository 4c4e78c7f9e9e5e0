"""One adapter a domain, and a router that names the domain of each prompt without being told."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, cast

import torch
from peft import PeftModel
from torch import Tensor

from everlearn.errors import ModelError, SettingError, StateError
from everlearn.learn.base import Around, Learner, LearnLog
from everlearn.learn.fit import Checkpoint
from everlearn.learn.gradient import Gradient
from everlearn.methods.base import State, Step, at_least
from everlearn.models.adapters import Lora, adapted, add_adapter, joined, pairs, write_adapter
from everlearn.models.arrow import directions, scores
from everlearn.models.routed import RoutedModel
from everlearn.models.router import BASE, Router, asked
from everlearn.models.weights import TrainedModel
from everlearn.models.wording import Prompt
from everlearn.types import Example, Experience


class RoutedAdapters(Around):
    """Each domain learns in a low-rank adapter of its own; a router that is told no task sends every prompt to its domain's, an unknown one to the base.

    An experience is one domain: a new one if at least `novelty` of its prompts lie nearer to others of them than to any known domain, else the likeliest
    for most of them, whose adapter goes on learning. The weights beneath never move. Router: streaming LDA and naive Bayes over prompts (`Router`; Hayes
    and Kanan 2020, arXiv:1909.01520; McDonnell et al. 2023, arXiv:2307.02251), or Arrow (Ostapenko et al. 2024, arXiv:2405.11157).
    Differs from Arrow: one adapter a prompt, by the mean over its tokens and all layers, not a mixture for each token and layer; LDA still says what is
    unknown. What is joined by "+" (replay, EWC ...) is kept for each domain on its own, and sees that domain's adapter and rows alone.

    rank: of the adapters, >= 1; a model that has some keeps theirs.   router: what chooses among known domains.   novelty: in (0, 1].
    unknown: standard deviations beyond held-out prompts at which a prompt goes to the base, >= 0.   cap: the most domains, >= 1; of more the two
    closest become one (the best adapter of that rank for the mean of both, by prompts; methods keep what they held of the larger).
    features: of a prompt, >= 1; the router keeps their square.   base: is what the model knew before a domain of its own, so that prompts like it go to
    the base? It keeps more of that, and hides corrections of it: the corrected prompt is like the base's, too.

    >>> from everlearn import Gradient, Replay
    >>> learner = RoutedAdapters(rank=8).around(Gradient([Replay(share=0.5)]))
    """

    active = {"rank": 2, "features": 64, "novelty": 0.3, "cap": 1}
    family = "dynamic architecture"
    paper = "Hayes and Kanan 2020, arXiv:1909.01520; Ostapenko et al. 2024, arXiv:2405.11157"
    stores = "an adapter a domain, and the router's statistics; no example"
    cost = "a forward pass of each adapter on its own rows; with router=arrow one of the base too"

    def __init__(
        self,
        rank: int = 16,
        router: Literal["prototype", "arrow"] = "prototype",
        novelty: float = 0.6,
        unknown: float = 4.0,
        cap: int = 16,
        features: int = 2048,
        base: bool = False,
    ) -> None:
        for name, value in (("rank", rank), ("cap", cap), ("features", features)):
            at_least(f"routed_adapters {name}", value, 1, float("inf"))
        at_least("routed_adapters unknown", unknown, 0)
        if not 0 < novelty <= 1:
            raise SettingError(f"routed_adapters novelty must be above 0 and at most 1, got {novelty!r}.")
        if router not in ("prototype", "arrow"):
            raise SettingError(f"routed_adapters router must be 'prototype' or 'arrow', got {router!r}.")
        self.rank, self.kind, self.novelty, self.unknown, self.cap, self.features = rank, router, novelty, unknown, cap, features
        self.base = base
        self.made = 0  # domains ever made, merged ones too
        self.kept: dict[str, State] = {}  # by domain, the inner learner's state after it
        self.learned: list[str] = []  # the domain of each experience
        self._inside: str | None = None
        self._excited: dict[str, Tensor] | None = None

    def around(self, inner: Learner) -> RoutedAdapters:
        """This learner with `inner` inside; raises SettingError for methods that change the model beneath the adapters."""
        shaping = [type(m).__name__ for m in inner.methods if m.family == "dynamic architecture"] if isinstance(inner, Gradient) else []
        if shaping:
            raise SettingError(f"routed adapters stand on weights that never move (methods={shaping!r}). Join methods that change none beneath adapters.")
        self.inner = inner
        return self

    @property
    def domains(self) -> list[str]:
        """The domains' names, which are their adapters' in the module, oldest first."""
        return list(self.kept)

    def prepare(self, model: TrainedModel) -> RoutedModel:
        """Put in the adapter that learns; each domain's own is kept beside it. Raises ModelError for adapters that have learned already."""
        adapted(model, Lora(rank=self.rank))
        if any(bool(pair.b.any()) for pair in pairs(model).values()):
            raise ModelError(f"the model's adapters have learned already (model={model.name!r}). Merge them into its weights first, or load it without.")
        self.model, self.router = model, Router(model, self.features, self.unknown)
        self.rank = next(iter(pairs(model).values())).a.shape[0]
        served = RoutedModel(model, self.choose)
        self.inner.prepare(model)
        self._fresh, self._start = deepcopy(self.inner.state()), model.state()
        return served

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        """What the base knows: the methods note it for every domain to come; with `base` the router sends prompts like it to the base."""
        self.inner.remember(model, examples)
        self._fresh = deepcopy(self.inner.state())
        if examples and self.base:
            self.router.learn(BASE, self._prompts(examples))

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        prompts = self._prompts(experience.train)
        name, self._inside = self._inside or self._begun(prompts), None
        log = self.inner.learn(model, experience, self._around(name, checkpoint))
        if name not in self.kept:
            add_adapter(model, name, Lora(rank=self.rank))
        self.kept[name] = deepcopy(self.inner.state())
        _put(model, name, _taken(model))
        self.router.learn(name, prompts)
        self.learned.append(name)
        while len(self.kept) > self.cap:
            self._merge(*self.router.closest())
        self._excited = None
        return log

    def domain_of(self, prompts: Sequence[Example]) -> list[str]:
        """The domain that answers each prompt, "__base__" for the model beneath."""
        return self.choose([tuple(tokens) for tokens in self.model.encoder.prompts(prompts)])

    def choose(self, prompts: Sequence[Prompt]) -> list[str]:
        """The adapter of each prompt, given as tokens."""
        known = self.router.choose(prompts)
        if self.kind == "prototype" or not self.kept:
            return known
        if self._excited is None:
            self._excited = directions(self.model, self.domains)
        best = scores(self.model, prompts, self._excited).argmax(1).tolist()
        return [BASE if name == BASE else self.domains[at] for name, at in zip(known, best, strict=True)]

    def write(self, folder: str | Path) -> None:
        """Each domain's adapter as PEFT writes it, in FOLDER/NAME, for `PeftModel.from_pretrained` on the starting model."""
        for name in self.domains:
            write_adapter(self.model, folder, name)

    def state(self) -> State:
        domains: State = {name: {"inner": inner, "adapter": _taken(self.model, name)} for name, inner in self.kept.items()}
        own: State = {"domains": domains, "made": self.made, "learned": list(self.learned), "router": self.router.state(), "inside": self._inside}
        return {"inner": self.inner.state(), "fresh": self._fresh, **own}

    def load(self, state: State) -> None:
        lost = [key for key in ("fresh", "domains", "made", "learned", "router", "inside") if key not in state]
        if lost:
            raise StateError(f"the saved state is not of routed adapters (missing={lost!r}). Load the state of the same learner.")
        saved = cast(dict[str, Any], state)
        super().load(state)
        self.router.load(saved["router"])
        for name in self.kept:
            cast(PeftModel, self.model.module).delete_adapter(name)
        self._fresh, self.made, self._inside, self._excited = deepcopy(saved["fresh"]), saved["made"], saved["inside"], None
        self.learned = list(saved["learned"])
        self.kept = {name: deepcopy(domain["inner"]) for name, domain in saved["domains"].items()}
        for name, domain in saved["domains"].items():
            add_adapter(self.model, name, Lora(rank=self.rank))
            _put(self.model, name, domain["adapter"])

    def _begun(self, prompts: Sequence[Prompt]) -> str:
        """The domain of these prompts, its adapter and its methods' state taken up: a known one's, or fresh ones."""
        known = self.router.nearest(prompts) if self.kept and self.router.newness(prompts) < self.novelty else BASE
        if known == BASE:
            self.made += 1
            self.inner.load(deepcopy(self._fresh))
            self.model.load(self._start)
            return f"domain{self.made}"
        self.inner.load(deepcopy(self.kept[known]))
        _put(self.model, None, _taken(self.model, known))
        return known

    def _merge(self, kept: str, gone: str) -> None:
        """Two domains in one adapter, under the first's name."""
        larger = max((kept, gone), key=lambda name: self.router.counts[name])
        share = self.router.counts[kept] / (self.router.counts[kept] + self.router.counts[gone])
        one, other = pairs(self.model, kept), pairs(self.model, gone)
        with torch.no_grad():
            for place, pair in one.items():
                a, b = joined(pair, other[place], share)
                pair.a.copy_(a)
                pair.b.copy_(b)
        self.kept[kept] = self.kept[larger]
        del self.kept[gone]
        cast(PeftModel, self.model.module).delete_adapter(gone)
        self.router.merge(kept, gone)
        self.learned = [kept if name == gone else name for name in self.learned]

    def _prompts(self, examples: Sequence[Example]) -> list[Prompt]:
        encoder = self.model.encoder
        cut = encoder.cut
        rows = encoder.rows(examples)
        encoder.cut = cut  # that counts what is learned
        return [asked(row, len(encoder.start)) for row in rows if row.tokens]

    def _around(self, name: str, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """The given checkpoint, offered this learner's state around the inner one's."""
        if checkpoint is None:
            return None

        def offered(step: Step, state: Any) -> None:
            checkpoint(step, lambda: {**self.state(), "inner": state(), "inside": name})

        return offered


def _taken(model: TrainedModel, name: str | None = None) -> dict[str, Tensor]:
    """A copy of an adapter's weights, by default of the one that learns; the keys do not depend on its name."""
    found = pairs(model) if name is None else pairs(model, name)
    return {f"{place}.{side}": weight.detach().clone() for place, pair in found.items() for side, weight in (("a", pair.a), ("b", pair.b))}


def _put(model: TrainedModel, name: str | None, weights: dict[str, Tensor]) -> None:
    """Those weights into an adapter, by default into the one that learns."""
    with torch.no_grad():
        for place, pair in (pairs(model) if name is None else pairs(model, name)).items():
            pair.a.copy_(weights[f"{place}.a"])
            pair.b.copy_(weights[f"{place}.b"])
