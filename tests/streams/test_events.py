from __future__ import annotations

from everlearn.streams.drift import Change
from everlearn.streams.events import event_of, text_of
from everlearn.types import Example

BEFORE = [Example(prompt=f"Which loan for customer {n}?", completion=" a small loan") for n in range(20)]
AFTER = [Example(prompt=f"How long in the oven, tray {n}?", completion=" ten minutes", time="2024-05-01") for n in range(10)]


def test_an_event_says_in_words_what_came_and_what_went() -> None:
    event = event_of(Change(30, 20, "p-value", 1e-9, 1e-5), BEFORE, AFTER)
    assert (event.at, event.noticed, event.time) == (20, 30, "2024-05-01")
    assert "oven" in event.more
    assert "loan" in event.fewer
    assert "p-value 1e-09, threshold 1e-05" in event.sentence
    assert "(2024-05-01)" in event.sentence


def test_the_rows_most_unlike_before_are_shown_and_not_those_that_are_left_over() -> None:
    event = event_of(Change(33, 20, "ADWIN's bound", None, 1e-4), BEFORE, [*BEFORE[:3], *AFTER])
    assert len(event.unlike) == 3
    assert all("oven" in text for text in event.unlike)
    assert "ADWIN's bound beyond 0.0001" in event.sentence


def test_words_are_found_in_text_without_spaces_and_in_conversations() -> None:
    event = event_of(Change(10, 5, "p-value", 0.0, 1e-5), [Example(text="天气 很好")] * 9, [Example(text="火车晚点")] * 9)
    assert set(event.more) <= set("火车晚点")
    assert text_of(Example(messages=({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}))) == "Hi\nYes?"


def test_what_differs_by_chance_alone_is_not_named() -> None:
    event = event_of(Change(30, 20, "p-value", 1e-9, 1e-5), BEFORE, BEFORE[:10])
    assert (event.more, event.fewer) == ((), ())


def test_long_rows_are_shown_by_their_end() -> None:
    event = event_of(Change(2, 1, "p-value", 0.0, 1e-5), BEFORE, [Example(text="word " * 100 + "end")])
    assert event.unlike[0].startswith("…")
    assert event.unlike[0].endswith("word end")
    assert len(event.unlike[0]) == 100
