"""Packs of rows: what many versions remember lies there once, and one row can be taken out of all of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from everlearn import StateError
from everlearn.versions.objects import Objects
from everlearn.versions.rows import FEWEST, PLACES


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects", tmp_path / "forgotten.json")


def rows(first: int, end: int) -> list[dict[str, Any]]:
    return [{"id": f"row {number}", "prompt": f"Where does owl {number} live?\u2028\n", "trust": 0.1 * number} for number in range(first, end)]


def size(objects: Objects) -> int:
    return sum(path.stat().st_size for path in objects.folder.iterdir())


def test_a_row_that_many_objects_hold_lies_in_one_place(objects: Objects) -> None:
    first = {"buffer": {"kept": rows(0, 1000)}, "seen": 1000}
    names = [objects.put_json(first)]
    before = size(objects)
    remembered = rows(0, 1000)
    for version in range(1, 21):
        new = rows(1000 + 4 * version, 1004 + 4 * version)
        remembered[version * 7 : version * 7 + 4] = new
        names += [objects.put_json({"buffer": {"kept": remembered}, "seen": version}), objects.put_json(rows(0, 500))]
    assert size(objects) < 3 * before  # written whole they would take more than twenty times that
    assert objects.get_json(names[0]) == first
    assert objects.get_json(names[-2]) == {"buffer": {"kept": remembered}, "seen": 20}
    assert objects.get_json(names[-1]) == rows(0, 500)
    assert len(set(names)) == 22
    assert len(objects.rows.paths()) == 21


def test_a_name_says_what_an_object_holds_not_how_it_lies(objects: Objects, tmp_path: Path) -> None:
    other = Objects(tmp_path / "other", tmp_path / "other.json")
    other.put_json(rows(10, 60))
    assert other.put_json([rows(0, 40), {1: rows(30, 50)}]) == objects.put_json([rows(0, 40), {"1": rows(30, 50)}])
    assert other.get_json(other.put_json([rows(0, 40), {1: rows(30, 50)}])) == [rows(0, 40), {"1": rows(30, 50)}]


def test_few_rows_and_lists_of_other_things_stay_where_they_are(objects: Objects) -> None:
    for value in (rows(0, FEWEST - 1), [{"name": "no row"}] * 40, [1] * 40):
        assert objects.get_json(objects.put_json(value)) == value
    assert objects.rows.paths() == []


def test_a_row_twice_in_a_list_comes_back_twice(objects: Objects) -> None:
    twice = rows(0, 20) + rows(0, 20)[::-1]
    assert objects.get_json(objects.put_json(twice)) == twice


def test_the_key_of_places_is_ours(objects: Objects) -> None:
    with pytest.raises(StateError, match=r"a version's state may not use this key .key='\\x00rows'"):
        objects.put_json([rows(0, 20), {PLACES: 1}])


def test_a_pack_that_is_missing_cut_off_edited_or_short_is_found_out(objects: Objects) -> None:
    name = objects.put_json(rows(0, 20))
    path = objects.rows.paths()[0]
    data = path.read_bytes()

    def refused(words: str) -> None:
        with pytest.raises(StateError, match=words):
            Objects(objects.folder, objects.forgotten).get_json(name)

    path.write_bytes(gzip.compress(gzip.decompress(data).replace(b"owl 3", b"owl 4")))
    refused("a file of the home was changed")
    path.write_bytes(data[:50])
    refused("a file of the home cannot be read")
    path.unlink()
    refused("a file of the home cannot be read")
    path.write_bytes(data)
    objects.take_back({path.name.partition(".")[0]: objects.rows.only(path.name.partition(".")[0], {1, 2})}, {})
    refused("a row that a version needs is not in its pack")
    saved = objects.json_path(name).read_bytes()
    objects.json_path(name).write_bytes(gzip.compress(gzip.decompress(saved).replace(b'"runs":[[0,0,20]]', b'"runs":[[0,1,19]]')))
    objects.forgotten.unlink()
    refused("a file of the home was changed")
    objects.json_path(name).write_bytes(gzip.compress(b"{"))
    refused("a file of the home was changed")


def test_what_is_taken_out_of_a_pack_leaves_the_others_in_their_places(objects: Objects) -> None:
    name, pack = objects.put_json(rows(0, 40)), objects.rows.paths()[0].name.partition(".")[0]
    fewer = [row for row in rows(0, 40) if row["id"] != "row 7"]
    left = objects.put_json(fewer)
    objects.take_back({name: left}, {})
    found = objects.held_rows([left, ""])
    assert found == {pack: set(range(40)) - {7}}
    new = objects.rows.only(pack, found[pack])
    objects.take_back({pack: new}, {})
    objects.rows._path(pack).unlink()
    assert objects.get_json(name) == fewer
    assert "owl 7 " not in gzip.decompress(objects.rows.paths()[0].read_bytes()).decode("utf-8", "surrogatepass")
    again = objects.put_json(rows(0, 40))
    assert again not in (name, left)
    assert objects.get_json(again) == rows(0, 40)
    assert objects.get_json(name) == fewer
