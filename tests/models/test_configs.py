"""Configs from outside: code they name is not fetched, sizes that no model has are refused, broken files are told."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from minillm.criteria.forecast import forecast
from minillm.errors import BadInput, DoesNotFit, MiniLLMError, UnsupportedModel, foreign
from minillm.models.configs import config_from_dict, read_config
from minillm.models.load import load_model, plan_from_config

OFFLOADS = pytest.mark.parametrize("offload", [None, "disk"])
SIZES = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 48,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.saved(tmp_path_factory.mktemp("model"))


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def edit(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    found = json.loads((folder / name).read_text())
    (folder / name).unlink()
    (folder / name).write_text(json.dumps({**found, **changes}))
    return folder


def refusal(act: Any, kind: type[Exception] = BadInput) -> str:
    with pytest.raises(kind) as caught:
        act()
    told = str(caught.value)
    assert "\n" not in told and len(told) < 700 and told.endswith(".")
    return told


@OFFLOADS
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("value", ["flash_attention_2", "owner/kernel", "flash_attention_3", {"": "x"}, 5])
def test_a_config_chooses_no_implementation(copied: Path, offload: str | None, key: str, value: Any) -> None:
    lm = load_model(edit(copied, **{key: value}), device="cpu", offload=offload)
    assert lm.model.config._attn_implementation == "sdpa"
    with torch.no_grad():
        wanted = tiny.llama()(tiny.tokens()).logits
        torch.testing.assert_close(lm.model(tiny.tokens()).logits, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("key", ["kernel_config", "use_kernels", "experts_implementation", "auto_map"])
def test_keys_that_fetch_code_are_left_out(key: str) -> None:
    assert not hasattr(config_from_dict({**SIZES, key: "owner/name"}), key)


def test_a_config_handed_in_stays_as_it_is() -> None:
    config = config_from_dict(SIZES)
    config._attn_implementation = "flash_attention_2"
    before = config.to_dict()
    plan_from_config(config, 0.1, layers=range(2))
    assert config.to_dict() == before and config._attn_implementation == "flash_attention_2"


COUNTS: dict[str, dict[str, Any]] = {
    "6 on 4": {"num_key_value_heads": 4},
    "3 on 6": {"num_key_value_heads": 12},
    "no heads": {"num_attention_heads": 0},
    "no key/value heads": {"num_key_value_heads": 0},
    "fewer than none": {"num_attention_heads": -6},
    "a width that does not divide": {"hidden_size": 50},
    "no width": {"hidden_size": 0},
    "no blocks": {"num_hidden_layers": 0},
    "blocks without end": {"num_hidden_layers": 10**8},
    "no words": {"vocab_size": 0},
    "no FFN": {"intermediate_size": 0},
    "a width of words": {"hidden_size": "many"},
    "a half": {"num_hidden_layers": 2.5},
    "true": {"num_hidden_layers": True},
    "a list": {"num_attention_heads": [6, 6]},
    "an odd head": {"head_dim": 7},
    "no head size": {"head_dim": 0},
    "a head without end": {"head_dim": 10**9},
    "a width without end": {"hidden_size": 10**12},
    "an activation of no name": {"hidden_act": "unheard-of"},
    "no model's dtype": {"dtype": "float9"},
    "padding beyond": {"pad_token_id": 4000},
    "positions of no kind": {"rope_parameters": {"rope_type": "unheard-of", "rope_theta": 1e4}},
}


@pytest.mark.parametrize("change", COUNTS.values(), ids=COUNTS)
def test_sizes_that_no_model_has_are_refused_on_reading(copied: Path, change: dict[str, Any]) -> None:
    refusal(lambda: plan_from_config({**SIZES, **change}, 0.1))
    refusal(lambda: read_config(edit(copied, **change)))
    refusal(lambda: load_model(copied, device="cpu", offload="disk"))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bloom", {"n_head": 3, "hidden_size": 32}),
        ("bloom", {"n_head": 0}),
        ("bloom", {"n_layer": 10**8}),
        ("opt", {"num_attention_heads": 7, "hidden_size": 32}),
        ("opt", {"ffn_dim": -1}),
        ("gpt_neox", {"num_attention_heads": 5, "hidden_size": 32}),
        ("qwen2", {"num_key_value_heads": 5}),
        ("qwen3", {"num_hidden_layers": 10**8}),
        ("gemma", {"num_key_value_heads": 3}),
        ("mistral", {"num_key_value_heads": 5}),
    ],
)
def test_sizes_of_every_family(kind: str, change: dict[str, Any]) -> None:
    refusal(lambda: plan_from_config({"model_type": kind, **change}, 0.1))


def test_a_config_object_is_checked_like_a_file() -> None:
    config = config_from_dict(SIZES)
    config.num_key_value_heads = 4
    assert "6 query heads for 4" in refusal(lambda: plan_from_config(config, 0.1))


def test_what_was_right_is_planned_and_forecast() -> None:
    from minillm.criteria import find
    from minillm.families import groups_from_config

    groups = groups_from_config(config_from_dict(SIZES))
    assert groups.blocks[0].fixed_parameters == 2 * 48
    assert forecast(groups, find("wanda")).total > 0


FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
CONTENTS = {
    "deep": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "deep list": "[" * 20_000 + "]" * 20_000,
    "no JSON": "{",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "bytes": "\x00\x01",
    "long number": '{"a": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_files_that_are_none_are_told(copied: Path, name: str, content: str) -> None:
    (copied / name).unlink()
    (copied / name).write_text(content)
    for offload in (None, "disk"):
        try:
            load_model(copied, device="cpu", offload=offload)
        except MiniLLMError as fault:
            assert "\n" not in str(fault) and name.split(".")[0].split("_")[0] in str(fault)
        else:
            assert name in ("generation_config.json", "tokenizer_config.json")


@pytest.mark.parametrize("pattern", ["", "x*", "^", r"\b"])
def test_a_tokenizer_that_panics_is_refused(copied: Path, pattern: str) -> None:
    edit(copied, "tokenizer.json", normalizer={"type": "Replace", "pattern": {"Regex": pattern}, "content": "zz"})
    assert "tokenizer" in refusal(lambda: load_model(copied, device="cpu"))


def test_foreign_errors_become_one_sentence_and_ours_and_the_systems_pass() -> None:
    class PanicException(BaseException):
        pass

    def raised(fault: BaseException) -> BaseException:
        try:
            with foreign("It failed: {reason}.", UnsupportedModel):
                raise fault
        except BaseException as caught:
            return caught

    for fault in (ImportError("no flash"), RecursionError("deep"), PanicException("index out of bounds")):
        assert str(raised(fault)) == f"It failed: {fault}." and isinstance(raised(fault), UnsupportedModel)
    for passing in (
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError(),
        DoesNotFit("no"),
        RuntimeError("CUDA out of memory"),
    ):
        assert raised(passing) is passing
