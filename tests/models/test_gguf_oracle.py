"""GGUF against oracles: numbers by naive dequantisers, functions by the model written, words by rules one by one.

The dequantisers follow the layouts of ggml's blocks byte by byte; the splitting follows llama.cpp: regular expressions
one after the other over the pieces, then merges in their order.
"""

import json
import struct
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import regex
import sentencepiece as sp
import tiny
import torch
from gguf import GGMLQuantizationType as Q
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CohereTokenizer, GPT2Tokenizer, Qwen2Tokenizer

from minillm.errors import BadInput, UnsupportedModel
from minillm.models.gguf import read_gguf
from minillm.models.gguf_words import known_rules

WIDE = {"layers": 1, "heads": 4, "kv": 2, "width": 256, "ffn": 256}
TEXT = "I'll WALK 12345 blocks,  größer\n\n\t3½ x²  e\u0301te\u0301 — 漢字 don't; (a|b)…?! 'S  "


def q8_0(block: bytes) -> Iterator[float]:
    (scale,) = struct.unpack("<e", block[:2])
    yield from (scale * q for q in struct.unpack("<32b", block[2:]))


def q4_0(block: bytes) -> Iterator[float]:
    (scale,) = struct.unpack("<e", block[:2])
    yield from (scale * ((q & 15) - 8) for q in block[2:])
    yield from (scale * ((q >> 4) - 8) for q in block[2:])


def q4_1(block: bytes) -> Iterator[float]:
    scale, least = struct.unpack("<ee", block[:4])
    yield from (scale * (q & 15) + least for q in block[4:])
    yield from (scale * (q >> 4) + least for q in block[4:])


def q4_k(block: bytes) -> Iterator[float]:
    scale, least = struct.unpack("<ee", block[:4])
    packed, numbers = block[4:16], block[16:]
    for j in range(8):
        if j < 4:
            s, m = packed[j] & 63, packed[j + 4] & 63
        else:
            s = packed[j + 4] & 15 | packed[j - 4] >> 6 << 4
            m = packed[j + 4] >> 4 | packed[j] >> 6 << 4
        for q in numbers[j // 2 * 32 : j // 2 * 32 + 32]:
            yield scale * s * (q >> 4 if j % 2 else q & 15) - least * m


def q6_k(block: bytes) -> Iterator[float]:
    low, high, scales = block[:128], block[128:192], struct.unpack("<16b", block[192:208])
    (scale,) = struct.unpack("<e", block[208:])
    for half in range(2):
        for part in range(4):
            for i in range(32):
                nibble = low[half * 64 + part % 2 * 32 + i] >> (part // 2 * 4) & 15
                q = (nibble | (high[half * 32 + i] >> 2 * part & 3) << 4) - 32
                yield scale * scales[half * 8 + part * 2 + i // 16] * q


NAIVE: dict[Q, tuple[int, Callable[[bytes], Iterator[float]], tuple[int, ...]]] = {
    Q.Q8_0: (34, q8_0, (0,)),
    Q.Q4_0: (18, q4_0, (0,)),
    Q.Q4_1: (20, q4_1, (0, 2)),
    Q.Q4_K: (144, q4_k, (0, 2)),
    Q.Q6_K: (210, q6_k, (208,)),
}
"""{type: bytes of a block, its dequantiser, where its scales in float16 lie}."""


def packed(kind: Q, numbers: np.ndarray) -> np.ndarray:
    """Blocks of a type: quantised by gguf-py where it can, else of random bytes with small scales."""
    size, _, scales = NAIVE[kind]
    try:
        return gguf.quants.quantize(numbers, kind)
    except NotImplementedError:
        random = np.random.default_rng(numbers.size)
        blocks = random.integers(0, 256, (numbers.size // 256, size), np.uint8)
        for at in scales:
            drawn = random.uniform(-0.001, 0.001, len(blocks)).astype("<f2")
            blocks[:, at : at + 2] = drawn.view(np.uint8).reshape(-1, 2)
        return blocks.reshape(numbers.shape[0], -1)


@pytest.mark.parametrize("kind", NAIVE, ids=lambda kind: kind.name)
def test_numbers_are_those_of_a_naive_dequantiser(tmp_path: Path, kind: Q) -> None:
    written: dict[str, np.ndarray] = {}

    def stored(name: str, numbers: np.ndarray) -> Any:
        if name not in ("blk.0.ffn_down.weight", "token_embd.weight"):
            return None
        written[name] = packed(kind, numbers)
        return written[name], kind

    _, model, _ = read_gguf(tiny.gguf(tmp_path / "a.gguf", tiny.llama(**WIDE), stored=stored), torch.float32)
    size, naive, _ = NAIVE[kind]
    for name, found in (
        ("blk.0.ffn_down.weight", model.model.layers[0].mlp.down_proj.weight),
        ("token_embd.weight", model.model.embed_tokens.weight),
    ):
        flat = written[name].tobytes()
        wanted = [x for i in range(0, len(flat), size) for x in naive(flat[i : i + size])]
        assert found.abs().max() > 0
        torch.testing.assert_close(found.flatten(), torch.tensor(wanted), rtol=2e-6, atol=1e-9)


MODELS = {
    "llama": tiny.llama,
    "tied": tiny.tied,
    "odd_head_dim": tiny.odd_head_dim,
    "other base and eps": lambda: tiny.llama(
        rms_norm_eps=0.03, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    ),
    "qwen2": lambda: tiny.qwen2(use_sliding_window=False),
    "qwen3": lambda: tiny.qwen3(head_dim=16),
    "bloom": lambda: tiny.bloom(layer_norm_epsilon=0.03),
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_the_function_is_that_of_the_model_written(tmp_path: Path, build: Callable[[], Any]) -> None:
    model = build()
    _, again, _ = read_gguf(tiny.gguf(tmp_path / "a.gguf", model), torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(again(tiny.tokens()).logits, model(tiny.tokens()).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("copied", [True, False])
def test_an_output_head_beside_blooms_embedding(tmp_path: Path, copied: bool) -> None:
    model = tiny.bloom()
    head = model.lm_head.weight.detach() + (0 if copied else 0.5)
    _, again, _ = read_gguf(tiny.gguf(tmp_path / "a.gguf", model, extra={"output.weight": head}), torch.float32)
    assert torch.equal(again.lm_head.weight, head)
    assert (again.lm_head.weight is again.transformer.word_embeddings.weight) is copied


REFUSED: dict[str, Any] = {
    "attention.causal": False,
    "attention.clamp_kqv": 8.0,
    "attention.value_length": 6,
    "attention.scale": 0.5,
    "attention.sliding_window": 8,
    "attn_logit_softcapping": 50.0,
    "attention.something_new": 1,
    "embedding_scale": 12.0,
    "expert_count": 8,
    "final_logit_softcapping": 30.0,
    "logit_scale": 0.0625,
    "pooling_type": 1,
    "residual_scale": 0.2,
    "rope.dimension_count": 4,
    "rope.scale_linear": 4.0,
    "rope.scaling.attn_factor": 1.5,
    "rope.scaling.factor": 8.0,
    "rope.scaling.type": "yarn",
    "rope.dimension_sections": [2, 2],
    "use_parallel_residual": True,
    "general.type": "adapter",
    "split.count": 3,
    "tokenizer.ggml.add_sep_token": True,
    "tokenizer.ggml.add_space_prefix": True,
    "tokenizer.ggml.remove_extra_whitespaces": True,
}


@pytest.mark.parametrize("key", REFUSED)
def test_metadata_that_changes_the_function_is_refused_by_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        read_gguf(tiny.gguf(tmp_path / "a.gguf", fields={key: REFUSED[key]}), torch.float32)
    assert key.removeprefix("general.type") in str(caught.value)


@pytest.mark.parametrize("key", ["block_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"])
def test_metadata_that_is_missing_is_refused_by_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match=key):
        read_gguf(tiny.gguf(tmp_path / "a.gguf", fields={key: None}), torch.float32)


def test_metadata_that_changes_nothing_is_read(tmp_path: Path) -> None:
    same = {
        "attention.causal": True,
        "attention.sliding_window": 0,
        "expert_count": 0,
        "logit_scale": 1.0,
        "rope.scaling.type": "none",
        "rope.scaling.factor": 1.0,
        "attention.scale": 8**-0.5,
        "tokenizer.ggml.add_space_prefix": False,
        "general.description": "words",
    }
    model = tiny.llama()
    _, again, _ = read_gguf(tiny.gguf(tmp_path / "a.gguf", model, fields=same), torch.float32)
    torch.testing.assert_close(again(tiny.tokens()).logits, model(tiny.tokens()).logits, rtol=1e-5, atol=1e-5)


def test_a_base_left_out_is_llama_cpps(tmp_path: Path) -> None:
    config, _, _ = read_gguf(tiny.gguf(tmp_path / "a.gguf", fields={"rope.freq_base": None}), torch.float32)
    assert config.rope_parameters["rope_theta"] == 10_000


WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
CASED = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
CASED += r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RULES = {
    "gpt-2": [WORDS],
    "smollm": [r"\p{N}", WORDS],
    "starcoder": [r"\p{N}", WORDS],
    "refact": [r"\p{N}", WORDS],
    "command-r": [r"\p{N}", WORDS],
    "llama-bpe": [CASED % "{1,3}"],
    "falcon3": [CASED % "{1,3}"],
    "dbrx": [CASED % "{1,3}"],
    "smaug-bpe": [CASED % "{1,3}"],
    "qwen2": [CASED % ""],
    "deepseek-r1-qwen": [CASED % ""],
    "bloom": [r" ?[^(\s|.,!?…。，、।۔،)]+"],
}
"""{name: the expressions llama.cpp splits by, one after the other}."""


def split(pieces: list[str], pattern: str) -> list[str]:
    """Matches and what lies between them."""
    found = []
    for piece in pieces:
        at = 0
        for match in regex.finditer(pattern, piece):
            found += [piece[at : match.start()], match.group()]
            at = match.end()
        found.append(piece[at:])
    return [piece for piece in found if piece]


def merges() -> list[tuple[str, ...]]:
    core = json.loads(tiny.tokenizer().backend_tokenizer.to_str())
    return [tuple(pair) for pair in core["model"]["merges"]]


def merged(word: str) -> list[str]:
    """Byte-pair encoding as it is defined: the earliest merge first."""
    order = {pair: i for i, pair in enumerate(merges())}
    bare = ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = [char for part, _ in bare.pre_tokenize_str(word) for char in part]
    while True:
        ranked = [(order[pair], i) for i, pair in enumerate(zip(pieces, pieces[1:], strict=False)) if pair in order]
        if not ranked:
            return pieces
        _, at = min(ranked)
        pieces[at : at + 2] = ["".join(pieces[at : at + 2])]


@pytest.mark.parametrize("rule", RULES)
def test_words_are_split_by_the_rule_named(tmp_path: Path, rule: str) -> None:
    _, _, tokenizer = read_gguf(tiny.gguf(tmp_path / "a.gguf", splitting=rule), torch.float32)
    text = unicodedata.normalize("NFC", TEXT) if rule in ("qwen2", "command-r") else TEXT
    pieces = [text]
    for pattern in RULES[rule]:
        pieces = split(pieces, pattern)
    wanted = tokenizer.convert_tokens_to_ids([piece for word in pieces for piece in merged(word)])
    found = tokenizer(TEXT).input_ids
    assert found[len(found) - len(wanted) :] == wanted and len(found) <= len(wanted) + 1
    assert (found[0] == tokenizer.bos_token_id) is (rule in ("llama-bpe", "falcon3"))


@pytest.mark.parametrize(
    ("rule", "own"), [("gpt-2", GPT2Tokenizer), ("qwen2", Qwen2Tokenizer), ("command-r", CohereTokenizer)]
)
def test_words_are_those_of_transformers_own_tokenizer(tmp_path: Path, rule: str, own: Any) -> None:
    _, _, tokenizer = read_gguf(tiny.gguf(tmp_path / "a.gguf", splitting=rule), torch.float32)
    assert tokenizer(TEXT).input_ids == own(vocab=tiny.tokenizer().get_vocab(), merges=merges())(TEXT).input_ids


@pytest.mark.parametrize("rule", ["default", "chameleon", "of-the-future", "", None])
def test_a_rule_that_is_not_known_is_refused(tmp_path: Path, rule: str | None) -> None:
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.ggml\.pre"):
        read_gguf(tiny.gguf(tmp_path / "a.gguf", splitting=rule), torch.float32)


def test_every_known_rule_is_applied(tmp_path: Path) -> None:
    assert set(RULES) <= set(known_rules())
    for rule in set(known_rules()) - set(RULES):
        _, _, tokenizer = read_gguf(tiny.gguf(tmp_path / "a.gguf", splitting=rule), torch.float32)
        again = tokenizer.decode(tokenizer(TEXT, add_special_tokens=False).input_ids)
        assert again in (TEXT, unicodedata.normalize("NFC", TEXT))


@pytest.mark.parametrize(("key", "value"), [("add_bos_token", True), ("add_bos_token", False), ("add_eos_token", True)])
@pytest.mark.parametrize("rule", ["gpt-2", "llama-bpe"])
def test_tokens_at_the_ends_are_as_the_file_says(tmp_path: Path, rule: str, key: str, value: bool) -> None:
    file = tiny.gguf(tmp_path / "a.gguf", splitting=rule, fields={f"tokenizer.ggml.{key}": value})
    _, _, tokenizer = read_gguf(file, torch.float32)
    found = tokenizer("a block").input_ids
    bos = value if key == "add_bos_token" else rule == "llama-bpe"
    assert (found[0] == 1) is bos and (found[-1] == 2) is (key == "add_eos_token")


def trained(folder: Path, prefix: bool) -> Any:
    (folder / "text.txt").write_text("\n".join(tiny.SENTENCES * 3))
    settings = {
        "vocab_size": tiny.VOCABULARY,
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
    }
    settings |= {
        "add_dummy_prefix": prefix,
        "remove_extra_whitespaces": False,
        "hard_vocab_limit": False,
        "minloglevel": 2,
    }
    sp.SentencePieceTrainer.train(input=str(folder / "text.txt"), model_prefix=str(folder / "sp"), **settings)
    return sp.SentencePieceProcessor(model_file=str(folder / "sp.model"))


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_words_are_sentencepieces(tmp_path: Path, prefix: bool) -> None:
    spoken = trained(tmp_path, prefix)

    def words(writer: Any) -> None:
        pieces = [spoken.id_to_piece(i) for i in range(len(spoken))]
        asked = {2: spoken.is_unknown, 3: spoken.is_control, 6: spoken.is_byte, 1: lambda i: True}
        kinds = [next(kind for kind, holds in asked.items() if holds(i)) for i in range(len(spoken))]
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(pieces)
        writer.add_token_scores([spoken.get_score(i) for i in range(len(spoken))])
        writer.add_token_types(kinds)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(prefix)

    model = tiny.llama(vocab_size=len(spoken))
    _, _, tokenizer = read_gguf(tiny.gguf(tmp_path / "a.gguf", model, words=words), torch.float32)
    for text in ("The walk reads every block", " a  group;\n größer 漢 12", "one"):
        assert tokenizer(text).input_ids == [1, *spoken.encode(text)]
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
