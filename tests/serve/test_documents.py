"""Documents are read from the moment they arrive, by what holds at a date, and can be taken back."""

from __future__ import annotations

import pytest

from everlearn import DataError, Example, Home, Passage, StateError, forget, traces
from everlearn.serve.documents import Documents

MAYORS = [
    Passage("The mayor of Ashford is Ann.", subject="mayor of Ashford", valid_from="2020", source="gazette"),
    Passage("The mayor of Ashford is Bo.", subject="mayor of Ashford", valid_from="2024", source="herald"),
    Passage("Opened boxes may be sent back within 30 days.", source="policy"),
]


def question(text: str) -> Example:
    return Example(prompt=f"Question: {text}\nAnswer:", completion="")


@pytest.fixture
def documents(home: Home) -> Documents:
    made = Documents(home)
    assert not made
    made.add(MAYORS)
    return made


def test_a_question_is_read_with_what_holds(documents: Documents) -> None:
    read, passages = documents.read(question("Who is the mayor of Ashford?"))
    assert [passage.source for passage in passages] == ["herald"]
    assert read.prompt == "Context: The mayor of Ashford is Bo. Question: Who is the mayor of Ashford?\nAnswer:"
    assert [passage.source for passage in documents.read(question("Who is the mayor of Ashford?"), "2021-05")[1]] == ["gazette"]


@pytest.mark.parametrize("text", ["Who is the mayor of Upton?", "What is 7 plus 5?", "Who?", ""])
def test_what_no_document_answers_is_asked_as_it_is(documents: Documents, text: str) -> None:
    asked = question(text)
    assert documents.read(asked) == (asked, [])


def test_they_are_there_after_a_restart_and_follow_a_file_that_was_changed(documents: Documents, home: Home) -> None:
    again = Documents(home)
    assert len(again) == 3
    assert again.search("opened boxes", 1)[0].passage.source == "policy"
    lines = documents.path.read_text().splitlines()
    documents.path.write_text("\n".join(line for line in lines if "policy" not in line) + "\n")  # as `everlearn forget` does
    assert documents.search("opened boxes sent back", 3) == []
    assert len(documents) == 2


def test_a_source_is_taken_back_from_the_file_too(documents: Documents) -> None:
    assert documents.delete("herald") == 1
    assert "Bo." not in documents.path.read_text()
    assert [passage.source for passage in documents.read(question("Who is the mayor of Ashford?"))[1]] == ["gazette"]
    assert documents.delete("nobody") == 0


def test_what_two_sources_say_loses_the_one_that_is_taken_back(documents: Documents, home: Home) -> None:
    documents.add([Passage("The bridge of Upton is closed.", source="A"), Passage("The bridge of Upton is closed.", source="C")])
    assert documents.delete("A") == 1
    assert '"A"' not in documents.path.read_text()
    for known in (documents, Documents(home)):
        assert [found.passage.sources for found in known.search("bridge of Upton", 1)] == [("C",)]
    assert documents.delete("C") == 1
    assert "Upton" not in documents.path.read_text()


def test_what_cannot_be_taken_in_changes_nothing(documents: Documents, home: Home) -> None:
    with pytest.raises(DataError, match="two passages have one id"):
        documents.add([Passage("Another text.", id=MAYORS[2].id)])
    assert documents.path.read_text().count("\n") == 3
    (home.folder / "forgetting.json").write_text("{}")
    with pytest.raises(StateError, match="being forgotten"):
        documents.add([Passage("A text.")])


def test_forget_takes_a_source_out_of_the_documents_too(documents: Documents, home: Home) -> None:
    assert "documents.jsonl" in traces(home, "herald")
    forget(home, source="herald")
    assert traces(home, "herald") == []
    assert [passage.source for passage in documents.read(question("Who is the mayor of Ashford?"))[1]] == ["gazette"]


def test_a_broken_file_is_named(home: Home) -> None:
    (home.folder / "documents.jsonl").write_text("no JSON\n")
    with pytest.raises(StateError, match="documents.jsonl"):
        len(Documents(home))
