"""Scores on a model whose answers are set by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from everlearn import CausalModel, DataError, Example, Experience
from everlearn.evaluate.scores import Answer
from everlearn.evaluate.tasks import Task, answers, cell, same_facts, tasks_of


class Scripted:
    """A LanguageModel that says what it is told to."""

    def __init__(self, tiny: CausalModel, said: Sequence[str] = (), nats: Sequence[Sequence[float]] = ()) -> None:
        self.encoder, self.said, self.nats = tiny.encoder, list(said), [list(row) for row in nats]
        self.limit, self.lines = 0, False

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        self.limit, self.lines = limit, lines
        return self.said

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.nats


def row(completion: str, **more: object) -> Example:
    return Example(prompt=f"Q{completion}{sorted(more.items())}", completion=completion, **more)  # type: ignore[arg-type]


def test_exact_collapses_white_space_and_keeps_case(shared_tiny: CausalModel) -> None:
    model = Scripted(shared_tiny, ["New  Delhi", "new delhi", " New Delhi", ""])
    task = Task("t", tuple(row(" New Delhi", source=str(n)) for n in range(4)), "exact")
    assert [answer.value for answer in answers(model, task)] == [1, 0, 1, 0]  # type: ignore[arg-type]


def test_exact_leaves_eight_spare_tokens(shared_tiny: CausalModel) -> None:
    model = Scripted(shared_tiny, ["", ""])
    texts = (" 12", " violet copper jade honey")
    answers(model, Task("t", tuple(row(text) for text in texts), "exact"))  # type: ignore[arg-type]
    assert model.limit == max(map(len, shared_tiny.encoder.tokens(texts))) + 8


def test_exact_notes_the_old_answer(shared_tiny: CausalModel) -> None:
    model = Scripted(shared_tiny, ["Ann"])
    assert answers(model, Task("t", (row(" Bo", old_completion=" Ann"),), "exact"))[0] == Answer(0.0, "Ann", True)  # type: ignore[arg-type]


def test_choice_compares_per_byte(shared_tiny: CausalModel) -> None:
    """The longer answer is likelier per byte (-6/6 against -3/2), though less likely as a whole; Chinese counts three bytes a letter."""
    model = Scripted(shared_tiny, nats=[[-6.0, -3.0], [-6.0, -3.0]])
    task = Task("t", (row("北京", choices=("北京", "xy")), row("xy", choices=("北京", "xy"))), "choice")
    assert [(a.value, a.said) for a in answers(model, task)] == [(1.0, "北京"), (0.0, "北京")]  # type: ignore[arg-type]


def test_loss_is_kept_as_a_probability_per_byte(shared_tiny: CausalModel) -> None:
    model = Scripted(shared_tiny, nats=[[-12.0]])
    assert answers(model, Task("t", (Example(text="北京"),), "loss"))[0].value == pytest.approx(math.exp(-2.0))  # type: ignore[arg-type]


def test_loss_equals_the_sum_over_the_text_read_whole(shared_tiny: CausalModel) -> None:
    example = Example(text="Question: What is 7 plus 5?\nAnswer: 12")
    rows = shared_tiny.encoder.rows([example])
    learned = rows[0].learned[:-1]  # the end of text is not scored
    logits = shared_tiny.logits(shared_tiny.batch(rows)).logits.detach().log_softmax(1)
    wanted = sum(float(logits[place, rows[0].tokens[at]]) for place, at in enumerate(learned))
    assert shared_tiny.score([example], [[example.text or ""]])[0][0] == pytest.approx(wanted, rel=1e-5)


def test_a_row_past_its_until_counts_for_staleness_alone() -> None:
    task = Task("kept", (row(" a", until=2), row(" b")), "exact")
    given = [Answer(1.0, "a", False), Answer(0.0, "x", False)]
    assert cell(task, given, 1) == (0.5, None)
    assert cell(task, given, 2) == (0.0, 1.0)


def test_the_old_answer_is_stale_only_once_the_new_one_was_taught() -> None:
    task = Task("changed", (row(" new", old_completion=" old"),), "exact", learned=2, since=2)
    given = [Answer(0.0, "old", True)]
    assert [cell(task, given, number)[1] for number in (0, 1, 2, 3)] == [None, None, 1.0, 1.0]


def test_an_untaught_tasks_old_answers_are_stale_from_where_it_is_first_tested() -> None:
    stream = [Experience("1", (row(" p"),)), Experience("2", (row(" q"),), {"unseen": (row(" new", old_completion=" old"),)}, {"unseen": "exact"})]
    task = tasks_of(stream)[0]
    assert (task.learned, task.since) == (0, 2)
    assert [cell(task, [Answer(0.0, "old", True)], number)[1] for number in (0, 1, 2)] == [None, None, 1.0]


def test_the_model_is_shown_no_answer_no_task_and_no_source(shared_tiny: CausalModel) -> None:
    class Spy(Scripted):
        def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
            shown.extend(prompts)
            return [""] * len(prompts)

        def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
            shown.extend(prompts)
            return [[0.0] * len(given) for given in continuations]

    shown: list[Example] = []
    plain = row(" secret", task="secret", source="secret", old_completion=" secret", choices=(" secret", " x"), id="secret")
    chat = Example(messages=({"role": "user", "content": "hi"}, {"role": "assistant", "content": "secret"}), task="secret", id="secret2")
    for score, examples in (("exact", (plain, chat)), ("choice", (plain,)), ("loss", (plain, Example(text="secret", id="secret3")))):
        answers(Spy(shared_tiny), Task("secret", examples, score))  # type: ignore[arg-type]
    assert len(shown) == 5
    assert "secret" not in repr([(e.to_json() | {"prompt": ""}) for e in shown])


def test_an_answer_with_a_line_break_cannot_be_scored_exact() -> None:
    with pytest.raises(DataError, match="ends at a line break.*task='quiz'"):
        tasks_of([Experience("2021", (row(" p"),), {"quiz": (row(" one\n two"),)}, {"quiz": "exact"})])


def test_a_task_whose_rows_have_all_ended_has_no_score() -> None:
    assert cell(Task("t", (row(" a", until=1),), "exact"), [Answer(0.0, "b", False)], 1) == (None, 0.0)


def test_a_task_is_learned_where_its_first_training_rows_are() -> None:
    test = {"b": (row(" x", task="b"),)}
    stream = [Experience("1", (row(" p", task="a"),), test, {"b": "exact"}), Experience("2", (row(" q", task="b"),))]
    assert [(task.name, task.learned) for task in tasks_of(stream)] == [("b", 2)]


def test_the_same_task_in_two_experiences_is_one() -> None:
    shared = (row(" x"),)
    stream = [Experience(name, (row(" p"),), {"kept": shared}, {"kept": "exact"}) for name in ("1", "2")]
    assert [len(task.examples) for task in tasks_of(stream)] == [1]


def test_a_task_without_a_score_is_refused() -> None:
    with pytest.raises(DataError, match="task='quiz', experience='2021'.*exact, choice, loss"):
        tasks_of([Experience("2021", (row(" p"),), {"quiz": (row(" x"),)})])


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(DataError, match="score='bleurt'"):
        tasks_of([Experience("2021", (row(" p"),), {"quiz": (row(" x"),)}, {"quiz": "bleurt"})])  # type: ignore[dict-item]


def test_text_has_no_exact_answer() -> None:
    with pytest.raises(DataError, match="no answer.*task='quiz'"):
        tasks_of([Experience("2021", (row(" p"),), {"quiz": (Example(text="x"),)}, {"quiz": "exact"})])


def test_choices_must_hold_the_answer() -> None:
    with pytest.raises(DataError, match="choices"):
        tasks_of([Experience("2021", (row(" p"),), {"quiz": (row(" x", choices=(" y", " z")),)}, {"quiz": "choice"})])


def test_a_likelihood_says_nothing_of_stale_answers() -> None:
    task = Task("t", (row(" a", until=1), row(" b", old_completion=" c")), "loss")
    assert cell(task, [Answer(0.5, "", False), Answer(0.25, "", False)], 1) == (0.25, None)


def test_a_task_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no test rows .task='quiz', examples=0"):
        tasks_of([Experience("2021", (row(" p"),), {"quiz": ()}, {"quiz": "exact"})])


def test_phrasings_of_a_fact_of_the_almanac_ask_for_the_same() -> None:
    from everlearn.streams.almanac import Almanac, almanac_stream

    stream = almanac_stream(Almanac(facts=120, changed=10, appeared=5), periods=3, skills=30)
    facts = same_facts(tasks_of(stream.experiences))
    assert facts["unseen0"] == facts["kept"]
    assert facts["unseen2"] == facts["changed2"] + facts["new2"]
    assert not set(facts["changed1"]) & set(facts["kept"])  # what held before is another fact
    assert len(set(facts["skills"])) == 30
    assert not set(facts["skills"]) & set(facts["kept"])


def test_one_question_in_two_tasks_asks_for_the_same_and_else_every_row_for_its_own() -> None:
    p, q, other = (Example(prompt=prompt, completion=completion) for prompt, completion in ("px", "qy", "qz"))
    one, two = Task("a", (p, q), "exact"), Task("b", (other,), "exact")
    assert same_facts([one, two]) == {"a": (0, 1), "b": (1,)}
    assert same_facts([one]) == same_facts([]) == {}
    assert same_facts([Task("t", tuple(Example(text=text) for text in "uv"), "loss")]) == {}
