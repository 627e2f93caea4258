"""Rotary positions under the names that transformers read before version 5, and what later versions make of both."""

import json
from pathlib import Path
from typing import Any

import made_cuts
import pytest
import tiny
import torch
from made_cuts import BLOCKS, EVEN, ZEROS, cut, logits
from transformers import AutoModelForCausalLM, AutoTokenizer

from minillm.exports.export import export
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import wrap
from minillm.models.older import with_older_names
from minillm.recipes.exports import TRANSFORMERS

LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text()))


@pytest.mark.parametrize(
    ("build", "older"),
    [
        (lambda: tiny.llama(rope_parameters={"rope_type": "default", "rope_theta": 500.0}), {"rope_theta": 500.0}),
        (
            lambda: tiny.llama(rope_parameters=LLAMA_3),
            {"rope_theta": 500.0, "rope_scaling": {k: v for k, v in LLAMA_3.items() if k != "rope_theta"}},
        ),
        (lambda: tiny.neox(rotary_pct=0.5), {"rotary_emb_base": 10_000, "rotary_pct": 0.5}),
        (tiny.opt, {}),
    ],
)
def test_both_names_are_written_and_later_versions_read_the_same(build: Any, older: Any, tmp_path: Path) -> None:
    lm = wrap(build(), tiny.tokenizer())
    folder = export(lm, TRANSFORMERS, tmp_path / "out").folder
    told = config_of(folder)
    assert {name: told.get(name) for name in older} == older
    assert ("rope_scaling" in told) == ("rope_scaling" in older)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(logits(plain), logits(lm.model))
    assert getattr(plain.config, "rope_parameters", None) == getattr(lm.model.config, "rope_parameters", None)
    plain.save_pretrained(tmp_path / "again")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "again")), logits(lm.model))


@pytest.mark.parametrize("kind", [BLOCKS, ZEROS, EVEN])
def test_folders_of_ours_say_it_too_and_open_as_before(kind: str, tmp_path: Path) -> None:
    """Whole blocks and zeros are read by plain transformers as well."""
    lm = cut("llama", kind)
    folder = save_pruned(lm, tmp_path / "small")
    assert config_of(folder)["rope_theta"] == config_of(folder)["rope_parameters"]["rope_theta"]
    assert torch.equal(logits(load_pruned(folder).model), logits(lm.model))
    if kind != EVEN:
        assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(folder)), logits(lm.model))


def test_the_tokenizer_is_of_a_class_that_earlier_versions_have(tmp_path: Path) -> None:
    folder = export(made_cuts.whole("llama"), TRANSFORMERS, tmp_path / "out").folder
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    words = AutoTokenizer.from_pretrained(folder)
    assert words(tiny.SENTENCES[0]).input_ids == tiny.tokenizer()(tiny.SENTENCES[0]).input_ids
    assert words.chat_template == tiny.CHAT


def test_positions_of_each_kind_of_block_are_left_as_they_are() -> None:
    told = {"rope_parameters": {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}}
    assert with_older_names(told) == told and with_older_names({}) == {}
