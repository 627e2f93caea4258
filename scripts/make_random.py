"""A LLaMA-shaped model of random weights, written block by block: something as large as wanted to measure on.

    python -m scripts.make_random random-7b                         # LLaMA-7B's shape, float16, 13.5 GB on disk
    python -m scripts.make_random random-4 --blocks 4               # the same width, four blocks

No block is in memory beside another. Weights are N(0, 0.02²), as models are initialised, and a word is a byte: the
scores mean nothing, what they cost is real.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from minillm.models.weights import INDEX
from minillm.paths import written_whole

SPREAD = 0.02


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--channels", type=int, default=11008)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def bytes_as_words() -> PreTrainedTokenizerFast:
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def shards(names: list[str]) -> dict[str, list[str]]:
    """Names of parameters by shard: one a block, and one for what is outside the blocks."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        key = f"block-{int(parts[2]):03d}" if parts[:2] == ["model", "layers"] else "outside"
        found.setdefault(f"model-{key}.safetensors", []).append(name)
    return found


def main() -> None:
    given = arguments()
    config = LlamaConfig(
        vocab_size=given.vocabulary,
        hidden_size=given.width,
        intermediate_size=given.channels,
        num_hidden_layers=given.blocks,
        num_attention_heads=given.heads,
        dtype=given.dtype,
    )
    config.architectures = ["LlamaForCausalLM"]
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in AutoModelForCausalLM.from_config(config).named_parameters()}
    dtype, source = getattr(torch, given.dtype), torch.Generator().manual_seed(given.seed)
    with written_whole(given.folder) as folder:
        folder.mkdir()
        config.save_pretrained(folder)
        bytes_as_words().save_pretrained(folder)
        places = {}
        for shard, names in shards(list(shapes)).items():
            tensors = {
                n: torch.ones(shapes[n], dtype=dtype)
                if "norm" in n
                else torch.empty(shapes[n]).normal_(0, SPREAD, generator=source).to(dtype)
                for n in names
            }
            save_file(tensors, folder / shard, metadata={"format": "pt"})
            places |= dict.fromkeys(names, shard)
            print(shard, flush=True)
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


if __name__ == "__main__":
    main()
