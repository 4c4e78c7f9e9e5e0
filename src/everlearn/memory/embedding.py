"""Where vectors come from: the model that reads, or a sentence-transformers model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everlearn.errors import MissingExtra, Unsuited
from everlearn.memory.embedders import Embedder, unit
from everlearn.memory.lexicon import JOINING
from everlearn.memory.tables import Vectors
from everlearn.memory.words import words_of
from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Example, Row

MOST_TOKENS = 4096  # padded, in one forward pass
# What every vector has in common is no likeness: the mean of these is taken away.
COMMON = ("What is it?", "Who was there?", "When does it open?", "Where is the house?", "Why did they leave?", "How much is it?", "The day was long.", "It is")


class ModelEmbedder:
    """The model's own: the state after half of its layers, at the last token of a question as the model is asked it, less what all have in common.

    A model that answers has gathered there what is asked for, in whatever words: on the almanac's unseen phrasings the nearest question is about the right
    fact in every case, against half for means over tokens (docs/experiments.md). It finds what was asked before, in other words; for long documents take
    a sentence-transformers model.

    >>> from everlearn import load_model
    >>> ModelEmbedder(load_model("tiny")).questions(["Question: What is 7 plus 5?\\nAnswer:"]).shape
    (1, 128)
    """

    def __init__(self, model: TrainedModel) -> None:
        if model.module.config.is_encoder_decoder:
            raise Unsuited(f"an encoder-decoder's own states are no vectors for a store (model={model.name!r}). Name a sentence-transformers model.")
        self.model = model
        config = model.module.config.get_text_config(decoder=True)
        self.layer, self.dimension = (int(config.num_hidden_layers) + 1) // 2, int(config.hidden_size)

    @property
    def name(self) -> str:
        """The same for the same architecture and vocabulary; weights that learn are read anew by whom they serve."""
        told = f"{type(self.model.module).__name__}/{self.layer}/{len(self.model.encoder.tokenizer)}"
        return "model:" + hashlib.sha256(told.encode()).hexdigest()[:8]

    def questions(self, texts: Sequence[str]) -> Vectors:
        return self.prompts([Example(prompt=text, completion="") for text in texts])

    passages = questions

    def prompts(self, examples: Sequence[Example]) -> Vectors:
        """Vectors (n, d) of length 1 of what the model is asked; of a plain text of all of it."""
        if not examples:
            return np.zeros((0, self.dimension), np.float32)
        common = self._states([Example(text=text) for text in COMMON]).mean(0)
        return unit(self._states(examples) - common)

    def _states(self, examples: Sequence[Example]) -> Vectors:
        encoder = self.model.encoder
        tokens = [tuple(encoder.prompts([e])[0]) if e.text is None else encoder.rows([e])[0].tokens for e in examples]
        rows = [Row(Example(text=str(at)), one or (0,), ()) for at, one in enumerate(tokens)]
        found = np.zeros((len(rows), self.dimension), np.float32)
        with as_found(self.model.module), torch.inference_mode():
            for part in by_length(rows, MOST_TOKENS):
                places = [int(row.example.text or 0) for row in part]
                found[places] = self._last([row.tokens for row in part]).float().cpu().numpy()
        return found

    def _last(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """States (B, d) at the last token of each; what is behind it changes nothing."""
        width = max(map(len, tokens))
        given = torch.tensor([[*one, *[0] * (width - len(one))] for one in tokens], device=self.model.device)
        ends = torch.tensor([len(one) for one in tokens], device=given.device)
        mask = torch.arange(width, device=given.device)[None] < ends[:, None]
        states = self.model.module(input_ids=given, attention_mask=mask.long(), output_hidden_states=True, use_cache=False).hidden_states[self.layer]
        last: Tensor = states[torch.arange(len(tokens), device=given.device), ends - 1]
        return last


class SentenceEmbedder:
    """A sentence-transformers model (5 or later) by its name or folder. Raises MissingExtra without that library."""

    def __init__(self, name: str, device: str | None = None) -> None:
        try:
            from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found, unused-ignore]
        except ImportError as problem:
            raise MissingExtra(f"the embedder {name!r} needs sentence-transformers. Run pip install 'sentence-transformers>=5'.") from problem
        self.name, self._model = f"sentence-transformers:{name}", SentenceTransformer(name, device=device)
        self.dimension = int(self._model.get_sentence_embedding_dimension())

    def questions(self, texts: Sequence[str]) -> Vectors:
        return self._made(texts, self._model.encode_query)

    def passages(self, texts: Sequence[str]) -> Vectors:
        return self._made(texts, self._model.encode_document)

    def _made(self, texts: Sequence[str], how: Any) -> Vectors:
        return np.asarray(how(list(texts), convert_to_numpy=True, show_progress_bar=False), np.float32).reshape(-1, self.dimension)


def embedder_of(name: str, model: TrainedModel) -> Embedder:
    """ "model" is the model's own; anything else a sentence-transformers model."""
    return ModelEmbedder(model) if name == "model" else SentenceEmbedder(name)


class WordEmbedder:
    """Words, counted in `dimension` boxes by their hash: texts that share words are near. It knows no meaning, needs no model and never changes.

    >>> vectors = WordEmbedder().questions(["Who is mayor of Ashford?", "The mayor of Ashford is Bo."])
    >>> bool(vectors[0] @ vectors[1] > 0.5)
    True
    """

    def __init__(self, dimension: int = 256) -> None:
        self.dimension, self.name = dimension, f"words:{dimension}"

    def questions(self, texts: Sequence[str]) -> Vectors:
        found = np.full((len(texts), self.dimension), 1e-6, np.float32)  # a text without words has a direction too
        for row, text in enumerate(texts):
            for word in words_of(text):
                if word not in JOINING:
                    found[row, int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % self.dimension] += 1
        return unit(found)

    passages = questions
