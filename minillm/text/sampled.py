"""Texts the model writes itself: free samples, and answers to the bundled instructions. No data set is needed.

Free samples calibrate: Williams, Chrysostomou, Aletras, "Self-calibration for Language Model Quantization and Pruning"
(2025). Answers of the original train what is left of it: distillation by sequences (Kim, Rush, 2016).
"""

import hashlib
import json
import re
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..paths import home, written_whole
from ..recipes.prompts import instructions
from ..walk.view import eval_view
from ..walk.whole import end_tokens, hidden_states, logits, next_tokens
from .documents import instruction_text
from .tokens import longest

ROWS = 64
ANSWER_TOKENS = 160
ANSWER_ROWS = 12
REPETITION = 1.1
"""Penalty on words already used (Keskar et al. 2019): greedy answers of small models go round in circles without."""


def sample_events(lm: LoadedModel, samples: int, length: int, seed: int, part: str) -> Events:
    """Sample from the model at temperature 1: [samples, length].

    Rows start with a random word (a chat model's beginning-of-text token asks for a speaker, not for prose) and go on
    past the end of a text, as packed training text does. Each batch has its own random numbers, drawn from (seed, part,
    batch). Yields Event("sampling text", tokens, tokens).
    """
    rows: list[Tensor] = []
    view = eval_view(lm)
    for first in range(0, samples, ROWS):
        generator = torch.Generator().manual_seed(_number(seed, part, first // ROWS))
        ids = _first_tokens(lm, min(ROWS, samples - first), generator)
        cache: Any = None
        for _ in range(length - 1):
            step, cache = _step(view, ids[:, -1:], cache, generator)
            ids = torch.cat([ids, step[:, None]], 1)
            yield Event("sampling text", first * length + ids.numel(), samples * length)
        rows.append(ids)
    yield Event(RESULT, 1, 1, torch.cat(rows))


@torch.inference_mode()
def _step(lm: LoadedModel, last: Tensor, cache: Any, generator: torch.Generator) -> tuple[Tensor, Any]:
    output = hidden_states(lm, last, past_key_values=cache, use_cache=True)
    scores = logits(lm, output.last_hidden_state[:, -1])
    return next_tokens(scores, 1.0, generator=generator), output.past_key_values


def _first_tokens(lm: LoadedModel, rows: int, generator: torch.Generator) -> Tensor:
    """Random words that are not special: [rows, 1]."""
    tokenizer: Any = lm.tokenizer
    size, special = lm.groups.vocabulary, set()
    if tokenizer is not None:
        size, special = min(size, len(tokenizer)), set(tokenizer.all_special_ids)
    words = torch.tensor([i for i in range(size) if i not in special])
    return words[torch.randint(len(words), (rows, 1), generator=generator)]


def _number(*facts: Any) -> int:
    """A seed from facts, the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:7], "big")


def answer_events(lm: LoadedModel, part: str) -> Events:
    """The bundled instructions of one part with the model's greedy answers, chat-formatted, as one string.

    Kept under MINILLM_HOME by the model's source and a fingerprint of its weights: written once a model, about a
    minute for the embedded one. Yields Event("answering instructions", done, total).
    """
    asked = instructions(part)
    kept = home() / "answers" / f"{_fingerprint(lm, asked)}.json"
    if kept.is_file():
        answers = json.loads(kept.read_text(encoding="utf-8"))["answers"]
    else:
        answers, view = [], eval_view(lm)
        for first in range(0, len(asked), ANSWER_ROWS):
            yield Event("answering instructions", first, len(asked))
            answers += _answers(view, asked[first : first + ANSWER_ROWS])
        with written_whole(kept) as scratch:
            scratch.write_text(json.dumps({"source": lm.source, "answers": answers}), encoding="utf-8")
    pairs = zip(asked, answers, strict=True)
    rows = [instruction_text({"instruction": q, "output": a}, lm.tokenizer) for q, a in pairs]
    yield Event(RESULT, 1, 1, "\n\n".join(rows))


@torch.inference_mode()
def _answers(lm: LoadedModel, asked: list[str]) -> list[str]:
    """Greedy answers to a batch of instructions, padded on the left to one length."""
    tokenizer: Any = lm.tokenizer
    prompts = [question(text, tokenizer) for text in asked]
    ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    width = max(map(len, ids))
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    rows = torch.tensor([[padding] * (width - len(row)) + row for row in ids], device=lm.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids], device=lm.device)
    settings = {"do_sample": False, "repetition_penalty": REPETITION, "max_new_tokens": _room(lm, width)}
    written = lm.model.generate(input_ids=rows, attention_mask=mask, pad_token_id=padding, **settings)[:, width:]
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    cut = (row[-1] not in end_tokens(lm) | {padding} for row in written.tolist())
    return [_whole_sentences(text) if short else text.strip() for text, short in zip(texts, cut, strict=True)]


def _room(lm: LoadedModel, width: int) -> int:
    """How many tokens an answer to a question of `width` tokens may have."""
    most = longest(lm) or width + ANSWER_TOKENS
    if most <= width:
        raise BadInput(
            f"The bundled instructions have up to {width} tokens, but this model takes {most}; use another text."
        )
    return min(ANSWER_TOKENS, most - width)


def _whole_sentences(text: str) -> str:
    """An answer that was cut off, up to its last full sentence, so that stopping halfway is not what is learnt."""
    found = re.match(r".*[^\W\d][)\"”*]*[.!?](?=\s|$)", text, re.DOTALL)
    return (found.group() if found else text).strip()


def question(text: str, tokenizer: Any) -> str:
    """An instruction in the tokenizer's chat format up to where the answer begins; as it is where there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return instruction_text({"instruction": text}, None)
    turns = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def _fingerprint(lm: LoadedModel, asked: list[str]) -> str:
    """A hash of source, weights (the first 64 values of each) and what is asked."""
    digest = hashlib.sha256(repr((lm.source, asked, ANSWER_TOKENS, REPETITION)).encode())
    for name, parameter in lm.model.named_parameters():
        digest.update(name.encode())
        if not parameter.is_meta:
            digest.update(parameter.detach().flatten()[:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:24]
