"""What the metadata of a GGUF file says of its model → a config; what no config can say is refused by name.

Every key under the architecture's own prefix is read, or known to change nothing at the value it has, or refused: a
scale, cap or window that is left out makes another model. Keys that a file may leave out mean what llama.cpp takes
them for, not what transformers' config classes have as defaults.
"""

from collections.abc import Callable
from typing import Any

from ..errors import BadInput, UnsupportedModel

Metadata = dict[str, Any]

READ = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
"""{key after the prefix: name in a config} of LLaMA-like models; a file that lacks one of them is refused."""

READ_BLOOM = {
    "block_count": "n_layer",
    "embedding_length": "hidden_size",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}

ARCHITECTURES = {"llama": READ, "qwen2": READ, "qwen3": READ, "bloom": READ_BLOOM}
"""Families' types that transformers reads from GGUF."""

HEAD_SIZES = ("attention.key_length", "attention.value_length", "rope.dimension_count")
"""All three are the size of a head, where the model is one of ours."""

NEUTRAL: dict[str, Callable[[Any, Metadata], bool]] = {
    "attention.causal": lambda value, _: value is True,
    "attention.clamp_kqv": lambda value, _: value == 0,
    "attention.max_alibi_bias": lambda value, found: value == (8 if "n_head" in found else 0),
    "attention.scale": lambda value, found: value == 0 or _is_usual_scale(value, found.get("head_dim")),
    "attention.sliding_window": lambda value, _: value == 0,
    "attn_logit_softcapping": lambda value, _: value == 0,
    "final_logit_softcapping": lambda value, _: value == 0,
    "embedding_scale": lambda value, _: value in (0, 1),
    "expert_count": lambda value, _: value == 0,
    "expert_used_count": lambda value, _: value == 0,
    "logit_scale": lambda value, _: value in (0, 1),
    "pooling_type": lambda value, _: value == 0,
    "residual_scale": lambda value, _: value in (0, 1),
    "rope.scale_linear": lambda value, _: value in (0, 1),
    "rope.scaling.attn_factor": lambda value, _: value == 1,
    "rope.scaling.factor": lambda value, _: value in (0, 1),
    "rope.scaling.finetuned": lambda value, _: True,
    "rope.scaling.original_context_length": lambda value, _: True,
    "rope.scaling.type": lambda value, _: value == "none",
    "tensor_data_layout": lambda value, _: value == "Meta AI original pth",
    "use_parallel_residual": lambda value, _: value is False,
}
"""{key: whether its value changes nothing}. The config made so far is given, too."""


def config_of(fields: Metadata, where: Any) -> dict[str, Any]:
    """The config that a GGUF file's metadata means, as a dictionary; whether embeddings are tied its tensors say.

    Raises UnsupportedModel for what is not read, naming the key and its value; BadInput where a key is missing.
    """
    kind = fields["general.architecture"]
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnsupportedModel(f"{where} holds a model of type “{kind}”, which is not read from GGUF ({known} are).")
    _check_kind(fields, where)
    own = {key.removeprefix(f"{kind}."): value for key, value in fields.items() if key.startswith(f"{kind}.")}
    config = {"model_type": kind, **_tokens(fields)}
    for key, name in ARCHITECTURES[kind].items():
        config[name] = _number(own, key, kind, where)
    config["vocab_size"] = own.pop("vocab_size", fields.get("tokenizer.ggml.tokens"))
    if kind == "bloom":
        _bloom(own, config, where)
    else:
        _rotary(own, config, where)
    for key, value in own.items():
        if key not in NEUTRAL or not NEUTRAL[key](value, config):
            raise UnsupportedModel(
                f"{where} says {kind}.{key} is {_shown(value)}, which is not read from GGUF; give the model as "
                "safetensors."
            )
    return config


def _check_kind(fields: Metadata, where: Any) -> None:
    if fields.get("general.type", "model") != "model" or any(key.startswith("adapter.") for key in fields):
        raise UnsupportedModel(f"{where} holds no model but {_shown(fields.get('general.type', 'an adapter'))}.")
    if fields.get("split.count", 1) not in (0, 1):
        raise UnsupportedModel(
            f"{where} is one of {fields['split.count']} parts (split.count); merge them into one file."
        )


def _tokens(fields: Metadata) -> dict[str, Any]:
    names = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id": "padding_token_id"}
    return {name: fields.get(f"tokenizer.ggml.{key}") for name, key in names.items()}


def _rotary(own: Metadata, config: dict[str, Any], where: Any) -> None:
    """The size of a head, all of it turned, and the base of its angles."""
    heads, width = config["num_attention_heads"], config["hidden_size"]
    sizes = {key: own.pop(key) for key in HEAD_SIZES if key in own}
    config["head_dim"] = next(iter(sizes.values()), width // heads if heads else 0)
    other = next((key for key, size in sizes.items() if size != config["head_dim"]), None)
    if other is not None:
        raise UnsupportedModel(
            f"{where} says {config['model_type']}.{other} is {_shown(sizes[other])} where a head has "
            f"{config['head_dim']} features; such heads are not read from GGUF, so give the model as safetensors."
        )
    base = _number({"rope.freq_base": 10_000.0, **own}, "rope.freq_base", config["model_type"], where)
    own.pop("rope.freq_base", None)
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": float(base)}


def _bloom(own: Metadata, config: dict[str, Any], where: Any) -> None:
    """BLOOM's FFN is four times as wide as the model, and its positions have no end."""
    own.pop("context_length", None)
    wide, shared = own.pop("feed_forward_length", None), own.pop("attention.head_count_kv", None)
    for key, value, needed in (
        ("feed_forward_length", wide, 4 * config["hidden_size"]),
        ("attention.head_count_kv", shared, config["n_head"]),
    ):
        if value not in (None, needed):
            raise UnsupportedModel(f"{where} says bloom.{key} is {_shown(value)}; of a BLOOM model {needed} is read.")


def _number(own: Metadata, key: str, kind: str, where: Any) -> int | float:
    value = own.pop(key, None)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput(f"{where} does not say what {kind}.{key} is, in one number; fetch or convert it again.")
    return value


def _is_usual_scale(value: Any, size: Any) -> bool:
    known = isinstance(value, float) and isinstance(size, int) and size > 0
    return known and abs(value * size**0.5 - 1) <= 1e-5


def _shown(value: Any) -> str:
    return f"“{value[:40]}”" if isinstance(value, str) else repr(value)[:40]
