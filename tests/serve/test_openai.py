"""The real `openai` client against a real server on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from everlearn import Home, load_model
from everlearn.memory.embedding import ModelEmbedder
from everlearn.serve.running import served
from tests.serve.conftest import asked

OWL = asked(3).removeprefix("Question: ").removesuffix("\nAnswer:")


@pytest.fixture(scope="module")
def client(two_made: Path) -> Iterator[openai.OpenAI]:
    with served(Home(two_made)) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="none needed", max_retries=0) as made:
        yield made


def test_chat_is_answered_by_the_version_in_service_or_by_one_that_is_named(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="latest", messages=[{"role": "user", "content": OWL}])
    assert (said.choices[0].message.content, said.choices[0].finish_reason, said.model) == (" Ashford", "stop", "v2")
    assert said.usage is not None
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert said.usage.completion_tokens > 0
    before = client.chat.completions.create(model="v1", messages=[{"role": "user", "content": [{"type": "text", "text": OWL}]}])
    assert (before.choices[0].message.content, before.model) == (" Penwick", "v1")
    assert before.system_fingerprint != said.system_fingerprint


def test_a_stream_says_the_same_piece_by_piece(client: openai.OpenAI) -> None:
    given = {"model": "latest", "messages": [{"role": "user", "content": OWL}], "temperature": 2, "seed": 5, "max_tokens": 12}
    whole = client.chat.completions.create(**given)  # type: ignore[call-overload]
    chunks = list(client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert {chunk.model for chunk in chunks} == {"v2"}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason


def test_completions_of_several_prompts_and_choices(client: openai.OpenAI) -> None:
    said = client.completions.create(model="v0", prompt=[f"Question: What is {n} plus 5?\nAnswer:" for n in (7, 2)], n=2)
    assert [choice.text for choice in said.choices] == [" 12", " 12", " 7", " 7"]
    assert [choice.index for choice in said.choices] == [0, 1, 2, 3]
    drawn = client.completions.create(model="latest", prompt="Once", n=3, temperature=2, seed=1, max_tokens=6)
    assert len({choice.text for choice in drawn.choices}) > 1
    again = client.completions.create(model="latest", prompt="Once", n=3, temperature=2, seed=1, max_tokens=6)
    assert [choice.text for choice in again.choices] == [choice.text for choice in drawn.choices]
    text = drawn.choices[0].text
    stopped = client.completions.create(model="latest", prompt="Once", temperature=2, seed=1, max_tokens=6, stop=[text[2:4]])
    assert stopped.choices[0].text == text[: text.index(text[2:4])]
    pieces = [chunk.choices[0] for chunk in client.completions.create(model="latest", prompt="Once", temperature=2, seed=1, max_tokens=6, n=2, stream=True)]
    assert ["".join(one.text for one in pieces if one.index == at) for at in (0, 1)] == [choice.text for choice in drawn.choices[:2]]


def test_versions_are_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["latest", "v0", "v1", "v2"]
    assert client.models.retrieve("v1").owned_by == "everlearn"
    with pytest.raises(openai.NotFoundError, match="no such model .model='v9'"):
        client.models.retrieve("v9")


def test_embeddings_are_the_models_own(client: openai.OpenAI) -> None:
    texts = [asked(1), "Question: What is 7 plus 5?\nAnswer:"]
    found = client.embeddings.create(model="v0", input=texts)
    wanted = ModelEmbedder(load_model("tiny")).questions(texts)
    assert [one.embedding for one in found.data] == [pytest.approx(vector.tolist(), abs=1e-5) for vector in wanted]
    plain = client.embeddings.create(model="v0", input=texts[0], encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(wanted[0].tolist(), abs=1e-5)
    with pytest.raises(openai.BadRequestError, match="have 128 components"):
        client.embeddings.create(model="v0", input="owl", dimensions=64)


def test_what_cannot_be_done_is_said(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no such model .model='gpt-4'"):
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(openai.BadRequestError, match="the prompt has .* tokens .* this model reads 512") as problem:
        client.completions.create(model="latest", prompt="owl " * 600)
    assert problem.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="at most 1024 tokens here"):
        client.completions.create(model="latest", prompt="owl", max_tokens=2000)
    with pytest.raises(openai.BadRequestError, match="temperature: .* less than or equal to 2, got 3"):
        client.completions.create(model="latest", prompt="owl", temperature=3)
    with pytest.raises(openai.BadRequestError, match="best_of"):
        client.completions.create(model="latest", prompt="owl", best_of=2)
    with pytest.raises(openai.BadRequestError, match="tools is not known here"):
        client.chat.completions.create(model="latest", messages=[{"role": "user", "content": "Hello"}], tools=[])
    with pytest.raises(openai.BadRequestError, match="nothing to embed"):
        client.embeddings.create(model="latest", input="")
    stream = {"model": "latest", "prompt": "owl " * 600, "stream": True}
    with pytest.raises(openai.BadRequestError, match="this model reads 512"):
        client.completions.create(**stream)  # type: ignore[call-overload]
