"""A version as a living model: its weights in a loaded base, its learner beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from everlearn.config import Recipe, parse_methods
from everlearn.errors import SettingError
from everlearn.learn.base import Around, Learner
from everlearn.learn.retrieval import Retrieval
from everlearn.learn.settings import Settings
from everlearn.models.language import LanguageModel
from everlearn.models.state import State, split_state
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, superseded
from everlearn.versions.home import Home
from everlearn.versions.objects import Addresses
from everlearn.versions.record import Kept, Version
from everlearn.versions.settings import HomeSettings
from everlearn.versions.stored import learner_state, loaded_base

HOLDING = {"codebook", "consolidate", "knn_lm"}  # memories whose learners take over nothing from other settings


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A version in memory. model: whose weights learn.   served: what answers, the model or a wrapper.   learner: as it was after the version."""

    model: TrainedModel
    served: LanguageModel
    learner: Learner


def open_version(home: Home, version: str | int | Version = "head", device: str | None = None) -> Opened:
    """The version as it was served, bit for bit, ready to answer and to go on learning.

    Raises SettingError for no such version, StateError for one that was withdrawn or whose files are broken.
    """
    found = version if isinstance(version, Version) else home.version(version)
    home.usable(found)
    settings = HomeSettings.of(dict(found.settings), f"the settings of version {found.number}")
    opened = started(home, found.base, settings, recipe_of(found.recipe), device)
    weights = home.objects.get_tensors(found.kept.weights)
    if weights:
        opened.model.load(weights)
    opened.learner.load(learner_state(home, found))
    return opened


def started(home: Home, base: str, settings: HomeSettings, recipe: Recipe, device: str | None = None) -> Opened:
    """The base as a version begins with it: adapters put in, methods prepared, nothing learned."""
    model = loaded_base(home, base, settings.model, device)
    learner = recipe.learner(loop_settings(settings), settings.learn.seed)
    return Opened(model, learner.prepare(model), learner)


def opened_to_learn(home: Home, parent: Version, settings: HomeSettings, attempt: int) -> Opened:
    """The parent's weights under a learner of today's settings, at the rate and rehearsal of this attempt.

    The learner takes up the parent's state where the methods are the same; else it begins anew and is shown the rows the home kept;
    a store that both have goes on. Raises SettingError where it would begin without what a memory of the parent's holds.
    """
    home.usable(parent)
    if dict(parent.settings)["model"] != settings.to_json()["model"]:
        raise SettingError(
            f"[model] is not what this home's versions were loaded with (now {settings.to_json()['model']!r}, version {parent.number}:"
            f" {parent.settings['model']!r}). Put it back; to change it make a new home, or `everlearn rebase`."
        )
    recipe, learning = tried_again(recipe_of(settings.learn.recipe), settings, attempt)
    opened = started(home, parent.base, learning, recipe)
    if weights := home.objects.get_tensors(parent.kept.weights):
        if opened.model.trained().keys() != weights.keys():
            raise SettingError(
                f"the recipe trains other weights than version {parent.number} has (recipe={recipe.label!r}, before {parent.recipe!r})."
                " Put the recipe back, or teach the kept data anew with `everlearn rebase`."
            )
        opened.model.load(weights)
    if _methods(parent.recipe) == _methods(recipe.label):
        opened.learner.load(learner_state(home, parent))
    elif held := sorted({name for name, _ in _methods(parent.recipe)} & HOLDING):
        raise SettingError(
            f"what {held[0]} holds cannot be taken over by another recipe or other settings (recipe={recipe.label!r}, version {parent.number}:"
            f" {parent.recipe!r}). Put the recipe back, or teach the kept data anew with `everlearn rebase`."
        )
    else:
        _begun_anew(home, parent, opened)
    return opened


def _begun_anew(home: Home, parent: Version, opened: Opened) -> None:
    """Show the learner what the weights were taught, and fill its store, if it has one, with what that of the parent held."""
    memory: Learner = opened.learner
    while isinstance(memory, Around) and not isinstance(memory, Retrieval):
        memory = memory.inner
    stored = isinstance(memory, Retrieval) and not recipe_of(parent.recipe).trains  # no weight learned these rows: the store has them
    past = [row for version in reversed(home.lineage(parent)) if not stored or version.parent is None for row in rows_of(home, version)]
    if past:
        opened.learner.remember(opened.model, superseded(past, past))
    if isinstance(memory, Retrieval):
        memory.take_over(learner_state(home, parent))


def rows_of(home: Home, version: Version) -> list[Example]:
    """The rows a version learned from, as far as the home kept them."""
    if version.arrived is None or not version.arrived.rows:
        return []
    return [Example.from_json(row) for row in home.objects.get_json(version.arrived.rows)]


def kept_of(home: Home, model: TrainedModel, learner: Learner, tests: str, answers: str, known: Mapping[str, str], weights: bool = True) -> Kept:
    """Store what is of this model and learner; where it lies. known: by a tensor's hash its pack.   weights: False for a start, which is its base."""
    learner_name, learner_tensors, weight_tensors = store_state(home, learner.state(), model.state() if weights else {}, known)
    return Kept(weight_tensors, learner_name, learner_tensors, tests, answers)


def store_state(home: Home, state: State, weights: Mapping[str, Tensor], known: Mapping[str, str]) -> tuple[str, Addresses, Addresses]:
    """Store a learner's state and weights in one pack; the object that says where the state lies, and the addresses of both.

    A state's places hold ids of examples. They stand in that object alone, which can be deleted: a version's record gets numbers for them.
    """
    plain, tensors = split_state(state)
    addresses = home.objects.put_tensors({**{f"weights{k}": v for k, v in weights.items()}, **{f"learner{k}": v for k, v in tensors.items()}}, known)
    places = _part(addresses, "learner")
    numbers = {place: str(number) for number, place in enumerate(sorted(tensors))}
    counted = {pack: {numbers[place]: key for place, key in names.items()} for pack, names in places.items()}
    return home.objects.put_json({"state": plain, "tensors": places}), counted, _part(addresses, "weights")


def held_by(home: Home, version: Version) -> list[tuple[str, str]]:
    """(pack, hash) of every tensor that a version needs, as they lie now; none of one that was withdrawn."""
    objects = home.objects
    replaced = objects.replaced()
    if version.id in objects.withdrawn():
        return []
    parts = [version.kept.weights, version.kept.learner_tensors]
    if version.kept.learner in replaced:
        parts[1] = objects.get_json(version.kept.learner)["tensors"]
    return [(replaced.get(pack, pack), key) for part in parts for pack, names in part.items() for key in names.values()]


def known_tensors(home: Home) -> dict[str, str]:
    """By the hash of every tensor that a version of the home holds: its pack."""
    held = {key: pack for version in home.versions() for pack, key in held_by(home, version)}
    there = {pack: home.objects.pack_path(pack).exists() for pack in set(held.values())}
    return {key: pack for key, pack in held.items() if there[pack]}


def recipe_of(text: str) -> Recipe:
    """The one run that the text names. Raises SettingError for several, and for the bounds that learn nothing or everything at once."""
    recipes = parse_methods(text)
    if len(recipes) != 1:
        raise SettingError(f"a home learns by one recipe, got {len(recipes)} (recipe={text!r}). Join methods by +, without commas.")
    if {part.name for part in recipes[0].parts} & {"joint", "frozen"}:
        raise SettingError(f"joint and frozen are bounds to compare with, not ways to learn on (recipe={text!r}). Name methods, such as 'keep_current'.")
    kept = [(part.name, part.given["store"]) for part in recipes[0].parts if part.given.get("store")]
    if kept:
        raise SettingError(f"a home keeps what a memory holds in its versions, not elsewhere ({kept[0][0]} store={kept[0][1]!r}). Leave store out.")
    return recipes[0]


def loop_settings(settings: HomeSettings) -> Settings:
    """The loop's part of the settings."""
    given: dict[str, Any] = settings.learn.model_dump()
    return Settings(**{name: value for name, value in given.items() if name not in ("recipe", "seed", "save_every")})


def tried_again(recipe: Recipe, settings: HomeSettings, attempt: int) -> tuple[Recipe, HomeSettings]:
    """The recipe and settings of an attempt: at each retry a lower rate and more rehearsal; at the last one nothing is consolidated.

    What a memory writes needs no weights: an update is not lost to its store, nor any after it, because what had become stable could not be taught.
    """
    if not attempt:
        return recipe, settings
    slower, more = settings.retry.rate**attempt, settings.retry.replay**attempt
    parts = []
    for part in recipe.parts:
        given = dict(part.given)
        if part.name in ("replay", "mir", "generative_replay", "on_policy_replay") and "share" in given:
            given["share"] = min(10.0, float(given["share"]) * more)
        if part.name == "consolidate" and attempt == settings.retry.attempts:
            given["most"] = 0
        if part.name == "settings" and "rate" in given:
            given["rate"] = float(given["rate"]) * slower
        parts.append(replace(part, given=given))
    learn = settings.learn.model_copy(update={"rate": settings.learn.rate * slower})
    return Recipe(recipe.label, tuple(parts)), settings.model_copy(update={"learn": learn})


def _methods(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(part.name, dict(part.given)) for part in recipe_of(text).parts if part.name != "settings"]


def _part(addresses: Mapping[str, Mapping[str, str]], start: str) -> dict[str, dict[str, str]]:
    found = {pack: {name.removeprefix(start): key for name, key in names.items() if name.startswith(start)} for pack, names in addresses.items()}
    return {pack: names for pack, names in found.items() if names}
