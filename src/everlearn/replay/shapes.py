"""The shapes of given prompts, and new prompts made by filling them: text alone, no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random

# One ideograph, kana or hangul syllable is a word of its own: those languages put no spaces between words.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+|\W")


def words(text: str) -> list[str]:
    """The words, and each character between them; together they are the text.

    >>> words("Who is 王伟?")
    ['Who', ' ', 'is', ' ', '王', '伟', '?']
    """
    return WORD.findall(text)


@dataclass(frozen=True, slots=True)
class Shape:
    """A prompt around one hole.   weight: the square root of how many given prompts have this shape, so that a rare kind of question gets its room too."""

    before: str
    after: str
    weight: float

    def filled(self, phrase: str) -> str:
        return self.before + phrase + self.after


class Prompts:
    """Given prompts and their answers: which words are rare (names, mostly), the shapes left when a run of those is taken out, and what they ask.

    rare: a word is rare that is in at most this share of the prompts, or in one of them.

    >>> towns = ("Ashford", "Oakwick", "Penbury")
    >>> given = Prompts([(f"Who is the mayor of {town}?", f"Ann {town}") for town in towns], rare=0.1)
    >>> sorted(given.rare), given.shapes[0].filled("Wolfgate")
    (['Ashford', 'Oakwick', 'Penbury'], 'Who is the mayor of Wolfgate?')
    >>> given.overlap("Do you like Ashford?"), given.overlap("Do you like Wolfgate?")
    (1.0, 0.0)
    """

    def __init__(self, given: Iterable[tuple[str, str]], rare: float = 0.1) -> None:
        pairs = list(dict.fromkeys(given))
        self.texts = list(dict.fromkeys(text for text, _ in pairs))
        self.counts = Counter(word for text in self.texts for word in set(words(text)))
        self.rare = frozenset(word for word, count in self.counts.items() if word.isalnum() and count <= max(1.0, rare * len(self.texts)))
        self.questions = self._questions(pairs)
        shapes = Counter(shape for text in self.texts for shape in self._opened(text))
        self.shapes = [Shape(before, after, sqrt(count)) for (before, after), count in shapes.items()]

    def overlap(self, text: str) -> float:
        """The largest share of any given question's words (name and relation, in whatever phrasing) that this text has, 0 to 1."""
        here = set(words(text))
        asked = {question for question in self.questions.values() if not question.isdisjoint(here)}
        return max((len(question & here) / len(question) for question in asked), default=0.0)

    def _questions(self, pairs: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
        """By text, what it asks: the words that it shares with all other phrasings (same answer, a rare word in common), without those most prompts have.

        Of a question with one phrasing the rare words alone.
        """
        said: dict[tuple[str, str], list[frozenset[str]]] = {}
        for text, answer in pairs:
            here = frozenset(words(text))
            for word in sorted(here & self.rare):
                said.setdefault((word, answer.strip(" .。")), []).append(here)
        usual = frozenset(word for word, count in self.counts.items() if not word.isalnum() or 2 * count > len(self.texts))
        found = {}
        for text, answer in pairs:
            rare = self.rare.intersection(words(text))
            phrasings = max((said[word, answer.strip(" .。")] for word in sorted(rare)), key=len, default=[])
            shared = frozenset.intersection(*phrasings) - usual if len(phrasings) > 1 else rare
            found[text] = shared if shared & rare else rare
        return found

    def leads(self) -> list[str]:
        """Each prompt up to its first rare word."""
        return list(dict.fromkeys("".join(text for text, hole in _before_hole(self._pieces(given)) if not hole) for given in self.texts))

    def _pieces(self, text: str) -> list[tuple[str, bool]]:
        """The text in runs of rare words of its question (with the spaces between them) and single other words."""
        pieces: list[tuple[str, bool]] = []
        holes = self.rare & self.questions[text]
        for word in words(text):
            rare = word in holes
            if rare and pieces and pieces[-1][1]:
                pieces[-1] = (pieces[-1][0] + word, True)
            elif rare and len(pieces) > 1 and pieces[-1][0] == " " and pieces[-2][1]:
                pieces[-2:] = [(f"{pieces[-2][0]} {word}", True)]
            else:
                pieces.append((word, rare))
        return pieces

    def _opened(self, text: str) -> list[tuple[str, str]]:
        """What stands before and after each run of rare words."""
        pieces = self._pieces(text)
        places = [place for place, (_, hole) in enumerate(pieces) if hole]
        return [("".join(piece for piece, _ in pieces[:place]), "".join(piece for piece, _ in pieces[place + 1 :])) for place in places]


def _before_hole(pieces: Sequence[tuple[str, bool]]) -> Sequence[tuple[str, bool]]:
    return pieces[: next((place for place, (_, hole) in enumerate(pieces) if hole), len(pieces))]


def crossed(first: str, second: str, random: Random) -> str:
    """The beginning of one phrase and the rest of another as long; of phrases of different length the first.

    >>> crossed("Nora Ingram", "Hugo Marsh", Random(1))
    'Nora Marsh'
    """
    a, b = words(first), words(second)
    if len(a) != len(b) or len(a) < 2:
        return first
    cut = random.randrange(1, len(a))
    return "".join(a[:cut] + b[cut:])
