"""Names to models, models in memory, and plans from configs alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig

import minillm
from minillm import checkpoint, models, surgery
from minillm.errors import BadInput, UnknownName, UnsupportedModel
from minillm.events import RESULT
from minillm.families import groups_of
from minillm.plan import plan_from_groups

SEVEN_B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
}
"""LLaMA-7B. Its dense parameters by hand: 2·32000·4096 + 32·(4·4096² + 3·4096·11008 + 2·4096) + 4096."""


def same_weights(a: Any, b: Any) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("family", tiny.LLAMA_LIKE)
def test_folder(family: str, tmp_path: Path) -> None:
    model = tiny.LLAMA_LIKE[family]()
    lm = minillm.load_model(tiny.saved(tmp_path, model), device="cpu")
    assert same_weights(lm.model, model)
    assert torch.equal(lm.model(tiny.tokens()).logits, model(tiny.tokens()).logits)
    assert not lm.model.training and not any(p.requires_grad for p in lm.model.parameters())
    assert (lm.dtype, lm.device, lm.source) == (torch.float32, torch.device("cpu"), str(tmp_path))
    assert lm.parameters == model.num_parameters() and lm.groups == groups_of(model)
    assert lm.family.name == "llama" and lm.plan is None and lm.history == []
    assert lm.tokenizer.decode(lm.tokenizer("The walk").input_ids) == "The walk"
    assert lm.provenance == {"path": str(tmp_path.resolve())}


def test_half_precision_leaves_rotary_tables_alone(tmp_path: Path) -> None:
    tiny.saved(tmp_path)
    lm = models.load_model(tmp_path, dtype="bfloat16", device="cpu")
    assert {p.dtype for p in lm.model.parameters()} == {torch.bfloat16} == {lm.dtype}
    assert torch.equal(lm.model.model.rotary_emb.inv_freq, tiny.llama().model.rotary_emb.inv_freq)
    with pytest.raises(UnknownName):
        models.load_model(tmp_path, dtype="float8")


def test_events_end_with_the_result(tmp_path: Path) -> None:
    events = list(models.load_model_events(tiny.saved(tmp_path), device="cpu"))
    assert [e.stage for e in events] == ["load", RESULT]
    assert isinstance(events[-1].payload, models.LoadedModel)


def test_gguf_file_and_folder(tmp_path: Path) -> None:
    file = tiny.gguf(tmp_path / "a.gguf")
    for name in (file, str(tmp_path)):
        lm = models.load_model(name, device="cpu")
        assert same_weights(lm.model, tiny.llama()) and lm.source == str(name)
    with pytest.raises(BadInput, match="offloaded"):
        models.load_model(file, device_map={"": "disk"})
    (tmp_path / "b.gguf").write_bytes(b"")
    with pytest.raises(BadInput, match=r"2 GGUF files \(a.gguf, b.gguf\)"):
        models.load_model(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pruned_folder(dtype: str, tmp_path: Path) -> None:
    whole = models.wrap(tiny.qwen2(), tiny.tokenizer(), source="somewhere")
    small = surgery.prune(whole, plan_from_groups(whole.groups, 0.2, layers=[1, 2]))
    lm = models.load_model(checkpoint.save_pruned(small, tmp_path / "small"), dtype=dtype, device="cpu")
    expected = {name: weight.to(lm.dtype) for name, weight in small.model.state_dict().items()}
    assert all(torch.equal(weight, expected[name]) for name, weight in lm.model.state_dict().items())
    assert str(lm.dtype).endswith(dtype) and lm.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert lm.parameters == small.parameters < whole.parameters
    assert lm.source == "somewhere" and lm.plan is not None and lm.plan.removed == small.plan.removed
    assert lm.tokenizer is not None and not any(p.requires_grad for p in lm.model.parameters())


def test_offloaded_to_disk(tmp_path: Path) -> None:
    folder = tiny.saved(tmp_path / "model")
    places: dict[str, Any] = {f"model.layers.{i}": "disk" for i in range(4)}
    rest = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    lm = models.load_model(folder, device_map={**places, **rest})
    assert all(p.is_meta for p in lm.model.model.layers.parameters())
    assert lm.device == torch.device("cpu") and lm.parameters == tiny.llama().num_parameters()
    assert torch.equal(lm.model(tiny.tokens()).logits, tiny.llama()(tiny.tokens()).logits)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="Did you mean smollm2-135m"):
        models.load_model("smollm-135m")
    with pytest.raises(UnknownName, match="folder"):
        models.load_model("/no/such/folder")


def test_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(BadInput, match="folder of safetensors"):
        models.load_model(file)


def test_wrap_leaves_the_model_as_it_is() -> None:
    model = tiny.llama().train()
    lm = models.wrap(model)
    assert lm.model is model and model.training and all(p.requires_grad for p in model.parameters())
    assert (lm.tokenizer, lm.source) == (None, "in memory") and len(lm.groups) == 4


def test_wrap_refuses_what_no_family_covers() -> None:
    with pytest.raises(UnsupportedModel, match="gpt2"):
        models.wrap(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16)))
    adapted = get_peft_model(tiny.llama(), LoraConfig(r=2, target_modules=["q_proj"])).base_model.model
    with pytest.raises(UnsupportedModel, match="adapters"):
        models.wrap(adapted)
    with pytest.raises(BadInput, match="Linear"):
        models.wrap(torch.nn.Linear(2, 2))


def test_dense_size_of_a_config() -> None:
    dense = models.plan_from_config(SEVEN_B, ratio=0)
    by_hand = 2 * 32000 * 4096 + 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096
    assert dense.parameters == by_hand == 6_738_415_616
    assert dense.removed == 0
    linears = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096
    assert dense.macs(64) == 64 * linears + 64 * 64 * 32 * 2 * 4096
    assert dense.macs(64) == pytest.approx(423.9e9, abs=0.1e9)


@pytest.mark.parametrize(("ratio", "left"), [(0.2, 5.391e9), (0.5, 3.369e9)])
def test_exact_ratio_of_a_config(ratio: float, left: float) -> None:
    plan = models.plan_from_config(LlamaConfig(**{k: v for k, v in SEVEN_B.items() if k != "model_type"}), ratio)
    channel = 3 * 4096
    assert abs(plan.removed - ratio * 6_738_415_616) <= 26 * channel
    assert plan.parameters == pytest.approx(left, abs=0.001e9)
    assert plan.recipe["layers"] == list(range(4, 30))


def test_plan_from_names(tmp_path: Path) -> None:
    embedded = models.plan_from_config("smollm2-135m", ratio=0)
    assert embedded.parameters == 134_515_008 and len(embedded.groups) == 30
    model = tiny.qwen2()
    plan = models.plan_from_config(tiny.saved(tmp_path, model), ratio=0.1, layers=[1, 3], count="blocks")
    assert plan.groups == groups_of(model)
    blocks = sum(p.numel() for p in model.model.layers.parameters())
    assert plan.removed == pytest.approx(0.1 * blocks, abs=2 * 3 * 48)


@pytest.mark.parametrize(
    "config", [{}, {"hidden_size": 8}, {"model_type": "gpt2"}, 7, None, {**SEVEN_B, "hidden_size": "wide"}]
)
def test_plan_from_what_is_no_config(config: Any) -> None:
    with pytest.raises(BadInput):
        models.plan_from_config(config)


def test_plan_from_a_pruned_folder_is_of_what_is_left(tmp_path: Path) -> None:
    whole = models.wrap(tiny.llama())
    small = surgery.prune(whole, plan_from_groups(whole.groups, 0.2, layers=[1, 2]))
    folder = checkpoint.save_pruned(small, tmp_path / "small")
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 4
    assert models.plan_from_config(folder, ratio=0).parameters == small.parameters
