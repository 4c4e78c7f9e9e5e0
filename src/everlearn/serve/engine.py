"""The thread that answers: whatever waits goes into the running batch, of each version one, a token at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import torch

from everlearn.errors import DataError, Diverged, EverlearnError, ModelError, Unsuited
from everlearn.models.decoding import Decoding
from everlearn.serve.asking import Answer, Ask, Deliver, Overloaded, Piece, finite
from everlearn.serve.opening import Served

MOST_TOKENS = 16_384  # padded tokens of prompts that are read at once
GROUPS = 2  # batches of one version that run side by side where its answers cannot join a running one
ASKERS = (DataError, Unsuited)  # errors of who asks: they say nothing against the version that was asked
T = TypeVar("T")


@dataclass(slots=True)
class Counted:
    """What the engine did so far: answers finished and failed, tokens read and said, steps and the rows in them."""

    answered: int = 0
    failed: int = 0
    asked: int = 0
    said: int = 0
    steps: int = 0
    rows: int = 0


@dataclass(slots=True, eq=False)
class Group:
    """Answers of one version that are said together, row by row as they stand in `decoding`."""

    served: Served
    answers: list[Answer]
    decoding: Decoding


class Engine:
    """Answers questions to any loaded versions, batched as they come; every answer is one version's from its first token to its last.

    One thread does all of it. A question that arrives while others are answered joins them at the next token. What an answer says does not depend on
    what else is in its batch, up to the rounding of sums: draws have a generator of their own.

    batch: answers of one version at once.   waiting: questions that may wait, and as many other uses of a model; Overloaded for one more.
    """

    def __init__(self, batch: int = 32, waiting: int = 1024) -> None:
        self.batch, self.most_waiting = batch, waiting
        self.counted = Counted()
        self._waiting: deque[Answer] = deque()
        self._jobs: deque[Callable[[], None]] = deque()
        self._groups: list[Group] = []
        self._apart: set[int] = set()  # ids of models whose batches do not join
        self._closing = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="everlearn-engine", daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> tuple[int, int]:
        """Questions that wait, and answers that are being said."""
        return len(self._waiting), sum(len(group.answers) for group in list(self._groups))

    def submit(self, served: Served, ask: Ask, deliver: Deliver, stream: bool = False) -> Answer:
        """Let a question be answered; set `gone` on what this returns to stop. Raises Overloaded where too many wait."""
        answer = Answer(served, ask, deliver, stream)
        with self._change:
            if self._closing or len(self._waiting) >= self.most_waiting:
                raise Overloaded(f"the server {'is stopping' if self._closing else f'has {len(self._waiting)} questions waiting'}. Try again later.")
            self._waiting.append(answer)
            self._change.notify()
        return answer

    def answer(self, served: Served, ask: Ask) -> str:
        """The whole answer, waited for."""
        found: Future[str] = Future()

        def deliver(piece: Piece | Exception) -> None:
            if isinstance(piece, Exception):
                found.set_exception(piece)
            else:
                found.set_result(piece.text)

        self.submit(served, ask, deliver)
        return found.result()

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Do something else with a model, between two tokens: models are used by this thread alone. Raises Overloaded where too much of it waits."""
        found: Future[T] = Future()

        def job() -> None:
            if found.set_running_or_notify_cancel():
                try:
                    found.set_result(work())
                except Exception as problem:  # whoever waits is told
                    found.set_exception(problem)

        with self._change:
            if self._closing or len(self._jobs) >= self.most_waiting:
                raise Overloaded(f"the server {'is stopping' if self._closing else f'has {len(self._jobs)} such requests waiting'}. Try again later.")
            self._jobs.append(job)
            self._change.notify()
        return found

    @property
    def alive(self) -> bool:
        """Does the thread that answers run."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Answer what was taken, then stop."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                with self._change:
                    while not (self._waiting or self._jobs or self._groups or self._closing):
                        self._change.wait()
                    if self._closing and not (self._waiting or self._jobs or self._groups):
                        return
                    jobs, new = list(self._jobs), self._taken()
                    self._jobs.clear()
                for job in jobs:
                    job()
                if new:
                    self._start(new)
                for group in list(self._groups):
                    self._step(group)

    def _taken(self) -> list[Answer]:
        """The questions, all to one version, that are answered from now on: in the order they came, as many as there is room for."""
        for first in self._waiting:
            mine = [group for group in self._groups if group.served.model is first.served.model]
            room = self.batch - sum(len(group.answers) for group in mine)
            if room > 0 and not (id(first.served.model) in self._apart and len(mine) >= GROUPS):
                found = [one for one in self._waiting if one.served is first.served][:room]
                taken = set(map(id, found))
                self._waiting = deque(one for one in self._waiting if id(one) not in taken)
                return found
        return []

    def _start(self, answers: Sequence[Answer]) -> None:
        """Read the prompts, and let the answers run with those under way."""
        ready = self._encoded([one for one in answers if not one.gone])
        while ready:
            count, longest = 0, 0
            while count < len(ready) and (count + 1) * max(longest, len(ready[count].prompt)) <= MOST_TOKENS:
                longest, count = max(longest, len(ready[count].prompt)), count + 1
            part, ready = ready[: max(1, count)], ready[max(1, count) :]
            served = part[0].served
            try:
                fresh = Group(served, part, served.model.begin([one.prompt for one in part]))
            except Exception as problem:  # one broken model must not end the thread
                self._failed(part, problem)
                continue
            mine = [group for group in self._groups if group.served.model is served.model]
            try:
                joined = bool(mine) and mine[0].decoding.join(fresh.decoding)
            except Exception as problem:  # half joined, none of them can go on
                self._groups.remove(mine[0])
                self._failed([*mine[0].answers, *part], problem)
                continue
            if joined:
                mine[0].answers.extend(part)
                continue
            if mine:
                self._apart.add(id(served.model))
            self._groups.append(fresh)

    def _encoded(self, answers: Sequence[Answer]) -> list[Answer]:
        """Those that can be answered; the others are told why not."""
        if not answers:
            return []
        questions = [one.ask.told or one.ask.question for one in answers]
        try:
            read = list(answers[0].served.read(questions))
        except Exception as problem:  # a memory that cannot be read, or a question that it cannot look up
            if len(answers) > 1:
                return [ready for one in answers for ready in self._encoded([one])]
            self._failed(answers, problem)
            return []
        ready = []
        for one, question in zip(answers, read, strict=True):
            try:
                one.encode(question)
                ready.append(one)
            except Exception as problem:  # a question that a tokenizer chokes on must not end the thread
                self._failed([one], problem)
        return ready

    def _step(self, group: Group) -> None:
        """One token of every answer; what is over leaves."""
        try:
            best, tokens = group.decoding.logits.max(1)
            said = tokens.tolist()
            over = [self._over(one, group, row, said, sane) for row, (one, sane) in enumerate(zip(group.answers, finite(best), strict=True))]
            self.counted.steps += 1
            self.counted.rows += len(over)
            if all(over):
                self._groups.remove(group)
                return
            if any(over):
                alive = [row for row, done in enumerate(over) if not done]
                group.answers, said = [group.answers[row] for row in alive], [said[row] for row in alive]
                group.decoding.keep(torch.tensor(alive, device=best.device))
            group.decoding.say(torch.tensor(said, device=best.device))
        except Exception as problem:  # one broken model must not end the thread
            self._groups.remove(group)
            self._failed(group.answers, problem)

    def _over(self, answer: Answer, group: Group, row: int, said: list[int], sane: bool) -> bool:
        """Add the row's token to its answer, drawn where that is asked; is it over?"""
        if answer.gone:
            return True
        if not sane:
            self._failed([answer], Diverged(f"the model gives no numbers (version={answer.served.name}). Roll back to another version."))
            return True
        if answer.choose is not None:
            said[row] = answer.drawn(group.decoding.logits[row : row + 1])
        piece = answer.take(said[row])
        if piece is None:
            return False
        if piece.finish:
            self.counted.answered += 1
            self.counted.asked += piece.asked
            self.counted.said += piece.said
        answer.deliver(piece)
        return bool(piece.finish)

    def _failed(self, answers: Sequence[Answer], problem: Exception) -> None:
        told = problem if isinstance(problem, EverlearnError) else ModelError(f"the model could not answer ({type(problem).__name__}: {problem}).")
        for one in answers:
            self.counted.failed += not isinstance(told, ASKERS)
            one.deliver(told)
