"""Every objective and every learner around the loop, by name."""

from __future__ import annotations

from everlearn.learn.base import Around
from everlearn.learn.codebook import Codebook
from everlearn.learn.consolidate import Consolidate
from everlearn.learn.knn_lm import KNNLM
from everlearn.learn.objectives.base import Objective
from everlearn.learn.objectives.grpo import GRPO
from everlearn.learn.objectives.preference import Preference
from everlearn.learn.objectives.rejection import Rejection
from everlearn.learn.objectives.self_distill import SelfDistill
from everlearn.learn.recover import Recover
from everlearn.learn.retrieval import Retrieval
from everlearn.learn.routed_adapters import RoutedAdapters

OBJECTIVES: dict[str, type[Objective]] = {
    "dpo": Preference,
    "grpo": GRPO,
    "rejection": Rejection,
    "self_distill": SelfDistill,
}

LEARNERS: dict[str, type[Around]] = {
    "codebook": Codebook,
    "consolidate": Consolidate,
    "knn_lm": KNNLM,
    "recover": Recover,
    "retrieval": Retrieval,
    "routed_adapters": RoutedAdapters,
}
