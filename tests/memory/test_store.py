"""The dated store: what holds when, what is found, what is gone is gone, and what a kill leaves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from random import Random

import numpy as np
import pytest

from everlearn import Busy, DataError, SettingError, StateError
from everlearn.disk import one_writer
from everlearn.memory.embedders import unit
from everlearn.memory.passages import Found, Passage, iso
from everlearn.memory.searching import Search
from everlearn.memory.store import DatedStore
from everlearn.memory.tables import Vectors
from everlearn.memory.writing import Added

MAYORS = [Passage("The mayor of Ashford is Ann.", "mayor of Ashford", "2018"), Passage("The mayor of Ashford is Bo.", "mayor of Ashford", "2021-05-01"),
          Passage("The mayor of Ashford is Kim.", "mayor of Ashford", "2024-03")]  # fmt: skip


class Words:
    """An embedder by words, for tests."""

    def __init__(self, name: str = "words", dimension: int = 64) -> None:
        self.name, self.dimension = name, dimension

    def passages(self, texts: Sequence[str]) -> Vectors:
        found = np.full((len(texts), self.dimension), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().strip("?.").split():
                found[row, Random(word).randrange(self.dimension)] += 1
        return found

    questions = passages


@pytest.fixture
def store(tmp_path: Path) -> DatedStore:
    return DatedStore(tmp_path / "store", Words())


def texts(found: Sequence[Found]) -> list[str]:
    return [one.passage.text for one in found]


def mayor(store: DatedStore, as_of: str = "") -> list[str]:
    return [text.split()[-1] for text in texts(store.search("Who is the mayor of Ashford?", k=1, as_of=as_of))]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_each_fact_is_read_at_its_date_in_whatever_order_they_came(store: DatedStore, order: tuple[int, ...]) -> None:
    for at in order:
        assert store.add([MAYORS[at]]).new == 1
    dates = ("2017-12-31", "2018-01-01", "2021-04-30", "2021-05-01", "2024-02-29", "2024-03-01", "")
    assert [mayor(store, date) for date in dates] == [[], ["Ann."], ["Ann."], ["Bo."], ["Bo."], ["Kim."], ["Kim."]]
    assert [(p.valid_from, p.valid_to) for p in store.passages(subject="mayor of Ashford")] == [
        ("2018-01-01", "2021-05-01"), ("2021-05-01", "2024-03-01"), ("2024-03-01", "")]  # fmt: skip


def test_a_thousand_versions_in_random_order_are_one_chain(store: DatedStore) -> None:
    days = [f"20{n // 336:02}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}" for n in range(400)]
    rows = [Passage(f"The level is {n}.", "level", day) for n, day in enumerate(days)]
    Random(0).shuffle(rows)
    for at in range(0, 400, 100):
        store.add(rows[at : at + 100])
    chain = store.passages(subject="level")
    assert [p.valid_from for p in chain] == days
    assert [p.valid_to for p in chain] == [*days[1:], ""]


def test_of_one_date_what_came_last_holds_and_an_undated_fact_is_the_oldest(store: DatedStore) -> None:
    store.add([Passage("Rule: A", "rule", "2020"), Passage("Rule: B", "rule", "2020"), Passage("Rule: old", "rule")])
    assert texts(store.search("rule", k=5)) == ["Rule: B"]
    assert texts(store.search("rule", k=5, as_of="2019")) == ["Rule: old"]


def test_an_end_that_was_given_holds(store: DatedStore) -> None:
    store.add([Passage("Sale of shoes", "", "2020", "2021")])
    assert (texts(store.search("shoes")), texts(store.search("shoes", as_of="2020-07"))) == ([], ["Sale of shoes"])


def test_equal_facts_are_one(store: DatedStore) -> None:
    assert store.add([Passage("The mayor of Ashford is Ann.", "mayor of Ashford", "2018", source=f"s{n % 3}") for n in range(9)]) == Added(1, 0, 8)
    assert store.add([Passage("The mayor of Ashford is Ann.", "mayor of Ashford", "2019")]).new == 0, "still true"
    assert (len(store), store.passages()[0].sources) == (1, ("s0", "s1", "s2"))


def test_an_empty_store_answers_and_an_empty_add_does_nothing(store: DatedStore) -> None:
    assert (len(store), store.search("anything"), store.search_all(["a", "b"], Search()), store.delete(source="x")) == (0, [], [[], []], 0)
    assert store.add([]) == Added()
    assert store.rows()[0] == []


def test_words_and_vectors_both_find_and_nothing_is_found_that_is_not_near(store: DatedStore) -> None:
    store.add([Passage(f"Shelf {n} holds jar number {n}.") for n in range(50)] + [Passage("青溪的市长是安。"), Passage("Owls live in the old mill.")])
    assert texts(store.search("Where do owls live?", k=1)) == ["Owls live in the old mill."]
    assert texts(store.search("市长", k=1, kind="words")) == ["青溪的市长是安。"]
    assert store.search("Zebra crossing", k=3, least=0.9) == []
    near = store.search("Owls live in the old mill", k=3, least=0.8)
    assert [round(one.nearness, 2) for one in near] == [1.0]


def test_of_equally_near_ones_the_newer_and_the_trusted_come_first(store: DatedStore) -> None:
    store.add(
        [Passage("The fee is low today", "", "2001"), Passage("The fee is low today", "fee", "2023"), Passage("The fee is low now", "", "2023", trust=0.2)]
    )
    assert store.search("fee low today", k=1)[0].passage.valid_from == "2023-01-01"
    assert store.search("fee low", k=3)[-1].passage.trust == pytest.approx(0.2)


def test_one_sources_passages_alone(store: DatedStore) -> None:
    store.add([Passage("Owls sleep.", source="a"), Passage("Owls fly.", source="b")])
    assert texts(store.search("owls", k=5, source="b")) == ["Owls fly."]


SECRET = "Quillfeather7"


def traces(folder: Path) -> list[str]:
    """Files that hold the secret as bytes, and versions of the table that say it when they are decoded."""
    import lancedb

    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = [str(path) for path, data in files.items() if SECRET.encode() in data or SECRET.lower().encode() in data]
    table = lancedb.connect(folder).open_table("passages")
    for version in table.list_versions():
        table.checkout(version["version"])
        found += [f"version {version['version']}"] if SECRET in str(table.to_arrow().to_pylist()) else []
    return found


def test_what_is_deleted_is_in_no_file_and_what_it_had_superseded_holds_again(store: DatedStore) -> None:
    store.add([MAYORS[0], Passage("Owls fly.", source="ok"), Passage(f"{SECRET} lives here.", source="bad")])
    store.add([Passage(f"The mayor of Ashford is {SECRET}.", "mayor of Ashford", "2020", source="bad"), Passage("Owls fly.", source="bad")])
    folder = Path(store.uri)
    assert traces(folder), "the search for traces finds what is there"
    for name in (".tmpq7Zk2a", "0001.lance#3"):  # what a kill leaves of a file that was being written
        (next(folder.glob("*.lance")) / "data" / name).write_text(f"{SECRET} lives")
    assert store.delete(source="bad") == 2
    assert traces(folder) == []
    assert (mayor(store), sorted(texts(store.search("owls fly mayor", k=9)))) == (["Ann."], ["Owls fly.", "The mayor of Ashford is Ann."])
    assert store.delete(source="bad") == 0
    assert store.delete(id=store.passages()[0].id) == 1
    assert len(store) == 1


def test_rows_and_vectors_taken_out_and_put_in_elsewhere_answer_alike(store: DatedStore, tmp_path: Path) -> None:
    store.add([*MAYORS, Passage("Owls fly.", source="ok", trust=0.5, origin="x")])
    store.delete(id=store.passages()[3].id)
    other = DatedStore(tmp_path / "other", Words())
    other.add([Passage("Gone.")])
    other.replace(*store.rows())
    assert [p.to_json() for p in other.passages()] == [p.to_json() for p in store.passages()]
    assert [mayor(other, date) for date in ("2018", "2022", "")] == [["Ann."], ["Bo."], ["Kim."]]
    assert np.array_equal(other.rows()[1], store.rows()[1])
    other.replace(*DatedStore(tmp_path / "none", Words()).rows())
    assert len(other) == 0


def test_vectors_alone_of_one_length(tmp_path: Path) -> None:
    store = DatedStore(tmp_path / "vectors")
    draw = np.random.default_rng(0)
    given = draw.normal(size=(300, 16)).astype(np.float32)
    store.add([Passage(f"passage {n}") for n in range(300)], vectors=given)
    best = np.argsort(-(unit(given) @ unit(given[:1])[0]))[:5]
    assert texts(store.search(given[0], k=5, kind="vector")) == [f"passage {n}" for n in best]
    for vectors, words in (([[1.0] * 8], r"another length than the store's .shape=.1, 8., dimension=16"), ([[0.0] * 16], "has no direction"),
                           ([[float("nan")] * 16], "has no direction"), ([], "needs one vector .texts=1, vectors=0"),
                           (None, "has no embedder")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            store.add([Passage("another")], vectors=vectors)
    with pytest.raises(DataError, match="another length"):
        store.search([1.0, 2.0])
    assert len(store) == 300


def test_mistakes_are_told(store: DatedStore, tmp_path: Path) -> None:
    store.add([Passage("Owls fly.", id="one")])
    with pytest.raises(StateError, match="another embedder's .store='words' of 64, given='other' of 64"):
        DatedStore(store.uri, Words("other"))
    with pytest.raises(StateError, match="another embedder's .store='words' of 64, given='words' of 32"):
        DatedStore(store.uri, Words(dimension=32))
    with pytest.raises(DataError, match="two passages have one id .id='one'"):
        store.add([Passage("Owls sleep.", id="one")])
    for given, words in (({"source": "a", "id": "b"}, "needs a source or an id"), ({}, "needs a source or an id")):
        with pytest.raises(SettingError, match=words):
            store.delete(**given)
    for how, words in (({"k": 0}, "k must be at least 1"), ({"least": 2}, "least must be between -1 and 1"), ({"recency": -1}, "recency must be 0 or more"),
                       ({"kind": "magic"}, "no such search .kind='magic'")):  # fmt: skip
        with pytest.raises(SettingError, match=words):
            store.search("owls", **how)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"a date cannot be read .as_of='yesterday'"):
        store.search("owls", as_of="yesterday")
    with pytest.raises(SettingError, match="index_rows must be at least 1000, got 5"):
        DatedStore(tmp_path / "x", index_rows=5)
    with one_writer(Path(store.uri)), pytest.raises(Busy, match="another process is writing to this store"):
        store.add([Passage("Owls hoot.")])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": " "}, "a passage has no text"),
        ({"text": "a", "trust": 0}, "trust must be above 0 and at most 1"),
        ({"text": "a", "valid_from": "2020-13"}, "a date cannot be read .valid_from='2020-13'"),
        ({"text": "a", "valid_from": "2021", "valid_to": "2020"}, "ends before it begins"),
    ],
)
def test_passages_that_cannot_be(given: dict[str, str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Passage(**given)  # type: ignore[arg-type]


def test_dates_compare_as_they_are_written() -> None:
    assert [iso(text) for text in ("2024", "2024-05", "2024-05-01T10:00:00Z", "2024-05-01T23:30:00-02:00")] == [
        "2024-01-01", "2024-05-01", "2024-05-01T10:00:00", "2024-05-02T01:30:00"]  # fmt: skip


def cells(store: DatedStore) -> list[int]:
    """How many cells each part of its vectors' index has."""
    import lance

    told = lance.dataset(f"{store.uri}/passages.lance").stats.index_stats("vector_idx")
    return [len(part["partitions"]) for part in told["indices"]]


def test_past_a_size_vectors_have_an_index_that_finds_as_well(tmp_path: Path) -> None:
    store = DatedStore(tmp_path / "big", index_rows=1000)
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(20, 32))
    given = (centres[draw.integers(0, 20, 6000)] + draw.normal(size=(6000, 32))).astype(np.float32)
    store.add([Passage(f"passage {n}") for n in range(6000)], vectors=given)
    assert cells(store) == [77], "as many as the root of the rows, also after files were joined"
    right = 0
    for query in given[:20]:
        best = {f"passage {n}" for n in np.argsort(-(unit(given) @ unit(query[None])[0]))[:10]}
        right += len(best & set(texts(store.search(query, k=10, kind="vector"))))
    assert right >= 190
    store.delete(id=store.passages()[0].id)
    assert (len(store), cells(store)) == (5999, [77])


def test_what_holds_is_found_behind_many_nearer_facts_that_do_not_hold_any_more(tmp_path: Path) -> None:
    store = DatedStore(tmp_path / "store")
    gone = [Passage(f"Old {at}.", valid_from="2010", valid_to="2011") for at in range(200)]
    store.add(gone, [[1.0, at / 100] for at in range(200)])
    store.add([Passage("It holds.", valid_from="2012")], [[0.0, 1.0]])
    assert [found.passage.text for found in store.search([1.0, 0.0], k=1)] == ["It holds."]
    assert store.search([1.0, 0.0], k=1, as_of="2010-06-01")[0].passage.text == "Old 0."
