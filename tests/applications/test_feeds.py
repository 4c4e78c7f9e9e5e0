"""The layouts of MIND and MovieLens, our streams, and the generated readers."""

from __future__ import annotations

from pathlib import Path

import pytest

from everlearn import DataError, Example, Experience, SettingError, Stream, save_stream
from everlearn.applications.feeds import read_feed
from everlearn.applications.impressions import Feed, Impression, Item, periods_of, with_text
from everlearn.applications.mind import read_mind
from everlearn.applications.movielens import read_movielens
from everlearn.applications.readers import Readers, generated, simulated

NEWS = "N1\tsports\tgolf\tA putt\tabstract\turl\t[]\t[]\nN2\tnews\tworld\tA vote\t\t\t[]\t[]\nN3\tnews\tworld\t\t\t\t[]\t[]\n"
SEEN = "1\tU1\t11/13/2019 8:36:57 AM\tN1 N2\tN1-0 N2-1\n2\tU2\t11/12/2019 1:00:00 PM\t\tN2-0 N1-1 N3-0\n"


def mind(folder: Path, news: str = NEWS, seen: str = SEEN) -> Path:
    (folder / "news.tsv").write_text(news, encoding="utf-8")
    (folder / "behaviors.tsv").write_text(seen, encoding="utf-8")
    return folder


def test_minds_layout_is_read_in_order_of_time(tmp_path: Path) -> None:
    feed = read_mind(mind(tmp_path))
    assert [one.user for one in feed.impressions] == ["U2", "U1"]
    late = feed.impressions[1]
    assert (late.time, late.history, late.candidates, late.chosen) == ("2019-11-13T08:36:57", ("N1", "N2"), ("N1", "N2"), ("N2",))
    assert feed.items["N1"] == Item("N1", "A putt", "sports")
    assert [name for name, _ in periods_of(feed, "day")] == ["2019-11-12", "2019-11-13"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1\tU1\t11/13/2019 8:36:57 AM\tN1\tN1-2", r"behaviors.tsv:3: .*clicked \(candidate='N1-2'\)"),
        ("1\tU1\tyesterday\tN1\tN1-1", r"behaviors.tsv:3: .*time='yesterday'"),
        ("1\tU1\t11/13/2019 8:36:57 AM", r"behaviors.tsv:3: too few columns \(3\)"),
        ("1\t\t11/13/2019 8:36:57 AM\t\tN1-1 N2-0", r"behaviors.tsv:3: the reader has no id \(user=''\)"),
        ("1\tU1\t11/13/2019 8:36:57 AM\tN1\t", r"behaviors.tsv:3: nothing was shown \(candidates=''\)"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read_mind(mind(tmp_path, seen=SEEN + line + "\n"))


def test_what_has_no_text_is_an_error_or_left_out(tmp_path: Path) -> None:
    feed = read_mind(mind(tmp_path))
    with pytest.raises(DataError, match=r"1 of 5 candidates have no text, the first in .*behaviors.tsv:2 \(item='N3'\).*most_missing=0.2"):
        with_text(feed)
    kept = with_text(feed, 0.25)
    assert kept.impressions[0].candidates == ("N2", "N1")
    assert kept.impressions[0].clicked == (1,)
    assert kept.notes[0].startswith("1 of 5 candidates have no text and are left out")
    with pytest.raises(SettingError, match="most_missing must be between 0 and 1, got 2"):
        with_text(feed, 2)


def movielens(folder: Path, dat: bool) -> Path:
    films = [(str(n), f"Film, The {n} ({1990 + n})", "Drama|War") for n in range(1, 31)]
    ratings = [
        (str(user), str(1 + (user * 7 + n * 3) % 30), "4.5" if n % 4 else "2.0", str(946684800 + (n * 40 + user) * 86400))
        for user in range(1, 9)
        for n in range(12)
    ]
    if dat:
        (folder / "movies.dat").write_text("".join("::".join(row) + "\n" for row in films))
        (folder / "ratings.dat").write_text("".join("::".join(row) + "\n" for row in ratings))
    else:
        (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(f'{a},"{b}",{c}\n' for a, b, c in films))
        (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(",".join(row) + "\n" for row in ratings))
    return folder


@pytest.mark.parametrize("dat", [False, True])
def test_movielens_likes_become_impressions_among_drawn_films(tmp_path: Path, dat: bool) -> None:
    feed = read_movielens(movielens(tmp_path, dat), shown=5)
    assert feed.items["3"] == Item("3", "Film, The 3 (1993)", "Drama")
    assert feed.verb == "liked"
    assert len(feed.impressions) > 10
    for one in feed.impressions:
        assert len(set(one.candidates)) == 5
        assert len(one.clicked) == 1
        assert len(one.history) >= 3
        assert not set(one.candidates) & set(one.history)
    assert feed == read_movielens(tmp_path, shown=5)
    assert feed != read_movielens(tmp_path, shown=5, negatives="uniform")


def test_movielens_mistakes(tmp_path: Path) -> None:
    movielens(tmp_path, False)
    with pytest.raises(SettingError, match="shown must be at least 2, got 1"):
        read_movielens(tmp_path, shown=1)
    with pytest.raises(SettingError, match="negatives must be 'popular' or 'uniform', got 'some'"):
        read_movielens(tmp_path, negatives="some")  # type: ignore[arg-type]
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,99,4.0,946684800\n")
    with pytest.raises(DataError, match="not among the movies \\(film='99'"):
        read_movielens(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,good,946684800\n")
    with pytest.raises(DataError, match="ratings.csv:2: rating and timestamp must be numbers \\(rating='good'"):
        read_movielens(tmp_path)


def test_the_layout_is_told_by_the_files(tmp_path: Path) -> None:
    for name in ("mind", "films", "none", "stream"):
        (tmp_path / name).mkdir()
    assert read_feed(mind(tmp_path / "mind"))[1] == "day"
    assert read_feed(movielens(tmp_path / "films", False))[1] == "year"
    asked = Example(prompt="Liked: a.\nNext:", completion=" b", choices=(" b", " c"))
    save_stream(Stream("likes", (Experience("one", (asked,), {"likes": (asked,)}, {"likes": "ranking"}),)), tmp_path / "saved")
    assert isinstance(read_feed(tmp_path / "saved")[0], Stream)
    with pytest.raises(DataError, match="this is no feed \\(folder='.*none'"):
        read_feed(tmp_path / "none")
    with pytest.raises(DataError, match=r"a file is missing \(folder='.*none', file='news.tsv'\)"):
        read_mind(tmp_path / "none")


def test_generated_readers_follow_their_interests() -> None:
    feed = generated(4, 20, Readers(count=20, visits=40))
    assert feed == generated(4, 20, Readers(count=20, visits=40))
    assert feed != generated(4, 20, Readers(count=20, visits=40, seed=1))
    first = next(one for one in feed.impressions if len(one.history) >= 8)
    liked = {feed.items[name].category for name in first.history}
    assert len(liked) < 6
    assert all(one.scored for one in feed.impressions)


def test_readers_need_categories_to_choose_between() -> None:
    with pytest.raises(DataError, match="there are 1 \\(articles='flat'\\)"):
        simulated("flat", [("2024-01-01", [Item("a", "x", "one")])], Readers())
    with pytest.raises(SettingError, match="shown at least 2"):
        Readers(shown=1)
    with pytest.raises(SettingError, match="between 0 and 1"):
        Readers(drift=2)


def test_there_is_no_such_period() -> None:
    with pytest.raises(SettingError, match="no such period \\(length='hour'\\)"):
        periods_of(Feed("x", {}, (Impression("u", "2024", (), (), ()),)), "hour")
