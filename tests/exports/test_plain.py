"""Folders that plain transformers opens: its own loader and its own forward pass are the oracle."""

import json
import subprocess
import sys
from pathlib import Path

import made_cuts
import pytest
import tiny
import torch
from made_cuts import BIASES, BLOCKS, CLOSELY, EVEN, MIXED, ZEROS, cut, logits, whole
from transformers import AutoModelForCausalLM, AutoTokenizer

from minillm.errors import BadInput, MiniLLMError, UnknownName, UnsupportedModel
from minillm.exports import export as module
from minillm.exports.export import export
from minillm.exports.plain import fitted
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.recipes.exports import MASKED, TRANSFORMERS


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize(
    ("form", "family", "kind"),
    [(form, *each) for form in (TRANSFORMERS, MASKED) for each in made_cuts.each(form, CLOSELY)],
)
def test_plain_transformers_computes_the_same(form: str, family: str, kind: str, tmp_path: Path) -> None:
    lm = cut(family, kind)
    found = export(lm, form, tmp_path / "out")
    plain, report = AutoModelForCausalLM.from_pretrained(found.folder, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same(logits(plain), logits(lm.model))
    if form == MASKED and kind != BIASES:
        assert found.parameters == whole(family).parameters == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("family", [name for name in CLOSELY if name in made_cuts.GROUPED])
@pytest.mark.parametrize("kind", [EVEN, BLOCKS])
def test_even_widths_and_whole_blocks_are_not_filled_up_and_are_equal_to_the_bit(
    family: str, kind: str, tmp_path: Path
) -> None:
    lm = cut(family, kind)
    if kind == EVEN and family == "llama":
        assert fitted(lm)[0].num_attention_heads == 4 and 48 % 4 == 0
    found = export(lm, TRANSFORMERS, tmp_path / "out")
    assert found.parameters == lm.parameters and "Nothing had to be filled up" in found.note
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(found.folder)), logits(lm.model))


def test_heads_that_do_not_divide_the_width_are_filled_up_to_a_number_that_does(tmp_path: Path) -> None:
    """Llama's config refuses 5 of 8 heads on a width of 64."""
    lm = wrap(tiny.llama(heads=8, kv=8, width=64))
    plan = made_cuts.plan_of(lm, EVEN)
    small = made_cuts.prune(
        lm, type(plan)(plan.groups, {i: v[:5] for i, v in plan.kept_heads.items()}, plan.kept_channels)
    )
    found = export(small, TRANSFORMERS, tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(found.folder)
    assert plain.config.num_attention_heads == 8 and "filled up with zeros to 8 heads" in found.note
    assert_same(logits(plain), logits(small.model))


def test_what_is_filled_up_lies_where_it_was_in_the_dense_form(tmp_path: Path) -> None:
    """Weights that stay are those of the original, at their places, and the others are zero."""
    lm, small = whole("llama"), cut("llama", MIXED)
    plain = AutoModelForCausalLM.from_pretrained(export(small, MASKED, tmp_path / "out").folder)
    for layer, block in enumerate(lm.model.model.layers):
        before, after = block.mlp.up_proj.weight, plain.model.layers[layer].mlp.up_proj.weight
        kept = small.plan.kept_channels[layer]
        assert torch.equal(after[kept], before[kept]) and int((after != 0).sum()) == int((after[kept] != 0).sum())
        before, after = block.self_attn.q_proj.weight, plain.model.layers[layer].self_attn.q_proj.weight
        for head in range(3):
            rows = slice(head * 16, head * 16 + 16)
            wanted = before[rows] if head in small.plan.kept_heads[layer] else torch.zeros_like(before[rows])
            assert torch.equal(after[rows], wanted)


@pytest.mark.parametrize("family", [name for name in CLOSELY if name in made_cuts.NO_BIASES[TRANSFORMERS]])
def test_biases_that_no_config_can_name_are_refused(family: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="gave .*(down|o).* a bias, which no config of its type") as caught:
        export(cut(family, BIASES), TRANSFORMERS, tmp_path / "out")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_it_opens_where_nothing_of_ours_is(tmp_path: Path) -> None:
    """In another process whose path does not hold this project."""
    lm = cut("llama", MIXED)
    folder = export(lm, TRANSFORMERS, tmp_path / "out").folder
    code = (
        "import sys, json, torch; from transformers import AutoModelForCausalLM as A, AutoTokenizer as T\n"
        f"model, words = A.from_pretrained({str(folder)!r}), T.from_pretrained({str(folder)!r})\n"
        "print(json.dumps(model(torch.arange(3, 15)[None]).logits[0, -1].tolist()), words('A block').input_ids)\n"
        "assert not any('minillm' in name for name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    numbers, end, words = done.stdout.partition("]")
    with torch.no_grad():
        wanted = lm.model(torch.arange(3, 15)[None]).logits[0, -1]
    assert_same(torch.tensor(json.loads(numbers + end)), wanted)
    assert json.loads(words) == tiny.tokenizer()("A block").input_ids


def test_ours_opens_it_too_and_cuts_on(tmp_path: Path) -> None:
    lm = load_model(export(cut("qwen3", EVEN), TRANSFORMERS, tmp_path / "out").folder, device="cpu")
    assert lm.groups.blocks[0].heads == 2 and lm.plan is None
    assert torch.equal(logits(lm.model), logits(cut("qwen3", EVEN).model))


def test_a_model_on_disk_is_exported_as_one_in_memory_is(tmp_path: Path) -> None:
    folder = save_pruned(cut("llama", MIXED), tmp_path / "small")
    there = export(load_pruned(folder, offload="disk"), TRANSFORMERS, tmp_path / "a").folder
    here = export(cut("llama", MIXED), TRANSFORMERS, tmp_path / "b").folder
    models = [AutoModelForCausalLM.from_pretrained(one) for one in (there, here)]
    assert torch.equal(*map(logits, models))
    assert "minillm_blocks" not in json.loads((there / "config.json").read_text())


@pytest.mark.parametrize("numbers", ["bfloat16", "float16"])
def test_numbers_are_written_as_asked(numbers: str, tmp_path: Path) -> None:
    folder = export(cut("llama", EVEN), TRANSFORMERS, tmp_path / "out", numbers).folder
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert str(plain.dtype) == f"torch.{numbers}"
    wanted = cut("llama", EVEN).model.model.layers[0].mlp.up_proj.weight.to(plain.dtype)
    assert torch.equal(plain.model.layers[0].mlp.up_proj.weight, wanted)


def test_the_tokenizer_comes_along(tmp_path: Path) -> None:
    words = AutoTokenizer.from_pretrained(export(cut("opt", EVEN), MASKED, tmp_path / "out").folder)
    assert words(tiny.SENTENCES[0]).input_ids == tiny.tokenizer()(tiny.SENTENCES[0]).input_ids


def test_what_computes_something_else_is_never_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def astray(lm: LoadedModel, places, biased):
        for name, weight in laid(lm, places, biased):
            yield name, weight * 1.5 if "down_proj" in name else weight

    laid = module.laid
    monkeypatch.setattr(module, "laid", astray)
    with pytest.raises(MiniLLMError, match="does not compute what"):
        export(cut("llama", EVEN), TRANSFORMERS, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    lm = cut("llama", ZEROS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("mine")
    for given, error, said in (
        (("gguff", tmp_path / "a"), UnknownName, "Did you mean gguf"),
        ((TRANSFORMERS, tmp_path / "full"), BadInput, "holds other files; give an empty or new folder"),
        ((TRANSFORMERS, tmp_path / "full" / "other.txt"), BadInput, "is a file"),
        ((TRANSFORMERS, tmp_path / "a", "q8_0"), BadInput, "not written in “q8_0”; choose from float32"),
    ):
        with pytest.raises(error, match=said):
            export(lm, *given)
    assert [path.name for path in tmp_path.iterdir()] == ["full"] and (
        tmp_path / "full" / "other.txt"
    ).read_text() == "mine"
