"""How the loop learns: rate, passes, sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from everlearn.errors import SettingError


@dataclass(frozen=True, slots=True)
class Settings:
    """How the loop learns one experience.

    rate: AdamW's peak learning rate, > 0.   passes: over the new rows, >= 1.   batch: new rows a step, >= 1; remembered rows come on top, so
    steps are equal for all methods.   schedule: the rate's course within an experience.   warmup: share of the steps with a rising rate.
    clip: largest gradient norm, 0 for none.   micro_tokens: padded tokens in one forward pass (memory, not results).
    precision: "bf16" computes in bfloat16 where the machine has it; weights keep their type.   activation_checkpointing: compute each block again in
    the backward pass instead of keeping what it made (less memory, a forward pass more, equal results).
    """

    rate: float = 2e-4
    passes: int = 3
    batch: int = 16
    schedule: Literal["constant", "linear"] = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    micro_tokens: int = 16_384
    precision: Literal["no", "bf16"] = "no"
    activation_checkpointing: bool = False

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be {allowed}, got {getattr(self, name)!r}"
            for name, allowed, right in (
                ("rate", "above 0", self.rate > 0),
                ("passes", "at least 1", self.passes >= 1),
                ("batch", "at least 1", self.batch >= 1),
                ("schedule", "'constant' or 'linear'", self.schedule in ("constant", "linear")),
                ("warmup", "between 0 and 1", 0 <= self.warmup <= 1),
                ("weight_decay", "at least 0", self.weight_decay >= 0),
                ("clip", "at least 0", self.clip >= 0),
                ("micro_tokens", "at least 1", self.micro_tokens >= 1),
                ("precision", "'no' or 'bf16'", self.precision in ("no", "bf16")),
            )
            if not right
        ]
        if wrong:
            raise SettingError("; ".join(wrong) + ".")

    def steps(self, rows: int) -> int:
        """Optimizer steps for an experience of this many new rows.

        >>> Settings(passes=3, batch=16).steps(40)
        9
        """
        return self.passes * -(-rows // self.batch)

    def factor(self, number: int, total: int) -> float:
        """The schedule's factor on the rate at step `number` of `total`, from 1."""
        rising = min(1.0, number / (self.warmup * total)) if self.warmup else 1.0
        return rising * (1.0 if self.schedule == "constant" else (total - number + 1) / total)
