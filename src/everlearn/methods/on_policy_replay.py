"""On-policy replay: stored questions of the past, answered anew by the newest model."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random
from typing import Literal

from everlearn.errors import SettingError
from everlearn.methods.base import at_least
from everlearn.methods.replay import Replay, drawn, interleaved
from everlearn.methods.writing import answer_of, prompt_of
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Row, superseded


class OnPolicyReplay(Replay):
    """As replay, but what is rehearsed are the newest model's own answers to remembered questions, where they pass a filter; else the stored ones.

    On-Policy Replay (Chen et al. 2026, arXiv:2605.29495): prompts of the past, rolled out by the most recent checkpoint, those with the best reward
    learned as ordinary examples. Differs: one greedy answer a prompt; one that fails keeps its place with the stored answer, where the paper drops
    it; the past is a reservoir of all examples, of which a share of the tokens is drawn.

    keep: "equal" learns the model's answer where it is the stored one but for white space and closing marks; "likely" where the model
    finds it at least as likely a token as `confidence` (geometric mean), right or not.   share, rows, kind: as in replay.
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 64, "keep": "likely", "confidence": 0.0}
    shards = False
    family = "experience replay"
    paper = "Chen et al. 2026, arXiv:2605.29495"
    stores = "examples, at most `rows`"
    cost = "`share` more tokens a step, and answering them once an experience"

    def __init__(
        self,
        share: float = 0.5,
        rows: int | None = None,
        kind: Literal["reservoir", "balanced"] = "reservoir",
        keep: Literal["equal", "likely"] = "equal",
        confidence: float = 0.5,
    ) -> None:
        super().__init__(share, rows, kind)
        at_least("on_policy_replay confidence", confidence, 0, 1)
        if keep not in ("equal", "likely"):
            raise SettingError(f"on_policy_replay keep must be 'equal' or 'likely', got {keep!r}.")
        self.keep, self.confidence = keep, confidence

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        new = [row for row in rows if not row.from_memory]
        old = superseded(self.buffer.examples(), [row.example for row in new])
        if not self.share or not old:
            return rows
        wanted = drawn(model.encoder, old, self.share * sum(len(row.tokens) for row in new), random)
        asked = list({row.id: row for row in wanted}.values())
        said = {row.id: own for row, own in zip(asked, self._answered(model, asked), strict=True)}
        return interleaved(rows, [said[row.id] for row in wanted])

    def _answered(self, model: TrainedModel, rows: Sequence[Row]) -> list[Row]:
        """Each row with the model's own answer, where it passes; plain text, and conversations of many turns, stay as they are."""
        asked = [row for row in rows if _has_one_answer(row.example)]
        if not asked:
            return list(rows)
        limit = max(len(row.learned) for row in asked)
        answers = model.generate([row.example for row in asked], limit, lines=any("\n" in answer_of(row.example) for row in asked))
        own = [row.example.answered(answer) for row, answer in zip(asked, answers, strict=True)]
        passed = self._likely(model, own) if self.keep == "likely" else [_bare(e) == _bare(row.example) for row, e in zip(asked, own, strict=True)]
        taken = [example for example, right in zip(own, passed, strict=True) if right and answer_of(example).strip()]
        fresh = {prompt_of(row.example): row for row in model.encoder.rows(taken, from_memory=True)}
        return [fresh.get(prompt_of(row.example), row) if _has_one_answer(row.example) else row for row in rows]

    def _likely(self, model: TrainedModel, own: Sequence[Example]) -> list[bool]:
        nats = model.score(own, [[answer_of(e)] for e in own])
        tokens = model.encoder.tokens([answer_of(e) for e in own])
        return [exp(value / max(1, len(ids))) >= self.confidence for (value,), ids in zip(nats, tokens, strict=True)]


def _has_one_answer(example: Example) -> bool:
    if example.messages is not None:
        return [turn["role"] for turn in example.messages if turn["role"] != "system"] == ["user", "assistant"]
    return example.prompt is not None


def _bare(example: Example) -> str:
    """The answer without white space around or doubled, and without closing marks."""
    return " ".join(answer_of(example).split()).rstrip(" .!。！")
