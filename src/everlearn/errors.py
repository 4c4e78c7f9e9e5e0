"""The errors everlearn raises.

EverlearnError
├── DataError (ValueError)          a file, line or example that cannot be used
├── SettingError (ValueError)       a setting outside its range, an unknown name
├── ModelError (ValueError)         a model or tokenizer that cannot do what is asked
│   ├── Diverged                    learning broke the model
│   └── Unsuited                    what is asked is not for this kind of model
├── StateError (ValueError)         saved state that does not belong here
│   └── Busy                        another process is writing there
└── MissingExtra (ImportError)      a library that is installed as an extra
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EverlearnError(Exception):
    """Anything everlearn itself refuses."""


class DataError(EverlearnError, ValueError):
    """Data that cannot be used; the text says where."""


class SettingError(EverlearnError, ValueError):
    """A setting outside its range, or a name that does not exist."""


class ModelError(EverlearnError, ValueError):
    """A model or tokenizer that cannot do what is asked."""


class Diverged(ModelError):
    """A model that learning broke: its loss or its answers are no numbers any more."""


class Unsuited(ModelError):
    """Asked of a model that is not made for it, such as a conversation without a chat template: the question's fault, not the model's."""


class StateError(EverlearnError, ValueError):
    """Saved state that does not belong to this run or method."""


class Busy(StateError):
    """Another process is writing there; it will be over."""


class MissingExtra(EverlearnError, ImportError):
    """A library that comes with an extra and is not installed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The names that exist, the close ones first in a question.

    >>> did_you_mean("repaly", ["plain", "replay"])
    "Did you mean 'replay'? Known: plain, replay."
    """
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return (f"Did you mean {close[0]!r}? " if close else "") + f"Known: {', '.join(names)}."
