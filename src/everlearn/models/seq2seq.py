"""Hugging Face encoder-decoder models behind the same interface: the source is read once, the target learned, said or scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import EncoderDecoderCache
from transformers.utils.generic import ModelOutput

from everlearn.errors import DataError, ModelError
from everlearn.models.batch import by_length
from everlearn.models.decoding import Decoding
from everlearn.models.language import MOST_TOKENS
from everlearn.models.pairs import PairEncoder
from everlearn.models.sampling import Choose, Sampling, likeliest
from everlearn.models.weights import TrainedModel, as_found, chosen
from everlearn.types import Batch, Example, Out, Row

MOST_LOGITS = 2**29  # values of one evaluation batch's logits, 2 GiB in float32: MOST_TOKENS at a vocabulary of 32 768


@dataclass(frozen=True, slots=True)
class Heard:
    """Sources as the decoder sees them: mask (B, S), what the encoder gave (last_hidden_state (B, S, D)), and the cache of both attentions."""

    mask: Tensor
    read: ModelOutput
    cache: EncoderDecoderCache

    def only(self, rows: Tensor) -> Heard:
        """These rows, which may repeat; the cache changes in place."""
        self.cache.batch_select_indices(rows)
        read = copy(self.read)
        read["last_hidden_state"] = self.read["last_hidden_state"][rows]
        return Heard(self.mask[rows], read, self.cache)


class Seq2SeqModel(TrainedModel):
    """A Hugging Face encoder-decoder language model (T5, BART, Marian, mBART, NLLB ...), whole or with PEFT adapters.

    A Row holds the source, then the target: the encoder reads what comes before the first learned token, the decoder starts with
    `encoder.prefix` and learns the rest. The output head runs only on the positions asked for. Of the model's generation settings the
    start tokens, the end tokens and the tokens never to be said hold; its length and repetition rules do not: answers are plainly greedy.

    >>> from everlearn import load_model
    >>> from transformers import T5Config, T5ForConditionalGeneration
    >>> tokenizer = load_model("tiny").tokenizer
    >>> config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    >>> model = Seq2SeqModel(T5ForConditionalGeneration(config), tokenizer)
    >>> rows = model.encoder.rows([Example(prompt="Question: What is 7 plus 5?", completion=" 12")])
    >>> model.logits(model.batch(rows)).logits.shape[0] == len(rows[0].learned)
    True
    """

    encoder: PairEncoder
    begins = False

    def __init__(self, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "") -> None:
        head = module.get_output_embeddings()  # type: ignore[no-untyped-call]
        if not module.config.is_encoder_decoder or not isinstance(head, nn.Module) or isinstance(head, nn.Embedding):
            raise ModelError(f"{name or type(module).__name__} is no encoder-decoder model with an output head. Give one such as T5, BART or Marian.")
        config, self._rules = module.config.to_dict(), module.generation_config
        reads, says = (_reach(config, side, tokenizer) for side in ("encoder", "decoder"))
        encoder = PairEncoder(tokenizer, reads, says, self._rules.decoder_start_token_id, self._rules.forced_bos_token_id)
        super().__init__(module, encoder, head, name)
        self._breaks: dict[int, bool] = {}

    def logits(self, batch: Batch) -> Out:
        keep, inputs = self._read_and_said(batch)
        return Out(self._at(keep, **inputs)["logits"][0])

    def outputs(self, batch: Batch) -> Out:
        keep, inputs = self._read_and_said(batch)
        return self._late.outputs(keep, **inputs) or Out(self._at(keep, **inputs)["logits"][0])

    def _read_and_said(self, batch: Batch) -> tuple[Tensor, dict[str, object]]:
        """The places of the learned tokens among the decoder's, and what the module is given."""
        prefix, first = self.encoder.prefix, [row.learned[0] if row.learned else len(row.tokens) for row in batch.rows]
        sources, mask = self._padded([row.tokens[:at] for row, at in zip(batch.rows, first, strict=True)])
        said, _ = self._padded([(*prefix, *row.tokens[at:-1]) for row, at in zip(batch.rows, first, strict=True)])
        before = len(prefix) - 1
        keep = [n * said.shape[1] + before + p - at for n, (row, at) in enumerate(zip(batch.rows, first, strict=True)) for p in row.learned]
        keep_at = torch.tensor(keep, dtype=torch.long, device=self.device)
        return keep_at, {"input_ids": sources, "attention_mask": mask, "decoder_input_ids": said, "use_cache": False}

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        return [text if lines else text.removesuffix("\n") for text in self._answers(prompts, limit, lines, likeliest)]

    def sample(self, prompts: Sequence[Example], limit: int, sampling: Sampling, random: Random, lines: bool = False) -> list[str]:
        return self._answers(prompts, limit, lines, sampling.chooser(random))

    def _answers(self, prompts: Sequence[Example], limit: int, lines: bool, choose: Choose) -> list[str]:
        room = self.encoder.room
        if limit > room:
            raise DataError(f"answers of up to {limit} tokens do not fit the model. Its decoder gives at most {room}; shorten the answers.")
        rows = [Row(prompt, tuple(tokens), ()) for prompt, tokens in zip(prompts, self.encoder.prompts(prompts), strict=True)]
        place = {id(row): number for number, row in enumerate(rows)}
        answers = [""] * len(rows)
        with as_found(self.module), torch.inference_mode():
            for part in by_length(rows, MOST_TOKENS, MOST_TOKENS // 4):
                for row, tokens in zip(part, self._said([row.tokens for row in part], limit, lines, choose), strict=True):
                    text = str(self.tokenizer.decode(tokens, skip_special_tokens=True))
                    answers[place[id(row)]] = text if lines else text[: text.find("\n") + 1] or text
        return answers

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        flat = iter(self.encoder.tokens([text for given in continuations for text in given]))
        options = [[tuple(next(flat)) for _ in given] for given in continuations]
        longest, room = [max((len(option) for option in given), default=0) for given in options], self.encoder.room
        for example, wanted in zip(prompts, longest, strict=True):
            if wanted > room:
                raise DataError(f"an answer of {wanted} tokens does not fit the model (id={example.id!r}). At most {room} do.")
        sources = self.encoder.prompts(prompts)
        rows = [Row(e, (*tokens, *(self.pad,) * said), ()) for e, tokens, said in zip(prompts, sources, longest, strict=True)]  # sized by what is read and said
        place = {id(row): number for number, row in enumerate(rows)}
        scores: list[list[float]] = [[] for _ in rows]
        most = min(MOST_TOKENS, MOST_LOGITS // int(next(self._head.parameters()).shape[0])) // max(1, *map(len, options))
        with as_found(self.module), torch.inference_mode():
            for part in by_length(rows, most, MOST_TOKENS // 4):
                numbers = [place[id(row)] for row in part]
                sums = iter(self._score_options([tuple(sources[number]) for number in numbers], [options[number] for number in numbers]))
                for number in numbers:
                    scores[number] = [next(sums) for _ in options[number]]
        return scores

    def _padded(self, tokens: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """Token ids (B, T), padded on the right, and their mask."""
        width = max(len(ids) for ids in tokens)
        padded = torch.tensor([ids + (self.pad,) * (width - len(ids)) for ids in tokens], device=self.device)
        mask = torch.tensor([(1,) * len(ids) + (0,) * (width - len(ids)) for ids in tokens], device=self.device)
        return padded, mask

    def _hear(self, sources: Sequence[tuple[int, ...]]) -> tuple[Tensor, Heard]:
        """The encoder over the sources, once, and the decoder over its prefix: logits of the first token said (B, V)."""
        prefix = self.encoder.prefix
        tokens, mask = self._padded(sources)
        said = torch.tensor([prefix] * len(sources), device=self.device)
        last = torch.arange(1, len(sources) + 1, device=self.device) * len(prefix) - 1
        read = self.module.get_encoder()(input_ids=tokens, attention_mask=mask)  # by itself: some encoders refuse to hear of a cache
        out = self._at(last, encoder_outputs=read, attention_mask=mask, decoder_input_ids=said, use_cache=True)
        return out["logits"][0], Heard(mask, read, out["past_key_values"])

    def _say(self, heard: Heard, tokens: Tensor, keep: Tensor) -> Tensor:
        """Logits (N, V) at the flat positions `keep` of further decoder tokens (B, T)."""
        inputs = {"encoder_outputs": heard.read, "attention_mask": heard.mask, "decoder_input_ids": tokens, "past_key_values": heard.cache}
        found: Tensor = self._at(keep, **inputs, use_cache=True)["logits"][0]
        return found

    def _said(self, sources: Sequence[tuple[int, ...]], limit: int, lines: bool, choose: Choose) -> list[list[int]]:
        """The chosen next token, again and again; what has ended leaves the batch once half of it has."""
        under_way = PairDecoding(self, sources)
        said: list[list[int]] = [[] for _ in sources]
        over = [False] * len(sources)
        going = torch.arange(len(sources), device=self.device)
        ends = self.ends()
        for count in range(limit):
            token = choose(under_way.logits)
            for row, value in zip(going.tolist(), token.tolist(), strict=True):
                said[row].append(value)
                over[row] = over[row] or value in ends or (not lines and self._breaks_line(value))
            ended = torch.tensor([over[row] for row in going.tolist()], device=self.device)
            if bool(ended.all()) or count + 1 == limit:
                break
            if int(ended.sum()) * 2 > len(going):
                alive = (~ended).nonzero()[:, 0]
                under_way.keep(alive)
                going, token = going[alive], token[alive]
            under_way.say(token)
        return [tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))] for tokens in said]

    def _score_options(self, sources: Sequence[tuple[int, ...]], options: Sequence[Sequence[tuple[int, ...]]]) -> list[float]:
        """Nats of each source's options, one after the other; the encoder and its keys and values are shared between them."""
        every = [option for given in options for option in given]
        if not every:
            return []
        logits, heard = self._hear(sources)
        owner = torch.tensor([n for n, given in enumerate(options) for _ in given], device=self.device)
        first = torch.tensor([option[0] if option else self.pad for option in every], device=self.device)
        nats = chosen(logits[owner], first) * torch.tensor([bool(option) for option in every], device=self.device)
        width = max(len(option) for option in every) - 1
        if width > 0:
            tokens = torch.tensor([(option[:-1] + (self.pad,) * width)[:width] for option in every], device=self.device)
            at = torch.tensor([n * width + p for n, option in enumerate(every) for p in range(len(option) - 1)], dtype=torch.long, device=self.device)
            targets = torch.tensor([token for option in every for token in option[1:]], dtype=torch.long, device=self.device)
            nats = nats.index_add(0, at // width, chosen(self._say(heard.only(owner), tokens, at), targets))
        return [float(value) for value in nats.tolist()]

    def begin(self, prompts: Sequence[Sequence[int]]) -> PairDecoding:
        return PairDecoding(self, [tuple(tokens) for tokens in prompts])

    def ends(self) -> frozenset[int]:
        named = self._rules.eos_token_id
        return frozenset({self.encoder.end, *(named if isinstance(named, list) else [] if named is None else [named])})

    def _never_said(self) -> list[int]:
        """Tokens that the model's generation settings forbid (Marian's padding, whose logit means nothing)."""
        single = [words[0] for words in self._rules.bad_words_ids or [] if len(words) == 1]
        return sorted({*single, *(self._rules.suppress_tokens or [])})

    def _breaks_line(self, token: int) -> bool:
        if token not in self._breaks:
            self._breaks[token] = "\n" in str(self.tokenizer.decode([token]))
        return self._breaks[token]


class PairDecoding:
    """A `Decoding` of an encoder-decoder: sources as tokens, framed. Batches do not join: each reads sources of its own."""

    def __init__(self, model: Seq2SeqModel, sources: Sequence[tuple[int, ...]]) -> None:
        self.model = model
        self._never = torch.tensor(model._never_said(), dtype=torch.long, device=model.device)
        logits, self.heard = model._hear(sources)
        self.logits = self._allowed(logits)

    def keep(self, rows: Tensor) -> None:
        self.heard, self.logits = self.heard.only(rows), self.logits[rows]

    def say(self, tokens: Tensor) -> None:
        self.logits = self._allowed(self.model._say(self.heard, tokens[:, None], torch.arange(len(tokens), device=tokens.device)))

    def join(self, other: Decoding) -> bool:
        return False

    def _allowed(self, logits: Tensor) -> Tensor:
        return logits.index_fill(1, self._never, float("-inf"))


def _reach(config: Mapping[str, Any], side: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens this side reads: its positions, or where the architecture has none, what the tokenizer says."""
    inner = config.get(side)
    places = [config.get(f"max_{side}_position_embeddings"), config.get("max_position_embeddings")]
    places += [inner.get("max_position_embeddings")] if isinstance(inner, Mapping) else []
    return int(next((place for place in places if place), tokenizer.model_max_length))
