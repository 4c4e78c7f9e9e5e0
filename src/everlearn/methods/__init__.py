"""One file per idea; every method by its name in the registry."""

from __future__ import annotations

from everlearn.errors import SettingError
from everlearn.methods.agem import AGEM
from everlearn.methods.average import Average
from everlearn.methods.base import Method
from everlearn.methods.der import DER
from everlearn.methods.distill import Distill
from everlearn.methods.ewc import EWC
from everlearn.methods.expand import Expand
from everlearn.methods.finch import Finch
from everlearn.methods.fisher_mask import FisherMask
from everlearn.methods.generative_replay import GenerativeReplay
from everlearn.methods.inf_lora import InfLoRA
from everlearn.methods.kl_budget import KLBudget
from everlearn.methods.l2 import L2
from everlearn.methods.l2_sp import L2SP
from everlearn.methods.la_maml import LaMAML
from everlearn.methods.magnitude_mask import MagnitudeMask
from everlearn.methods.mas import MAS
from everlearn.methods.merge import Merge
from everlearn.methods.migu import MIGU
from everlearn.methods.mir import MIR
from everlearn.methods.mofo import MoFO
from everlearn.methods.movement import Movement
from everlearn.methods.o_lora import OLoRA
from everlearn.methods.on_policy_replay import OnPolicyReplay
from everlearn.methods.packnet import PackNet
from everlearn.methods.replay import Replay
from everlearn.methods.reptile import Reptile
from everlearn.methods.schedules import WSD, Autoregressive, Rewarm, RSqrt
from everlearn.methods.si import SI
from everlearn.methods.slao import SLAO
from everlearn.methods.sparse_memory import SparseMemory
from everlearn.methods.subspace import Subspace

BY_NAME: dict[str, type[Method]] = {
    "agem": AGEM,
    "autoregressive": Autoregressive,
    "average": Average,
    "der": DER,
    "distill": Distill,
    "ewc": EWC,
    "expand": Expand,
    "finch": Finch,
    "fisher_mask": FisherMask,
    "generative_replay": GenerativeReplay,
    "inf_lora": InfLoRA,
    "kl_budget": KLBudget,
    "l2": L2,
    "l2_sp": L2SP,
    "la_maml": LaMAML,
    "magnitude_mask": MagnitudeMask,
    "mas": MAS,
    "merge": Merge,
    "migu": MIGU,
    "mir": MIR,
    "mofo": MoFO,
    "movement": Movement,
    "o_lora": OLoRA,
    "on_policy_replay": OnPolicyReplay,
    "packnet": PackNet,
    "replay": Replay,
    "reptile": Reptile,
    "rewarm": Rewarm,
    "rsqrt": RSqrt,
    "si": SI,
    "slao": SLAO,
    "sparse_memory": SparseMemory,
    "subspace": Subspace,
    "wsd": WSD,
}


def register(name: str, method: type[Method]) -> None:
    """Make a method of your own known by name, so that `compare` and the command line's text can use it in this process.

    Its settings are its constructor's, with annotations. Raises SettingError for a name that is taken or no name.

    >>> from everlearn import L2, register
    >>> register("l2", L2)
    Traceback (most recent call last):
    everlearn.errors.SettingError: the method's name must be new and a plain word, got 'l2'. Choose another.
    """
    if name in BY_NAME or name in ("plain", "joint", "frozen", "settings", "keep_current") or not name.isidentifier():
        raise SettingError(f"the method's name must be new and a plain word, got {name!r}. Choose another.")
    BY_NAME[name] = method
