"""Checkpoints with a file's own tensors for every expert, as the hub has them: complete, or refused in a sentence."""

from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from minillm.errors import BadInput, UnsupportedModel
from minillm.models.load import load_model

TOKENS = tiny.tokens(2, 12)
FIRST = {
    "mixtral": "model.layers.0.block_sparse_moe.experts.{}.w1.weight",
    "qwen3_moe": "model.layers.0.mlp.experts.{}.gate_proj.weight",
    "olmoe": "model.layers.0.mlp.experts.{}.gate_proj.weight",
}
each_type = pytest.mark.parametrize("kind", FIRST)


def changed(folder: Path, change) -> Path:
    """The folder, its tensors as `change` leaves them."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@each_type
@torch.no_grad()
def test_it_loads_whole_and_from_disk_as_transformers_has_it(kind: str, tmp_path: Path) -> None:
    model = tiny.EXPERTS[kind]()
    folder = tiny.saved(tmp_path / "model", model)
    assert FIRST[kind].format(3) in load_file(folder / "model.safetensors")
    for offload in (None, "disk"):
        lm = load_model(folder, offload=offload)
        assert torch.equal(lm.model(TOKENS).logits, model(TOKENS).logits)


@each_type
@pytest.mark.parametrize("offload", [None, "disk"])
def test_what_is_missing_is_named(kind: str, offload: str | None, tmp_path: Path) -> None:
    name = FIRST[kind].format(1)
    folder = changed(tiny.saved(tmp_path / "model", tiny.EXPERTS[kind]()), lambda tensors: tensors.pop(name))
    with pytest.raises(BadInput, match="lacks some parts of model.layers.0.mlp.experts.gate_up_proj"):
        load_model(folder, offload=offload)


@each_type
def test_a_matrix_of_another_size_and_one_that_is_quantised_are_refused(kind: str, tmp_path: Path) -> None:
    name = FIRST[kind].format(1)
    folder = tiny.saved(tmp_path / "model", tiny.EXPERTS[kind]())
    changed(folder, lambda tensors: tensors.update({name: tensors[name][:, :-1].contiguous()}))
    with pytest.raises(BadInput, match="do not fit its config: model.layers.0.mlp.experts.gate_up_proj"):
        load_model(folder)
    changed(folder, lambda tensors: tensors.update({name: tensors[name].to(torch.float8_e4m3fn)}))
    with pytest.raises(UnsupportedModel, match="holds model.layers.0.mlp.experts.gate_up_proj as F8_E4M3"):
        load_model(folder)
