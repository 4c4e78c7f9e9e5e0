"""Many runs on many machines: the same work, each job a task of Ray's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from everlearn.errors import EverlearnError, MissingExtra, SettingError

Job = TypeVar("Job")
Made = TypeVar("Made")
RETRIES = 3  # of a job whose worker or machine died; what it had saved is gone on from


def on_ray(jobs: Sequence[Job], work: Callable[[Job], Made], address: str | None) -> Iterator[tuple[int, Made | EverlearnError]]:
    """Each job's place and what `work` makes of it, or what everlearn refused, in the order they end.

    work: a function that the workers can import.   address: of a running cluster, "auto" for that of this machine, None to start one here for the
    duration. A job takes one CPU, and one GPU where there are some. Raises SettingError where no cluster answers.
    """
    ray = _ray()
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None, logging_level="ERROR")
    except (ConnectionError, ValueError) as problem:
        why = str(problem).strip().splitlines()[0].rstrip(".")
        raise SettingError(f"no Ray cluster answers (address={address!r}): {why}. Start one with `ray start --head`, or leave the address out.") from problem
    try:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(work)
        pending = {task.remote(job): place for place, job in enumerate(jobs)}
        while pending:
            ended, _ = ray.wait(list(pending))
            yield pending.pop(ended[0]), _outcome(ray, ended[0])
    finally:
        ray.shutdown()


def _outcome(ray: Any, reference: object) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as problem:
        if isinstance(problem.cause, EverlearnError):
            return problem.cause
        raise


def _ray() -> Any:
    if find_spec("ray") is None:
        raise MissingExtra("ray is not installed, and engine='ray' needs it. Run pip install 'everlearn[cluster]'.")
    import ray

    return ray
