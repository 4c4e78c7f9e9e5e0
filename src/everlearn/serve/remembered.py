"""The last answers, for feedback to name by their id."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from everlearn.types import Example

MOST = 10_000  # answers
MOST_BYTES = 64_000_000  # of their questions together, in UTF-8


@dataclass(slots=True)
class Given:
    """An answer that was given. version: its id; the model itself may leave memory.   judged: was it found bad already."""

    version: str
    question: Example
    judged: bool = False

    @property
    def size(self) -> int:
        """Bytes of its question."""
        return sum(len(part.encode(errors="surrogatepass")) for part in self.question.content)


class Remembered:
    """The answers given last, as many as `most` and as few as have `most_bytes` together.

    >>> last = Remembered(most_bytes=100)
    >>> for name in ("a", "b", "c"):
    ...     last.add(name, Given("1", Example(prompt=name * 40, completion="")))
    >>> [name in last for name in ("a", "b", "c")]
    [False, True, True]
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.most, self.most_bytes, self.bytes = most, most_bytes, 0
        self._given: OrderedDict[str, Given] = OrderedDict()

    def __contains__(self, id: object) -> bool:
        return id in self._given

    def __getitem__(self, id: str) -> Given:
        return self._given[id]

    def add(self, id: str, given: Given) -> None:
        """Remember one more; the oldest go where that is too many, or too much."""
        self._given[id] = given
        self.bytes += given.size
        while len(self._given) > self.most or self.bytes > self.most_bytes:
            self.bytes -= self._given.popitem(last=False)[1].size
