"""Reading a model's config: JSON from outside → a transformers config of a family, its sizes known to be possible.

Everything is asked of the raw dictionary first, for building a config may already expand what it says (a list entry for
each of its blocks). What names code to be fetched or chosen (attention implementations, kernels) is left out: which
implementation runs is for this machine to say, not for a file.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, DynamicCache

from ..errors import BadInput, UnsupportedModel, foreign
from ..families import family_of_type, shape_of
from ..families.counts import check_counts

LARGEST_JSON = 64 * 2**20
"""Bytes of the largest JSON file that is parsed: the index of a model of thousands of shards stays far below."""

LEFT_OUT = ("attn_implementation", "experts_implementation", "kernel", "auto_map", "custom_pipelines")
"""Parts of the names of keys that choose or fetch code."""

QUANTISED = ("quantization_config", "compression_config")


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds. what: what it should be, for the sentence. Raises BadInput."""
    with foreign(f"{path} is no {what} ({{reason}})."):
        if path.stat().st_size > LARGEST_JSON:
            raise BadInput(f"{path} is no {what}: it has more than {LARGEST_JSON // 2**20} MB.")
        return json.loads(path.read_text(encoding="utf-8"))


def read_config(folder: Path) -> Any:
    """The config of a model folder, checked against the families. Raises BadInput, UnsupportedModel."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(f"The folder {folder} is no model: it has no config.json. Give a folder of safetensors or GGUF.")
    raw = read_json(path, "model config")
    if not isinstance(raw, dict):
        raise BadInput(f"{path} is no model config: it holds no table of names and values.")
    return _config(raw, path)


def config_from_dict(raw: dict[str, Any]) -> Any:
    """A transformers config from a dictionary with a "model_type". Raises BadInput, UnsupportedModel."""
    return _config(raw, "the dictionary")


def _config(raw: dict[str, Any], where: Any) -> Any:
    if not isinstance(raw.get("model_type"), str):
        said = repr(raw.get("model_type"))[:40]
        raise BadInput(f"The config of {where} has {said} as its “model_type”; a name such as llama is needed.")
    family_of_type(raw["model_type"])
    data = {key: value for key, value in raw.items() if not any(part in str(key) for part in LEFT_OUT)}
    return checked_config(data, lambda: CONFIG_MAPPING[raw["model_type"]].from_dict(data), where)


def checked_config(raw: dict[str, Any], build: Callable[[], Any], where: Any) -> Any:
    """Build a config once its raw form is known to be of a family, unquantised and of possible sizes; check again."""
    family_of_type(raw["model_type"])
    quantised = next((raw[key] for key in QUANTISED if raw.get(key)), None)
    if quantised:
        method = quantised.get("quant_method", "unknown method") if isinstance(quantised, dict) else quantised
        raise UnsupportedModel(
            f"The model of {where} is quantised ({str(method)[:80]}); heads and channels are cut from plain "
            "weights, so give the unquantised model."
        )
    check_counts(raw.get, where)
    with foreign(f"The config of {where} cannot be used: {{reason}}."):
        config = build()
        family_of_type(config.model_type, config)
        _try_shapes(config)
    return config


def _try_shapes(config: Any) -> None:
    """Send two tokens through the first block's shapes: a config that builds a model may still not fit itself."""
    model, family = shape_of(config), family_of_type(config.model_type)
    del family.block_list(model)[1:]
    if family.experts is not None:
        model.set_experts_implementation("batched_mm")  # the others ask for values, or for one dtype
    tokens, cache = torch.zeros(1, 2, dtype=torch.long, device="meta"), DynamicCache(config=config)
    cache.get_mask_sizes(2, 0)
    # A mask of its own keeps rotary models from asking for values, which shapes do not have; slopes take none.
    rotary = any("rotary" in name for name, _ in model.named_modules()) and not getattr(config, "alibi", False)
    mask = {"attention_mask": torch.zeros(1, 1, 2, 2, device="meta")} if rotary else {}
    with torch.no_grad():
        model(inputs_embeds=model.get_input_embeddings()(tokens), past_key_values=cache, use_cache=True, **mask)
