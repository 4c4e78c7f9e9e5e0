"""Every objective and every learner around the loop, by name."""

from __future__ import annotations

from everlearn.learn.base import Around
from everlearn.learn.objectives.base import Objective

OBJECTIVES: dict[str, type[Objective]] = {}

LEARNERS: dict[str, type[Around]] = {}
