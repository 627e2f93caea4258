"""GPT-2's turned weights: plain linears here, as transformers has them in files and in the model that was given."""

import published
import pytest
import tiny
import torch
from accelerate import cpu_offload
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from minillm.errors import BadInput
from minillm.models.checkpoint import save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import wrap
from minillm.models.placing import read_turned
from minillm.surgery.sparsify import sparsify

TOKENS = tiny.tokens(3, 20)


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def test_a_model_in_memory_is_seen_through_plain_linears_and_left_as_it_is():
    model = published.shrunk("gpt2")
    lm = wrap(model)
    assert torch.equal(logits(lm.model), logits(model))
    own, seen = model.transformer.h[1].mlp.c_fc, lm.model.transformer.h[1].mlp.c_fc
    assert isinstance(own, Conv1D) and type(seen.weight) is torch.nn.Parameter
    assert seen.weight.shape == (seen.out_features, 32) and seen.weight.data_ptr() == own.weight.data_ptr()
    assert wrap(lm.model).model is lm.model


@pytest.mark.parametrize("offload", [None, "disk"])
def test_a_folder_with_the_hubs_names_is_read(offload, tmp_path):
    """The hub's GPT-2 has no "transformer." before its names, and masks beside its weights."""
    model = published.shrunk("gpt2")
    file = tiny.saved(tmp_path, model) / "model.safetensors"
    stored = {name.removeprefix("transformer."): weight for name, weight in load_file(file).items()}
    stored["h.0.attn.bias"] = torch.ones(1, 1, 9, 9)
    save_file(stored, file, metadata={"format": "pt"})
    assert torch.equal(logits(load_model(tmp_path, device="cpu", offload=offload).model), logits(model))


def test_weights_that_wait_in_main_memory_are_read_turned():
    """Accelerate holds what the state dict says, as it does behind a GPU that is too small."""
    model = wrap(published.shrunk("gpt2")).model
    wanted = logits(model)
    cpu_offload(model, torch.device("cpu"))
    read_turned(model)
    assert model.transformer.h[0].mlp.c_fc.weight.is_meta
    assert torch.equal(logits(model), wanted)


def test_plain_transformers_loads_a_sparse_one_right(tmp_path):
    lm = wrap(published.shrunk("gpt2"))
    sparse = sparsify(lm, "magnitude-l2", "2:4", TOKENS)
    assert not torch.equal(logits(sparse.model), logits(lm.model))
    plain = AutoModelForCausalLM.from_pretrained(save_pruned(sparse, tmp_path / "sparse"))
    torch.testing.assert_close(logits(plain), logits(sparse.model))


def test_a_device_map_is_refused(tmp_path):
    folder = tiny.saved(tmp_path, published.shrunk("gpt2"))
    places = {f"transformer.{name}": "cpu" for name in ("wte", "wpe", "drop", "ln_f")}
    with pytest.raises(BadInput, match="give offload instead"):
        load_model(folder, device_map={**places, "transformer.h": "disk", "lm_head": "cpu"})
