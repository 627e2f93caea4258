"""One forward pass in two steps: hidden states of the whole batch, then logits of a few tokens at a time.

Logits are the largest thing a small model computes (128 tokens × 49,152 words are 25 MB in float32, more than all
hidden states of a batch), so whoever needs losses or the next word asks for them in pieces. No family's forward is
copied: transformers' models end in `output head(base model(tokens))`, some in a scale or soft cap of it
(`Family.after_head`), and the tests hold this to their own logits.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput, NumericalFault
from ..models.loaded import LoadedModel

CHUNK_TOKENS = 128


def check_ids(ids: Tensor | Sequence[int], vocabulary: int) -> None:
    """Raise BadInput where token ids are none of a model's `vocabulary` rows: they belong to another tokenizer."""
    count = ids.numel() if isinstance(ids, Tensor) else len(ids)
    if not count:
        return
    low, high = (int(ids.min()), int(ids.max())) if isinstance(ids, Tensor) else (min(ids), max(ids))
    if low < 0 or high >= vocabulary:
        raise BadInput(
            f"The token ids go from {low:,} to {high:,}, but this model's vocabulary has {vocabulary:,} words; "
            "tokenise the text with the model's own tokenizer."
        )


def hidden_states(lm: LoadedModel, ids: Tensor, **keywords: Any) -> Any:
    """Final hidden states [rows, length, width] of token ids [rows, length], normed, ready for the output head.

    keywords: what the model's own forward takes (attention_mask, past_key_values, use_cache). Returns transformers'
    output record: .last_hidden_state, and .past_key_values where use_cache is true. Raises BadInput (`check_ids`).
    """
    check_ids(ids, lm.groups.vocabulary)
    return lm.model.base_model(input_ids=ids.to(lm.device), **{"use_cache": False, **keywords})


def logits(lm: LoadedModel, hidden: Tensor) -> Tensor:
    """float32 [..., vocabulary] of hidden states [..., width]."""
    head: Any = lm.model.get_output_embeddings()
    return lm.family.after_head(lm.model.config, head(hidden)).float()


def token_losses(lm: LoadedModel, hidden: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy of each token after the first of each row, in float32: [rows, length − 1]."""
    flat, targets = hidden[:, :-1].flatten(0, 1), ids[:, 1:].flatten().to(hidden.device)
    pieces = [
        nn.functional.cross_entropy(logits(lm, states), words, reduction="none")
        for states, words in zip(flat.split(CHUNK_TOKENS), targets.split(CHUNK_TOKENS), strict=True)
    ]
    return torch.cat(pieces).view(len(ids), -1)


def next_tokens(
    scores: Tensor, temperature: float = 0.0, top_p: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Choose a token for each row of logits [rows, vocabulary]: int64 [rows], on the CPU.

    temperature 0 takes the likeliest; top_p keeps the likeliest words that together reach this probability (nucleus
    sampling, Holtzman et al. 2020). Drawn on the CPU, so that a seed means the same everywhere, with one random number
    a row (`torch.multinomial` draws one a word, and took as long as the model). Raises NumericalFault (logits).
    """
    scores = scores.float().cpu()
    if not scores.isfinite().all():
        raise NumericalFault("The model's next-word scores are not finite; load it in float32, or cut less of it.")
    if temperature == 0:
        return scores.argmax(-1)
    shares = torch.softmax(scores / temperature, -1)
    if top_p < 1:
        ordered, places = shares.sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        shares = torch.zeros_like(shares).scatter(-1, places, ordered.where(before < top_p, 0))
    reached = shares.double().cumsum(-1)
    drawn = torch.rand(len(shares), 1, generator=generator, dtype=torch.float64) * reached[:, -1:]
    return torch.searchsorted(reached, drawn, right=True).squeeze(-1)


def end_tokens(lm: LoadedModel) -> set[int]:
    """Tokens at which the model stops: of its generation settings, its config and its tokenizer."""
    found: set[int] = set()
    for place in (lm.model.generation_config, lm.model.config, lm.tokenizer):
        end = getattr(place, "eos_token_id", None)
        found |= {end} if isinstance(end, int) else set(end or ())
    return found
