"""Types of models that people have and that are refused: why, and what works instead.

A type that stands neither here nor with a family is refused with the list of those that do.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """label: what such models are; model_types: transformers' names for them; why, instead: ends of a sentence."""

    label: str
    model_types: tuple[str, ...]
    why: str
    instead: str


REFUSALS = (
    Refusal(
        "Other mixtures of experts",
        (
            "qwen2_moe",
            "phimoe",
            "granitemoe",
            "ernie4_5_moe",
            "glm4_moe",
            "hunyuan_v1_moe",
            "deepseek_v2",
            "deepseek_v3",
        ),
        "some of its blocks have an FFN of all tokens beside the experts, or a router of another kind",
        "take qwen3_moe, mixtral or olmoe, or a dense model, such as qwen3, phi3, granite, ernie4_5, glm4 or "
        "hunyuan_v1_dense",
    ),
    Refusal(
        "Experts and sinks",
        ("gpt_oss",),
        "every head has a sink beside its linears, and what is published of it is in 4 bits (MXFP4)",
        "take qwen3_moe, mixtral or olmoe",
    ),
    Refusal(
        "Pictures and text",
        ("gemma3", "mistral3", "gemma4", "mllama", "llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
        "a model of pictures is part of it",
        "save its language model alone, which works where its own type is one of a family (gemma3_text, ministral3, "
        "llama, qwen3)",
    ),
    Refusal(
        "Keys and values of other blocks",
        ("gemma3n_text", "gemma4_text"),
        "some of its blocks take keys and values from others, or values from keys, so that no head can be cut alone",
        "take gemma2 or gemma3_text",
    ),
    Refusal(
        "States instead of attention",
        (
            "mamba",
            "mamba2",
            "falcon_mamba",
            "rwkv",
            "recurrent_gemma",
            "jamba",
            "bamba",
            "zamba2",
            "falcon_h1",
            "nemotron_h",
            "lfm2",
            "granitemoehybrid",
            "qwen3_next",
            "qwen3_5_text",
        ),
        "in some or all of its blocks a state stands in for keys and values, so that there are no heads to cut",
        "take a model that attends in every block, such as falcon, qwen3, granite or gemma2",
    ),
    Refusal(
        "Encoders",
        ("t5", "bart", "mbart", "pegasus", "marian", "bert", "roberta", "modernbert"),
        "it reads a text as a whole, and is no model that writes word after word",
        "take one that does, such as llama, qwen3 or opt",
    ),
)
"""In the order of the docs."""


def refusal_of(model_type: str) -> Refusal | None:
    """Why a type is refused, or None where it stands in no line."""
    return next((one for one in REFUSALS if model_type in one.model_types), None)
