"""Texts the model writes itself: free samples, and answers to the bundled instructions. No data set is needed.

Free samples, stories among them, calibrate: Williams, Chrysostomou, Aletras, "Self-calibration for Language Model
Quantization and Pruning" (2025). Answers of the original train what is left of it: distillation by sequences (Kim,
Rush, 2016).
"""

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from transformers import GenerationConfig

from ..errors import BadInput
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..paths import home, written_whole
from ..recipes.prompts import instructions
from ..walk.view import eval_view
from ..walk.whole import end_tokens, hidden_states, logits, next_tokens
from .chat import chat_text, has_chat
from .documents import instruction_text
from .tokens import longest, text_of, token_ids

ROWS = 64
ANSWER_TOKENS = 160
ANSWER_ROWS = 12
STORY = (
    (
        "Once upon a time,",
        "Long ago,",
        "One winter evening,",
        "On the last day of summer,",
        "Every morning,",
        "That night,",
    ),
    ("a young girl", "an old fisherman", "two brothers", "a tired soldier", "the baker's son", "a clever fox"),
    ("who lived by the sea", "who had lost a letter", "who was afraid of the dark", "who could not sleep"),
    ("found", "met", "heard of", "set out to look for", "was given"),
    ("a small box", "a stranger", "a road nobody knew", "an old map", "a bird that could speak"),
)
"""What the opening words of a story are put together from, one of each."""

REPETITION = 1.1
"""Penalty on words already used (Keskar et al. 2019): greedy answers of small models go round in circles without."""


def sample_events(lm: LoadedModel, samples: int, length: int, seed: int, part: str, text: str = "self") -> Events:
    """Sample from the model at temperature 1: [samples, length].

    Rows of "self" start with a random word (a chat model's beginning-of-text token asks for a speaker, not for prose),
    those of "stories" with the first words of one, and go on past the end of a text, as packed training text does. Each
    batch has its own random numbers, drawn from (seed, part, batch). Yields Event("sampling text", tokens, tokens).
    """
    rows: list[Tensor] = []
    view = eval_view(lm)
    for first in range(0, samples, ROWS):
        generator = torch.Generator().manual_seed(_number(seed, part, first // ROWS))
        begun = _BEGINNINGS[text](lm, min(ROWS, samples - first), generator)
        ids, cache = begun[:, :1], None
        for place in range(1, length):
            step, cache = _step(view, ids[:, -1:], cache, generator)
            if place < begun.shape[1]:
                step = torch.where(begun[:, place] < 0, step, begun[:, place])
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


def _openings(lm: LoadedModel, rows: int, generator: torch.Generator) -> Tensor:
    """First words of stories: [rows, words of the longest], −1 where a row is the model's to go on with.

    Raises BadInput without a tokenizer.
    """
    drawn = [[int(torch.randint(len(of), (), generator=generator)) for of in STORY] for _ in range(rows)]
    told = [token_ids(" ".join(of[k] for of, k in zip(STORY, row, strict=True)), lm) for row in drawn]
    begun = torch.full((rows, max(map(len, told))), -1)
    for row, ids in zip(begun, told, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return begun


_BEGINNINGS = {"self": _first_tokens, "stories": _openings}


def _number(*facts: Any) -> int:
    """A seed from facts, the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:7], "big")


def answer_events(lm: LoadedModel, part: str) -> Events:
    """The bundled instructions of one part with the model's greedy answers, chat-formatted, as one string.

    Kept under MINILLM_HOME by a fingerprint of all that decides them: written once a model, about a minute for the
    embedded one. Yields Event("answering instructions", done, total).
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
    ids = [token_ids(question(text, tokenizer), lm) for text in asked]
    width = max(map(len, ids))
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    rows = torch.tensor([[padding] * (width - len(row)) + row for row in ids], device=lm.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids], device=lm.device)
    settings = _settings(lm, padding, _room(lm, width))
    writer = _alone(lm.model, settings)
    written = writer.generate(input_ids=rows, attention_mask=mask, generation_config=settings)[:, width:]
    texts = [text_of(row, tokenizer) for row in written.tolist()]
    cut = (row[-1] not in end_tokens(lm) | {padding} for row in written.tolist())
    return [_whole_sentences(text) if short else text.strip() for text, short in zip(texts, cut, strict=True)]


def _settings(lm: LoadedModel, padding: int, room: int) -> GenerationConfig:
    """Greedy, and nothing else."""
    return GenerationConfig(
        do_sample=False,
        repetition_penalty=REPETITION,
        max_new_tokens=room,
        pad_token_id=padding,
        eos_token_id=sorted(end_tokens(lm)) or None,
    )


def _alone(model: Any, settings: GenerationConfig) -> Any:
    """The model with generation settings of ours, the model given as it is: transformers fills from a model's own
    (beams, bans, sampling) whatever is left unsaid."""
    same = copy.copy(model)
    same.generation_config = settings
    return same


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
    return chat_text(tokenizer, text) if has_chat(tokenizer) else instruction_text({"instruction": text}, None)


def _fingerprint(lm: LoadedModel, asked: list[str]) -> str:
    """A hash of all that decides the answers: questions as the model reads them, what they are answered by, what its
    words are, its config, and every weight (of those that lie on disk, the files' sizes and times)."""
    tokenizer: Any = lm.tokenizer
    read = [token_ids(question(text, tokenizer), lm) for text in asked]
    words = sorted(tokenizer.get_vocab().items())
    told = (lm.source, read, words, sorted(end_tokens(lm)), str(lm.dtype), ANSWER_TOKENS, REPETITION, ANSWER_ROWS)
    digest = hashlib.sha256(repr((*told, tokenizer.pad_token_id, tokenizer.eos_token_id)).encode())
    digest.update(lm.model.config.to_json_string(use_diff=False).encode())
    for name, weight in lm.model.state_dict().items():
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        if not weight.is_meta:
            digest.update(crc32(weight.detach().cpu().contiguous().view(torch.uint8).numpy()).to_bytes(4, "big"))
    if lm.offloaded and Path(lm.source).is_dir():
        files = sorted(Path(lm.source).iterdir())
        digest.update(repr([(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]).encode())
    return digest.hexdigest()[:24]
