"""What is refused before a weight is read, and what a checkpoint must be complete in."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, LlamaConfig

from minillm.errors import BadInput, UnsupportedModel
from minillm.models import weights

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.saved(tmp_path / "model")


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(folder: Path, kind: type[Exception] = BadInput) -> str:
    with pytest.raises(kind) as caught:
        weights.read_folder(folder, torch.float32)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("model_type", ["qwen2_moe", "gemma4_text", "of-the-future"])
def test_unsupported_architecture_needs_no_weights(folder: Path, model_type: str) -> None:
    edit_config(folder, model_type=model_type)
    (folder / WEIGHTS).unlink()
    text = refusal(folder, UnsupportedModel)
    assert model_type in text and any(other in text for other in ("gemma2", "mistral", "mixtral"))


def test_config_that_fits_no_family(folder: Path) -> None:
    edit_config(folder, model_type="stablelm", qk_layernorm=True)
    assert "a norm of its own" in refusal(folder, UnsupportedModel)


def test_quantised_config(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    text = refusal(folder, UnsupportedModel)
    assert "gptq" in text and "unquantised" in text


def test_pickle_only(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save(tiny.llama().state_dict(), folder / "pytorch_model.bin")
    text = refusal(folder, UnsupportedModel)
    assert "pytorch_model.bin" in text and "safetensors" in text and "GGUF" in text


def test_safetensors_are_taken_where_pickle_lies_beside_them(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not to be opened")
    _, model, _ = weights.read_folder(folder, torch.float32)
    assert torch.equal(model.lm_head.weight, tiny.llama().lm_head.weight)


def test_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter" in refusal(folder, UnsupportedModel)


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_truncated_weights(folder: Path, kept: int) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:kept])
    assert "truncated" in refusal(folder)


def test_sharded_weights(folder: Path, tmp_path: Path) -> None:
    model = tiny.llama()
    model.save_pretrained(folder, max_shard_size="100KB")
    (folder / WEIGHTS).unlink()
    shards = weights.check_folder(folder)
    assert len(shards) > 1
    _, again, _ = weights.read_folder(folder, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    shards[-1].unlink()
    assert f"{shards[-1].name} is missing" in refusal(folder)
    index = folder / weights.INDEX
    secret = tiny.saved(tmp_path / "elsewhere") / WEIGHTS
    index.write_text(json.dumps({"weight_map": {"a": f"../{secret.parent.name}/{WEIGHTS}"}}))
    assert "not beside it" in refusal(folder), "an index may not name files outside its folder"
    index.write_text("[]")
    assert "no index" in refusal(folder)


@pytest.mark.parametrize("lost", ["model.layers.2.mlp.up_proj.weight", "lm_head.weight"])
def test_missing_weight_is_not_drawn_at_random(folder: Path, lost: str) -> None:
    stored = load_file(folder / WEIGHTS)
    del stored[lost]
    save_file(stored, folder / WEIGHTS, metadata={"format": "pt"})
    assert f"{lost} for one" in refusal(folder)


def test_model_without_output_head(tmp_path: Path) -> None:
    config: Any = tiny.llama().config
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    assert "lm_head.weight" in refusal(tmp_path)


def test_weights_of_another_shape(folder: Path) -> None:
    edit_config(folder, intermediate_size=40)
    assert "do not fit" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "no model config"), ("[]", "no model config"), ("{}", "model_type"), ('{"model_type": 3}', "3")],
)
def test_config_that_is_none(folder: Path, content: str, expected: str) -> None:
    (folder / "config.json").write_text(content)
    assert expected in refusal(folder)


def test_config_with_nonsense_in_it(folder: Path) -> None:
    edit_config(folder, num_attention_heads="many")
    refusal(folder)


def test_folder_without_config_or_weights(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "no weights" in refusal(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "config.json" in refusal(empty)


def test_remote_code_is_never_run(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w').close()\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
    (folder / "own.py").write_text(code + "class A(LlamaConfig): pass\nclass B(LlamaForCausalLM): pass\n")
    edit_config(folder, auto_map={"AutoConfig": "own.A", "AutoModelForCausalLM": "own.B"})
    config, model, _ = weights.read_folder(folder, torch.float32)
    assert type(config) is LlamaConfig and type(model).__name__ == "LlamaForCausalLM"
    assert not marker.exists()


def test_tokenizer_is_optional_but_must_be_readable(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer" in refusal(folder)
    for file in folder.glob("*token*"):
        file.unlink()
    assert weights.read_folder(folder, torch.float32)[2] is None


def test_loading_says_nothing_and_restores_the_bars(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled(), logging.get_verbosity()
    weights.read_folder(folder, torch.float32)
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == before
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
