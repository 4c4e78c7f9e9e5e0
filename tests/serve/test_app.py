"""Feedback and documents over HTTP, what is told of the server, and answers across promotions and rollbacks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from everlearn import Home, HomeSettings
from everlearn.serve.running import served
from everlearn.versions.inbox import INBOX, QUARANTINE, Inbox
from tests.serve.calling import call
from tests.serve.conftest import SMALL, asked

RIVER = "Question: What is the river of Penwick?\nAnswer:"


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    HomeSettings.of({**SMALL, "serve": {"feedback_rows": 1000}}, "a test").save(home.folder / "everlearn.toml")
    with served(home) as found:
        yield found


def test_a_correction_of_an_answer_comes_to_the_inbox(home: Home, url: str) -> None:
    said = call(url, "POST", "/v1/completions", {"prompt": asked(3), "max_tokens": 4}).json
    told = call(url, "POST", "/v1/feedback", {"id": said["id"], "correction": " Tarn"}).json
    assert told["became"] == "to_approve"
    chat = {"messages": [{"role": "user", "content": "Where is it?"}], "chosen": "Here.", "time": "2026-01-02"}
    assert call(url, "POST", "/v1/feedback", chat).status == 200
    assert call(url, "POST", "/v1/feedback", {"prompt": "Which?", "chosen": " b", "shown": [" a", " c"]}).status == 200
    assert call(url, "POST", "/v1/feedback", {"id": said["id"], "rating": "good"}).json["became"] == "counted"
    assert 'everlearn_version_bad_total{id="' + home.head.id + '"} 1' in call(url, "GET", "/metrics").text
    rows = [json.loads(line) for line in (home.folder / "feedback" / "others.jsonl").read_text().splitlines()]
    assert rows[0] == {"prompt": asked(3), "completion": " Tarn", "id": told["example"], "source": "feedback"}
    assert rows[1]["messages"][-1] == {"role": "assistant", "content": "Here."}
    assert rows[1]["time"] == "2026-01-02"
    assert rows[2]["choices"] == [" b", " a", " c"]


def test_feedback_is_handed_over_when_the_server_stops(home: Home) -> None:
    HomeSettings.of({**SMALL, "serve": {"trusted": ["feedback"]}}, "a test").save(home.folder / "everlearn.toml")
    with served(home) as url:
        assert call(url, "POST", "/v1/feedback", {"prompt": "Who?", "correction": " Nora"}).json["became"] == "to_learn"
    (claim,) = Inbox(home).at(INBOX)
    assert json.loads(claim.data.read_text())["completion"] == " Nora"
    assert Inbox(home).at(QUARANTINE) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"correction": "x"}, "about one of"),
        ({"prompt": "x"}, "needs a correction, a choice"),
        ({"prompt": "x", "correction": "y", "chosen": "z"}, "not both"),
        ({"prompt": "x", "correction": "  "}, "white space"),
        ({"prompt": "x", "rating": "good"}, "needs a correction"),
        ({"prompt": "x", "correction": "y", "time": "soon"}, "time: time must be an ISO date"),
        ({"prompt": "x", "correction": "y", "time": "2026-13-40"}, "time: a date cannot be read"),
        ({"prompt": "x", "chosen": "y", "shown": ["z", " "]}, "white space"),
        ({"messages": [{"role": "user", "content": " "}], "correction": "y"}, "message 1 is empty"),
        ({"messages": [{"role": "assistant", "content": "Yes?"}, {"role": "assistant", "content": "x"}], "correction": "y"}, "the chat template"),
    ],
)
def test_feedback_that_says_nothing_is_refused(url: str, body: dict[str, object], told: str) -> None:
    answer = call(url, "POST", "/v1/feedback", body)
    assert answer.status == 400
    assert told in answer.error
    assert call(url, "POST", "/v1/feedback", {"id": "chatcmpl-0", "rating": "bad"}).status == 404


def test_a_document_is_answered_with_at_once_and_taken_back(url: str) -> None:
    def said(**more: str) -> str:
        return str(call(url, "POST", "/v1/completions", {"model": "v0", "prompt": RIVER, "max_tokens": 6, **more}).json["choices"][0]["text"])

    before = said()
    first = {"prompt": RIVER, "completion": " Brue", "valid_from": "2020", "source": "gazette"}
    second = {"prompt": RIVER, "completion": " Tamar", "valid_from": "2024", "source": "herald"}
    told = call(url, "POST", "/v1/documents", {"documents": [first, second]}).json
    assert (told["new"], len(told["ids"])) == (2, 2)
    assert said() == " Tamar"
    chat = {"model": "v0", "messages": [{"role": "user", "content": "What is the river of Penwick?"}]}
    longer = call(url, "POST", "/v1/chat/completions", chat).json["usage"]["prompt_tokens"]
    assert longer > call(url, "POST", "/v1/chat/completions", {**chat, "as_of": "2019"}).json["usage"]["prompt_tokens"]
    (choice,) = call(url, "POST", "/v1/chat/completions", chat).json["choices"]
    assert [(one["source"], one["valid_from"], one["text"]) for one in choice["documents"]] == [
        ("herald", "2024-01-01", "What is the river of Penwick? Tamar.")
    ]
    chunks = [
        json.loads(line[6:]) for line in call(url, "POST", "/v1/chat/completions", {**chat, "stream": True}).text.splitlines() if line.startswith("data: {")
    ]
    assert [one["source"] for chunk in chunks for one in chunk["choices"][0].get("documents", [])] == ["herald"]
    assert "documents" not in call(url, "POST", "/v1/chat/completions", {**chat, "as_of": "2019"}).json["choices"][0]
    assert said(as_of="2021-03") == " Brue"
    assert said(as_of="2019") == before
    found = call(url, "GET", "/v1/documents?query=river+of+Penwick&as_of=2022").json["data"]
    assert [(one["source"], one["text"]) for one in found] == [("gazette", "What is the river of Penwick? Brue.")]
    assert call(url, "DELETE", "/v1/documents?source=herald").json["deleted"] == 1
    assert said() == " Brue"
    for wrong in ({"documents": []}, {"documents": [{"text": "a", "prompt": "b"}]}, {"documents": [{"text": "a", "valid_from": "soon"}]}):
        assert call(url, "POST", "/v1/documents", wrong).status == 400
    assert "date cannot be read" in call(url, "GET", "/v1/documents?query=x&as_of=soon").error


def test_health_and_metrics_tell_how_it_does(url: str, home: Home) -> None:
    assert call(url, "GET", "/health").json == {"status": "ok", "version": "v2", "id": home.head.id}
    call(url, "POST", "/v1/completions", {"prompt": asked(1), "max_tokens": 4})
    call(url, "GET", "/nothing/here")
    text = call(url, "GET", "/metrics").text
    assert 'everlearn_requests_total{route="/v1/completions",status="200"} 1' in text
    assert 'everlearn_requests_total{route="other",status="404"} 1' in text
    assert 'everlearn_request_seconds_bucket{route="/v1/completions",le="+Inf"} 1' in text
    assert "everlearn_answers_total 1" in text
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2


def test_no_request_fails_and_every_answer_is_of_one_version_across_promotions_and_rollbacks(home: Home, url: str) -> None:
    """The small form of tests/long/test_serving.py."""
    wanted, wrong, count, over = {"v1": " Penwick", "v2": " Ashford"}, list[object](), [0], threading.Event()

    def ask(number: int) -> None:
        while not over.is_set():
            told = call(url, "POST", "/v1/completions", {"prompt": asked(number % 8), "max_tokens": 4})
            count[0] += 1
            if told.status != 200 or told.json["choices"][0]["text"] != wanted[told.json["model"]]:
                wrong.append(told)

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for client in clients:
        client.start()
    for move in range(6):
        home.rollback() if move % 2 == 0 else home.promote(2)
        name = "v1" if move % 2 == 0 else "v2"
        for _ in range(2000):
            if call(url, "GET", "/health").json["version"] == name:
                break
            time.sleep(0.01)
        before = count[0]
        while count[0] < before + 12:
            time.sleep(0.01)
    over.set()
    for client in clients:
        client.join()
    assert wrong == []
    assert count[0] >= 72
    assert "everlearn_swaps_total 6" in call(url, "GET", "/metrics").text
