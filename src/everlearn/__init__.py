"""everlearn keeps a language model current: it learns what is new and keeps what it knew.

from everlearn import compare
results = compare("almanac", methods="plain,keep_current", out="runs/almanac")
print(results.markdown())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from everlearn.version import VERSION as __version__

if TYPE_CHECKING:
    from everlearn.comparison import compare as compare
    from everlearn.errors import DataError as DataError
    from everlearn.errors import EverlearnError as EverlearnError
    from everlearn.errors import MissingExtra as MissingExtra
    from everlearn.errors import ModelError as ModelError
    from everlearn.errors import SettingError as SettingError
    from everlearn.errors import StateError as StateError
    from everlearn.evaluate.matrix import Matrix as Matrix
    from everlearn.evaluate.tasks import Answer as Answer
    from everlearn.evaluate.tasks import Task as Task
    from everlearn.learn.base import Learner as Learner
    from everlearn.learn.base import LearnLog as LearnLog
    from everlearn.learn.fit import fit as fit
    from everlearn.learn.gradient import Gradient as Gradient
    from everlearn.learn.objectives import Objective as Objective
    from everlearn.learn.objectives import Supervised as Supervised
    from everlearn.learn.settings import Settings as Settings
    from everlearn.methods import register as register
    from everlearn.methods.base import Method as Method
    from everlearn.methods.base import Step as Step
    from everlearn.methods.distill import Distill as Distill
    from everlearn.methods.ewc import EWC as EWC
    from everlearn.methods.l2 import L2 as L2
    from everlearn.methods.l2_sp import L2SP as L2SP
    from everlearn.methods.replay import Replay as Replay
    from everlearn.models.language import CausalModel as CausalModel
    from everlearn.models.language import LanguageModel as LanguageModel
    from everlearn.models.load import Lora as Lora
    from everlearn.models.load import load_model as load_model
    from everlearn.models.seq2seq import Seq2SeqModel as Seq2SeqModel
    from everlearn.models.weights import TrainedModel as TrainedModel
    from everlearn.results import Results as Results
    from everlearn.results import Run as Run
    from everlearn.streams.almanac import Almanac as Almanac
    from everlearn.streams.almanac import almanac_stream as almanac_stream
    from everlearn.streams.files import read_examples as read_examples
    from everlearn.streams.folder import load_stream as load_stream
    from everlearn.streams.folder import save_stream as save_stream
    from everlearn.types import Batch as Batch
    from everlearn.types import Example as Example
    from everlearn.types import Experience as Experience
    from everlearn.types import Out as Out
    from everlearn.types import Row as Row
    from everlearn.types import Stream as Stream

# Where each public name lives; loaded when first used, so that `everlearn --help` does not wait for PyTorch.
_HOMES = {
    "Almanac": "streams.almanac",
    "Answer": "evaluate.tasks",
    "Batch": "types",
    "CausalModel": "models.language",
    "DataError": "errors",
    "Distill": "methods.distill",
    "EWC": "methods.ewc",
    "EverlearnError": "errors",
    "Example": "types",
    "Experience": "types",
    "Gradient": "learn.gradient",
    "L2": "methods.l2",
    "L2SP": "methods.l2_sp",
    "LanguageModel": "models.language",
    "LearnLog": "learn.base",
    "Learner": "learn.base",
    "Lora": "models.load",
    "Matrix": "evaluate.matrix",
    "Method": "methods.base",
    "MissingExtra": "errors",
    "ModelError": "errors",
    "Objective": "learn.objectives",
    "Out": "types",
    "Replay": "methods.replay",
    "Results": "results",
    "Row": "types",
    "Run": "results",
    "Seq2SeqModel": "models.seq2seq",
    "SettingError": "errors",
    "Settings": "learn.settings",
    "StateError": "errors",
    "Step": "methods.base",
    "Stream": "types",
    "Supervised": "learn.objectives",
    "Task": "evaluate.tasks",
    "TrainedModel": "models.weights",
    "almanac_stream": "streams.almanac",
    "compare": "comparison",
    "fit": "learn.fit",
    "load_model": "models.load",
    "load_stream": "streams.folder",
    "read_examples": "streams.files",
    "register": "methods",
    "save_stream": "streams.folder",
}
__all__ = sorted((*_HOMES, "__version__"))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'everlearn' has no attribute {name!r}")
    return getattr(import_module(f"everlearn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
