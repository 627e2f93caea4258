"""Names to models, models in memory, and plans from configs alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import published
import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig

import minillm
from minillm.errors import BadInput, UnknownName, UnsupportedModel
from minillm.events import RESULT
from minillm.families import groups_of
from minillm.models import checkpoint
from minillm.models.load import load_model, load_model_events, plan_from_config
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import plan_from_groups
from minillm.surgery.cut import prune

SEVEN_B = published.MODELS["llama-7b"].config


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
    lm = load_model(tmp_path, dtype="bfloat16", device="cpu")
    assert {p.dtype for p in lm.model.parameters()} == {torch.bfloat16} == {lm.dtype}
    assert torch.equal(lm.model.model.rotary_emb.inv_freq, tiny.llama().model.rotary_emb.inv_freq)
    with pytest.raises(UnknownName):
        load_model(tmp_path, dtype="float8")


def test_events_end_with_the_result(tmp_path: Path) -> None:
    events = list(load_model_events(tiny.saved(tmp_path), device="cpu"))
    assert [e.stage for e in events] == ["load", RESULT]
    assert isinstance(events[-1].payload, LoadedModel)


def test_gguf_file_and_folder(tmp_path: Path) -> None:
    file = tiny.gguf(tmp_path / "a.gguf")
    for name in (file, str(tmp_path)):
        lm = load_model(name, device="cpu")
        assert same_weights(lm.model, tiny.llama()) and lm.source == str(name)
    with pytest.raises(BadInput, match="offloaded"):
        load_model(file, device_map={"": "disk"})
    (tmp_path / "b.gguf").write_bytes(b"")
    with pytest.raises(BadInput, match=r"2 GGUF files \(a.gguf, b.gguf\)"):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pruned_folder(dtype: str, tmp_path: Path) -> None:
    whole = wrap(tiny.qwen2(), tiny.tokenizer(), source="somewhere")
    small = prune(whole, plan_from_groups(whole.groups, 0.2, layers=[1, 2]))
    lm = load_model(checkpoint.save_pruned(small, tmp_path / "small"), dtype=dtype, device="cpu")
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
    lm = load_model(folder, device_map={**places, **rest})
    assert all(p.is_meta for p in lm.model.model.layers.parameters())
    assert lm.device == torch.device("cpu") and lm.parameters == tiny.llama().num_parameters()
    assert torch.equal(lm.model(tiny.tokens()).logits, tiny.llama()(tiny.tokens()).logits)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="Did you mean smollm2-135m"):
        load_model("smollm-135m")
    with pytest.raises(UnknownName, match="folder"):
        load_model("/no/such/folder")


def test_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(BadInput, match="folder of safetensors"):
        load_model(file)


def test_wrap_leaves_the_model_as_it_is() -> None:
    model = tiny.llama().train()
    lm = wrap(model)
    assert lm.model is model and model.training and all(p.requires_grad for p in model.parameters())
    assert (lm.tokenizer, lm.source) == (None, "in memory") and len(lm.groups) == 4


def test_wrap_refuses_adapters_and_what_is_no_language_model() -> None:
    adapted = get_peft_model(tiny.llama(), LoraConfig(r=2, target_modules=["q_proj"])).base_model.model
    with pytest.raises(UnsupportedModel, match="adapters"):
        wrap(adapted)
    with pytest.raises(BadInput, match="Linear"):
        wrap(torch.nn.Linear(2, 2))


@dataclass(frozen=True)
class ByHand:
    """What can be counted of a model by hand, and what is left of it in billions.

    ffn: linears in an FFN; biased: q, k, v and the FFN's first linear; words: of the output head;
    fifth: with exactly 20 % gone; quarter: with 25 % off blocks 4 to 29.
    """

    name: str
    blocks: int
    channels: int
    ffn: int
    biased: bool
    words: int
    fifth: float
    quarter: float

    @property
    def head(self) -> int:
        """Parameters of one of 32 heads of 128: rows of q, k, v with their biases, columns of o."""
        return 128 * (4 * 4096 + 3 * self.biased)

    @property
    def channel(self) -> int:
        """Parameters of one channel."""
        return self.ffn * 4096 + self.biased


SEVENS = [
    ByHand("llama-7b", 32, 11008, 3, False, 32000, 5.391, 5.42),
    ByHand("opt-6.7b", 32, 16384, 2, True, 50272, 5.327, 5.35),
    ByHand("bloom-7b1", 30, 16384, 2, True, 250880, 5.655, 5.76),
]
each_seven = pytest.mark.parametrize("hand", SEVENS, ids=lambda hand: hand.name)


@each_seven
def test_macs_of_a_config(hand: ByHand) -> None:
    dense = plan_from_config(published.MODELS[hand.name].config, ratio=0)
    linears = hand.blocks * (4 * 4096**2 + hand.ffn * 4096 * hand.channels) + hand.words * 4096
    assert dense.macs(64) == 64 * linears + 64 * 64 * hand.blocks * 2 * 4096
    assert dense.removed == 0


def test_macs_of_llama_7b_are_those_the_paper_prints() -> None:
    assert plan_from_config(SEVEN_B, ratio=0).macs(64) == pytest.approx(424.02e9, rel=5e-4)


@each_seven
@pytest.mark.parametrize("ratio", [0.2, 0.5])
def test_an_exact_ratio_of_a_config(hand: ByHand, ratio: float) -> None:
    known = published.MODELS[hand.name]
    plan = plan_from_config(known.config, ratio)
    assert abs(plan.removed - ratio * known.parameters) <= hand.channel / 2
    assert ratio != 0.2 or round(plan.parameters / 1e9, 3) == hand.fifth
    assert plan.recipe["layers"] == list(range(4, 30 if hand.blocks == 32 else 28))


@each_seven
def test_a_quarter_of_each_block_from_4_to_29_is_cut_to_the_head_and_channel(hand: ByHand) -> None:
    """Of LLaMA-7B that leaves the 5.42 B of the paper's Table 5."""
    known = published.MODELS[hand.name]
    gone = 26 * (8 * hand.head + hand.channels // 4 * hand.channel)
    plan = plan_from_config(known.config, gone / known.parameters, layers=range(4, 30))
    table = plan.table()
    assert plan.removed == gone and round(plan.parameters / 1e9, 2) == hand.quarter
    assert table.heads_cut.tolist() == [8 * (4 <= i < 30) for i in range(hand.blocks)]
    assert table.channels_cut.tolist() == [hand.channels // 4 * (4 <= i < 30) for i in range(hand.blocks)]


def test_a_config_may_be_transformers_own() -> None:
    own = LlamaConfig(**{k: v for k, v in SEVEN_B.items() if k != "model_type"})
    assert plan_from_config(own, 0.2).removed == plan_from_config(SEVEN_B, 0.2).removed


def test_plan_from_names(tmp_path: Path) -> None:
    embedded = plan_from_config("smollm2-135m", ratio=0)
    assert embedded.parameters == 134_515_008 and len(embedded.groups) == 30
    model = tiny.qwen2()
    plan = plan_from_config(tiny.saved(tmp_path, model), ratio=0.1, layers=[1, 3], count="blocks")
    assert plan.groups == groups_of(model)
    blocks = sum(p.numel() for p in model.model.layers.parameters())
    assert plan.removed == pytest.approx(0.1 * blocks, abs=2 * 3 * 48)


@pytest.mark.parametrize(
    "config", [{}, {"hidden_size": 8}, {"model_type": "qwen2_moe"}, 7, None, {**SEVEN_B, "hidden_size": "wide"}]
)
def test_plan_from_what_is_no_config(config: Any) -> None:
    with pytest.raises(BadInput):
        plan_from_config(config)


def test_plan_from_a_pruned_folder_is_of_what_is_left(tmp_path: Path) -> None:
    whole = wrap(tiny.llama())
    small = prune(whole, plan_from_groups(whole.groups, 0.2, layers=[1, 2]))
    folder = checkpoint.save_pruned(small, tmp_path / "small")
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 4
    assert plan_from_config(folder, ratio=0).parameters == small.parameters
