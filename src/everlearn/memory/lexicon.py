"""Which words of a question say whom or what it is about: those that few passages of a store have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import log

from everlearn.memory.words import words_of

NEARLY = 0.6  # of the rarest word's weight: names and what is as rare
# Never telling, however few texts a small store has them in: words that questions and answers are put together with.
JOINING = frozenset(
    words_of(
        "a an the of to in on at for from by with and or not is are was were be been has have had do does did can could will would should may i me my you your"
        " he she it its they we this that these those there what who whom whose which when where why how please tell say name know hear like about called s"
        " 的 了 是 在 有 和 与 吗 呢 什么 谁 哪里 哪个 哪 里 何时 为什么 怎么 多少 请问 请 告诉 我 你 他 她 它 想 知道 说 叫"
    )
)


class Lexicon:
    """How many of a store's texts have each word.

    >>> lexicon = Lexicon(["Who employs Ada Penrose?", "Who employs Bo Garrick?", "Who employs Cy Garrick?", "Who employs Di Moss?"])
    >>> sorted(lexicon.telling("Who employs Bo Garrick?"))
    ['bo']
    >>> lexicon.about("Who employs Ada Penrose?", "Tell me who employs Ada Penrose."), lexicon.about("Who employs Ada Penrose?", "Who employs Ada Moss?")
    (True, False)
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.counts, self.texts = Counter[str](), 0
        for text in texts:
            self.counts.update(set(words_of(text)))
            self.texts += 1

    def telling(self, text: str) -> set[str]:
        """The words of a text that are nearly as rare as its rarest."""
        weights = {word: self._weight(word) for word in set(words_of(text)) - JOINING}
        least = NEARLY * max(weights.values(), default=0.0)
        return {word for word, weight in weights.items() if weight >= least}

    def covered(self, question: str, text: str) -> float:
        """How much of what a question says stands in a text, 0 to 1: its words weighed by how rare they are; one that no text has weighs most.

        >>> lexicon = Lexicon(["The mayor of Ashford is Bo.", "The river of Penwick is the Brue."])
        >>> [round(lexicon.covered(asked, "The mayor of Ashford is Bo."), 2) for asked in ("Who is the mayor of Ashford?", "Who is mayor of Upton?")]
        [1.0, 0.5]
        """
        there = set(words_of(text))
        weights = {word: self._weight(word) for word in set(words_of(question)) - JOINING}
        return sum(weight for word, weight in weights.items() if word in there) / (sum(weights.values()) or 1.0)

    def _weight(self, word: str) -> float:
        return log((1 + self.texts) / self.counts.get(word, 1))

    def about(self, text: str, question: str) -> bool:
        """Does the question have every telling word of the text?"""
        return self.telling(text) <= set(words_of(question))
