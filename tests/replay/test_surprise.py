"""The buffer of surprises: what stays, how much of one source, what goes."""

from __future__ import annotations

from collections import Counter

from everlearn import Example
from everlearn.replay.surprise import Surprising


def offered(buffer: Surprising, source: str, surprises: list[float]) -> list[Example]:
    examples = [Example(text=f"{source}{n}", source=source) for n in range(len(surprises))]
    buffer.offer(examples, {e.id: nats for e, nats in zip(examples, surprises, strict=True)})
    return examples


def test_the_most_surprising_stay_over_many_offers() -> None:
    buffer = Surprising(3)
    for start in (0, 10, 20):
        offered(buffer, "a", [float((start + n * 7) % 29) for n in range(5)])
    assert len(buffer) == 3
    assert min(nats for nats, _ in buffer.kept.values()) >= 20


def test_one_source_fills_at_most_its_share_where_others_want_room() -> None:
    buffer = Surprising(10, most=0.6)
    offered(buffer, "loud", [9.0] * 20)
    assert len(buffer) == 10, "alone it may fill everything"
    offered(buffer, "calm", [1.0] * 20)
    assert Counter(e.source for e in buffer.examples()) == {"loud": 6, "calm": 4}
    few = Surprising(10, most=0.6)
    offered(few, "loud", [9.0] * 20)
    offered(few, "calm", [1.0] * 2)
    assert Counter(e.source for e in few.examples()) == {"loud": 8, "calm": 2}, "room that nobody wants is not left empty"


def test_what_is_held_keeps_the_surprise_it_came_with() -> None:
    buffer, example = Surprising(2), Example(text="a")
    buffer.offer([example], {example.id: 5.0})
    buffer.offer([example], {example.id: 0.1})
    assert buffer.kept[example.id][0] == 5.0


def test_a_newer_answer_replaces_the_older_and_deletion_deletes() -> None:
    old, new = Example(prompt="Mayor?", completion=" Ann"), Example(prompt="Mayor?", completion=" Bo")
    buffer = Surprising()
    buffer.offer([old], {old.id: 9.0})
    buffer.offer([new], {new.id: 1.0})
    assert buffer.examples() == [new]
    assert buffer.discard({new.id, "unknown"}) == 1
    assert new.id not in str(buffer.to_json())


def test_a_saved_buffer_goes_on() -> None:
    buffer, again = Surprising(4), Surprising(4)
    offered(buffer, "a", [3.0, 1.0, 2.0])
    again.load_json(buffer.to_json())
    for one in (buffer, again):
        offered(one, "b", [2.5, 0.5])
    assert again.to_json() == buffer.to_json()
