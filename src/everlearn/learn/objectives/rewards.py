"""Rewards: a number for an answer; built in, or a Python function of yours by its place."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from math import isfinite
from pathlib import Path

from everlearn.errors import SettingError, did_you_mean
from everlearn.types import Example

# The example, with what is right, and what was answered, to a number: higher is better.
Reward = Callable[[Example, str], float]


def exact(example: Example, answer: str) -> float:
    """1 where the answer is the given one but for white space around and doubled, else 0."""
    return float(" ".join(answer.split()) == " ".join(given(example).split()))


def contains(example: Example, answer: str) -> float:
    """1 where the given answer stands somewhere in what was said, white space collapsed, else 0."""
    return float(" ".join(given(example).split()) in " ".join(answer.split()))


BUILT_IN: dict[str, Reward] = {"contains": contains, "exact": exact}


def given(example: Example) -> str:
    """The answer the example came with."""
    return example.messages[-1]["content"] if example.messages is not None else example.completion or ""


def reward_of(name: str) -> Reward:
    """A built-in reward, or the function at "package.module:function" or "folder/file.py:function".

    >>> reward_of("exact")(Example(prompt="2 + 2 =", completion=" 4"), "4")
    1.0
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    place, colon, function = name.rpartition(":")
    if not colon or not place:
        raise SettingError(f"there is no reward {name!r}. {did_you_mean(name, BUILT_IN)} Or name a function of yours as 'file.py:function'.")
    try:
        found = getattr(_module(place), function)
    except (ImportError, AttributeError, OSError, SyntaxError) as problem:
        raise SettingError(f"the reward could not be loaded (reward={name!r}): {problem}. Give 'package.module:function' or 'file.py:function'.") from problem
    if not callable(found):
        raise SettingError(f"the reward is no function (reward={name!r}). Give one that takes an Example and a text and returns a number.")
    return lambda example, answer: _number(found(example, answer), name)


def _module(place: str) -> object:
    if not place.endswith(".py"):
        return import_module(place)
    spec = spec_from_file_location(Path(place).stem, place)
    if spec is None or spec.loader is None or not Path(place).is_file():
        raise ImportError(f"no file {place!r}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _number(value: object, name: str) -> float:
    if not isinstance(value, int | float) or not isfinite(value):
        raise SettingError(f"a reward must be a finite number, got {value!r} (reward={name!r}). Return 0 for an answer that cannot be judged.")
    return float(value)
