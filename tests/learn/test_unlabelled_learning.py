"""Methods on a stream that nobody has cut, in one pass: what happens between experiences happens at events."""

from __future__ import annotations

from random import Random

import pytest

from everlearn import Embedding, Example, RoutedAdapters, RowVectors, Settings, load_model, unlabelled
from everlearn.config import parse_methods

WORDS = {"bread": "bake the dough in a hot oven", "loans": "the bank will approve my loan"}


def rows() -> list[Example]:
    random = Random(0)
    return [Example(prompt=f"{words} {random.randrange(1000)}?", completion=" yes", id=f"{words}{n}") for words in WORDS.values() for n in range(110)]


@pytest.mark.parametrize("method", ["ewc(samples=8)", "replay(share=1)+distill(on=memory)", "merge", "routed_adapters(rank=2,features=256)"])
def test_a_method_learns_at_events_what_it_would_learn_at_told_boundaries(method: str) -> None:
    model = load_model("tiny")
    learner = parse_methods(method)[0].learner(Settings(passes=1, batch=32), 0)
    learner.prepare(model)
    signal, logs = RowVectors(model), []
    for experience in unlabelled(rows(), every=400, detector=Embedding(), signal=signal):
        logs.append(learner.learn(model, experience))
    assert [log.steps for log in logs] == [4, 4]  # 110 rows each, in one pass
    if isinstance(learner, RoutedAdapters):
        assert learner.learned == ["domain1", "domain2"]
