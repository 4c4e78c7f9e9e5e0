"""The packaged model: small, and it knows its world."""

from __future__ import annotations

from everlearn import CausalModel, almanac_stream
from everlearn.evaluate.tasks import answers, tasks_of
from everlearn.models.load import TINY


def test_it_has_about_a_million_parameters_in_at_most_six_megabytes() -> None:
    from everlearn import load_model

    assert 0.8e6 < sum(weight.numel() for weight in load_model("tiny").trained().values()) < 1.2e6
    assert sum(path.stat().st_size for path in TINY.glob("*.safetensors")) <= 6_000_000


def test_it_recalls_98_percent_in_seen_and_90_in_unseen_phrasings(shared_tiny: CausalModel) -> None:
    tasks = {task.name: task for task in tasks_of(almanac_stream(periods=1).experiences)}
    share = {name: sum(a.value for a in answers(shared_tiny, tasks[name])) / len(tasks[name].examples) for name in ("kept", "unseen0", "skills")}
    assert len(tasks["skills"].examples) >= 1000
    assert share["kept"] >= 0.98
    assert share["unseen0"] >= 0.90
    assert share["skills"] >= 0.95
