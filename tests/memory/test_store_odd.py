"""The dated store where things are odd: no rows, wrong vectors, another embedder, dates in any form and order, ten thousand equal facts, any name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest

from everlearn import DataError, SettingError, StateError
from everlearn.memory import tables, writing
from everlearn.memory.chains import Link
from everlearn.memory.passages import Passage
from everlearn.memory.searching import Search
from everlearn.memory.store import DatedStore
from everlearn.memory.tables import Vectors
from everlearn.memory.writing import Added
from tests.memory.lancefiles import columns_of
from tests.memory.test_store import Words, texts

OWLS = Passage("Owls fly.", "owls", "2020", source="a")


class Counted(Words):
    """Counts the texts it was given."""

    made = 0

    def passages(self, texts: Sequence[str]) -> Vectors:
        self.made += len(texts)
        return super().passages(texts)


class Liar(Words):
    """Declares 64 components and gives 5."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), 5), np.float32)

    questions = passages


@pytest.fixture
def store(tmp_path: Path) -> DatedStore:
    return DatedStore(tmp_path / "store", Words())


@pytest.mark.parametrize("way", ["new", "deleted", "replaced", "opened again"])
def test_without_rows_every_verb_answers(store: DatedStore, way: str) -> None:
    if way != "new":
        store.add([OWLS])
        assert store.delete(source="a") == 1 if way == "deleted" else True
        if way != "deleted":
            store.replace([], np.zeros((0, 64), np.float32))
    if way == "opened again":
        store = DatedStore(store.uri, Words())
    assert (len(store), store.search("owls"), store.search("owls", as_of="2020"), store.search(np.ones(64))) == (0, [], [], [])
    assert (store.search("owls", kind="words"), store.search_all(["a", "b"], Search(least=0.5)), store.search_all([], Search())) == ([], [[], []], [])
    assert (store.delete(source="a"), store.delete(id="b"), store.passages(), store.passages("2020"), store.passages(subject="owls")) == (0, 0, [], [], [])
    assert (store.subjects(5), store.rows()[0], store.rows()[1].shape, store.dimension) == ([], [], (0, 64), 64)
    store.index()
    store.replace(*store.rows())
    assert store.add([]) == Added()
    with pytest.raises(DataError, match=r"another length than the store's .shape=.1, 3., dimension=64"):
        store.search([1.0, 2.0, 3.0])
    assert store.add([OWLS]) == Added(1, 0, 0)
    assert texts(store.search("owls")) == ["Owls fly."]


def test_who_opened_it_before_its_first_row_sees_what_comes(store: DatedStore) -> None:
    reader = DatedStore(store.uri, Words())
    assert (len(reader), reader.search("owls")) == (0, [])
    store.add([OWLS])
    assert (len(reader), texts(reader.search("owls"))) == (1, ["Owls fly."])
    other = DatedStore(Path(store.uri).parent / "other", Words("other"))
    DatedStore(other.uri, Words()).add([OWLS])
    with pytest.raises(StateError, match="another embedder's .store='words' of 64, given='other' of 64"):
        other.search("owls")


def test_an_embedder_that_is_not_what_it_declares(store: DatedStore) -> None:
    liar = DatedStore(store.uri, Liar())
    for call in (lambda: liar.add([OWLS]), lambda: liar.search("owls")):
        with pytest.raises(DataError, match=r"not what it declares .embedder='words', shape=.1, 5., declared=.1, 64."):
            call()
    assert len(liar) == 0
    for wrong in (Words(""), Words(dimension=0)):
        with pytest.raises(SettingError, match="needs a name and a dimension above 0"):
            DatedStore(store.uri, wrong)


def test_an_embedders_vectors_and_others_do_not_mix(store: DatedStore, tmp_path: Path) -> None:
    store.add([OWLS])
    rows, vectors = store.rows()
    plain = DatedStore(store.uri)
    assert texts(plain.search("owls")) == ["Owls fly."], "words need no embedder"
    for call in (lambda: plain.add([Passage("Owls sleep.")], np.ones((1, 64))), lambda: plain.search(np.ones(64)),
                 lambda: plain.search_all(["owls"], Search(), np.ones((1, 64), np.float32)), lambda: plain.replace(rows, vectors)):  # fmt: skip
        with pytest.raises(StateError, match="an embedder's, and it was opened without one.*store='words'"):
            call()
    assert store.passages() == [OWLS]
    given = DatedStore(tmp_path / "given")
    given.add([OWLS], [[1.0, 0.0]])
    with pytest.raises(StateError, match="another embedder's .store='' of 2, given='words' of 64"):
        DatedStore(given.uri, Words())
    plain.replace([], np.zeros((0, 64), np.float32))
    assert len(DatedStore(store.uri, Words())) == 0, "emptied, it is still that embedder's"


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([[float("nan"), 1.0]], r"no direction .row=0, length=nan"),
        ([[1.0, float("inf")]], r"no direction .row=0, length=inf"),
        ([[1.0, 1e300]], r"no direction .row=0, length=inf"),
        ([[0.0, 0.0]], r"no direction .row=0, length=0.0"),
        ([[1.0, 0.0], [1.0, 0.0]], r"every text needs one vector .texts=1, vectors=2"),
        ([[1.0, 0.0, 0.0]], r"another length than the store's .shape=.1, 3., dimension=2"),
        ([1.0], "another length than the store's"),
        ([["a", "b"]], "must be rows of numbers"),
    ],
)
def test_vectors_that_are_none(tmp_path: Path, vectors: list[list[float]], words: str) -> None:
    store = DatedStore(tmp_path / "store")
    store.add([OWLS], [[1.0, 0.0]])
    rows, _ = store.rows()
    calls = [lambda: store.add([Passage("x")], vectors), lambda: store.search_all(["x"], Search(), vectors), lambda: store.replace(rows, vectors)]  # type: ignore[arg-type]
    for call in calls[: 2 if "dimension=2" in words else 3]:  # what replaces may have another length
        with pytest.raises(DataError, match=words):
            call()
    assert [passage.text for passage in store.passages()] == ["Owls fly."]


def test_a_search_that_lacks_what_it_compares(tmp_path: Path) -> None:
    store = DatedStore(tmp_path / "store")
    store.add([OWLS], [[1.0, 0.0]])
    with pytest.raises(SettingError, match="lacks what it compares .kind='vector'"):
        store.search("owls", kind="vector")
    with pytest.raises(SettingError, match="lacks what it compares .kind='words'"):
        store.search([1.0, 0.0], kind="words")


def test_a_table_that_is_no_stores(tmp_path: Path) -> None:
    import lancedb
    import pyarrow as pa

    lancedb.connect(tmp_path).create_table("passages", pa.table({"text": ["a"]}))
    with pytest.raises(StateError, match="no dated store's as it is laid out now .table='passages', columns=.'text'"):
        DatedStore(tmp_path)


def test_times_in_any_form_are_one_order(store: DatedStore) -> None:
    forms = ["2024-05-01", "2024-05-01T00:00:00.5", "2024-05-01T02:00+02:00", "2024-04-30T22:00:00-02:00", "2024-05-01T00:00Z", "20240501"]
    assert {Passage("x", valid_from=form).valid_from for form in forms} == {"2024-05-01"}, "midnight is the day, a time without a zone is in UTC"
    store.add([Passage("Noon in Rome", "sky", "2024-05-01T12:00+02:00"), Passage("Half past ten", "sky", "2024-05-01T10:30"), Passage("May", "sky", "2024-05")])
    asked = ["2024-04-30T23:59", "2024-05-01", "2024-05-01T00:00", "2024-05-01T09:59:59", "2024-05-01T10:00", "2024-05-01T12:31+02:00", "2024-05-02", ""]
    told = [[], ["May"], ["May"], ["May"], ["Noon in Rome"], ["Half past ten"], ["Half past ten"], ["Half past ten"]]
    assert [texts(store.search("sky", as_of=date)) for date in asked] == told
    with pytest.raises(DataError, match="a date cannot be read .valid_from='0001-01-01T00:00.02:00'"):
        Passage("x", valid_from="0001-01-01T00:00+02:00")


def test_an_older_fact_that_comes_later_closes_nothing_and_of_one_date_the_last_told_holds(store: DatedStore) -> None:
    store.add([Passage("Rule: new", "rule", "2024")])
    assert store.add([Passage("Rule: old", "rule", "2020")]) == Added(1, 0, 0)
    assert store.add([Passage("Rule: newer", "rule", "2024")]) == Added(1, 1, 0)
    assert store.add([Passage("Rule: oldest", "rule")]) == Added(1, 0, 0)
    assert [(p.text, p.valid_from, p.valid_to) for p in store.passages(subject="rule")] == [
        ("Rule: oldest", "", "2020-01-01"), ("Rule: old", "2020-01-01", "2024-01-01"), ("Rule: new", "2024-01-01", "2024-01-01"),
        ("Rule: newer", "2024-01-01", "")]  # fmt: skip
    assert [texts(store.search("rule", as_of=date)) for date in ("2019", "2023", "2024", "")] == [
        ["Rule: oldest"], ["Rule: old"], ["Rule: newer"], ["Rule: newer"]]  # fmt: skip


def test_ten_thousand_equal_facts_are_one_row_read_and_written_once(store: DatedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.embedder = maker = Counted()
    read: list[Link] = []

    def counted(rows: object) -> list[Link]:
        found = tables.links_of(rows)  # type: ignore[arg-type]
        read.extend(found)
        return found

    monkeypatch.setattr(writing, "links_of", counted)
    same = [Passage("The mayor of Ashford is Ann.", "mayor of Ashford", "2018", source=f"s{n % 3}") for n in range(10_000)]
    assert store.add(same) == Added(1, 0, 9999)
    version = store.version
    assert [store.add(same[at : at + 2500]) for at in range(0, 10_000, 2500)] == [Added(0, 0, 2500)] * 4
    assert (store.version, maker.made, len(read)) == (version, 1, 4), "nothing was written again, one row was read each time"
    assert sum(columns_of(path).num_rows for path in Path(store.uri).rglob("data/*.lance")) == 1
    assert store.passages()[0].sources == ("s0", "s1", "s2")


class Hashed(str):
    """A source that counts how often it is looked at."""

    looks = 0

    def __hash__(self) -> int:
        Hashed.looks += 1
        return super().__hash__()


def test_ten_thousand_sources_of_one_fact_are_joined_in_as_many_steps(store: DatedStore) -> None:
    assert store.add([Passage("Owls fly.", "owls", "2020", source=Hashed(f"s{n}")) for n in range(10_000)]) == Added(1, 0, 9999)
    assert Hashed.looks < 10 * 10_000
    assert store.passages()[0].sources == tuple(f"s{n}" for n in range(10_000))
    assert store.delete(source="s7") == 0, "others say it too"
    assert len(store.passages()[0].sources) == 9999


NAMES = [
    "O'Brien",
    "'; DROP TABLE passages; --",
    '"quoted"',
    "back\\slash\\",
    "100%_[a]",
    "new\nline\ttab",
    "🦉",
    "青溪",
    "é",
    "x" * 100_000,
    "nul\0l",
    " ",
    "",
]


def test_any_name_is_a_name(store: DatedStore) -> None:
    store.add([fact for n, name in enumerate(NAMES) for fact in (Passage(f"One {n}.", name, "2020", source=name, id=name and f"id {name}"),
                                                                 Passage(f"Two {n}.", name, "2021", source="all"))])  # fmt: skip
    for n, name in enumerate(NAMES[:-1]):
        assert [p.text for p in store.passages(subject=name)] == [f"One {n}.", f"Two {n}."]
        assert texts(store.search(f"one {n}", k=1, as_of="2020-05", source=name)) == [f"One {n}."]
        assert (store.delete(source=name), store.delete(id=f"id {name}")) == (1, 0)
        assert [p.text for p in store.passages(subject=name)] == [f"Two {n}."]
    assert sorted(store.subjects(99)) == sorted(NAMES[:-1])
    assert len(store) == len(NAMES) + 1, "without a subject nothing is closed"


def test_a_name_that_no_file_can_hold(store: DatedStore) -> None:
    for call in (lambda: Passage("x", source="\ud800"), lambda: Passage("x", id="a\udfff"), lambda: store.delete(source="\ud800"),
                 lambda: store.search("x", source="\ud800")):  # fmt: skip
        with pytest.raises(DataError, match="cannot be written in UTF-8"):
            call()


def test_what_the_condition_holds_true_of_rows_holds_of_what_they_say(store: DatedStore) -> None:
    draw = Random(0)
    dates = ["", "2020", "2020-06", "2020-06-01T12:00", "2021", "2999"]
    facts = [Passage(f"Fact {n}.", draw.choice(["", "a", "b", "c"]), begun := draw.choice(dates), draw.choice(["", *[d for d in dates if d > begun]]),
                     source=draw.choice("xyz")) for n in range(60)]  # fmt: skip
    store.add(facts)
    every = [link.to_json() for link in tables.links_of(tables.rows_where(store._table, "number >= 0"))]
    held = 0
    for as_of in ("", "2019-01-01", "2020-01-01", "2020-06-01T11:00:00", "2020-06-01T12:00:00", "2021-01-01", "2999-01-01"):
        for source in ("", "x", "nobody"):
            found = {link.number for link in tables.links_of(tables.rows_where(store._table, tables.holding(as_of, source)))}
            assert found == {told["number"] for told in every if tables.holds(told, as_of, source, tables.now())}
            held += len(found)
    assert held > 50


def test_a_condition_is_put_to_all_rows_where_the_nearest_cells_hold_none_that_fulfil_it(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(6000, 8)).astype(np.float32)
    vectors[-1] = -vectors[0]
    store = DatedStore(tmp_path / "many", index_rows=1000)
    told = [Passage(f"row {at}", source="few" if at == 5999 else "many", valid_from="1990" if at == 5999 else "2020") for at in range(6000)]
    store.add(told, vectors=vectors)
    for search in (Search(k=1, kind="vector", source="few"), Search(k=1, kind="vector", as_of="1995")):
        (found,) = store.search_all([""], search, vectors[:1])
        assert [one.passage.text for one in found] == ["row 5999"]


def test_a_store_whose_words_have_no_index_yet_makes_it(store: DatedStore) -> None:
    store.add([OWLS])
    store._table.drop_index("words_idx")  # as a kill between making the table and its index leaves it
    store.add([Passage("Bees hum.", "bees", "2020", source="a")])
    assert [found.passage.text for found in store.search("bees hum", k=1, kind="words")] == ["Bees hum."]


def test_a_search_takes_a_date_in_any_form_and_a_delete_of_nothing_does_nothing(store: DatedStore) -> None:
    store.add([OWLS])
    assert store.search_all(["owls"], Search(as_of="2021")) == store.search_all(["owls"], Search(as_of="2021-01-01"))
    with pytest.raises(DataError, match="as_of"):
        Search(as_of="soon")
    before = store.version
    assert store.delete(source="nobody") == 0
    assert store.version == before
