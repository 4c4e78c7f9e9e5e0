"""everlearn.toml: every setting of a home, explained where it stands."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from everlearn.disk import write_whole
from everlearn.errors import SettingError, did_you_mean
from everlearn.versions.gate import Rules

FILE = "everlearn.toml"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelTable(_Table):
    """How the model is loaded."""

    lora: Literal["auto", "off"] | int = Field(default="auto", description='adapters: "auto" (rank 16 from half a billion parameters on), "off", or a rank')
    dtype: Literal["float32", "bfloat16", "auto", "4bit", "8bit"] = Field(default="float32", description="of the weights in memory")
    device: str = Field(default="", description='such as "cuda:0"; empty takes the accelerator, if there is one')


class LearnTable(_Table):
    """How an update learns."""

    recipe: str = Field(default="keep_current", description="one run's methods, joined by +: `everlearn methods` lists them")
    rate: float = Field(default=2e-4, gt=0, description="AdamW's learning rate")
    passes: int = Field(default=3, ge=1, description="over the new rows")
    batch: int = Field(default=16, ge=1, description="new rows a step; remembered ones come on top")
    schedule: Literal["constant", "linear"] = Field(default="constant", description="of the rate within an update")
    warmup: float = Field(default=0.0, ge=0, le=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's")
    clip: float = Field(default=1.0, ge=0, description="largest gradient norm; 0 for none")
    micro_tokens: int = Field(default=16_384, ge=1, description="padded tokens in one forward pass: less memory, same results")
    precision: Literal["no", "bf16"] = Field(default="no", description='"bf16" computes in bfloat16 where the machine has it')
    activation_checkpointing: bool = Field(default=False, description="compute each block again in the backward pass: less memory, slower, same results")
    seed: int = Field(default=0, ge=0, description="of every random draw")
    save_every: float = Field(default=60.0, ge=0, description="seconds between savings from which a stopped update goes on; 0 saves after every step")


class TestTable(_Table):
    """What an update is measured on."""

    __test__ = False  # no test class, whatever pytest thinks of its name
    held_out: float = Field(default=0.1, gt=0, lt=0.9, description="share of the new rows kept from learning where an update brings no test rows")
    score: Literal["", "exact", "choice", "loss", "chrf", "bleu", "rouge", "ranking"] = Field(
        default="",
        description="of test rows from a file; empty: choice where there are choices, loss for plain text, exact for short answers, else chrf",
    )
    most_rows: int = Field(default=500, ge=1, description="most test rows kept of one task, the same ones at every update")
    anchor: str = Field(default="everlearn", description='text to measure the distance moved on: a file, "everlearn" (ours), or "off"')
    probes: bool = Field(default=False, description="also ask the skill and safety probes before and after each update")


class GateTable(_Table):
    """What an update must show to be promoted; "off" switches a rule off."""

    least_gain: float | Literal["off"] = Field(default=0.02, description="gain over all new test rows, 0 to 1")
    most_loss: float | Literal["off"] = Field(default=0.02, description="loss of any one earlier task, and of all together, 0 to 1")
    sure: float = Field(default=0.95, description="how sure a paired test must be before a gain passes or a loss blocks, 0.5 to 1")
    most_kl: float | Literal["off"] = Field(default="off", description="distance moved on anchor text, nats a token")
    most_perplexity: float | Literal["off"] = Field(default="off", description="perplexity on anchor text, times the start's")
    most_skill_loss: float | Literal["off"] = Field(default=0.1, description="loss of any skill or safety probe, 0 to 1 (with probes = true)")
    most_stale: float | Literal["off"] = Field(default=0.5, description="share of changed answers still given as before, 0 to 1")

    def rules(self) -> Rules:
        given: dict[str, Any] = {rule.name: getattr(self, rule.name) for rule in fields(Rules)}
        off: Any = None
        return Rules(**{name: off if value == "off" else value for name, value in given.items()})


class RetryTable(_Table):
    """What is tried again after a refusal."""

    attempts: int = Field(default=1, ge=0, le=10, description="further attempts, each from the version before the update")
    rate: float = Field(default=0.5, gt=0, le=1, description="factor on the learning rate at each")
    replay: float = Field(default=2.0, ge=1, le=10, description="factor on the share of remembered rows at each")
    minutes: float = Field(default=60.0, ge=0, description="no attempt starts later than this after the update began")


class KeepTable(_Table):
    """What a home keeps."""

    data: bool = Field(default=True, description="the rows of every update: to rebuild after `forget`, and to teach a newer base by `rebase`")
    refused: int = Field(default=5, ge=0, description="how many refused versions keep their weights at `gc`")
    promoted: int = Field(default=20, ge=1, description="how many accepted versions keep their weights at `gc`, the newest; the head always does")


class WatchTable(_Table):
    """How a folder is watched."""

    every: float = Field(default=5.0, gt=0, description="seconds between looks")
    settle: float = Field(default=2.0, ge=0, description="seconds for which a file must not have changed before it is taken")
    most_bad: float = Field(default=0.0, ge=0, le=1, description="share of a file's lines that may be bad")
    boundaries: str = Field(
        default="told",
        description='when files are learned: "told", each as it comes, or "embedding+every(tokens=20000)", when what they say changes or so much has gathered',
    )
    trusted: list[str] = Field(default=["*"], description="sources whose files are learned at once, * is any text; a file with another row waits in quarantine")


class NotifyTable(_Table):
    """A command to run after an update; it is given the version's JSON on standard input."""

    promoted: str = Field(default="", description='after a promotion, such as "curl -X POST --data @- http://localhost:8000/reload"')
    refused: str = Field(default="", description="after a refusal")


class TrackTable(_Table):
    """Where the numbers of every update also go."""

    with_: list[str] = Field(default=[], alias="with", description='accelerate\'s trackers by name: "tensorboard", "wandb", "mlflow", "trackio" ...')
    project: str = Field(default="everlearn", description="their name for this home")


class ServeTable(_Table):
    """How `everlearn serve` answers; a server reads it when it starts."""

    most_tokens: int = Field(default=1024, ge=1, description="of one answer")
    most_answers: int = Field(default=64, ge=1, description="to one request: its prompts times n; never more than `waiting`")
    most_bytes: int = Field(default=1_000_000, ge=1000, description="of one request's body")
    rate: int = Field(default=0, ge=0, description="requests a minute from one key, or from one address without keys; 0 for no limit")
    batch: int = Field(default=32, ge=1, description="answers of one version said at once")
    waiting: int = Field(default=256, ge=1, description="questions that may wait, and as many of each other thing; one more is told to come later")
    versions: int = Field(default=3, ge=2, description="versions held in memory at once")
    hosts: list[str] = Field(default=[], description="names under which clients reach it, beside those of this machine, such as models.example.org")
    origins: list[str] = Field(default=[], description="other web pages that may call it from a browser, such as https://example.org")
    trusted: list[str] = Field(
        default=[], description="what is learned without approval: feedback:NAME, upload:NAME for files dropped on a page, by the key's name; * is any text"
    )
    writers: list[str] = Field(
        default=[],
        description="names of the keys that may write and delete documents, roll back and start learning by the pages, * is any text; empty: nobody, but"
        " all who call on this machine without keys and without a proxy",
    )
    feedback_rows: int = Field(default=20, ge=1, description="rows of feedback that make a file of the inbox")
    feedback_minutes: float = Field(default=60.0, ge=0, description="after which fewer rows make one too")
    canary_share: float = Field(
        default=0.0, ge=0, le=0.9, description="of the requests to `latest`, answered by a newly promoted version at first; 0: all at once"
    )
    canary_answers: int = Field(default=200, ge=20, description="answers after which a new version that is no worse takes all")
    canary_worse: float = Field(default=0.05, ge=0, le=1, description="share of failed or corrected answers, above the version before, that rolls it back")


class HomeSettings(_Table):
    """All of everlearn.toml.

    >>> HomeSettings().gate.rules().most_loss
    0.02
    """

    model: ModelTable = ModelTable()
    learn: LearnTable = LearnTable()
    test: TestTable = TestTable()
    gate: GateTable = GateTable()
    retry: RetryTable = RetryTable()
    keep: KeepTable = KeepTable()
    watch: WatchTable = WatchTable()
    notify: NotifyTable = NotifyTable()
    track: TrackTable = TrackTable()
    serve: ServeTable = ServeTable()

    @classmethod
    def load(cls, path: Path) -> HomeSettings:
        """What the file says. Raises SettingError with every mistake, its place and what is allowed."""
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise SettingError(f"there are no settings (file={str(path)!r}). Restore the file; `everlearn init` writes it.") from None
        except (OSError, ValueError) as problem:
            raise SettingError(f"{path} is not TOML ({problem}). Text stands in quotes, in UTF-8. Correct it.") from problem
        return cls.of(given, str(path))

    @classmethod
    def of(cls, given: dict[str, Any], where: str) -> HomeSettings:
        """The settings in nested tables."""
        try:
            found = cls.model_validate(given)
            found.gate.rules()
        except ValidationError as problem:
            raise SettingError(f"{where} cannot be used: " + "; ".join(_mistake(dict(error)) for error in problem.errors()) + ".") from problem
        except SettingError as problem:
            raise SettingError(f"{where} cannot be used: {problem}") from problem
        return found

    def save(self, path: Path) -> None:
        """Write the file, every setting with what it means."""
        write_whole(path, self.text().encode())

    def text(self) -> str:
        """The file's text."""
        lines = ["# How this home teaches its model, and what an update must show. Changes count from the next update on."]
        for table, field in type(self).model_fields.items():
            values, about = getattr(self, table), field.annotation
            lines += ["", f"# {(about.__doc__ or '').strip()}" if about else "", f"[{table}]"]
            for name, one in type(values).model_fields.items():
                lines.append(f"{one.alias or name} = {json.dumps(getattr(values, name), ensure_ascii=False)}  # {one.description}")
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """What decides an update's numbers: all but what is told to others, and when files are looked for."""
        return {table: getattr(self, table).model_dump() for table in ("model", "learn", "test", "gate", "retry")}


def _mistake(error: dict[str, Any]) -> str:
    place = [str(part) for part in error["loc"] if not str(part).startswith(("literal", "function", "constrained"))]
    if error["type"] == "extra_forbidden":
        table = HomeSettings.model_fields.get(place[0])
        known = HomeSettings.model_fields if len(place) == 1 else getattr(table.annotation if table else None, "model_fields", {})
        what = f"there is no [{place[0]}]" if len(place) == 1 else f"[{place[0]}] has no {place[1]!r}"
        return f"{what}. {did_you_mean(place[-1], known)}".rstrip(".")
    return f"[{place[0]}] {' '.join(place[1:2])}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"
