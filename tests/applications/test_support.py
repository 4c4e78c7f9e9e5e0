"""The service desk: never a superseded policy, corrections that hold, a threshold that is kept, loaders, the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everlearn import DataError, ModelEmbedder, SettingError, load_model
from everlearn.applications.desk import Desk, threshold_for
from everlearn.applications.following import Start
from everlearn.applications.service import Policy, Question, read_service
from everlearn.applications.shop import shop
from everlearn.applications.support import DESK, serve_customers
from everlearn.learn.settings import Settings
from everlearn.report.application import write_application_page

SMALL = shop(years=2, changes=4, news=2, stays=2)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    found = Desk(tmp_path_factory.mktemp("desk"), ModelEmbedder(load_model("tiny")), names=True, prompt=SMALL.prompt)
    found.decide(SMALL.policies)
    found.know([(one.text, one.matter) for one in SMALL.questions if one.part == "train"])
    return found


def test_no_superseded_policy_is_ever_given_whatever_is_asked_as_of_any_date(desk: Desk) -> None:
    """Every question in every part, at every date, at threshold 0: the desk answers all it can."""
    assert desk.threshold == 0.0
    outdated = 0
    for now in SMALL.dates:
        standing, replaced = SMALL.standing(now), SMALL.replaced(now)
        outdated += len(replaced)
        for one, reply in zip(SMALL.questions, desk.answer([one.text for one in SMALL.questions], now), strict=True):
            if reply.cited is not None:
                assert reply.text == standing[reply.cited.subject].answer
                assert reply.text not in replaced.get(reply.cited.subject, set()), one
            if one.matter in standing and one.part in ("train", "test"):
                assert reply.text == standing[one.matter].answer, one
    assert outdated == 4 + 8
    latest = SMALL.standing("9999")
    asked = [one for one in SMALL.questions if one.matter and one.part == "test"]
    for one, reply in zip(asked, desk.answer([one.text for one in asked]), strict=True):
        assert reply.text == latest[one.matter].answer


def test_a_reply_cites_its_policy(desk: Desk) -> None:
    replaced = next(policy for policy in SMALL.policies if policy.since == "2022-01-01" and policy.matter in SMALL.standing("2021"))
    question = next(one.text for one in SMALL.questions if one.matter == replaced.matter and one.part == "test")
    reply = desk.answer([question])[0]
    assert reply.cited is not None
    assert (reply.cited.source, reply.cited.valid_from, reply.text) == ("almanac 2022", "2022-01-01", replaced.answer)
    assert not reply.handed_over


def test_corrections_hold_from_the_next_question_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ModelEmbedder(load_model("tiny")), threshold=0.9)
    desk.decide([Policy("hours", "From nine."), Policy("returns", "14 days.")])
    assert desk.answer(["When do you open?"])[0].handed_over
    desk.know([("When do you open?", "hours"), ("May I bring it back?", "returns")])
    asked = "Can I still come by tonight?"
    desk.correct([(asked, "hours")])
    assert desk.answer([asked])[0].text == "From nine."
    desk.correct([(asked, "returns")])
    assert desk.answer([asked])[0].text == "14 days."
    desk.correct([(asked, "")])
    assert desk.answer([asked])[0].handed_over
    assert desk.answer(["When do you open?"])[0].text == "From nine."
    desk.decide([Policy("hours", "From ten.", "2024")])
    assert desk.answer(["When do you open?"])[0].text == "From ten."


def test_the_threshold_is_the_lowest_that_is_precise_enough(desk: Desk) -> None:
    assert threshold_for([0.9, 0.8, 0.7, 0.6], [True, True, False, True], 0.75) == 0.6
    assert threshold_for([0.9, 0.8, 0.7, 0.6], [True, True, False, True], 0.9) == 0.8
    assert threshold_for([0.9, 0.9], [True, False], 0.9) == 1.0  # equals are answered or handed over together
    with pytest.raises(SettingError, match="precision must be above 0 and at most 1, got 0"):
        threshold_for([], [], 0)
    found = desk.choose([(one.text, one.matter) for one in SMALL.questions if one.part == "valid"], 0.9)
    replies = desk.answer([one.text for one in SMALL.questions if one.part == "valid"])
    assert all(reply.handed_over == (reply.confidence < found) for reply in replies)
    desk.threshold = 0.0


def test_settings_out_of_range(tmp_path: Path) -> None:
    embedder = ModelEmbedder(load_model("tiny"))
    with pytest.raises(SettingError, match="threshold must be between 0 and 1, got 2"):
        Desk(tmp_path, embedder, threshold=2)
    with pytest.raises(SettingError, match="where the question stands \\(prompt='Agent:'\\)"):
        Desk(tmp_path, embedder, prompt="Agent:")


def folder(root: Path, policies: list[dict[str, object]], questions: list[dict[str, object]]) -> Path:
    for name, rows in (("policies", policies), ("questions", questions)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


GOOD: list[dict[str, object]] = [{"question": f"q{at}", "matter": "m", "split": split} for at, split in enumerate(("train", "valid", "test"))]


def test_a_folder_is_read_with_its_dates(tmp_path: Path) -> None:
    service = read_service(folder(tmp_path, [{"matter": "m", "answer": "Yes.", "since": "2024"}], [*GOOD, {"question": "odd", "split": "test"}]))
    assert service.policies == (Policy("m", "Yes.", "2024-01-01"),)
    assert service.questions[-1] == Question("odd", "", "test")
    assert [row.completion for row in service.rows("2024-01-01", None)] == [" Yes."]


@pytest.mark.parametrize(
    ("policies", "questions", "expected"),
    [
        ([{"matter": "m"}], GOOD, r"policies.jsonl:1: answer must be text \(answer=None\)"),
        ([{"matter": "m", "answer": "x", "since": "soon"}], GOOD, r"policies.jsonl:1: .*since='soon'"),
        ([{"matter": "m", "answer": "x"}], [*GOOD, {"question": "a", "matter": "n"}], r"questions.jsonl:4: the question's matter has no policy \(matter='n'\)"),
        ([{"matter": "m", "answer": "x"}], [*GOOD, {"question": "a", "split": "later"}], r"questions.jsonl:4: split must be one of .*split='later'"),
        ([{"matter": "m", "answer": "x"}], GOOD[:2], r"no questions of one part \(service='.*', split='test'\)"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, policies: list[dict[str, object]], questions: list[dict[str, object]], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read_service(folder(tmp_path, policies, questions))


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder \\(folder='.*none'"):
        read_service(tmp_path / "none")


def test_the_record_has_models_and_the_desk(tmp_path: Path) -> None:
    record = serve_customers(SMALL, "plain", Start("tiny", Settings(rate=3e-4, passes=1, batch=32)))
    plain, desk = record.lines
    assert (plain.role, desk.name, desk.role) == ("plain", DESK, "everlearn")
    assert desk.totals["current"] == 1.0
    assert (desk.totals["right"] or 0) > 0.8
    assert (desk.totals["strange handed over"] or 0) > 0.5
    assert desk.curves["current"][0] is None
    assert "precision" not in desk.against
    page = write_application_page(tmp_path / "page.html", record.to_json()).read_text(encoding="utf-8")
    assert "since 2022-01-01" in page
