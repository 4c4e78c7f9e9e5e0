"""What others hear of a version: plain sentences, a command of the owner's, the trackers of accelerate."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from everlearn.errors import MissingExtra, SettingError, did_you_mean
from everlearn.versions.home import Home
from everlearn.versions.record import TaskScore, Version
from everlearn.versions.settings import HomeSettings

LONGEST = 600  # seconds that a command may run


def sentences(version: Version, told: Sequence[str] = ()) -> tuple[str, ...]:
    """What was learned, what was lost, and why it was accepted or refused. told: what the tests cannot show."""
    count = version.arrived.count if version.arrived else 0
    again = f" (attempt {version.attempt + 1})" if version.attempt else ""
    head = f"Version {version.number}{again} learned {count} {'row' if count == 1 else 'rows'} with {version.recipe}."
    new = [_went(name, of) for name, of in version.tasks.items() if of.new]
    lost = [_went(name, of) for name, of in version.tasks.items() if not of.new and (of.after or 0) < (of.before or 0)]
    kept = sum(1 for of in version.tasks.values() if not of.new) - len(lost)
    lines = [head]
    if new:
        lines.append("Learned: " + "; ".join(new) + ".")
    if lost:
        lines.append("Lost: " + "; ".join(lost[:8]) + (f"; and {len(lost) - 8} more." if len(lost) > 8 else "."))
    if kept and not lost:
        lines.append("Lost: nothing that was tested.")
    if (kl := version.measured.get("kl")) is not None:
        lines.append(f"On anchor text it moved {kl:.4f} nats a token.")
    lines.append(f"{'Accepted' if version.accepted else 'Refused'}: " + " ".join(version.reasons))
    return (*lines, *told)


def tell(home: Home, version: Version, settings: HomeSettings) -> None:
    """Send the numbers to the trackers and run the owner's command; what goes wrong there is logged, and changes nothing here."""
    try:
        tracked(home, version, settings)
    except Exception as problem:  # a tracker is somebody else's program, and the version is in service already
        home.log("track", version=version.id, problem=f"{type(problem).__name__}: {problem}")
    command = settings.notify.promoted if version.accepted else settings.notify.refused
    if not command:
        return
    try:
        done = subprocess.run(command, shell=True, cwd=home.folder, input=json.dumps(version.to_json()), text=True, capture_output=True, timeout=LONGEST)
        home.log("notify", version=version.id, command=command, code=done.returncode, said=(done.stdout + done.stderr)[-2000:])
    except (OSError, subprocess.TimeoutExpired) as problem:
        home.log("notify", version=version.id, command=command, problem=str(problem))


def tracked(home: Home, version: Version, settings: HomeSettings) -> None:
    """The version's numbers to every tracker that the settings name, at the version's number."""
    if not settings.track.with_:
        return
    check_trackers(settings.track.with_)
    accelerator = Accelerator(log_with=settings.track.with_, project_dir=str(home.folder / "tracked"))
    accelerator.init_trackers(settings.track.project)
    accelerator.log(numbers(version), step=version.number)
    accelerator.end_training()


def numbers(version: Version) -> dict[str, float]:
    """Everything of a version that is a number, by name."""
    found = {f"task/{name}": of.after for name, of in version.tasks.items()} | dict(version.measured) | {f"seconds/{k}": v for k, v in version.cost.items()}
    return {name: value for name, value in found.items() if value is not None} | {"accepted": float(version.accepted)}


def check_trackers(names: Sequence[str]) -> None:
    """Raise SettingError for a tracker that accelerate does not know, MissingExtra for one that is not installed."""
    known = [str(getattr(name, "value", name)) for name in LOGGER_TYPE_TO_CLASS]
    here = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    for name in names:
        if name not in known:
            raise SettingError(f"[track] with: there is no tracker {name!r}. {did_you_mean(name, known)}")
        if name not in here:
            raise MissingExtra(f"the tracker {name!r} is not installed, and everlearn.toml names it under [track]. Run pip install {name}.")


def _went(name: str, of: TaskScore) -> str:
    return f"{name} from {_percent(of.before)} to {_percent(of.after)} of {of.rows} rows"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
