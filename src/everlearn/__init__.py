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
    from everlearn.data_check.check import ForModel as ForModel
    from everlearn.data_check.check import check_data as check_data
    from everlearn.errors import Busy as Busy
    from everlearn.errors import DataError as DataError
    from everlearn.errors import Diverged as Diverged
    from everlearn.errors import EverlearnError as EverlearnError
    from everlearn.errors import MissingExtra as MissingExtra
    from everlearn.errors import ModelError as ModelError
    from everlearn.errors import SettingError as SettingError
    from everlearn.errors import StateError as StateError
    from everlearn.evaluate.divergence import Anchor as Anchor
    from everlearn.evaluate.divergence import Divergence as Divergence
    from everlearn.evaluate.harness import harness as harness
    from everlearn.evaluate.matrix import Matrix as Matrix
    from everlearn.evaluate.probes import probe as probe
    from everlearn.evaluate.scores import Answer as Answer
    from everlearn.evaluate.tasks import Task as Task
    from everlearn.evaluation import evaluate_model as evaluate_model
    from everlearn.importing.found import Imported as Imported
    from everlearn.importing.matrices import import_matrix as import_matrix
    from everlearn.importing.matrices import import_results as import_results
    from everlearn.importing.matrices import import_runs as import_runs
    from everlearn.importing.shape import Given as Given
    from everlearn.learn.base import Learner as Learner
    from everlearn.learn.base import LearnLog as LearnLog
    from everlearn.learn.codebook import Codebook as Codebook
    from everlearn.learn.consolidate import Consolidate as Consolidate
    from everlearn.learn.fit import fit as fit
    from everlearn.learn.gradient import Gradient as Gradient
    from everlearn.learn.knn_lm import KNNLM as KNNLM
    from everlearn.learn.objectives.base import Objective as Objective
    from everlearn.learn.objectives.base import Supervised as Supervised
    from everlearn.learn.objectives.grpo import GRPO as GRPO
    from everlearn.learn.objectives.preference import Preference as Preference
    from everlearn.learn.objectives.rejection import Rejection as Rejection
    from everlearn.learn.objectives.self_distill import SelfDistill as SelfDistill
    from everlearn.learn.recover import Recover as Recover
    from everlearn.learn.retrieval import Retrieval as Retrieval
    from everlearn.learn.routed_adapters import RoutedAdapters as RoutedAdapters
    from everlearn.learn.settings import Settings as Settings
    from everlearn.memory.embedding import ModelEmbedder as ModelEmbedder
    from everlearn.memory.embedding import SentenceEmbedder as SentenceEmbedder
    from everlearn.memory.passages import Passage as Passage
    from everlearn.memory.retrieval import RetrievalModel as RetrievalModel
    from everlearn.memory.store import DatedStore as DatedStore
    from everlearn.methods import register as register
    from everlearn.methods.agem import AGEM as AGEM
    from everlearn.methods.average import Average as Average
    from everlearn.methods.base import Method as Method
    from everlearn.methods.base import Step as Step
    from everlearn.methods.der import DER as DER
    from everlearn.methods.distill import Distill as Distill
    from everlearn.methods.ewc import EWC as EWC
    from everlearn.methods.expand import Expand as Expand
    from everlearn.methods.finch import Finch as Finch
    from everlearn.methods.fisher_mask import FisherMask as FisherMask
    from everlearn.methods.generative_replay import GenerativeReplay as GenerativeReplay
    from everlearn.methods.inf_lora import InfLoRA as InfLoRA
    from everlearn.methods.kl_budget import KLBudget as KLBudget
    from everlearn.methods.l2 import L2 as L2
    from everlearn.methods.l2_sp import L2SP as L2SP
    from everlearn.methods.la_maml import LaMAML as LaMAML
    from everlearn.methods.magnitude_mask import MagnitudeMask as MagnitudeMask
    from everlearn.methods.mas import MAS as MAS
    from everlearn.methods.merge import Merge as Merge
    from everlearn.methods.migu import MIGU as MIGU
    from everlearn.methods.mir import MIR as MIR
    from everlearn.methods.mofo import MoFO as MoFO
    from everlearn.methods.movement import Movement as Movement
    from everlearn.methods.o_lora import OLoRA as OLoRA
    from everlearn.methods.on_policy_replay import OnPolicyReplay as OnPolicyReplay
    from everlearn.methods.packnet import PackNet as PackNet
    from everlearn.methods.replay import Replay as Replay
    from everlearn.methods.reptile import Reptile as Reptile
    from everlearn.methods.schedules import WSD as WSD
    from everlearn.methods.schedules import Autoregressive as Autoregressive
    from everlearn.methods.schedules import Rewarm as Rewarm
    from everlearn.methods.schedules import RSqrt as RSqrt
    from everlearn.methods.si import SI as SI
    from everlearn.methods.slao import SLAO as SLAO
    from everlearn.methods.sparse_memory import SparseMemory as SparseMemory
    from everlearn.methods.subspace import Subspace as Subspace
    from everlearn.models.adapters import Lora as Lora
    from everlearn.models.language import CausalModel as CausalModel
    from everlearn.models.language import LanguageModel as LanguageModel
    from everlearn.models.load import load_model as load_model
    from everlearn.models.seq2seq import Seq2SeqModel as Seq2SeqModel
    from everlearn.models.signals import RowLosses as RowLosses
    from everlearn.models.signals import RowVectors as RowVectors
    from everlearn.models.signals import token_counter as token_counter
    from everlearn.models.weights import TrainedModel as TrainedModel
    from everlearn.plan import Planned as Planned
    from everlearn.plan import RunPlan as RunPlan
    from everlearn.plan import plan_runs as plan_runs
    from everlearn.report.page import write_report as write_report
    from everlearn.results import Results as Results
    from everlearn.results import Run as Run
    from everlearn.scorecard import Scorecard as Scorecard
    from everlearn.streams.almanac import Almanac as Almanac
    from everlearn.streams.almanac import almanac_stream as almanac_stream
    from everlearn.streams.benchmarks import load_benchmark as load_benchmark
    from everlearn.streams.chunks import by_rows as by_rows
    from everlearn.streams.chunks import by_time as by_time
    from everlearn.streams.chunks import by_tokens as by_tokens
    from everlearn.streams.chunks import folder_rows as folder_rows
    from everlearn.streams.chunks import tail_rows as tail_rows
    from everlearn.streams.drift import ADWIN as ADWIN
    from everlearn.streams.drift import KSWIN as KSWIN
    from everlearn.streams.drift import Change as Change
    from everlearn.streams.drift import Detector as Detector
    from everlearn.streams.drift import Embedding as Embedding
    from everlearn.streams.drift import PageHinkley as PageHinkley
    from everlearn.streams.events import Event as Event
    from everlearn.streams.files import read_examples as read_examples
    from everlearn.streams.folder import load_stream as load_stream
    from everlearn.streams.folder import save_stream as save_stream
    from everlearn.streams.hub import read_hub as read_hub
    from everlearn.streams.unlabelled import unlabelled as unlabelled
    from everlearn.types import Batch as Batch
    from everlearn.types import Example as Example
    from everlearn.types import Experience as Experience
    from everlearn.types import Out as Out
    from everlearn.types import Row as Row
    from everlearn.types import Stream as Stream
    from everlearn.upkeep.arriving import TestSet as TestSet
    from everlearn.upkeep.beginning import create_home as create_home
    from everlearn.upkeep.collecting import Collected as Collected
    from everlearn.upkeep.collecting import gc as gc
    from everlearn.upkeep.differing import diff as diff
    from everlearn.upkeep.exporting import export as export
    from everlearn.upkeep.forget import Forgotten as Forgotten
    from everlearn.upkeep.forget import forget as forget
    from everlearn.upkeep.opening import Opened as Opened
    from everlearn.upkeep.opening import open_version as open_version
    from everlearn.upkeep.proof import traces as traces
    from everlearn.upkeep.rebase import rebase as rebase
    from everlearn.upkeep.update import update as update
    from everlearn.upkeep.watch import Taken as Taken
    from everlearn.upkeep.watch import approve as approve
    from everlearn.upkeep.watch import watch as watch
    from everlearn.versions.difference import VersionDifference as VersionDifference
    from everlearn.versions.gate import Decision as Decision
    from everlearn.versions.gate import Evidence as Evidence
    from everlearn.versions.gate import Paired as Paired
    from everlearn.versions.gate import Rules as Rules
    from everlearn.versions.gate import decide as decide
    from everlearn.versions.home import Home as Home
    from everlearn.versions.record import Version as Version
    from everlearn.versions.settings import HomeSettings as HomeSettings

# Where each public name lives; loaded when first used, so that `everlearn --help` does not wait for PyTorch.
_NAMES = {  # by module, so that a name loads no more than it needs
    "comparison": "compare",
    "data_check.check": "ForModel check_data",
    "errors": "Busy DataError Diverged EverlearnError MissingExtra ModelError SettingError StateError",
    "evaluate.divergence": "Anchor Divergence",
    "evaluate.harness": "harness",
    "evaluate.matrix": "Matrix",
    "evaluate.probes": "probe",
    "evaluate.scores": "Answer",
    "evaluate.tasks": "Task",
    "evaluation": "evaluate_model",
    "importing.found": "Imported",
    "importing.matrices": "import_matrix import_results import_runs",
    "importing.shape": "Given",
    "learn.base": "LearnLog Learner",
    "learn.codebook": "Codebook",
    "learn.consolidate": "Consolidate",
    "learn.fit": "fit",
    "learn.gradient": "Gradient",
    "learn.knn_lm": "KNNLM",
    "learn.objectives.base": "Objective Supervised",
    "learn.objectives.grpo": "GRPO",
    "learn.objectives.preference": "Preference",
    "learn.objectives.rejection": "Rejection",
    "learn.objectives.self_distill": "SelfDistill",
    "learn.recover": "Recover",
    "learn.retrieval": "Retrieval",
    "learn.routed_adapters": "RoutedAdapters",
    "learn.settings": "Settings",
    "memory.embedding": "ModelEmbedder SentenceEmbedder",
    "memory.passages": "Passage",
    "memory.retrieval": "RetrievalModel",
    "memory.store": "DatedStore",
    "methods": "register",
    "methods.agem": "AGEM",
    "methods.average": "Average",
    "methods.base": "Method Step",
    "methods.der": "DER",
    "methods.distill": "Distill",
    "methods.ewc": "EWC",
    "methods.expand": "Expand",
    "methods.finch": "Finch",
    "methods.fisher_mask": "FisherMask",
    "methods.generative_replay": "GenerativeReplay",
    "methods.inf_lora": "InfLoRA",
    "methods.kl_budget": "KLBudget",
    "methods.l2": "L2",
    "methods.l2_sp": "L2SP",
    "methods.la_maml": "LaMAML",
    "methods.magnitude_mask": "MagnitudeMask",
    "methods.mas": "MAS",
    "methods.merge": "Merge",
    "methods.migu": "MIGU",
    "methods.mir": "MIR",
    "methods.mofo": "MoFO",
    "methods.movement": "Movement",
    "methods.o_lora": "OLoRA",
    "methods.on_policy_replay": "OnPolicyReplay",
    "methods.packnet": "PackNet",
    "methods.replay": "Replay",
    "methods.reptile": "Reptile",
    "methods.schedules": "Autoregressive RSqrt Rewarm WSD",
    "methods.si": "SI",
    "methods.slao": "SLAO",
    "methods.sparse_memory": "SparseMemory",
    "methods.subspace": "Subspace",
    "models.adapters": "Lora",
    "models.language": "CausalModel LanguageModel",
    "models.load": "load_model",
    "models.seq2seq": "Seq2SeqModel",
    "models.signals": "RowLosses RowVectors token_counter",
    "models.weights": "TrainedModel",
    "plan": "Planned RunPlan plan_runs",
    "report.page": "write_report",
    "results": "Results Run",
    "scorecard": "Scorecard",
    "streams.almanac": "Almanac almanac_stream",
    "streams.benchmarks": "load_benchmark",
    "streams.chunks": "by_rows by_time by_tokens folder_rows tail_rows",
    "streams.drift": "ADWIN Change Detector Embedding KSWIN PageHinkley",
    "streams.events": "Event",
    "streams.files": "read_examples",
    "streams.folder": "load_stream save_stream",
    "streams.hub": "read_hub",
    "streams.unlabelled": "unlabelled",
    "types": "Batch Example Experience Out Row Stream",
    "upkeep.arriving": "TestSet",
    "upkeep.beginning": "create_home",
    "upkeep.collecting": "Collected gc",
    "upkeep.differing": "diff",
    "upkeep.exporting": "export",
    "upkeep.forget": "Forgotten forget",
    "upkeep.opening": "Opened open_version",
    "upkeep.proof": "traces",
    "upkeep.rebase": "rebase",
    "upkeep.update": "update",
    "upkeep.watch": "Taken approve watch",
    "versions.difference": "VersionDifference",
    "versions.gate": "Decision Evidence Paired Rules decide",
    "versions.home": "Home",
    "versions.record": "Version",
    "versions.settings": "HomeSettings",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted((*_HOMES, "__version__"))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'everlearn' has no attribute {name!r}")
    return getattr(import_module(f"everlearn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
