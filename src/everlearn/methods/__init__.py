"""One file per idea; every method by its name in the registry."""

from __future__ import annotations

from everlearn.methods.base import Method
from everlearn.methods.distill import Distill
from everlearn.methods.ewc import EWC
from everlearn.methods.l2 import L2
from everlearn.methods.l2_sp import L2SP
from everlearn.methods.replay import Replay

BY_NAME: dict[str, type[Method]] = {"distill": Distill, "ewc": EWC, "l2": L2, "l2_sp": L2SP, "replay": Replay}
