"""Answers in batches: each what its version says alone, from its first token to its last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from everlearn import Example, Home, ModelError, Seq2SeqModel, load_model
from everlearn.errors import Unsuited
from everlearn.models.sampling import Sampling
from everlearn.serve.asking import Ask, Overloaded, Piece, TooLong
from everlearn.serve.engine import Engine
from everlearn.serve.opening import Served, open_served
from tests.serve.conftest import asked

WILD = Sampling(temperature=4.0)  # nearly any token is as likely, so an answer is as long as it may be


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(batch=4)
    yield made
    made.close()


@pytest.fixture(scope="module")
def two(two_made: Path) -> tuple[Served, Served]:
    home = Home(two_made)
    return open_served(home, home.version(1)), open_served(home, home.version(2))


def question(text: str) -> Example:
    return Example(prompt=text, completion="")


def heard(pieces: Queue[Piece | Exception]) -> list[Piece]:
    found: list[Piece] = []
    while True:
        piece = pieces.get(timeout=60)
        if isinstance(piece, Exception):
            raise piece
        found.append(piece)
        if piece.finish:
            return found


def test_many_threads_get_what_each_version_says_alone(engine: Engine, two: tuple[Served, Served]) -> None:
    texts = [asked(n) for n in range(6)] + [f"Question: What is {n} plus {n}?\nAnswer:" for n in range(4)]
    wanted = {(at, text): served.model.generate([question(text)], 6, lines=True)[0] for at, served in enumerate(two) for text in texts}
    found: dict[tuple[int, str], str] = {}

    def ask(at: int, text: str) -> None:
        found[at, text] = engine.answer(two[at], Ask(question(text), 6))

    threads = [threading.Thread(target=ask, args=key) for key in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted
    assert engine.counted.answered == len(wanted)
    assert engine.counted.rows > engine.counted.steps  # some were said together


def test_a_stream_says_the_same_in_pieces(engine: Engine, two: tuple[Served, Served]) -> None:
    pieces: Queue[Piece | Exception] = Queue()
    ask = Ask(question("Once upon"), 12, sampling=WILD, seed=3)
    engine.submit(two[0], ask, pieces.put, stream=True)
    told = heard(pieces)
    assert len(told) > 2
    assert "".join(piece.text for piece in told) == engine.answer(two[0], ask)
    assert told[-1].finish == "length"
    assert told[-1].said == 12


def test_stop_texts_end_an_answer_before_them(engine: Engine, two: tuple[Served, Served]) -> None:
    whole = engine.answer(two[0], Ask(question("Once upon"), 12, sampling=WILD, seed=3))
    stop = whole[5:8]
    pieces: Queue[Piece | Exception] = Queue()
    engine.submit(two[0], Ask(question("Once upon"), 12, stop=(stop,), sampling=WILD, seed=3), pieces.put, stream=True)
    told = heard(pieces)
    assert "".join(piece.text for piece in told) == whole[: whole.index(stop)]
    assert told[-1].finish == "stop"


def test_draws_depend_on_their_seed_and_not_on_their_company(engine: Engine, two: tuple[Served, Served]) -> None:
    drawn = [Ask(question("Once upon"), 8, sampling=WILD, seed=seed) for seed in range(3)]
    alone = [engine.answer(two[0], ask) for ask in drawn]
    assert len(set(alone)) > 1
    queues = [Queue[Piece | Exception]() for _ in drawn]
    for ask, pieces in zip(drawn, queues, strict=True):
        engine.submit(two[0], ask, pieces.put)
    assert ["".join(piece.text for piece in heard(pieces)) for pieces in queues] == alone


def test_a_question_without_room_is_refused_alone(engine: Engine, two: tuple[Served, Served]) -> None:
    with pytest.raises(TooLong, match="the prompt has .* tokens and the answer may have 8, and this model reads 512"):
        engine.answer(two[0], Ask(question("owl " * 600), 8))
    with pytest.raises(TooLong, match="may have 5000"):
        engine.answer(two[0], Ask(question("owl"), 5000))
    assert engine.answer(two[0], Ask(question(asked(2)), 5000, fits=True)) == " Penwick"
    assert engine.answer(two[0], Ask(question(asked(1)), 4)) == " Penwick"


def test_a_model_that_gives_no_numbers_fails_its_own_answers_alone(engine: Engine, two: tuple[Served, Served]) -> None:
    broken = Served(two[0].version, load_model("tiny"), lambda questions: questions)
    with torch.no_grad():
        next(broken.model.module.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="gives no numbers"):
        engine.answer(broken, Ask(question("owl"), 4))
    failing = Served(two[0].version, two[0].model, lambda questions: 1 // 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="could not answer .ZeroDivisionError"):
        engine.answer(failing, Ask(question("owl"), 4))
    assert engine.counted.failed == 2
    assert engine.answer(two[1], Ask(question(asked(1)), 4)) == " Ashford"


def test_a_conversation_without_a_chat_template_is_the_fault_of_who_asks_and_fails_alone(engine: Engine, two: tuple[Served, Served]) -> None:
    model = load_model("tiny")
    model.tokenizer.chat_template = None
    looked_up = Served(two[0].version, model, lambda questions: [model.encoder.prompts(questions), questions][1])  # as a memory looks all of them up
    talk = Example(messages=({"role": "user", "content": "Who?"}, {"role": "assistant", "content": ""}))
    free, queues = threading.Event(), [Queue[Piece | Exception]() for _ in range(3)]
    engine.call(free.wait)
    for asked_of, queue in zip((question("owl"), talk, question("owl")), queues, strict=True):
        engine.submit(looked_up, Ask(asked_of, 4), queue.put)
    free.set()
    with pytest.raises(Unsuited, match="no chat template"):
        heard(queues[1])
    assert heard(queues[0])[-1].finish == heard(queues[2])[-1].finish != ""
    assert (engine.counted.failed, engine.counted.answered) == (0, 2)


def test_too_many_that_wait_are_refused_and_what_was_taken_is_answered(two: tuple[Served, Served]) -> None:
    engine, hold, pieces = Engine(batch=1, waiting=1), threading.Event(), Queue[Piece | Exception]()
    engine.call(hold.wait)
    engine.submit(two[0], Ask(question(asked(2)), 4), pieces.put)
    with pytest.raises(Overloaded, match="has 1 questions waiting"):
        engine.submit(two[0], Ask(question(asked(3)), 4), pieces.put)
    hold.set()
    engine.close()
    assert heard(pieces)[-1].text == " Penwick"
    with pytest.raises(Overloaded, match="is stopping"):
        engine.submit(two[0], Ask(question(asked(3)), 4), pieces.put)


def test_an_answer_nobody_waits_for_any_more_leaves(engine: Engine, two: tuple[Served, Served]) -> None:
    pieces: Queue[Piece | Exception] = Queue()
    answer = engine.submit(two[0], Ask(question("Once upon"), 400, sampling=WILD), pieces.put, stream=True)
    pieces.get(timeout=60)
    answer.gone = True
    engine.answer(two[0], Ask(question("Once upon"), 2))
    assert engine.under_way == (0, 0)
    assert engine.call(lambda: 3).result(60) == 3


def test_what_a_memory_puts_before_a_question_leaves_the_answer_room(engine: Engine, two: tuple[Served, Served]) -> None:
    asked_of, told = question(asked(1)), question("owl " * 100 + asked(1))
    pieces: Queue[Piece | Exception] = Queue()
    for limit, fits, wanted in ((5000, True, None), (480, False, 512 - 480)):
        engine.submit(two[0], Ask(asked_of, limit, fits, told), pieces.put)
        (piece,) = heard(pieces)
        whole = len(two[0].model.encoder.prompts([told])[0])
        assert piece.asked == (whole if wanted is None else wanted)


def test_an_encoder_decoder_answers_too_in_batches_side_by_side(engine: Engine, two: tuple[Served, Served]) -> None:
    tokenizer = load_model("tiny").tokenizer
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    torch.manual_seed(1)
    model = Seq2SeqModel(T5ForConditionalGeneration(config).eval(), tokenizer)
    served = Served(two[0].version, model, lambda questions: questions)
    texts = [f"Who keeps the lamp {'of Penwick ' * n}?" for n in range(6)]
    queues = [Queue[Piece | Exception]() for _ in texts]
    for text, pieces in zip(texts, queues, strict=True):
        engine.submit(served, Ask(question(text), 6), pieces.put)
    found = ["".join(piece.text for piece in heard(pieces)) for pieces in queues]
    assert found == model.generate([question(text) for text in texts], 6, lines=True)


def test_a_batch_that_cannot_be_joined_is_told_and_the_thread_goes_on(engine: Engine, two: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch) -> None:
    served, free, pieces = two[0], threading.Event(), [Queue[Piece | Exception]() for _ in range(5)]

    def broken(*given: object) -> bool:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("everlearn.models.language.CausalDecoding.join", broken)
    engine.call(free.wait)
    for n, (limit, queue) in enumerate(zip((1, 40, 40, 40, 4), pieces, strict=True)):  # four fit; the fifth joins when the first has left
        engine.submit(served, Ask(question(asked(n)), limit, sampling=None if n in (0, 4) else WILD, seed=n), queue.put)
    free.set()
    with pytest.raises(ModelError, match="out of memory"):
        heard(pieces[4])
    assert engine.alive
    assert engine.answer(served, Ask(question(asked(0)), 4))
