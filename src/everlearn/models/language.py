"""LanguageModel, the one interface everything else sees, and its form for Hugging Face causal models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache

from everlearn.errors import DataError, ModelError
from everlearn.models.batch import by_length, cut_by_length
from everlearn.models.decoding import Decoding, joinable, padded, stack
from everlearn.models.encode import Encoder
from everlearn.models.sampling import Choose, Sampling, likeliest
from everlearn.models.weights import TrainedModel, chosen
from everlearn.models.weights import as_found as as_found
from everlearn.types import Batch, Example, Out, Row

MOST_TOKENS = 16_384  # padded tokens in one evaluation batch: on two cores, larger ones were no faster


class LanguageModel(Protocol):
    """Weights and tokenizer behind three verbs; wrappers (retrieval, a router) have the same ones."""

    encoder: Encoder

    def logits(self, batch: Batch) -> Out:
        """Next-token logits for the batch's N learned tokens, (N, V); differentiable."""
        ...

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        """The greedy continuation of each prompt, up to the end of text, a line break (with `lines` also beyond), or `limit` tokens."""
        ...

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Log-likelihood in nats of each continuation after its prompt, the end of text not included."""
        ...


class CausalModel(TrainedModel):
    """A Hugging Face causal language model, whole or with PEFT adapters.

    module: the PreTrainedModel or PeftModel. The output head runs only on the positions asked for, whatever the architecture does after it.

    >>> from everlearn import load_model
    >>> model = load_model("tiny")
    >>> model.generate([Example(prompt="Question: What is 7 plus 5?\\nAnswer:", completion="")], limit=4)
    [' 12']
    """

    def __init__(self, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "") -> None:
        longest = getattr(module.config, "max_position_embeddings", None) or tokenizer.model_max_length
        head = module.get_output_embeddings()  # type: ignore[no-untyped-call]
        if module.config.is_encoder_decoder or not isinstance(head, nn.Module):
            raise ModelError(f"{name or type(module).__name__} is no causal language model with an output head. Give a decoder-only model.")
        super().__init__(module, Encoder(tokenizer, int(longest)), head, name)
        self._stops: list[bool] = []

    def logits(self, batch: Batch) -> Out:
        return Out(self._forward(batch.at, input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False)[0])

    def outputs(self, batch: Batch) -> Out:
        if type(self).logits is not CausalModel.logits or self.shared_out:
            return self.logits(batch)  # a wrapper says more than the module does; processes that share weights pass through the head equally often
        return self._late.outputs(batch.at, input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False) or self.logits(batch)

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        return [text if lines else text.removesuffix("\n") for text in self._answers(prompts, limit, lines, likeliest)]

    def sample(self, prompts: Sequence[Example], limit: int, sampling: Sampling, random: Random, lines: bool = False) -> list[str]:
        return self._answers(prompts, limit, lines, sampling.chooser(random))

    def rollouts(self, prompts: Sequence[Example], limit: int, sampling: Sampling, random: Random) -> list[Row]:
        """One drawn answer a prompt, as a Row of exactly the tokens drawn: its end is learned where it was said within `limit` tokens."""
        rows = []
        for prompt, (asked, said) in zip(prompts, self._continued(prompts, limit, True, sampling.chooser(random)), strict=True):
            tokens = (*asked, *said, self.encoder.end) if len(said) < limit else (*asked, *said)
            example = prompt.answered(str(self.tokenizer.decode(said, skip_special_tokens=True)))
            rows.append(Row(example, tokens, tuple(range(len(asked), len(tokens)))))
        return rows

    def _answers(self, prompts: Sequence[Example], limit: int, lines: bool, choose: Choose) -> list[str]:
        """Text after each prompt."""
        texts = [str(self.tokenizer.decode(said, skip_special_tokens=True)) for _, said in self._continued(prompts, limit, lines, choose)]
        return texts if lines else [text[: text.find("\n") + 1] or text for text in texts]

    def _continued(self, prompts: Sequence[Example], limit: int, lines: bool, choose: Choose) -> list[tuple[tuple[int, ...], list[int]]]:
        """Each prompt's tokens and those said after it; without a start token an empty prompt begins after the end of a text before."""
        start = len(self.encoder.start)
        room = self.encoder.longest - start - limit
        if room < 1:
            raise DataError(f"answers of up to {limit} tokens leave no room for a prompt. The model reads {self.encoder.longest} tokens; shorten the answers.")
        encoded = [
            tokens[:start] + tokens[start:][-room:] or [self.encoder.end] for tokens in self.encoder.prompts(prompts)
        ]  # else a text begins after another's end
        rows = [Row(prompt, tuple(tokens), ()) for prompt, tokens in zip(prompts, encoded, strict=True)]
        place = {id(row): number for number, row in enumerate(rows)}
        found: list[tuple[tuple[int, ...], list[int]]] = [((), [])] * len(rows)
        with as_found(self.module), torch.inference_mode():
            for part in by_length(rows, MOST_TOKENS, MOST_TOKENS // 4):
                for row, tokens in zip(part, self._said([row.tokens for row in part], limit, lines, choose), strict=True):
                    found[place[id(row)]] = row.tokens, tokens
        return found

    def begin(self, prompts: Sequence[Sequence[int]]) -> CausalDecoding:
        return CausalDecoding(self, [tuple(tokens) for tokens in prompts])

    def ends(self) -> frozenset[int]:
        return frozenset([self.encoder.end])

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        with as_found(self.module), torch.inference_mode():
            if all(len(given) == 1 for given in continuations):
                return [[nats] for nats in self._score_whole(prompts, [given[0] for given in continuations])]
            return self._score_shared(prompts, continuations)

    def _forward(self, keep: Tensor, **inputs: object) -> tuple[Tensor, DynamicCache | None]:
        """Logits (N, V) at the flat positions `keep` of (B, T), and the cache."""
        out = self._at(keep, **inputs)
        return out["logits"][0], out.get("past_key_values")

    def _cache(self, prompts: Sequence[tuple[int, ...]]) -> DynamicCache | None:
        """What these prompts are read into, None for the module's own choice; whatever leaves the batch or repeats is selected from it."""
        return None

    def _joined(self, cache: DynamicCache, other: DynamicCache) -> bool:
        """May the other's rows go on in this cache? What `_cache` puts beside a row is taken over here; False where that cannot be."""
        return type(cache) is DynamicCache and type(other) is DynamicCache

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor, DynamicCache]:
        """Prompts padded on the left: next-token logits (B, V), mask (B, T), cache."""
        width = max(len(tokens) for tokens in prompts)
        tokens = torch.tensor([(self.pad,) * (width - len(t)) + t for t in prompts], device=self.device)
        mask = torch.tensor([(0,) * (width - len(t)) + (1,) * len(t) for t in prompts], device=self.device)
        last = torch.arange(1, len(prompts) + 1, device=self.device) * width - 1
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        logits, cache = self._forward(last, input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=self._cache(prompts), use_cache=True)
        if cache is None:
            raise ModelError(f"{self.name or 'the model'} keeps no cache, so it cannot answer here. Give an attention model with past_key_values.")
        return logits, mask, cache

    def _said(self, prompts: Sequence[tuple[int, ...]], limit: int, lines: bool, choose: Choose) -> list[list[int]]:
        """The chosen next token, again and again; what has ended leaves the batch once half of it has."""
        under_way = CausalDecoding(self, prompts)
        said: list[list[int]] = [[] for _ in prompts]
        over = [False] * len(prompts)
        going = torch.arange(len(prompts), device=self.device)
        stops = self._stop_tokens()
        for count in range(limit):
            token = choose(under_way.logits)
            for row, value in zip(going.tolist(), token.tolist(), strict=True):
                said[row].append(value)
                over[row] = over[row] or value == self.encoder.end or (stops[value] and not lines)
            ended = torch.tensor([over[row] for row in going.tolist()], device=self.device)
            if bool(ended.all()) or count + 1 == limit:
                break
            if int(ended.sum()) * 2 > len(going):
                alive = (~ended).nonzero()[:, 0]
                under_way.keep(alive)
                going, token = going[alive], token[alive]
            under_way.say(token)
        return [tokens[: next((i for i, t in enumerate(tokens) if t == self.encoder.end), len(tokens))] for tokens in said]

    def _stop_tokens(self) -> list[bool]:
        """By token id: does an answer end with it (end of text, or a token with a line break in it)."""
        if not self._stops:
            size = int(self.module.config.vocab_size)
            texts = self.tokenizer.batch_decode([[token] for token in range(min(size, len(self.tokenizer)))])
            self._stops = [("\n" in text) for text in texts] + [False] * (size - len(texts))
            self._stops[self.encoder.end] = True
        return self._stops

    def _score_whole(self, prompts: Sequence[Example], continuations: Sequence[str]) -> list[float]:
        """One continuation a prompt: a plain forward pass; text longer than the model's reach goes in windows."""
        rows: list[Row] = []
        owner: list[int] = []
        for number, (prompt, tokens) in enumerate(zip(self.encoder.prompts(prompts), self.encoder.tokens(continuations), strict=True)):
            prompt = prompt or [self.encoder.end]  # without a start token the end of the text before is the context of the first
            room = self.encoder.longest - len(prompt)
            if prompts[number].text is None and len(tokens) > room:
                prompt, room = self._room_for(prompts[number], prompt, len(tokens))
            for start in range(0, len(tokens), room):
                part = prompt + tokens[start : start + room]
                rows.append(Row(prompts[number], tuple(part), tuple(at for at in range(len(prompt), len(part)) if at > 0)))
                owner.append(number)
        place = {id(row): at for row, at in zip(rows, owner, strict=True)}
        nats = [0.0] * len(prompts)
        for part_rows in by_length(rows, MOST_TOKENS, self.tokens_a_pass()):
            batch = self.batch(part_rows)
            sums = torch.zeros(len(part_rows), dtype=torch.float64, device=self.device).index_add(
                0, batch.row, chosen(self.logits(batch).logits, batch.targets)
            )
            for row, value in zip(part_rows, sums.tolist(), strict=True):
                nats[place[id(row)]] += value
        return nats

    def _room_for(self, example: Example, prompt: list[int], wanted: int) -> tuple[list[int], int]:
        start = len(self.encoder.start)
        if wanted > self.encoder.longest - start - 1:
            raise DataError(f"an answer of {wanted} tokens does not fit the model (id={example.id!r}). At most {self.encoder.longest - start - 1} do.")
        return prompt[:start] + prompt[start:][-(self.encoder.longest - start - wanted) :], wanted

    def _score_shared(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Several continuations a prompt: the prompt is read once."""
        flat = iter(self.encoder.tokens([text for given in continuations for text in given]))
        options = [[tuple(next(flat)) for _ in given] for given in continuations]
        encoded = self.encoder.prompts(prompts)
        for number, (example, tokens) in enumerate(zip(prompts, encoded, strict=True)):
            longest = max(len(option) for option in options[number])
            if len(tokens) + longest > self.encoder.longest:
                encoded[number] = self._room_for(example, tokens, longest)[0]
        rows = [Row(prompt, tuple(tokens), ()) for prompt, tokens in zip(prompts, encoded, strict=True)]
        place = {id(row): number for number, row in enumerate(rows)}
        scores: list[list[float]] = [[] for _ in rows]
        for part in by_length(rows, MOST_TOKENS // max(len(given) for given in options), MOST_TOKENS // 4):
            numbers = [place[id(row)] for row in part]
            sums = iter(self._score_options([row.tokens for row in part], [options[number] for number in numbers]))
            for number in numbers:
                scores[number] = [next(sums) for _ in options[number]]
        return scores

    def _score_options(self, prompts: Sequence[tuple[int, ...]], options: Sequence[Sequence[tuple[int, ...]]]) -> list[float]:
        """Every option after its prompt, all prompts' in one list; the prompts are read once, the options in runs of like length."""
        logits, mask, cache = self._prefill(prompts)
        owner = [i for i, given in enumerate(options) for _ in given]
        every = [option for given in options for option in given]
        place = torch.tensor(owner, device=self.device)
        nats = chosen(logits[place], torch.tensor([option[0] for option in every], device=self.device))
        longer = sorted((number for number, option in enumerate(every) if len(option) > 1), key=lambda number: len(every[number]))
        for part in cut_by_length(longer, [len(option) - 1 for option in every], MOST_TOKENS, self.tokens_a_pass()):
            nats[part] += self._score_rest([every[number] for number in part], place[part], mask, cache)
        return [float(value) for value in nats.tolist()]

    def _score_rest(self, options: Sequence[tuple[int, ...]], owner: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
        """The options' tokens from the second on, (options,), each after its first and its prompt in the cache."""
        own, width = copy.deepcopy(cache), max(len(option) for option in options) - 1
        own.batch_select_indices(owner)
        tokens = torch.tensor([option[:-1] + (self.pad,) * (width + 1 - len(option)) for option in options], device=self.device)
        at = torch.tensor([i * width + p for i, option in enumerate(options) for p in range(len(option) - 1)], dtype=torch.long, device=self.device)
        targets = torch.tensor([t for option in options for t in option[1:]], dtype=torch.long, device=self.device)
        read = mask[owner]
        positions = read.sum(1, keepdim=True) + torch.arange(width, device=self.device)
        rest, _ = self._forward(
            at, input_ids=tokens, attention_mask=torch.cat([read, torch.ones_like(tokens)], 1), position_ids=positions, past_key_values=own, use_cache=True
        )
        return torch.zeros(len(options), dtype=torch.float64, device=self.device).index_add(0, at // width, chosen(rest, targets))


class CausalDecoding:
    """A `Decoding` of a decoder-only model: prompts as tokens, none of them empty."""

    def __init__(self, model: CausalModel, prompts: Sequence[tuple[int, ...]]) -> None:
        self.model = model
        self.logits, self.mask, self.cache = model._prefill(prompts)

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.logits, self.mask = self.logits[rows], self.mask[rows]
        empty = int(self.mask.any(0).int().argmax())  # before the longest row's first token
        if empty and joinable(self.cache):
            self.mask = self.mask[:, empty:]
            padded(self.cache, self.mask.shape[1])

    def say(self, tokens: Tensor) -> None:
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], 1)
        every, positions = torch.arange(len(self.mask), device=self.mask.device), self.mask.sum(1, keepdim=True) - 1
        inputs = {"input_ids": tokens[:, None], "attention_mask": self.mask, "position_ids": positions}
        self.logits, _ = self.model._forward(every, **inputs, past_key_values=self.cache, use_cache=True)

    def join(self, other: Decoding) -> bool:
        if not isinstance(other, CausalDecoding) or other.model is not self.model or not (joinable(self.cache) and joinable(other.cache)):
            return False
        if not self.model._joined(self.cache, other.cache):
            return False
        width = max(self.mask.shape[1], other.mask.shape[1])
        for one in (self, other):
            padded(one.cache, width)
            one.mask = functional.pad(one.mask, (width - one.mask.shape[1], 0))
        stack(self.cache, other.cache)
        self.mask, self.logits = torch.cat([self.mask, other.mask]), torch.cat([self.logits, other.logits])
        return True
