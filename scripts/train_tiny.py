"""Train the tiny OPT and BLOOM that come with the project: from scratch, on text that needs no network.

    python -m scripts.train_tiny opt        # about ten minutes of one core each, and eight once for the text
    python -m scripts.train_tiny bloom

They are there so that every family can be scored, cut and compared offline. They learn from two parts of python-docs
and from what the embedded model writes (kept under MINILLM_HOME); the third part is held out. A bigram model with the
same words, fitted to the same text, says what counting neighbours alone would reach on it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

import minillm
from minillm.models.checkpoint import versions
from minillm.models.loaded import LoadedModel
from minillm.paths import ASSETS, home, written_whole
from minillm.recipes.models import EMBEDDED
from minillm.text.documents import JOINT, python_docs
from minillm.text.tokens import in_order, tokenised

VOCABULARY, WINDOW, HELD_OUT_WINDOW = 512, 256, 128
ROWS, ROW_TOKENS = 640, 128
SHARES = (0.75, 0.25)
"""How often a window is of python-docs, and of what the embedded model wrote."""
BATCH, WARMUP, REPORT = 2, 40, 50
LICENCE = "Apache-2.0; learned from Python's documentation (PSF licence) and from what SmolLM2 writes"
NAMES = {"opt": "OPT", "bloom": "Bloom"}
KINDS: dict[str, dict[str, Any]] = {
    "opt": {
        "hidden_size": 144,
        "word_embed_proj_dim": 144,
        "ffn_dim": 576,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "max_position_embeddings": WINDOW,
        "init_std": 0.06,
        "dropout": 0.0,
    },
    # Six heads: ALiBi gives heads beyond a power of two slopes of another series.
    "bloom": {
        "hidden_size": 144,
        "n_layer": 6,
        "n_head": 6,
        "initializer_range": 0.06,
    },
}


def written() -> str:
    """What the embedded model writes at temperature 1: about 82,000 of its tokens, made once."""
    kept = home() / "tiny" / f"written-{ROWS}x{ROW_TOKENS}.txt"
    if not kept.is_file():
        lm = minillm.load_model(EMBEDDED, dtype="bfloat16", device="cpu")
        rows = minillm.load_text("self", lm, samples=ROWS, length=ROW_TOKENS, part="recovery")
        texts = lm.tokenizer.batch_decode(rows, skip_special_tokens=True)
        with written_whole(kept) as scratch:
            scratch.write_text(JOINT.join(texts), encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def made_tokenizer(texts: list[str]) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE of `VOCABULARY` words: any text survives a round trip."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=special[0], bos_token=special[0], pad_token=special[1]
    )


def bigram_perplexity(ids: Tensor, rows: Tensor, words: int) -> float:
    """Perplexity of an interpolated Kneser-Ney bigram (Kneser, Ney 1995), fitted to ids [n], on rows [windows, length].

    Of each window all tokens but the first are predicted, as in `minillm.perplexity`. Discounts by Ney, Essen and
    Kneser (1994): n₁ / (n₁ + 2 n₂), n₁ and n₂ the numbers of pairs seen once and twice.
    """
    counts = np.zeros((words, words))
    np.add.at(counts, (ids[:-1].numpy(), ids[1:].numpy()), 1)
    kinds = (counts > 0).sum(0).astype(float)
    base = _discounted(kinds[None], np.full(words, 1 / words))
    table = _discounted(counts, base[0])
    before, after = rows[:, :-1].flatten().numpy(), rows[:, 1:].flatten().numpy()
    return float(np.exp(-np.log(table[before, after]).mean()))


def _discounted(counts: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Shares [contexts, words] of counts less a discount, which goes to the lower order [words]."""
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / max(once + 2 * twice, 1)
    total = counts.sum(1, keepdims=True)
    kept = np.maximum(counts - discount, 0) / np.maximum(total, 1)
    return kept + (1 - kept.sum(1, keepdims=True)) * lower


def fresh(kind: str, tokenizer: Any, seed: int) -> transformers.PreTrainedModel:
    """A model with random weights."""
    torch.manual_seed(seed)
    name = NAMES[kind]
    special = {part: getattr(tokenizer, part) for part in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **special, **KINDS[kind])
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    if kind == "opt":
        # Where no norm follows the embeddings (BLOOM has one), positions and the first blocks' sums drown the words.
        for part, weight in model.named_parameters():
            if part.endswith(("embed_positions.weight", "out_proj.weight", "fc2.weight")):
                weight.data *= 0.1
    return model


def train(model: transformers.PreTrainedModel, texts: list[Tensor], steps: int, rate: float, seed: int) -> None:
    """AdamW with a cosine, in bfloat16 where that is as good."""
    source = torch.Generator().manual_seed(seed)
    adam = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    schedule = transformers.get_cosine_schedule_with_warmup(adam, WARMUP, steps)
    started, losses = time.perf_counter(), []
    model.train()
    for step in range(1, steps + 1):
        rows = _windows(texts, source)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=rows, labels=rows, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step(), adam.zero_grad(), schedule.step()
        losses.append(loss.item())
        if step % REPORT == 0:
            mean = sum(losses[-REPORT:]) / REPORT
            print(f"step {step} of {steps}: loss {mean:.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    model.eval().requires_grad_(False)


def _windows(texts: list[Tensor], source: torch.Generator) -> Tensor:
    """A batch from random places of the texts: [BATCH, WINDOW]."""
    rows = []
    for which in torch.multinomial(torch.tensor(SHARES), BATCH, replacement=True, generator=source).tolist():
        start = int(torch.randint(len(texts[which]) - WINDOW, (1,), generator=source))
        rows.append(texts[which][start : start + WINDOW])
    return torch.stack(rows)


def save(lm: LoadedModel, label: str, note: str, folder: Path) -> None:
    """Write the model in half precision, with what the catalogue tells of it in `about.json`."""
    about = {"label": label, "licence": LICENCE, "note": note, "versions": versions(), "groups": lm.groups.to_json()}
    with written_whole(folder) as scratch:
        lm.model.half().save_pretrained(scratch)
        lm.tokenizer.save_pretrained(scratch)
        (scratch / "about.json").write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="default: its place in assets/models")
    return parser.parse_args()


def main() -> None:
    """Train one of them, measure it and the bigram on the held-out text, and write it."""
    given = arguments()
    started = time.perf_counter()
    texts = [JOINT.join(python_docs(part) for part in ("calibration", "recovery")), written()]
    tokenizer = made_tokenizer(texts)
    ids = [tokenised(text, tokenizer) for text in texts]
    held_out = in_order(tokenised(python_docs("evaluation"), tokenizer), HELD_OUT_WINDOW)
    model = fresh(given.kind, tokenizer, given.seed)
    print(f"{model.num_parameters():,} parameters; {len(ids[0]):,} + {len(ids[1]):,} tokens", flush=True)
    bigram = min(bigram_perplexity(some, held_out, len(tokenizer)) for some in (torch.cat(ids), ids[0]))
    print(f"bigram: {bigram:.1f} on {held_out.numel():,} held-out tokens", flush=True)
    train(model, ids, given.steps, given.rate, given.seed)
    lm = minillm.wrap(model, tokenizer)
    found = minillm.perplexity(lm, held_out, HELD_OUT_WINDOW)
    print(f"{given.kind}: {found:.1f} on held-out text; {time.perf_counter() - started:.0f} s in all")
    note = (
        f"Trained here from scratch, only to show the family: its text is poor. Perplexity on the held-out part of "
        f"python-docs (window {HELD_OUT_WINDOW}): {found:.0f}; a bigram model reaches {bigram:.0f}."
    )
    label = f"{lm.family.label} of {lm.parameters / 1e6:.1f} M parameters"
    save(lm, label, note, given.out or ASSETS / "models" / f"{given.kind}-tiny")


if __name__ == "__main__":
    main()
