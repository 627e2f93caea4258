"""Pruned folders in other hands: plain transformers refuses or loads them right, and what is broken is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, LlamaForCausalLM

from minillm.errors import BadInput
from minillm.models.buffers import FILE
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.surgery.sparsify import sparsify

IGNORING = pytest.mark.parametrize("ignoring", [True, False])


def cut(lm: LoadedModel, compensate: str | None = None) -> LoadedModel:
    plan = make_plan(score(lm, "magnitude-l2", tiny.tokens(), 1), 0.25)
    return prune(lm, plan, compensate, tiny.tokens(12, 20))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(tiny.tokens()).logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pruned(cut(wrap(tiny.llama())), tmp_path_factory.mktemp("pruned") / "small")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@IGNORING
@pytest.mark.parametrize("opened_by", [AutoModelForCausalLM, AutoModel, LlamaForCausalLM])
def test_plain_transformers_does_not_draw_weights_for_a_cut_model(folder: Path, opened_by: Any, ignoring: bool) -> None:
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        opened_by.from_pretrained(folder, ignore_mismatched_sizes=ignoring)


@IGNORING
@pytest.mark.parametrize("build", [tiny.bloom, tiny.opt, tiny.neox])
def test_plain_transformers_refuses_other_families(tmp_path: Path, build: Any, ignoring: bool) -> None:
    small = save_pruned(cut(wrap(build())), tmp_path / "small")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModelForCausalLM.from_pretrained(small, ignore_mismatched_sizes=ignoring)


@IGNORING
def test_plain_transformers_refuses_one_in_pieces(tmp_path: Path, monkeypatch: Any, ignoring: bool) -> None:
    monkeypatch.setattr("minillm.models.checkpoint.SHARD", "30KB")
    lm = cut(load_model(tiny.saved(tmp_path / "model"), device="cpu", offload="disk"))
    small = save_pruned(lm, tmp_path / "small")
    assert len(list(small.glob("*.safetensors"))) > 1
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModelForCausalLM.from_pretrained(small, ignore_mismatched_sizes=ignoring)
    assert torch.equal(logits(load_pruned(small).model), logits(lm.model))


@IGNORING
def test_a_model_that_only_gained_biases_is_another_shape(tmp_path: Path, ignoring: bool) -> None:
    lm = wrap(tiny.llama())
    small = cut(lm)
    linear = lm.family.block_linears(lm.family.block_list(lm.model)[0])["down"]
    linear.bias = torch.nn.Parameter(torch.ones(48), requires_grad=False)
    lm.plan, lm.history = small.plan, small.history
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModelForCausalLM.from_pretrained(save_pruned(lm, tmp_path / "a"), ignore_mismatched_sizes=ignoring)


@IGNORING
def test_plain_transformers_loads_a_sparse_model_right(tmp_path: Path, ignoring: bool) -> None:
    sparse = sparsify(wrap(tiny.llama()), "magnitude-l2", "2:4", tiny.tokens(12, 20))
    plain = AutoModelForCausalLM.from_pretrained(
        save_pruned(sparse, tmp_path / "sparse"), ignore_mismatched_sizes=ignoring
    )
    assert torch.equal(logits(plain), logits(sparse.model))


def test_folders_saved_before_still_open(copied: Path) -> None:
    before = logits(load_pruned(copied).model)
    (copied / "pruned.safetensors").rename(copied / "model.safetensors")
    assert torch.equal(logits(load_model(copied, device="cpu").model), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("build", [tiny.llama, tiny.gemma, tiny.neox, tiny.qwen3, tiny.opt])
def test_a_cast_model_reloads_bit_for_bit(tmp_path: Path, build: Any, dtype: torch.dtype) -> None:
    small = cut(wrap(build().to(dtype)))
    again = load_pruned(save_pruned(small, tmp_path / "small"))
    assert torch.equal(logits(again.model), logits(small.model))
    assert again.dtype == dtype


@pytest.mark.parametrize("offload", [None, "disk"])
def test_a_model_cast_there_and_back_reloads_bit_for_bit(tmp_path: Path, offload: str | None) -> None:
    small = cut(wrap(tiny.llama().half().float()))
    again = load_pruned(save_pruned(small, tmp_path / "small"), offload=offload)
    assert torch.equal(logits(again.model), logits(small.model))


def test_buffers_are_written_only_where_they_differ_and_checked(folder: Path, copied: Path) -> None:
    assert not (folder / FILE).exists()
    save_file({"model.rotary_emb.inv_freq": torch.ones(9)}, copied / FILE)
    assert "inv_freq" in refusal(copied)
    (copied / FILE).write_bytes(b"no table")
    assert FILE in refusal(copied)


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load_pruned(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "record",
    ["", "[]", "{}", "3", '{"a":' * 5000, '{"source": "x", "attention": "sdpa", "plan": 3, "history": 5}'],
    ids=["empty", "list", "nothing", "number", "deep", "wrong"],
)
def test_a_record_that_is_none(copied: Path, record: str) -> None:
    (copied / "pruning.json").write_text(record)
    assert str(copied) in refusal(copied)


@pytest.mark.parametrize("attention", ["flash_attention_2", "owner/kernel", "nonsense", 3, None, {"a": 1}])
def test_a_record_chooses_no_foreign_attention(copied: Path, attention: Any) -> None:
    before = logits(load_pruned(copied).model)
    edit(copied / "pruning.json", attention=attention)
    lm = load_pruned(copied)
    assert lm.model.config._attn_implementation == "sdpa"
    assert torch.equal(logits(lm.model), before)


def tables() -> dict[str, Any]:
    def changed(linear: str, entry: Any) -> Any:
        return lambda rows: [{**rows[0], "linears": {**rows[0]["linears"], linear: entry}}, *rows[1:]]

    return {
        "none": lambda rows: None,
        "a number": lambda rows: 3,
        "too few": lambda rows: rows[1:],
        "no rows": lambda rows: [3] * len(rows),
        "huge": changed("up", [10**15, 48, False]),
        "negative": changed("up", [-3, 48, False]),
        "of words": changed("up", ["a", "b", "c"]),
        "short": changed("up", [3]),
        "other width": changed("o", [40, 32, False]),
        "a bias of words": changed("down", [*[48, 28], "yes"]),
        "heads beyond": lambda rows: [{**rows[0], "heads": [0, 1, 99]}, *rows[1:]],
        "heads twice": lambda rows: [{**rows[0], "heads": [0, 0]}, *rows[1:]],
        "heads of words": lambda rows: [{**rows[0], "heads": "abc"}, *rows[1:]],
    }


@pytest.mark.parametrize("change", tables().values(), ids=tables())
def test_a_table_that_is_none(copied: Path, change: Any) -> None:
    path = copied / "config.json"
    edit(path, minillm_blocks=change(json.loads(path.read_text())["minillm_blocks"]))
    refusal(copied)


def test_a_folder_that_lost_its_record_is_refused(copied: Path) -> None:
    (copied / "pruning.json").unlink()
    with pytest.raises(BadInput, match="do not fit"):
        load_model(copied, device="cpu")


def test_weights_of_another_form_are_refused(copied: Path) -> None:
    file = copied / "pruned.safetensors"
    stored = load_file(file)
    stored["lm_head.weight"] = stored["lm_head.weight"].to(torch.float8_e4m3fn)
    save_file(stored, file)
    assert "lm_head.weight" in refusal(copied)
