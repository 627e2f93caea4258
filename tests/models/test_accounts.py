"""What a checkpoint says more than its config, or less, or in another form, is refused by name, however opened."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from minillm.errors import BadInput, UnsupportedModel
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.gguf import read_gguf
from minillm.models.load import load_model
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune

OFFLOADS = pytest.mark.parametrize("offload", [None, "disk"])


def edit(folder: Path, **config: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def weights_of(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def add(folder: Path, **extra: Any) -> Path:
    """Put weights into the file of a folder (names with __ for dots); None takes one out."""
    stored = load_file(weights_of(folder)) | {name.replace("__", "."): weight for name, weight in extra.items()}
    kept = {name: weight for name, weight in stored.items() if weight is not None}
    save_file(kept, weights_of(folder), metadata={"format": "pt"})
    return folder


def refusal(folder: Path, offload: str | None, kind: type[Exception] = BadInput) -> str:
    with pytest.raises(kind) as caught:
        load_model(folder, device="cpu", offload=offload)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same_as_plain(folder: Path, offload: str | None) -> None:
    lm, plain = load_model(folder, device="cpu", offload=offload), AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        assert torch.equal(lm.model(tiny.tokens()).logits, plain(tiny.tokens()).logits)


@OFFLOADS
@pytest.mark.parametrize("shards", ["5GB", "30KB"])
def test_weights_that_the_config_knows_nothing_of(tmp_path: Path, offload: str | None, shards: str) -> None:
    tiny.llama(attention_bias=True).save_pretrained(tmp_path, max_shard_size=shards)
    edit(tmp_path, attention_bias=False)
    assert "self_attn.k_proj.bias for one" in refusal(tmp_path, offload)


@OFFLOADS
def test_blocks_beyond_those_of_the_config(tmp_path: Path, offload: str | None) -> None:
    edit(tiny.saved(tmp_path), num_hidden_layers=3)
    assert "model.layers.3." in refusal(tmp_path, offload)


@OFFLOADS
@pytest.mark.parametrize("build", [tiny.qwen2, tiny.bloom, tiny.opt])
def test_biases_left_over_in_every_family(tmp_path: Path, build: Any, offload: str | None) -> None:
    build().save_pretrained(tmp_path)
    add(tmp_path, lm_head__bias=torch.ones(tiny.VOCABULARY))
    assert "lm_head.bias for one" in refusal(tmp_path, offload)


@OFFLOADS
@pytest.mark.parametrize("form", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.uint8])
def test_formats_of_eight_bits(tmp_path: Path, offload: str | None, form: torch.dtype) -> None:
    tiny.saved(tmp_path)
    name = "model.layers.1.mlp.up_proj.weight"
    add(tmp_path, **{name: load_file(weights_of(tmp_path))[name].to(form)})
    assert name in refusal(tmp_path, offload, UnsupportedModel)


@OFFLOADS
@pytest.mark.parametrize("ending", ["weight_scale", "weight_scale_inv", "qweight", "scales", "g_idx", "weight.absmax"])
def test_what_quantised_checkpoints_leave(tmp_path: Path, offload: str | None, ending: str) -> None:
    name = f"model.layers.0.mlp.up_proj.{ending}"
    assert name in refusal(add(tiny.saved(tmp_path), **{name: torch.ones(3)}), offload, UnsupportedModel)


@OFFLOADS
def test_missing_and_left_over_are_told_together(tmp_path: Path, offload: str | None) -> None:
    told = refusal(add(tiny.saved(tmp_path), model__norm__weight=None, model__final__weight=torch.ones(48)), offload)
    assert "model.norm.weight" in told and "model.final.weight" in told


@OFFLOADS
def test_a_tied_copy_is_harmless_and_another_head_is_not(tmp_path: Path, offload: str | None) -> None:
    tiny.tied().save_pretrained(tmp_path)
    table = load_file(weights_of(tmp_path))["model.embed_tokens.weight"]
    same_as_plain(add(tmp_path, lm_head__weight=table.clone()), offload)
    same_as_plain(add(tmp_path, model__embed_tokens__weight=None), offload)
    add(tmp_path, model__embed_tokens__weight=table, lm_head__weight=table + 1)
    assert "lm_head.weight" in refusal(tmp_path, offload)


@OFFLOADS
def test_rotary_frequencies_are_left_over_only_if_they_are_the_configs(tmp_path: Path, offload: str | None) -> None:
    tiny.saved(tmp_path)
    own = tiny.llama().model.rotary_emb.inv_freq
    same_as_plain(add(tmp_path, model__layers__0__self_attn__rotary_emb__inv_freq=own.half()), offload)
    add(tmp_path, model__layers__0__self_attn__rotary_emb__inv_freq=own / 2)
    assert "inv_freq" in refusal(tmp_path, offload)


@OFFLOADS
def test_masks_saved_by_earlier_versions(tmp_path: Path, offload: str | None) -> None:
    tiny.neox().save_pretrained(tmp_path)
    attention = "gpt_neox.layers.0.attention."
    mask = torch.ones(1, 1, 9, 9, dtype=torch.bool)
    add(tmp_path, **{attention + "bias": mask, attention + "masked_bias": torch.tensor(-1e9)})
    same_as_plain(tmp_path, offload)
    add(tmp_path, **{attention + "bias": torch.ones(96)})
    assert "attention.bias" in refusal(tmp_path, offload)


@OFFLOADS
def test_one_weight_in_two_files(tmp_path: Path, offload: str | None) -> None:
    tiny.llama().save_pretrained(tmp_path, max_shard_size="30KB")
    first, *_, last = sorted(tmp_path.glob("*.safetensors"))
    name, weight = next(iter(load_file(first).items()))
    save_file(load_file(last) | {name: weight + 1}, last, metadata={"format": "pt"})
    assert f"{name} twice" in refusal(tmp_path, offload)


@OFFLOADS
def test_pruned_folders_are_accounted_for(tmp_path: Path, offload: str | None) -> None:
    lm = wrap(tiny.llama())
    folder = save_pruned(prune(lm, make_plan(score(lm, "magnitude-l2", tiny.tokens(), 1), 0.2)), tmp_path / "small")
    add(folder, model__layers__1__mlp__down_proj__bias=torch.ones(48))
    with pytest.raises(BadInput, match=r"layers\.1\.mlp\.down_proj\.bias"):
        load_pruned(folder, offload=offload)


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q.bias", "blk.2.ffn_gate_exps.weight", "output_norm.bias", "rope_x.weight"]
)
def test_gguf_tensors_that_nothing_asks_for(tmp_path: Path, name: str) -> None:
    file = tiny.gguf(tmp_path / "a.gguf", extra={name: torch.ones(48)})
    with pytest.raises(BadInput) as caught:
        read_gguf(file, torch.float32)
    assert name in str(caught.value)
