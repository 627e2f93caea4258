"""Saved folders in the hands of transformers before version 5, which does not know all that later ones write.

It looks for the base of rotary positions, and how they are scaled, under names of their own, takes its defaults where
it does not find them, and computes something else without a word. So these names are written as well.
"""

import json
from pathlib import Path
from typing import Any

TOKENIZER, OLDER_TOKENIZER = "TokenizersBackend", "PreTrainedTokenizerFast"


def tell_older(folder: Path) -> None:
    """Add to the config and tokenizer_config of a folder what earlier versions read; later ones read the same of it."""
    config = folder / "config.json"
    config.write_text(json.dumps(with_older_names(json.loads(config.read_text())), indent=2))
    words = folder / "tokenizer_config.json"
    told = json.loads(words.read_text()) if words.is_file() else {}
    if told.get("tokenizer_class") == TOKENIZER:
        words.write_text(json.dumps({**told, "tokenizer_class": OLDER_TOKENIZER}, indent=2))


def with_older_names(told: dict[str, Any]) -> dict[str, Any]:
    """A config with its rotary positions under their older names beside the newer one."""
    positions = told.get("rope_parameters")
    if not isinstance(positions, dict) or not isinstance(positions.get("rope_theta"), int | float):
        return told
    base, share = positions["rope_theta"], positions.get("partial_rotary_factor")
    older: dict[str, Any] = {"rope_theta": base}
    if positions.get("rope_type", "default") != "default":
        apart = ("rope_theta", "partial_rotary_factor")
        older["rope_scaling"] = {name: value for name, value in positions.items() if name not in apart}
    if share is not None:
        older["partial_rotary_factor"] = share
    if told.get("model_type") == "gpt_neox":
        older |= {"rotary_emb_base": base, "rotary_pct": 1.0 if share is None else share}
    return {**told, **older}
