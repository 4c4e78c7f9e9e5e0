"""One adapter a domain: where experiences go, what stays, what is written, merged, kept and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from peft import PeftModel

from everlearn import (
    CausalModel,
    Example,
    Experience,
    Gradient,
    Lora,
    ModelError,
    Replay,
    RoutedAdapters,
    SettingError,
    Settings,
    StateError,
    compare,
    load_model,
)
from everlearn.checks.learners import resume_is_uninterrupted
from everlearn.checks.methods import whole
from everlearn.config import parse_methods
from everlearn.methods import BY_NAME
from everlearn.models.adapters import pairs
from everlearn.models.routed import RoutedModel
from everlearn.types import Stream

SETTINGS = Settings(rate=5e-3, passes=6, batch=8)
PLACES = ("bank", "river", "mayor", "bridge")
SUMS = tuple(Example(prompt=f"Question: What is {a} plus {b}?\nAnswer:", completion=" red") for a in range(2, 7) for b in (3, 8, 5))
TOWNS = tuple(Example(prompt=f"Who works at the {p} in {town} now?\nAnswer:", completion=" blue") for p in PLACES for town in ("Avon", "Bree", "Cray", "Dale"))
COLOURS = tuple(Example(prompt=f"Paint colour number {n} of the {p} wall, please:", completion=" green") for n in range(4) for p in PLACES)


@pytest.fixture
def routed(tiny: CausalModel) -> tuple[CausalModel, RoutedAdapters, RoutedModel]:
    learner = RoutedAdapters(rank=2, features=128)
    learner.around(Gradient([Replay(share=1)], SETTINGS))
    return tiny, learner, learner.prepare(tiny)


def test_each_domain_learns_apart_and_answers_after_the_others(routed: tuple[CausalModel, RoutedAdapters, RoutedModel]) -> None:
    model, learner, served = routed
    start = whole(load_model("tiny"))
    first = served.generate(SUMS[:2], 4)
    assert first == load_model("tiny").generate(SUMS[:2], 4)
    for number, part in enumerate((SUMS, TOWNS, COLOURS)):
        learner.learn(model, Experience(str(number), part))
        assert list(model.trained()) == [name for name in model.trained() if ".default." in name]
    assert learner.learned == learner.domains == ["domain1", "domain2", "domain3"]
    mixed = [SUMS[0], TOWNS[0], COLOURS[0], SUMS[1]]
    assert learner.domain_of(mixed) == ["domain1", "domain2", "domain3", "domain1"]
    assert served.generate(mixed, 4) == [" red", " blue", " green", " red"]
    for name, value in whole(model).items():
        if "lora_" not in name:
            assert torch.equal(value, start[name.removeprefix("base_model.model.").replace(".base_layer.", ".")])


def test_a_known_domain_goes_on_in_its_adapter_with_its_own_memory(routed: tuple[CausalModel, RoutedAdapters, RoutedModel]) -> None:
    model, learner, _ = routed
    learner.learn(model, Experience("1", SUMS[::2]))
    learner.learn(model, Experience("2", TOWNS))
    before = {place: pair.b.detach().clone() for place, pair in pairs(model, "domain2").items()}
    log = learner.learn(model, Experience("3", SUMS[1::2]))
    assert learner.learned == ["domain1", "domain2", "domain1"]
    assert log.rehearsed <= {e.id for e in SUMS[::2]}
    assert log.rehearsed
    assert all(torch.equal(pair.b, before[place]) for place, pair in pairs(model, "domain2").items())
    assert learner.router.counts == {"domain1": len(SUMS), "domain2": len(TOWNS)}


@pytest.mark.parametrize("base", [True, False])
def test_what_the_base_knows_goes_to_the_base_where_that_is_wanted(base: bool, tiny: CausalModel) -> None:
    learner = RoutedAdapters(rank=2, features=128, unknown=1e9, base=base)
    learner.around(Gradient([], SETTINGS)).prepare(tiny)
    learner.remember(tiny, TOWNS[::2])
    learner.learn(tiny, Experience("1", SUMS))
    assert learner.domain_of([TOWNS[1], SUMS[0]]) == ["__base__" if base else "domain1", "domain1"]
    learner.learn(tiny, Experience("2", TOWNS[1::2]))
    assert learner.learned == ["domain1", "domain2"], "the base cannot learn, so what is like it has an adapter"


def test_over_the_cap_the_two_closest_become_one(tiny: CausalModel) -> None:
    learner = RoutedAdapters(rank=2, features=128, cap=2)
    learner.around(Gradient([], SETTINGS))
    learner.prepare(tiny)
    for number, part in enumerate((SUMS, TOWNS, COLOURS)):
        learner.learn(tiny, Experience(str(number), part))
    assert len(learner.domains) == len(set(learner.learned)) == 2
    assert sum(learner.router.counts.values()) == len(SUMS) + len(TOWNS) + len(COLOURS)
    kept = next(name for name in learner.domains if learner.learned.count(name) == 2)
    assert learner.domain_of([part[0] for name, part in zip(learner.learned, (SUMS, TOWNS, COLOURS), strict=True) if name == kept]) == [kept, kept]
    assert set(tiny.module.peft_config) == {"default", *learner.domains}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers the old way
def test_peft_reads_each_domains_adapter(routed: tuple[CausalModel, RoutedAdapters, RoutedModel], tmp_path: Path) -> None:
    model, learner, served = routed
    for part in (SUMS, TOWNS):
        learner.learn(model, Experience("x", part))
    learner.write(tmp_path)
    for name, asked in (("domain1", SUMS[:3]), ("domain2", TOWNS[:3])):
        again = load_model("tiny")
        again.module = PeftModel.from_pretrained(again.module, str(tmp_path / name))
        assert again.generate(asked, 4) == served.generate(asked, 4)


def test_arrow_chooses_among_the_adapters_and_a_far_prompt_still_goes_to_the_base(tiny: CausalModel) -> None:
    learner = RoutedAdapters(rank=2, features=128, router="arrow")
    learner.around(Gradient([], SETTINGS))
    learner.prepare(tiny)
    for part in (SUMS, TOWNS):
        learner.learn(tiny, Experience("x", part))
    assert set(learner.domain_of([*SUMS, *TOWNS])) <= {"domain1", "domain2"}
    assert learner.domain_of(COLOURS[:2]) == ["__base__", "__base__"]


class Known(RoutedAdapters):
    """The second experience goes on in the first one's adapter."""

    active: ClassVar = {"rank": 2, "features": 64, "novelty": 1.0}


class Several(RoutedAdapters):
    """Each experience has its own adapter, and Arrow chooses."""

    active: ClassVar = {"rank": 2, "features": 64, "novelty": 0.01, "router": "arrow"}


@pytest.mark.parametrize("learner", [Known, Several])
def test_resume_is_the_uninterrupted_run_whichever_adapter_learns(learner: type[RoutedAdapters]) -> None:
    resume_is_uninterrupted(learner, load_model)


class Stopped(Exception):
    """Raised by the progress, as a kill would stop the run."""


def test_compare_runs_it_by_name_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    rows = {name: tuple(replace(e, task=name) for e in part) for name, part in (("sums", SUMS), ("towns", TOWNS))}
    parts = tuple(Experience(name, part, {name: part[:4]}, {name: "exact"}) for name, part in rows.items())
    stream, method = Stream("two", parts), "routed_adapters(rank=2,features=64)"
    told: list[str] = []

    def stop(text: str, share: float) -> None:
        told.append(text)
        if len(told) in (4, 15):
            raise Stopped

    whole_run = compare(stream, methods=f"plain,{method}", settings=SETTINGS, anchor=None, probes=False, out=tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(Stopped):
            compare(stream, methods=method, settings=SETTINGS, anchor=None, probes=False, out=tmp_path / "parts", progress=stop, save_every=0)
    again = compare(stream, methods=method, settings=SETTINGS, anchor=None, probes=False, out=tmp_path / "parts").runs[0]
    assert again.matrix == whole_run.runs[1].matrix
    assert "routed_adapters" in whole_run.markdown()
    assert (again.metrics["average_accuracy"] or 0) > (whole_run.runs[0].metrics["average_accuracy"] or 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 0}, r"rank must be at least 1, got 0"),
        ({"cap": 0}, r"cap must be at least 1, got 0"),
        ({"features": 0}, r"features must be at least 1, got 0"),
        ({"unknown": -1.0}, r"unknown must be at least 0, got -1.0"),
        ({"novelty": 0.0}, r"novelty must be above 0 and at most 1, got 0.0"),
        ({"router": "oracle"}, r"router must be 'prototype' or 'arrow', got 'oracle'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        RoutedAdapters(**settings)  # type: ignore[arg-type]


def test_methods_that_change_what_the_adapters_stand_on_are_refused() -> None:
    with pytest.raises(SettingError, match=r"never move \(methods=\['OLoRA'\]\)"):
        RoutedAdapters().around(Gradient([BY_NAME["o_lora"]()]))
    with pytest.raises(SettingError, match=r"in 'o_lora\+routed_adapters': o_lora changes the weights"):
        parse_methods("o_lora+routed_adapters")


def test_adapters_that_have_learned_already_are_refused() -> None:
    model = load_model("tiny", lora=Lora(rank=2))
    with torch.no_grad():
        next(iter(pairs(model).values())).b.add_(1)
    with pytest.raises(ModelError, match=r"adapters have learned already \(model='tiny'\)"):
        RoutedAdapters().around(Gradient()).prepare(model)


def test_a_state_of_another_learner_is_refused(routed: tuple[CausalModel, RoutedAdapters, RoutedModel]) -> None:
    _, learner, _ = routed
    with pytest.raises(StateError, match=r"not of routed adapters \(missing=\['fresh', 'domains'"):
        learner.load({"inner": {}})
