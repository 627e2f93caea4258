"""The knife: what a model with some groups cut says next, beside the original. No weight is touched.

The one idea: a cut is a mask on the inputs of o and down, so it costs one pass over one sentence, and less where the
first blocks are whole: what they make of the sentence is kept from the original's pass and played back. The words the
original would write are tried on the cut model in that same pass; only from where the two part is it asked word by
word, and first with what it wrote last time as a guess that one pass checks.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from ..errors import BadInput
from ..events import RESULT, Event, Events, outside_inference
from ..families.groups import KINDS
from ..models.loaded import LoadedModel
from ..plan.by_hand import Cut, checked
from ..recipes.live import MOST_TOKENS, TOP, WORDS
from ..scoring.group_masks import Mask, input_scales, scaled_inputs
from ..text.tokens import text_of, tokenizer_of
from ..walk.view import eval_view
from ..walk.whole import hidden_states, logits, token_losses
from .generation import prompt_ids

SENTENCES = 8
"""Sentences whose passes are kept."""
TRIED = 8
"""Of the groups that promise most by their gradient, how many are really given back."""

Group = tuple[int, str, int]
"""(layer, kind, index)."""


@dataclass
class _Dense:
    """The original's pass over a sentence and the words it writes after it.

    ids: [1, length] of the sentence; words: its next tokens, none until they are asked for; outputs: what each block
    made of both, [1, length + words, width]; cache: keys and values of both; last: log-probabilities of the next word;
    loss: mean over the sentence, None where it has one token; again: what a cut model wrote last time.
    """

    ids: Tensor
    words: list[int]
    outputs: list[Tensor]
    cache: Any
    last: Tensor
    loss: float | None
    again: list[int]


class Knife:
    """A model that is asked again and again about sentences under cuts."""

    def __init__(self, lm: LoadedModel) -> None:
        self.lm = eval_view(lm)
        self._blocks = list(lm.family.block_list(self.lm.model))
        self._kept: OrderedDict[str, _Dense] = OrderedDict()

    @outside_inference
    def answer_events(self, sentence: str, cut: Cut) -> Events:
        """What both models say. Raises BadInput (sentence, groups that are not there).

        First Event("bars", 1, 2, {"tokens", "bars": of the original's ten likeliest next words and then of the cut
        model's others, [word, probability, probability once cut]; "kl": KL(original ‖ cut) of the next word, nats;
        "perplexity": [original, cut] of the sentence, null for one token}); the result adds "words": [original's, cut
        model's], twelve tokens each, greedily, and "parts": how many they share before they part.
        """
        dense = self._dense(sentence)
        mask = mask_of(self.lm, cut)
        scales = input_scales(self.lm, [mask])
        with torch.no_grad(), scaled_inputs(self.lm, scales):
            reading = _Reading(self, dense, min(mask, default=len(self._blocks)))
            told = self._told(dense, reading)
        yield Event("bars", 1, 2, told)
        with torch.no_grad():
            self._write(dense)
            with scaled_inputs(self.lm, scales):
                written = reading.words(dense)
        dense.again = written
        shared = next((i for i, (a, b) in enumerate(zip(dense.words, written, strict=True)) if a != b), len(written))
        words = [self._text(dense, tokens) for tokens in (dense.words, written)]
        yield Event(RESULT, 1, 1, {**told, "words": words, "parts": shared})

    @outside_inference
    def restore_events(self, sentence: str, cut: Cut) -> Events:
        """Of all groups cut, the one whose return lowers the loss of the sentence most.

        Chosen by ∂loss/∂mask at the cut model (what a return promises to first order); the `TRIED` most promising are
        then given back, one at a time. The result: {"group": [layer, kind, index] or null where no return helps,
        "loss": [before, after], "tried"}. Raises BadInput for a cut of nothing, or a sentence of one token.
        """
        dense, mask = self._dense(sentence), mask_of(self.lm, cut)
        if not mask:
            raise BadInput("Nothing is cut, so nothing can be restored; cut something first.")
        if dense.loss is None:
            raise BadInput("A sentence of one token has no loss that a return could lower; write a longer one.")
        promising = self._promising(dense, mask)
        yield Event("restore", 1, 2)
        before, *after = self._losses(dense, [mask, *(_returned(mask, group) for group in promising)])
        best = min(range(len(promising)), key=lambda i: after[i])
        found = promising[best] if after[best] < before else None
        loss = [before, min(after[best], before)]
        yield Event(RESULT, 1, 1, {"group": found, "loss": loss, "tried": len(promising)})

    def _dense(self, sentence: str) -> _Dense:
        if sentence not in self._kept:
            with torch.no_grad():
                self._kept[sentence] = self._read(prompt_ids(self.lm, sentence, WORDS, chat=False))
            if len(self._kept) > SENTENCES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(sentence)
        return self._kept[sentence]

    def _read(self, ids: Tensor) -> _Dense:
        if ids.shape[1] > MOST_TOKENS:
            raise BadInput(f"The sentence has {ids.shape[1]:,} tokens; give at most {MOST_TOKENS}.")
        cache = DynamicCache(config=self.lm.model.config)
        outputs: list[Tensor] = []
        with self._noting(outputs):
            hidden = hidden_states(self.lm, ids, past_key_values=cache, use_cache=True).last_hidden_state
        last = logits(self.lm, hidden[0, -1]).log_softmax(-1)
        return _Dense(ids, [], outputs, cache, last, _mean_loss(self.lm, hidden, ids), [])

    def _write(self, dense: _Dense) -> None:
        """The original's words, where they have not been written yet."""
        if dense.words:
            return
        words, outputs = [int(dense.last.argmax())], list(dense.outputs)
        with self._noting(outputs):
            while len(words) < WORDS:
                last = torch.tensor([words[-1:]])
                step = hidden_states(self.lm, last, past_key_values=dense.cache, use_cache=True)
                words.append(int(logits(self.lm, step.last_hidden_state[0, -1]).argmax()))
        count = len(self._blocks)
        dense.words, dense.outputs = words, [torch.cat(outputs[i::count], 1) for i in range(count)]

    @contextmanager
    def _noting(self, outputs: list[Tensor]) -> Iterator[None]:
        """While open, what blocks make is noted, block after block."""

        def note(_: Any, __: Any, output: Any) -> None:
            outputs.append(output[0] if isinstance(output, tuple) else output)

        handles = [block.register_forward_hook(note) for block in self._blocks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def replaying(self, dense: _Dense, first: int, cache: Any = None) -> Iterator[None]:
        """While open, blocks before `first` give what they gave the original, and fill a cache with it."""
        for layer, block in enumerate(self._blocks[:first]):
            block.forward = _stand_in(dense, layer, self.lm.family.tuple_output, cache)
        try:
            yield
        finally:
            for block in self._blocks[:first]:
                del block.forward

    def _told(self, dense: _Dense, reading: "_Reading") -> dict[str, Any]:
        before, after = dense.last, reading.last.log_softmax(-1)
        tops = [side.topk(min(TOP, len(side))).indices.tolist() for side in (before, after)]
        shown = list(dict.fromkeys([*tops[0], *tops[1]]))
        tokenizer = tokenizer_of(self.lm)
        bars = [[text_of([i], tokenizer), before[i].exp().item(), after[i].exp().item()] for i in shown]
        kl = (before.exp() * (before - after)).nan_to_num(0.0).sum().item()
        losses = (dense.loss, _mean_loss(self.lm, reading.hidden, dense.ids))
        perplexity = [None if loss is None else math.exp(min(loss, 700)) for loss in losses]
        return {"tokens": dense.ids.shape[1], "bars": bars, "kl": max(kl, 0.0), "perplexity": perplexity}

    def _text(self, dense: _Dense, words: list[int]) -> str:
        """What words add to the sentence: a decoder may show a word otherwise at the beginning of a text."""
        tokenizer, ids = tokenizer_of(self.lm), dense.ids[0].tolist()
        return text_of([*ids, *words], tokenizer)[len(text_of(ids, tokenizer)) :]

    def _promising(self, dense: _Dense, mask: Mask) -> list[Group]:
        """Groups at 0 in the order of ∂loss/∂mask, the most negative first; at most `TRIED`."""
        leaves = {layer: {k: v.clone().requires_grad_() for k, v in kinds.items()} for layer, kinds in mask.items()}
        places = [(layer, kind) for layer, kinds in leaves.items() for kind in kinds]
        with torch.enable_grad(), scaled_inputs(self.lm, input_scales(self.lm, [leaves])):
            loss = self._sentence_losses(dense, min(mask), 1)[0]
            slopes = torch.autograd.grad(loss, [leaves[layer][kind] for layer, kind in places])
        found = [
            (slope[i].item(), (layer, kind, i))
            for (layer, kind), slope in zip(places, slopes, strict=True)
            for i in (mask[layer][kind] == 0).nonzero().flatten().tolist()
        ]
        return [group for _, group in sorted(found)[:TRIED]]

    def _losses(self, dense: _Dense, masks: Sequence[Mask]) -> list[float]:
        with torch.no_grad(), scaled_inputs(self.lm, input_scales(self.lm, masks)):
            return self._sentence_losses(dense, min(min(mask) for mask in masks), len(masks)).tolist()

    def _sentence_losses(self, dense: _Dense, first: int, rows: int) -> Tensor:
        """Mean loss of the sentence under each row of the masks at work: [rows]."""
        ids = dense.ids.expand(rows, -1)
        with self.replaying(dense, first):
            hidden = hidden_states(self.lm, ids).last_hidden_state
        return token_losses(self.lm, hidden, ids).mean(1)


class _Reading:
    """A cut model's pass over a sentence, and on from there: last: logits of its next word; hidden: of the sentence,
    [1, length, width]."""

    def __init__(self, knife: Knife, dense: _Dense, first: int) -> None:
        self._lm, self._cache = knife.lm, DynamicCache(config=knife.lm.model.config)
        # What a sliding window has let go cannot be had back.
        self._guessing = not any(self._cache.is_sliding)
        length, self._guess = dense.ids.shape[1], dense.words[:-1] if self._guessing else []
        with knife.replaying(dense, first if self._guessing else 0, self._cache):
            hidden = self._fed(torch.cat([dense.ids, torch.tensor([self._guess], dtype=torch.long)], 1))
        self.hidden = hidden[:, :length]
        self._found = logits(self._lm, hidden[0, length - 1 :])
        self.last = self._found[0]

    def _fed(self, ids: Tensor) -> Tensor:
        return hidden_states(self._lm, ids, past_key_values=self._cache, use_cache=True).last_hidden_state

    def words(self, dense: _Dense) -> list[int]:
        """The next `WORDS` tokens, greedily."""
        written = self._agreed(self._guess, self._found)
        while len(written) < WORDS:
            known = [words for words in (dense.words, dense.again) if words[: len(written)] == written]
            guess = known[0][len(written) : WORDS - 1] if known and self._guessing else []
            hidden = self._fed(torch.tensor([[written[-1], *guess]]))
            written += self._agreed(guess, logits(self._lm, hidden[0]))
        return written[:WORDS]

    def _agreed(self, guess: list[int], found: Tensor) -> list[int]:
        """Of a guess that was read, the words that the model would have written, and the one after; the others leave
        the cache. found: logits before each word of the guess, and after the last."""
        likeliest = found.argmax(-1).tolist()
        same = next((i for i, (a, b) in enumerate(zip(guess, likeliest, strict=False)) if a != b), len(guess))
        if same < len(guess):
            self._cache.crop(same - len(guess))
        return likeliest[: same + 1]


def mask_of(lm: LoadedModel, cut: Cut) -> dict[int, dict[str, Tensor]]:
    """A cut as a mask: 0 for what goes, 1 for the rest; blocks and kinds that keep all are not named. Raises BadInput
    for groups that are not there."""
    mask: dict[int, dict[str, Tensor]] = {}
    for layer, kinds in checked(cut, lm.groups).items():
        for kind in (kind for kind in KINDS if kind in kinds):
            mask.setdefault(layer, {})[kind] = torch.ones(lm.groups.blocks[layer].count(kind))
            mask[layer][kind][kinds[kind]] = 0
    return mask


def _returned(mask: Mask, group: Group) -> Mask:
    layer, kind, index = group
    values = mask[layer][kind].clone()
    values[index] = 1
    return {**mask, layer: {**mask[layer], kind: values}}


def _stand_in(dense: _Dense, layer: int, as_tuple: bool, cache: Any) -> Any:
    """What answers for a block that is as it was."""

    def replay(hidden: Tensor, *_: Any, **__: Any) -> Any:
        rows, length = hidden.shape[:2]
        if cache is not None:
            there = dense.cache.layers[layer]
            cache.update(there.keys[..., :length, :], there.values[..., :length, :], layer)
        output = dense.outputs[layer][:, :length].expand(rows, -1, -1)
        return (output,) if as_tuple else output

    return replay


def _mean_loss(lm: LoadedModel, hidden: Tensor, ids: Tensor) -> float | None:
    return token_losses(lm, hidden, ids).mean().item() if ids.shape[1] > 1 else None
