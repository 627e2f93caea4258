"""Configs and GGUF metadata as nobody writes them: works as in plain transformers, or one sentence says why not.

Seeded: the same inputs in every run. Each takes what a real file says and changes, adds or takes away a few entries.
"""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from minillm.errors import MiniLLMError
from minillm.models.gguf import read_gguf
from minillm.models.load import load_model, plan_from_config
from minillm.models.loaded import LoadedModel, wrap
from minillm.models.weights import quiet
from minillm.plan.plan import plan_from_groups

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 5, 6, 10**8, 2**70, 0.5, -1.0, 1e300, float("nan"), float("inf")),
    *("", "x", "sdpa", "owner/kernel", "float16", [], [1], [[]], {}, {"a": 1}, {"rope_type": "yarn", "factor": 4.0}),
)
ADDED = (
    *("attn_implementation", "_attn_implementation", "quantization_config", "rope_scaling", "rope_theta", "head_dim"),
    *("attention_bias", "mlp_bias", "sliding_window", "layer_types", "tie_word_embeddings", "hidden_act", "dtype"),
    *(
        "return_dict",
        "output_attentions",
        "use_cache",
        "torchscript",
        "pruned_heads",
        "partial_rotary_factor",
        "to_dict",
    ),
    *(
        "is_decoder",
        "is_encoder_decoder",
        "num_key_value_heads",
        "auto_map",
        "architectures",
        "final_logit_softcapping",
    ),
)
KINDS = {"llama": tiny.llama, "qwen2": tiny.qwen2, "gemma": tiny.gemma, "bloom": tiny.bloom, "opt": tiny.opt_post_norm}
KINDS |= {"neox": tiny.neox}
SEEDS = 20
ROWS = tiny.tokens(2, 6)


def changed(entries: dict[str, Any], added: tuple[str, ...], odd: tuple[Any, ...], random: Random) -> dict[str, Any]:
    """A copy with one to three entries of odd values, or one taken away."""
    found = dict(entries)
    for _ in range(random.choice((1, 1, 2, 3))):
        key = random.choice([*entries, *random.sample(added, min(len(added), len(entries)))])
        if random.random() < 0.15:
            found.pop(key, None)
        else:
            found[key] = random.choice(odd)
    return found


def told(fault: MiniLLMError) -> None:
    said = str(fault)
    assert said.endswith((".", "?")) and "\n" not in said and len(said) < 900 and "no fault of yours" not in said, said


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(ROWS).logits


def planned(lm: LoadedModel) -> None:
    try:
        plan_from_groups(lm.groups, 0.1, range(len(lm.groups)))
    except MiniLLMError as fault:
        told(fault)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind, build in KINDS.items():
        build().save_pretrained(made[kind])
    return made


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", KINDS)
def test_configs(folders: dict[str, Path], tmp_path: Path, kind: str, seed: int) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / "model"))
    raw = changed(json.loads((folder / "config.json").read_text()), ADDED, ODD, Random(f"{kind} {seed}"))
    (folder / "config.json").write_text(json.dumps(raw))
    try:
        plan_from_config(dict(raw), 0.1, layers=range(1))
    except MiniLLMError as fault:
        told(fault)
    try:
        lm = load_model(folder, device="cpu", offload=(None, "disk")[seed % 2])
    except MiniLLMError as fault:
        return told(fault)
    found = logits(lm.model)
    planned(lm)
    try:
        with quiet():
            plain, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
            plain.config.return_dict = True
            wanted = logits(plain)
    except Exception:
        return None  # What plain transformers cannot run for want of an implementation that the file chose.
    assert not report["missing_keys"] and not report["unexpected_keys"], raw
    return torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)


FIELDS = (
    *("attention.causal", "attention.scale", "attention.sliding_window", "expert_count", "logit_scale", "pooling_type"),
    *("rope.scaling.type", "rope.scaling.factor", "rope.dimension_count", "attn_logit_softcapping", "new_key"),
    *("general.type", "split.count", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.bos_token_id"),
    *("tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.unknown_token_id"),
)
GGUF_ODD: tuple[Any, ...] = (
    0,
    1,
    2,
    3,
    6,
    48,
    2**32 - 1,
    0.0,
    1.0,
    0.5,
    -1.0,
    1e30,
    float("nan"),
    True,
    False,
    "",
    "x",
)
GGUF_ODD += ("gpt-2", "none", "llama-bpe", [1, 2], [0.5])


def words(fields: dict[str, Any]) -> Any:
    """Writes the tokenizer without the keys that are written in another way."""

    def write(writer: Any) -> None:
        kept = writer.add_key_value
        writer.add_key_value = lambda key, *rest, **more: None if key in fields else kept(key, *rest, **more)
        tiny._add_tokenizer(writer, "smollm")
        writer.add_key_value = kept

    return write


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", ["llama", "qwen2", "bloom"])
def test_gguf_metadata(tmp_path: Path, kind: str, seed: int) -> None:
    model = tiny.qwen2(use_sliding_window=False) if kind == "qwen2" else KINDS[kind]()
    before = tiny._gguf_fields(model.config)
    fields = changed(before, FIELDS, GGUF_ODD, Random(f"gguf {kind} {seed}"))
    different = {key: fields.get(key) for key in {**before, **fields} if fields.get(key) != before.get(key)}
    file = tiny.gguf(tmp_path / "a.gguf", model, fields=different, words=words(fields))
    try:
        config, again, tokenizer = read_gguf(file, torch.float32)
    except MiniLLMError as fault:
        return told(fault)
    planned(wrap(again, tokenizer))
    assert tokenizer("a block 12").input_ids
    # Whatever was read must have been honoured: with the config as it is told, plain transformers' own class agrees.
    oracle = type(model)(config).eval()
    oracle.load_state_dict(model.state_dict())
    return torch.testing.assert_close(logits(again), logits(oracle), rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_gguf_files_with_bytes_changed(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    file = tiny.gguf(tmp_path / "a.gguf", tiny.llama(layers=1))
    whole = bytearray(file.read_bytes())
    for _ in range(random.choice((1, 2, 8))):
        at = random.randrange(min(len(whole), 4_000))
        whole[at] = random.randrange(256)
    file.write_bytes(whole[: random.choice((len(whole), random.randrange(len(whole))))])
    try:
        _, model, _ = read_gguf(file, torch.float32)
    except MiniLLMError as fault:
        return told(fault)
    assert logits(model).shape == (*ROWS.shape, tiny.VOCABULARY)
    return None
