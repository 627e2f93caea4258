"""GGUF files: the same weights and words as were written, and what is refused."""

from pathlib import Path

import pytest
import tiny
import torch

from minillm.errors import BadInput, UnsupportedModel
from minillm.models.gguf import read_gguf


def test_gguf_holds_the_same_weights_and_words(tmp_path: Path) -> None:
    model = tiny.llama()
    config, again, tokenizer = read_gguf(tiny.gguf(tmp_path / "a.gguf", model), torch.float32)
    stored = again.state_dict()
    assert all(torch.equal(weight, stored[name]) for name, weight in model.state_dict().items())
    assert config.eos_token_id == 2 and tokenizer.chat_template == tiny.CHAT
    text = "The walk — 12 blocks, größer."
    assert tokenizer(text).input_ids == tiny.tokenizer()(text).input_ids
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_gguf_of_smollm_splits_digits_from_what_is_before_them(tmp_path: Path) -> None:
    def pieces(splitting: str) -> list[str]:
        file = tiny.gguf(tmp_path / f"{splitting}.gguf", splitting=splitting)
        _, _, tokenizer = read_gguf(file, torch.float32)
        split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a  12")
        return [piece for piece, _ in split]

    assert pieces("smollm") == ["a", "ĠĠ", "1", "2"]
    assert pieces("gpt-2") == ["a", "Ġ", "Ġ12"]


def test_gguf_that_is_none_or_cut_short(tmp_path: Path) -> None:
    file = tiny.gguf(tmp_path / "a.gguf")
    whole = file.read_bytes()
    for content, expected in ((whole[:-1], "truncated"), (whole[:500], "GGUF"), (b"", "GGUF"), (b"text" * 9, "GGUF")):
        file.write_bytes(content)
        with pytest.raises(BadInput, match=expected):
            read_gguf(file, torch.float32)


def test_gguf_of_an_unsupported_architecture(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "a.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(UnsupportedModel, match="mamba"):
        read_gguf(tmp_path / "a.gguf", torch.float32)


def test_gguf_with_scaled_positions(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"rope\.scaling\.factor"):
        read_gguf(tiny.gguf(tmp_path / "a.gguf", fields={"rope.scaling.factor": 8.0}), torch.float32)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_gguf(tiny.gguf(tmp_path / "a.gguf"), torch.float32)
    assert capfd.readouterr() == ("", "")
