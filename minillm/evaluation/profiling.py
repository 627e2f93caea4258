"""What a model costs (the paper's Table 5): sizes counted exactly, and seconds measured on this machine.

Reading a prompt and writing tokens are timed apart: the first is bound by arithmetic and falls with MACs, the second
reads all weights for every token and falls with their bytes. A first round warms caches and is thrown away; of the
others the median counts, with the range beside it, because other processes only ever add to a time.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..events import RESULT, Event, Events, finish
from ..models.loaded import LoadedModel
from ..text.tokens import longest
from ..walk.view import eval_view
from ..walk.whole import hidden_states, logits

STAGE = "latency"


@dataclass(frozen=True)
class Size:
    """What a model is made of.

    parameters: tied ones counted once; macs: multiply-accumulates of a forward pass over `length` tokens; weight_bytes:
    in its number format; cache_bytes: of keys and values, a token.
    """

    parameters: int
    macs: int
    length: int
    weight_bytes: int
    cache_bytes: int
    dtype: str

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated measurements."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Largest minus smallest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


@dataclass(frozen=True)
class Latency:
    """How long a model takes.

    prefill: reading all prompts and choosing the first token; decode: writing one more token, the mean over
    `new_tokens` of them; rows, prompt_tokens: how many prompts at once, and how long each.
    """

    prefill: Timing
    decode: Timing
    rows: int
    prompt_tokens: int
    new_tokens: int

    @property
    def tokens_per_second(self) -> float:
        """Tokens written a second, of all rows."""
        return self.rows / self.decode.median

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        found = {
            name: {"median": timing.median, "spread": timing.spread, "seconds": list(timing.seconds)}
            for name, timing in (("prefill", self.prefill), ("decode", self.decode))
        }
        sizes = {"rows": self.rows, "prompt_tokens": self.prompt_tokens, "new_tokens": self.new_tokens}
        return {**found, **sizes, "tokens_per_second": self.tokens_per_second}


def size(lm: LoadedModel, length: int = 64) -> Size:
    """Count a model, whole or cut. length: of the forward pass whose multiplications are counted (the paper: 64)."""
    tensors = list(lm.model.parameters())
    return Size(
        parameters=lm.parameters,
        macs=lm.groups.macs(length),
        length=length,
        weight_bytes=sum(p.numel() * p.element_size() for p in tensors),
        cache_bytes=lm.groups.cache_bytes(lm.dtype.itemsize),
        dtype=str(lm.dtype).removeprefix("torch."),
    )


def latency(
    lm: LoadedModel, prompt_tokens: int = 128, new_tokens: int = 16, rows: int = 1, repeats: int = 5, warm_up: int = 1
) -> Latency:
    """Time a model on random prompts. Raises BadInput for lengths the model does not take."""
    return finish(latency_events(lm, prompt_tokens, new_tokens, rows, repeats, warm_up))


def latency_events(
    lm: LoadedModel, prompt_tokens: int = 128, new_tokens: int = 16, rows: int = 1, repeats: int = 5, warm_up: int = 1
) -> Events:
    """`latency` as events: Event("latency", rounds done, rounds, {"prefill", "decode"} in seconds)."""
    with closing(latencies_events({"": lm}, prompt_tokens, new_tokens, rows, repeats, warm_up)) as events:
        for event in events:
            if event.stage == RESULT:
                yield Event(RESULT, 1, 1, event.payload[""])
            else:
                told = {name: event.payload[name] for name in ("prefill", "decode")}
                yield Event(STAGE, event.done, event.total, told)


def latencies_events(
    lms: Mapping[str, LoadedModel],
    prompt_tokens: int = 128,
    new_tokens: int = 16,
    rows: int = 1,
    repeats: int = 5,
    warm_up: int = 1,
) -> Events:
    """Time models in turns, a round of each after a round of each, so that what else the machine does hits all alike
    and their ratios hold: Event("latency", rounds done, rounds, {"model", "prefill", "decode"}); the result is {name:
    `Latency`}."""
    for lm in lms.values():
        _check(lm, prompt_tokens, new_tokens, rows, repeats, warm_up)
    source = torch.Generator().manual_seed(0)
    vocabulary = min(lm.groups.vocabulary for lm in lms.values())
    ids = torch.randint(vocabulary, (rows, prompt_tokens), generator=source)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in lms}
    rounds = warm_up + repeats
    for turn in range(rounds):
        for place, (name, lm) in enumerate(lms.items()):
            first, each = _round(lm, ids.to(lm.device), new_tokens)
            taken[name] += [(first, each)] if turn >= warm_up else []
            told = {"model": name, "prefill": first, "decode": each}
            yield Event(STAGE, turn * len(lms) + place + 1, rounds * len(lms), told)
    found = {}
    for name, pairs in taken.items():
        prefill, decode = (Timing(tuple(part)) for part in zip(*pairs, strict=True))
        found[name] = Latency(prefill, decode, rows, prompt_tokens, new_tokens)
    yield Event(RESULT, 1, 1, found)


def compared(sizes: Mapping[str, Size], timed: Mapping[str, Latency], name: str, against: str) -> dict[str, float]:
    """How much faster a model is than another, measured beside predicted.

    speed_up_prefill: the median of the ratios of rounds that followed each other (a slow minute slows both), with the
    smallest and largest; predicted_prefill: of their MACs, which bound the reading of a prompt; the same of decode,
    predicted by the bytes of weights, all of which are read for every token.
    """
    one, other = timed[name], timed[against]
    found: dict[str, float] = {}
    for part, predicted in (("prefill", "macs"), ("decode", "weight_bytes")):
        pairs = zip(getattr(other, part).seconds, getattr(one, part).seconds, strict=True)
        ratios = [before / after for before, after in pairs]
        found |= {f"speed_up_{part}": median(ratios), f"speed_up_{part}_least": min(ratios)}
        found |= {f"speed_up_{part}_most": max(ratios)}
        found[f"predicted_{part}"] = getattr(sizes[against], predicted) / getattr(sizes[name], predicted)
    return found


def _check(lm: LoadedModel, prompt_tokens: int, new_tokens: int, rows: int, repeats: int, warm_up: int) -> None:
    given = {"prompt_tokens": prompt_tokens, "new_tokens": new_tokens, "rows": rows, "repeats": repeats}
    for name, value in given.items():
        if not isinstance(value, int) or value < 1:
            raise BadInput(f"{name} is {value}; give a whole number from 1 up.")
    if not isinstance(warm_up, int) or warm_up < 0:
        raise BadInput(f"warm_up is {warm_up}; give a number of rounds, or 0 for none.")
    most = longest(lm)
    if most is not None and prompt_tokens + new_tokens > most:
        raise BadInput(
            f"{prompt_tokens:,} tokens to read and {new_tokens:,} to write were asked for, but this model takes "
            f"{most:,} in all; ask for fewer."
        )


@torch.inference_mode()
def _round(lm: LoadedModel, ids: Tensor, new_tokens: int) -> tuple[float, float]:
    """Seconds to read the prompts, and seconds for each token after the first."""
    lm = eval_view(lm)
    began = _now(lm)
    step, cache = _step(lm, ids, None)
    read = _now(lm)
    for _ in range(new_tokens):
        step, cache = _step(lm, step, cache)
    return read - began, (_now(lm) - read) / new_tokens


def _step(lm: LoadedModel, ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
    """The likeliest next token of each row [rows, 1], and the cache after `ids`."""
    output = hidden_states(lm, ids, past_key_values=cache, use_cache=True)
    return logits(lm, output.last_hidden_state[:, -1]).argmax(-1, keepdim=True), output.past_key_values


def _now(lm: LoadedModel) -> float:
    """The clock, once everything asked of a GPU so far is done."""
    if lm.device.type == "cuda":
        torch.cuda.synchronize(lm.device)
    return perf_counter()
