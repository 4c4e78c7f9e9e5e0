"""Checks of the contracts, shipped so that your own methods can be held to them too.

from everlearn.checks import check_method
check_method(MyMethod)
"""

from __future__ import annotations

from everlearn.checks.evaluation import check_evaluation
from everlearn.checks.learners import LEARNER_CHECKS, check_learner
from everlearn.checks.methods import CHECKS, check_method, check_registry
from everlearn.checks.objectives import OBJECTIVE_CHECKS, check_objective, check_objectives

__all__ = [
    "CHECKS",
    "LEARNER_CHECKS",
    "OBJECTIVE_CHECKS",
    "check_evaluation",
    "check_learner",
    "check_method",
    "check_objective",
    "check_objectives",
    "check_registry",
]
