"""The recommender: what it asks, that it looks at no future, what its record holds, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from everlearn import DataError, Example, Experience, SettingError, Stream, load_model
from everlearn.applications.baselines import ItemKNN, Popularity
from everlearn.applications.following import Start
from everlearn.applications.impressions import Feed, Impression, Item
from everlearn.applications.readers import Readers, generated
from everlearn.applications.recommendation import Ranking, asked_of, recommend, rows_of, scores_of
from everlearn.learn.settings import Settings
from everlearn.report.application import write_application_page

SMALL = generated(3, 12, Readers(count=10, visits=8, shown=5))
QUICK = Start("tiny", Settings(rate=5e-4, passes=1, batch=8))


def test_a_period_learns_the_one_before_and_ranks_its_own() -> None:
    periods = asked_of(SMALL, Ranking())
    assert periods[0].rows == ()
    days = [one.time[:10] for one in periods[1].impressions]
    assert set(days) == {periods[1].name}
    assert {row.time[:10] for row in periods[1].rows} == {periods[0].name}
    assert sum(len(one.chosen) for one in SMALL.impressions if one.time[:10] == periods[0].name) == len(periods[1].rows)


def test_limits_take_evenly_and_keep_the_last() -> None:
    periods = asked_of(SMALL, Ranking(asked=3, last=2))
    assert [len(p.impressions) for p in periods] == [3, 3]
    assert periods[0].rows == ()


def test_the_right_candidate_ranks_first_where_the_model_has_learned_it() -> None:
    items = {name: Item(name, text) for name, text in {"a": "rain", "b": "snow", "c": "wind"}.items()}
    shown = Impression("ann", "2024-01-01", ("a",), ("b", "c"), (1,))
    (row,) = rows_of([shown], items, 5, "read")
    assert (row.prompt, row.completion) == ("A reader read: rain.\nNext read:", " wind")
    feed = Feed("weather", items, (shown, Impression("ann", "2024-01-02", ("a",), ("b", "c"), (1,))))
    record = recommend(feed, "frozen,plain", Start("tiny", Settings(rate=1e-3, passes=12, batch=1)), Ranking("likelihood"))
    assert next(line for line in record.lines if line.name == "plain").curves["MRR"][1] == 1.0


@pytest.mark.parametrize("by", ["likelihood", "embedding"])
def test_every_way_of_ranking_gives_a_score_a_candidate(by: str) -> None:
    period = asked_of(SMALL, Ranking(asked=4))[-1]
    found = scores_of(load_model("tiny"), period, SMALL.items, by)  # type: ignore[arg-type]
    assert [len(of) for of in found] == [len(one.candidates) for one in period.impressions]
    assert len({score for of in found for score in of}) > 5


def test_the_record_has_a_line_a_run_and_the_page_shows_it(tmp_path: Path) -> None:
    record = recommend(SMALL, "frozen,plain", QUICK)
    assert [(line.name, line.role) for line in record.lines] == [("popularity", "baseline"), ("item-kNN", "baseline"), ("frozen", "frozen"), ("plain", "plain")]
    assert record.periods[0]["learned"] == 0
    frozen, plain = record.lines[2], record.lines[3]
    assert frozen.curves["AUC"][0] == plain.curves["AUC"][0]  # the first period is ranked by the starting model
    assert set(frozen.against) == set(record.measures)
    low, high = plain.intervals["nDCG@10"]
    assert low <= (plain.totals["nDCG@10"] or 0) <= high
    record.save(tmp_path / "record.json")
    saved = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    page = write_application_page(tmp_path / "page.html", saved).read_text(encoding="utf-8")
    assert page.count('<svg class="chart"') == len(record.measures)
    assert "new readers" in page
    assert not re.search(r"https?://|<script", page)
    with pytest.raises(SettingError, match="ending in .html, got '.*page.txt'"):
        write_application_page(tmp_path / "page.txt", saved)


def test_a_stream_of_ranking_rows_is_ranked_after_what_it_teaches() -> None:
    rows = tuple(Example(prompt=f"Liked: {n}.\nNext:", completion=" b", choices=(" a", " b", " c"), time="2024") for n in range(3))
    stream = Stream("likes", (Experience("one", rows[:2], {"likes": rows[2:]}, {"likes": "ranking"}),))
    record = recommend(stream, "plain", QUICK)
    assert [line.name for line in record.lines] == ["popularity", "plain"]
    assert record.lines[0].totals["MRR"] == 1.0
    with pytest.raises(DataError, match="no ranking tasks \\(stream='none'\\)"):
        recommend(Stream("none", (Experience("one", rows),)), "plain", QUICK)


def test_item_knn_knows_who_read_what_together() -> None:
    together = [Impression(user, "2024-01-01", ("a",), ("b", "c"), (0,)) for user in ("u", "v", "w")]
    near, popular = ItemKNN({}), Popularity({})
    for one in (near, popular):
        one.learn([*together, Impression("x", "2024-01-01", (), ("c", "b"), (0,)), Impression("y", "2024-01-01", (), ("c", "b"), (0,))])
        one.learn([Impression("z", "2024-01-01", (), ("c", "b"), (0,)), Impression("q", "2024-01-01", (), ("c", "b"), (0,))])
    ask = Impression("new", "2024-01-02", ("a",), ("c", "b"), (1,))
    assert near.scores(ask)[1] > near.scores(ask)[0]
    assert popular.scores(ask)[0] > popular.scores(ask)[1]


def test_what_cannot_be_ranked_is_refused_before_anything_is_learned() -> None:
    with pytest.raises(SettingError, match="joint is trained once"):
        recommend(SMALL, "joint", QUICK)
    with pytest.raises(SettingError, match="by must be 'likelihood' or 'embedding', got 'luck'"):
        Ranking("luck")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="history must be at least 1"):
        Ranking(history=0)
    with pytest.raises(DataError, match="no impression can be ranked \\(data='empty'\\)"):
        recommend(Feed("empty", {"a": Item("a", "x")}, (Impression("u", "2024-01-01", (), ("a",), (0,)),)), "frozen", QUICK)
