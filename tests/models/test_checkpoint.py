"""Saving and reloading: the same logits to the bit, nothing half-written, foreign folders refused."""

import json

import pytest
import tiny
import torch

from minillm.errors import BadInput
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune


def cut(build=tiny.llama, compensate=None, dtype=torch.float32, tokenizer=None):
    lm = wrap(build(dtype=dtype), tokenizer)
    plan = make_plan(score(lm, "wanda", tiny.tokens(12, 20)), 0.25)
    return prune(lm, plan, compensate, tiny.tokens(12, 20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("compensate", [None, "bias", "least-squares"])
@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_reload_is_bit_identical(build, compensate, dtype, tmp_path):
    small, tokens = cut(build, compensate, dtype), tiny.tokens(3, 20)
    again = load_pruned(save_pruned(small, tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(again.model(tokens).logits, small.model(tokens).logits)
    assert again.groups == small.groups and again.history == small.history and again.dtype == dtype
    assert all((again.plan.kept_channels[i] == small.plan.kept_channels[i]).all() for i in again.plan.kept_channels)


def test_the_tokenizer_travels_along_and_no_pickle_is_written(tmp_path):
    folder = save_pruned(cut(tokenizer=tiny.tokenizer()), tmp_path / "small")
    assert load_pruned(folder).tokenizer.decode(tiny.tokenizer()("a block")["input_ids"]) == "a block"
    assert not [f for f in folder.iterdir() if f.suffix in (".bin", ".pt", ".pkl", ".py")]
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"


def test_saving_again_replaces_and_foreign_folders_are_left_alone(tmp_path):
    small = cut()
    save_pruned(small, tmp_path / "small")
    save_pruned(small, tmp_path / "small")
    assert load_pruned(tmp_path / "small").groups == small.groups
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(BadInput, match="other files"):
        save_pruned(small, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "mine", "small"] or "home" not in str(tmp_path)


def test_what_was_not_cut_or_is_no_pruned_model_is_refused(tmp_path):
    with pytest.raises(BadInput, match="was not pruned"):
        save_pruned(wrap(tiny.llama()), tmp_path / "x")
    with pytest.raises(BadInput, match="no pruned model"):
        load_pruned(tmp_path)


def test_a_damaged_folder_says_so(tmp_path):
    folder = save_pruned(cut(), tmp_path / "small")
    weights = folder / "pruned.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInput, match="truncated"):
        load_pruned(folder)
    weights.unlink()
    with pytest.raises(BadInput, match="no weights"):
        load_pruned(folder)
