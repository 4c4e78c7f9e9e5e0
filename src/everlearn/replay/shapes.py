"""The shapes of given prompts, and new prompts made by filling them: text alone, no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """A prompt around one hole.   weight: shapes of rare words weigh more, so that each kind of question gets about equal room."""

    before: str
    after: str
    weight: float

    def filled(self, phrase: str) -> str:
        return self.before + phrase + self.after


class Prompts:
    """Given prompts: which of their words are rare (what they are about), and the shapes left when a run of those is taken out.

    rare: a word is rare that is in at most this share of the prompts, or in one of them.

    >>> given = Prompts(["Who is the mayor of Ashford?", "Who is the mayor of Oakwick?", "Who is the mayor of Penbury?"], rare=0.1)
    >>> sorted(given.rare), given.shapes[0].filled("Wolfgate")
    (['Ashford', 'Oakwick', 'Penbury'], 'Who is the mayor of Wolfgate?')
    >>> given.overlap("Do you like Ashford?"), given.overlap("Do you like Wolfgate?")
    (1.0, 0.0)
    """

    def __init__(self, prompts: Iterable[str], rare: float = 0.05) -> None:
        self.texts = list(dict.fromkeys(prompts))
        self.counts = Counter(word for text in self.texts for word in set(words(text)))
        self.rare = frozenset(word for word, count in self.counts.items() if word.isalnum() and count <= max(1.0, rare * len(self.texts)))
        self.subjects = list(dict.fromkeys(found for text in self.texts if (found := frozenset(words(text)) & self.rare)))
        shapes = {(s.before, s.after): s for text in self.texts for s in self._opened(text)}
        self.shapes = list(shapes.values())

    def overlap(self, text: str) -> float:
        """The largest share of any given prompt's rare words that this text has, 0 to 1."""
        here = self.rare.intersection(words(text))
        return max((len(subject & here) / len(subject) for subject in self.subjects), default=0.0) if here else 0.0

    def leads(self) -> list[str]:
        """Each prompt up to its first rare word."""
        return list(dict.fromkeys("".join(text for text, hole in _before_hole(self._pieces(given)) if not hole) for given in self.texts))

    def _pieces(self, text: str) -> list[tuple[str, bool]]:
        """The text in runs of rare words (with the spaces between them) and single other words."""
        pieces: list[tuple[str, bool]] = []
        for word in words(text):
            rare = word in self.rare
            if rare and pieces and pieces[-1][1]:
                pieces[-1] = (pieces[-1][0] + word, True)
            elif rare and len(pieces) > 1 and pieces[-1][0] == " " and pieces[-2][1]:
                pieces[-2:] = [(f"{pieces[-2][0]} {word}", True)]
            else:
                pieces.append((word, rare))
        return pieces

    def _opened(self, text: str) -> list[Shape]:
        """One shape a run of rare words."""
        pieces, found = self._pieces(text), []
        for place, (_, hole) in enumerate(pieces):
            if hole:
                before, after = "".join(piece for piece, _ in pieces[:place]), "".join(piece for piece, _ in pieces[place + 1 :])
                found.append(Shape(before, after, 1 / min((self.counts[word] for word in words(before + after)), default=1)))
        return found


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
