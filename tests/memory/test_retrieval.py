"""Retrieval: what is written is read, by date and with its source; what is not near changes nothing."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from everlearn import DataError, Example, Experience, Gradient, MissingExtra, Replay, Retrieval, RetrievalModel, SettingError, Settings, StateError, load_model
from everlearn.learn.bounds import Frozen
from everlearn.memory.embedding import SentenceEmbedder, embedder_of
from everlearn.memory.lexicon import Lexicon
from everlearn.memory.passages import Found, Passage
from everlearn.memory.reading import answered_in, asked_in, chosen, example_of, passage_of, states, with_passages


def asks(town: str, river: str, year: str, form: str = "What is the river of {}?") -> Example:
    return Example(prompt=f"Question: {form.format(town)}\nAnswer:", completion=f" {river}", time=year, source=f"atlas {year}")


OLD = (asks("Penwick", "Brue", "2020"), asks("Hartbury", "Itchen", "2020"), asks("Longhaven", "Lune", "2020"))
NEW = (asks("Penwick", "Tamar", "2024", "{}'s river is what?"),)
LATER = "Tell me the river of {}."
SUMS = [Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}") for n in range(2, 8)]


def learned(**given: object) -> tuple[Retrieval, RetrievalModel]:
    learner = Retrieval(**given)  # type: ignore[arg-type]
    learner.around(Frozen())
    model = load_model("tiny")
    served = learner.prepare(model)
    for name, rows in (("old", OLD), ("new", NEW)):
        learner.learn(model, Experience(name, rows))
    return learner, served


@pytest.fixture(scope="module")
def both() -> tuple[Retrieval, RetrievalModel]:
    return learned()


def test_each_date_has_its_answer_in_words_never_written_and_cites_its_source(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    question = asks("Penwick", "", "", LATER)
    then = served.at("2021-06-01")
    assert (served.generate([question], 4), then.generate([question], 4)) == ([" Tamar"], [" Brue"])
    assert ([f.passage.source for f in served.cited([question])[0]], [f.passage.source for f in then.cited([question])[0]]) == (["atlas 2024"], ["atlas 2020"])
    assert served.at("2019").cited([question]) == [[]]


def test_what_is_not_near_is_answered_bit_for_bit_as_before(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    plain = load_model("tiny")
    rows = [*SUMS, asks("Ashford", "Brue", "", LATER), Example(text="The river of Penwick is Brue.")]
    assert served.cited(rows) == [[] for _ in rows]
    assert served.score(rows, [["x"] for _ in rows]) == plain.score(rows, [["x"] for _ in rows])
    encoded = plain.encoder.rows(SUMS)
    assert (served.logits(served.batch(encoded)).logits == plain.logits(plain.batch(encoded)).logits).all()


def test_scores_and_logits_read_the_passage_too(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    row = asks("Penwick", "Tamar", "", LATER)
    (nats,) = served.score([row], [[" Tamar", " Brue"]])
    assert nats[0] > nats[1] + 1
    batch = served.batch(served.encoder.rows([row]))
    assert served.logits(batch).logits.argmax(1)[0] == batch.targets[0]


def test_a_mixed_batch_is_answered_row_by_row(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    rows = [SUMS[0], asks("Hartbury", " Itchen", "", LATER), SUMS[1], asks("Penwick", " Tamar", "", LATER)]
    assert served.generate(rows, 4) == [" 7", " Itchen", " 8", " Tamar"]


def test_a_deleted_source_is_not_cited_and_the_older_fact_holds_again() -> None:
    learner, served = learned()
    assert learner.delete(source="atlas 2024") == 1
    assert served.generate([asks("Penwick", "", "", LATER)], 4) == [" Brue"]


def test_what_is_served_outlives_its_learner_and_takes_its_folder_along() -> None:
    learner, served = learned()
    folder = Path(learner.store.uri)
    del learner
    gc.collect()
    assert served.generate([asks("Penwick", "", "", LATER)], 4) == [" Tamar"]
    del served
    gc.collect()
    assert not folder.exists()


def test_runs_with_one_address_have_a_store_each_that_stays(tmp_path: Path) -> None:
    (one, _), (other, _) = learned(store=str(tmp_path)), learned(store=f"{tmp_path}/")
    assert one.store.uri != other.store.uri
    assert {len(one.store), len(other.store)} == {len(OLD) + len(NEW)}
    places = [Path(learner.store.uri) for learner in (one, other)]
    del one, other
    gc.collect()
    assert [place.parent == tmp_path and place.is_dir() for place in places] == [True, True]


def test_a_state_comes_back_and_another_is_refused(both: tuple[Retrieval, RetrievalModel]) -> None:
    learner, served = both
    other = Retrieval()
    other.around(Frozen())
    again = other.prepare(load_model("tiny"))
    other.load(learner.state())
    rows = [asks("Penwick", " Tamar", "", LATER), *SUMS]
    assert again.score(rows, [[" Tamar"]] * len(rows)) == served.score(rows, [[" Tamar"]] * len(rows))
    with pytest.raises(StateError, match=r"no retrieval's .keys=.'x'"):
        other.load({"x": 1})


def test_around_learning_weights_passages_are_found_by_the_new_weights() -> None:
    learner = Retrieval()
    learner.around(Gradient([Replay(share=1)], Settings(rate=1e-3, passes=3, batch=4)))
    model = load_model("tiny")
    served = learner.prepare(model)
    learner.learn(model, Experience("old", OLD))
    rows, vectors = learner.store.rows()
    assert len(rows) == 3
    assert vectors == pytest.approx(served.vectors(list(OLD)), abs=1e-6)
    assert [len(of) for of in served.cited(OLD)] == [1, 1, 1]


def test_rows_become_passages_and_back() -> None:
    chat = Example(messages=({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann"}))
    assert [passage_of(e).text for e in (OLD[0], chat, Example(text="Owls fly."), Example(prompt="The river of Penwick is", completion=" Brue."))] == [
        "What is the river of Penwick? Brue.", "Who? Ann.", "Owls fly.", "The river of Penwick is Brue."]  # fmt: skip
    assert example_of(passage_of(chat)) == chat
    assert example_of(Passage("x")) is None
    assert (passage_of(OLD[0]).valid_from, passage_of(chat, "2023").valid_from) == ("2020-01-01", "2023-01-01")
    assert (asked_in(Example(text="x")), answered_in(Example(prompt="a", chosen=" b", rejected=" c"))) == ("", "b")
    assert [states(passage_of(e)) for e in (OLD[0], Example(prompt="The river of Penwick is", completion=" Brue."), Example(text="x"))] == [False, True, True]


def test_passages_stand_before_the_question_and_in_a_chat_with_the_system() -> None:
    told = [Passage("Bo is mayor.")]
    template = "Context: {passages} "
    assert with_passages(OLD[0], told, template).prompt == f"Context: Bo is mayor. {OLD[0].prompt}"
    turns = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Bo"})
    for messages, first in ((turns, "Context: Bo is mayor."), (({"role": "system", "content": "Be brief."}, *turns), "Be brief.\n\nContext: Bo is mayor.")):
        read = with_passages(Example(messages=messages), told, template).messages
        assert read is not None
        assert (read[0], read[1:]) == ({"role": "system", "content": first}, turns)
    assert with_passages(Example(text="x"), told, template).text == "x"


def test_of_what_answers_one_question_the_newest_then_a_statement_is_read() -> None:
    asked, stated = passage_of(OLD[0]), passage_of(Example(prompt="The river of Penwick is", completion=" Brue.", time="2020"))
    found = [Found(asked, 1.0, 0.99), Found(stated, 0.9, 0.98), Found(Passage("far", "", "2030"), 0.8, 0.9)]
    assert [one.passage for one in chosen(found, 2, 0.02)] == [stated, asked]
    assert chosen([], 1, 0.02) == []


def test_telling_words_in_any_script() -> None:
    lexicon = Lexicon([f"Who employs {who}?" for who in ("黄强洋", "Ada Penrose", "Bo Garrick")] * 5)
    assert lexicon.about("Who employs 黄强洋?", "请问黄强洋在哪里工作？")
    assert not lexicon.about("Who employs 黄强洋?", "Who employs 黄强涛?")
    assert lexicon.about("", "anything")


@pytest.mark.parametrize(
    ("given", "words"),
    [({"k": 0}, "retrieval k must be at least 1"), ({"least": 2}, "retrieval least must be between -1 and 1"), ({"same": -1}, "retrieval same must be"),
     ({"template": "no place"}, "must say where passages stand")],
)  # fmt: skip
def test_settings_that_cannot_be(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        learned(**given)


def test_mistakes_are_told(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    with pytest.raises(DataError, match="a date cannot be read"):
        served.at("soon")
    with pytest.raises(SettingError, match="retrieval reads for the model itself .beneath='RetrievalModel'"):
        Retrieval().around(Retrieval().around(Frozen())).prepare(load_model("tiny"))
    with pytest.raises(MissingExtra, match="'all-MiniLM' needs sentence-transformers"):
        embedder_of("all-MiniLM", served.model)
    with pytest.raises(MissingExtra, match="sentence-transformers"):
        SentenceEmbedder("all-MiniLM")


def test_a_row_is_scored_by_its_very_tokens_with_its_passages_before_it(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    question = asks("Penwick", "Tamar", "", LATER)
    (row,) = served.encoder.rows([question])
    (window,) = served.encoder.rows([Example(text="The river of Penwick is Brue. " * 3)])
    window = replace(window, tokens=window.tokens[:9], learned=(5, 6, 7, 8))
    drawn = replace(row, tokens=(*row.tokens[:-2], 7, *row.tokens[-1:]))
    plain = load_model("tiny")
    for rows in ([window], [row, window, drawn]):
        out = served.logits(batch := served.batch(rows))
        assert len(out.logits) == len(batch.targets)
    assert torch.equal(served.logits(served.batch([window])).logits, plain.logits(plain.batch([window])).logits)
    nats = served.logits(served.batch([row])).logits.detach().log_softmax(1).gather(1, served.batch([row]).targets[:, None])
    assert float(nats[:-1].sum()) == pytest.approx(served.score([question], [[" Tamar"]])[0][0], abs=1e-4)


def test_where_passages_leave_no_room_a_row_is_read_bare(both: tuple[Retrieval, RetrievalModel]) -> None:
    _, served = both
    (row,) = served.encoder.rows([asks("Penwick", "Tamar" * 300, "", LATER)])
    assert served._told(row, served.read([row.example])[0]) is row
