"""Text to learners: "plain,replay(share=0.5)+ewc(strength=10)", every mistake at once and with its place."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from everlearn.errors import SettingError, did_you_mean
from everlearn.learn.base import Around, Learner
from everlearn.learn.bounds import Frozen, Joint
from everlearn.learn.gradient import Gradient
from everlearn.learn.objectives.base import Objective
from everlearn.learn.registry import LEARNERS, OBJECTIVES
from everlearn.learn.settings import Settings
from everlearn.methods import BY_NAME
from everlearn.methods.base import Method

BOUNDS = {
    "plain": "fine-tuning with nothing against forgetting",
    "joint": "trained once, from the start, on base and all experiences together",
    "frozen": "the starting model, never trained",
}
# The default: measured in docs/results.md, chosen on another future of the almanac and on validation rows.
RECIPES = {"keep_current": "replay(share=2,rows=2500)+distill(on=memory)"}


@dataclass(frozen=True, slots=True)
class Part:
    """One name with its settings: a method, an objective, a learner around the loop, a bound, or `settings` of the loop."""

    name: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one run learns with: as it was written, and its parts."""

    label: str
    parts: tuple[Part, ...]

    @property
    def joint(self) -> bool:
        return any(part.name == "joint" for part in self.parts)

    @property
    def trains(self) -> bool:
        """Whether weights are trained: not where only learners are named that need none (a memory beside the model)."""
        return any(part.name != "settings" and (part.name not in LEARNERS or LEARNERS[part.name].trains) for part in self.parts)

    def learner(self, settings: Settings, seed: int) -> Learner:
        """A fresh learner; `settings(...)` in the recipe goes over the given ones."""
        for part in self.parts:
            if part.name == "settings":
                settings = replace(settings, **part.given)
        if any(part.name == "frozen" for part in self.parts):
            return Frozen()
        methods = [BY_NAME[part.name](**part.given) for part in self.parts if part.name in BY_NAME]
        objective = next((OBJECTIVES[part.name](**part.given) for part in self.parts if part.name in OBJECTIVES), None)
        learner: Learner = (Joint if self.joint else Gradient)(methods, settings, objective, seed) if self.trains else Frozen()
        for part in self.parts:
            if part.name in LEARNERS:
                learner = LEARNERS[part.name](**part.given).around(learner)
        return learner


def parse_methods(text: str) -> list[Recipe]:
    """The runs that `text` asks for: "," separates runs, "+" joins methods in one, "(name=value)" sets.

    A method's settings are its constructor's; `settings(rate=..., passes=...)` joined to a run changes the loop's for it alone.
    Raises SettingError with every mistake and its place.

    >>> [recipe.label for recipe in parse_methods("plain, replay(share=0.5)+ewc(strength=10)")]
    ['plain', 'replay(share=0.5)+ewc(strength=10)']
    """
    mistakes: list[str] = []
    recipes = [Recipe(label, tuple(_parts(label, mistakes))) for label in split(text, ",")]
    for recipe in recipes:
        wrong = _unjoinable(recipe)
        mistakes += wrong
        if not wrong and not mistakes:
            try:
                recipe.learner(Settings(), 0)  # what only the parts themselves know of each other
            except SettingError as mistake:
                mistakes.append(f"in {recipe.label!r}: {str(mistake).rstrip('.')}")
    labels = [recipe.label for recipe in recipes]
    mistakes += [f"{label!r} is named twice; for several runs of it set seeds" for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if not recipes:
        mistakes.append(f"no method is named, got {text!r}. Give names such as 'plain,replay(share=0.5)'")
    if mistakes:
        raise SettingError("; ".join(mistakes) + ".")
    return recipes


def _parts(label: str, mistakes: list[str]) -> Iterator[Part]:
    for piece in split(label, "+"):
        name = piece.partition("(")[0].strip()
        if name in RECIPES and name == piece:
            yield from _parts(RECIPES[name], mistakes)
            continue
        known = {**BY_NAME, **OBJECTIVES, **LEARNERS, "settings": Settings, **dict.fromkeys((*BOUNDS, *RECIPES))}
        try:
            yield Part(name, _arguments(piece, name, known))
        except SettingError as mistake:
            mistakes.append(f"in {label!r}: {str(mistake).rstrip('.')}")


def read_call(piece: str, known: Mapping[str, type | None], what: str) -> tuple[str, dict[str, Any]]:
    """The name and the checked settings of "name(setting=value, ...)"; known: by name what is made with them. Raises SettingError."""
    name = piece.partition("(")[0].strip()
    return name, _arguments(piece.strip(), name, known, what)


def _arguments(piece: str, name: str, known: Mapping[str, type | None], what: str = "method") -> dict[str, Any]:
    if name not in known:
        raise SettingError(f"there is no {what} {name!r}. {did_you_mean(name, sorted(known))}")
    try:
        call = ast.parse(piece, mode="eval").body
    except SyntaxError as problem:
        raise SettingError(f"{piece!r} cannot be read. Write it as {name}(setting=value, ...), in quotes what is no number or word") from problem
    if isinstance(call, ast.Name):
        return {}
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise SettingError(f"{piece!r} cannot be read. Write it as {name}(setting=value, ...)")
    maker = known[name]
    if maker is None:
        raise SettingError(f"{name} has no settings of its own, got {piece!r}. To change the loop's join settings(...), as in {name}+settings(rate=1e-3)")
    names = list(inspect.signature(maker).parameters)
    if len(call.args) > len(names):
        raise SettingError(f"{name} has {len(names)} settings, got {len(call.args)} values. They are {', '.join(names)}")
    given = {**{names[at]: _value(value) for at, value in enumerate(call.args)}, **{word.arg or "**": _value(word.value) for word in call.keywords}}
    return _checked(name, maker, given)


def _value(node: ast.expr) -> object:
    """A literal, or a bare word as text."""
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except ValueError as problem:
        raise SettingError(f"{ast.unparse(node)!r} is no value. Give a number, a word, True, False or None") from problem


def _checked(name: str, maker: type, given: Mapping[str, object]) -> dict[str, Any]:
    """The settings in the constructor's types; its own range checks run too."""
    hints = get_type_hints(maker.__init__) if issubclass(maker, Method | Objective | Around) else get_type_hints(maker)
    fields: dict[str, Any] = {key: (hints[key], parameter.default) for key, parameter in inspect.signature(maker).parameters.items()}
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields).model_validate(given)
    except ValidationError as problem:
        raise SettingError("; ".join(_mistake(name, error, fields) for error in problem.errors())) from problem
    values = {key: getattr(model, key) for key in given}
    maker(**values)
    return values


def _mistake(name: str, error: Any, fields: Mapping[str, object]) -> str:
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{name} has no setting {key!r}. {did_you_mean(key, fields)}".rstrip(".")
    return f"{name} {key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


def _unjoinable(recipe: Recipe) -> list[str]:
    names = [part.name for part in recipe.parts]
    alone = [name for name in names if name in BOUNDS]
    if "frozen" in names and len(names) > 1:
        return [f"in {recipe.label!r}: frozen never learns, so nothing can be joined to it"]
    from_memory = any(part.name == "distill" and part.given.get("on") == "memory" for part in recipe.parts)
    if from_memory and not {"replay", "der", "generative_replay", "on_policy_replay"} & set(names):
        return [f"in {recipe.label!r}: distill(on=memory) needs remembered rows. Join replay(...)"]
    aims = [name for name in names if name in OBJECTIVES]
    if len(aims) > 1:
        return [f"in {recipe.label!r}: {aims[0]} and {aims[1]} are both objectives, and a run has one. Separate them by a comma"]
    if "distill" in names and (drawing := [name for name in aims if name in ("grpo", "self_distill")]):
        return [f"in {recipe.label!r}: {drawing[0]} learns answers of its own, and distill covers given ones alone. Join kl_budget or replay to it instead"]
    shaping = [name for name in names if name in BY_NAME and BY_NAME[name].family == "dynamic architecture"]
    if shaping and "routed_adapters" in names:
        return [f"in {recipe.label!r}: {shaping[0]} changes the weights that all of routed_adapters' domains stand on. Separate them by a comma"]
    untrained = [name for name in names if name in LEARNERS and not LEARNERS[name].trains]
    others = [name for name in names if name in BY_NAME or name in LEARNERS]
    if alone == ["plain"] and others == untrained:  # plain trains the weights beside a memory that trains none
        return []
    if alone and (others or len(alone) > 1):
        return [f"in {recipe.label!r}: {alone[0]} is a bound and stands alone. Only settings(...) and an objective may be joined to it"]
    return [] if alone or others or aims or not names else [f"in {recipe.label!r}: settings(...) needs something to be joined to, such as plain"]


def split(text: str, mark: str) -> Sequence[str]:
    """The pieces between marks outside parentheses, stripped; empty ones left out."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == mark and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece.strip() for piece in pieces if piece.strip()]
