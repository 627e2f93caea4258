"""The table of llama.cpp's architectures: which one holds models of a type, and what it takes them to be.

A GGUF file names an architecture, and llama.cpp computes what that one computes: what it does not read from the file
is as it is there. So a line says which biases it reads, whether heads can be fewer, in which order rows lie; `refuses`
says what it would compute otherwise. Adding a type: a line, and what `tests/exports/test_gguf.py` says of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

QKV = frozenset({"q", "k", "v", "qkv"})
EVERY = QKV | {"o", "gate", "up", "down"}


def _as_it_is(config: Any) -> str | None:
    return None


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    name: llama.cpp's; own_widths: that of the same models with widths for each block, or "".
    biases: linears of a block whose biases it reads; square: whether its attention is as wide as the model;
    pairs: whether the two halves of a head that positions turn lie interleaved there, and not here; rotary: whether
    positions turn heads; factors: whether it reads what each frequency is divided by;
    shift: what is added to the weights of norms; windows: every how manieth block attends fully where the file does not
    say it block by block, 0 where it has no windows; untied: whether it wants an output head beside the embedding;
    scaled: path in a block of the weights that carry how attention scores are scaled, where it does not ask: by the
    size of a head, and in models of `largest` blocks by the model's width over its heads;
    keys: {what the writer of GGUF calls a number: where a config has it}; numbers: {path in a block: what the writer
    calls the number it holds, one a block}; refuses: the end of a sentence why a config does not fit, or None.
    """

    name: str
    own_widths: str = ""
    biases: frozenset[str] = QKV
    square: bool = False
    pairs: bool = False
    rotary: bool = True
    factors: bool = False
    shift: float = 0.0
    windows: int = 0
    untied: bool = False
    scaled: str = ""
    largest: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    refuses: Callable[[Any], str | None] = _as_it_is


def _gemma2(config: Any) -> str | None:
    return None if config.attn_logit_softcapping else "caps attention scores, which this model does not"


def _smollm3(config: Any) -> str | None:
    if all(bool(turned) == bool((i + 1) % 4) for i, turned in enumerate(config.no_rope_layers)):
        return None
    return "leaves every fourth block without positions, and here others are: whole blocks go by fours"


def _exaone4(config: Any) -> str | None:
    return "has windows in models of 64 blocks alone" if config.sliding_window else None


def _starcoder2(config: Any) -> str | None:
    return None if config.use_bias else "has biases everywhere, and this model none"


def _falcon(config: Any) -> str | None:
    if config.alibi or not (config.parallel_attn or config.new_decoder_architecture):
        return "has rotary positions and halves side by side, which this model has not"
    return None


def _mpt(config: Any) -> str | None:
    return None if config.attn_config.alibi else "has ALiBi slopes, which this model has not"


LLAMA = Architecture("llama", own_widths="deci", biases=EVERY, pairs=True, factors=True)
COHERE = Architecture("command-r", square=True, keys={"logit_scale": "logit_scale"})
PARALLEL = {"parallel_residual": "use_parallel_residual"}

LLAMA_CPP: dict[str, Architecture] = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "ministral": LLAMA,
    "qwen2": LLAMA,
    "seed_oss": LLAMA,
    "ernie4_5": replace(LLAMA, pairs=False),
    "qwen3": Architecture("qwen3"),
    "smollm3": Architecture("smollm3", pairs=True, refuses=_smollm3),
    "granite": Architecture(
        "granite",
        biases=EVERY,
        pairs=True,
        factors=True,
        keys={
            "logit_scale": "logits_scaling",
            "residual_scale": "residual_multiplier",
            "embedding_scale": "embedding_multiplier",
            "attention_scale": "attention_multiplier",
        },
    ),
    "gemma": Architecture("gemma", shift=1.0),
    "gemma2": Architecture(
        "gemma2",
        shift=1.0,
        windows=2,
        scaled="self_attn.q_proj",
        largest=46,
        keys={
            "attn_logit_softcapping": "attn_logit_softcapping",
            "final_logit_softcapping": "final_logit_softcapping",
        },
        refuses=_gemma2,
    ),
    "gemma3_text": Architecture(
        "gemma3",
        shift=1.0,
        windows=6,
        scaled="self_attn.q_norm",
        largest=62,
        keys={"final_logit_softcapping": "final_logit_softcapping"},
    ),
    "olmo": Architecture("olmo", square=True, pairs=True, keys={"clamp_kqv": "clip_qkv"}),
    "olmo2": Architecture("olmo2", square=True, untied=True),
    "olmo3": Architecture("olmo2", square=True, untied=True, windows=4),
    "exaone4": Architecture("exaone4", square=True, factors=True, refuses=_exaone4),
    "hunyuan_v1_dense": Architecture("hunyuan-dense"),
    "cohere": COHERE,
    "cohere2": replace(COHERE, name="cohere2", windows=4),
    "stablelm": Architecture("stablelm", square=True, untied=True, keys=PARALLEL),
    "phi3": Architecture("phi3", square=True),
    "glm": Architecture("chatglm", square=True),
    "glm4": Architecture("glm4"),
    "starcoder2": Architecture("starcoder2", biases=EVERY, square=True, refuses=_starcoder2),
    "nemotron": Architecture("nemotron", biases=EVERY, square=True, shift=1.0, untied=True),
    "arcee": Architecture("arcee", pairs=True, factors=True),
    "apertus": Architecture(
        "apertus",
        biases=QKV | {"o"},
        factors=True,
        untied=True,
        numbers={f"mlp.act_fn.{name}": f"xielu_{name}" for name in ("alpha_n", "alpha_p", "beta", "eps")},
    ),
    "phi": Architecture("phi2", biases=EVERY, square=True, untied=True),
    "bloom": Architecture("bloom", biases=EVERY, square=True, rotary=False),
    "gpt_neox": Architecture("gptneox", biases=EVERY, square=True, untied=True, keys=PARALLEL),
    "gpt2": Architecture("gpt2", biases=EVERY, square=True, rotary=False),
    "mpt": Architecture(
        "mpt",
        biases=EVERY,
        square=True,
        rotary=False,
        keys={"max_alibi_bias": "attn_config.alibi_bias_max", "clamp_kqv": "attn_config.clip_qkv"},
        refuses=_mpt,
    ),
    "falcon": Architecture("falcon", biases=frozenset(), square=True, refuses=_falcon),
}
"""{transformers' type: the architecture its models are written in}. Qwen2 and Seed-OSS are llamas with biases, and
ERNIE 4.5 one whose heads lie in pairs already."""
