"""A tokenizer as a GGUF file holds it: words, what each is, merges or the scores that stand for them, special ones.

Two kinds are written, as two are read: pieces of bytes, whose way of splitting text goes by a name
(`models.gguf_words`), and SentencePiece's pieces of characters, in which a word's score is the place of its merge.
"""

import json
import re
from typing import Any

import gguf

from ..errors import UnsupportedModel
from ..models.gguf_words import BYTES, rule_of

PIECE = "A b"
PHI_3 = ("<unk>", "<s>", "</s>", "<|endoftext|>")
"""Words of Phi-3, which llama.cpp looks for by the model's name."""
SPECIAL = ("bos", "eos", "unk", "pad", "sep")


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, vocabulary: int) -> None:
    """Add a tokenizer's keys. vocabulary: rows of the embedding, all of which get a word.

    Raises UnsupportedModel where there is none, or it is of a kind that llama.cpp does not know.
    """
    if tokenizer is None:
        raise UnsupportedModel("This model has no tokenizer, and a GGUF file cannot be used without; add its files.")
    core = _core(tokenizer)
    kind, rule = rule_of(tokenizer)
    words, kinds = _words(core, vocabulary)
    merges = [
        one if isinstance(one, str) else " ".join(_spaced(part) for part in one) for one in core["model"]["merges"]
    ]
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    if kind == BYTES:
        writer.add_token_merges(merges)
    else:
        writer.add_token_scores(_scores(words, merges))
        writer.add_add_space_prefix("▁" in str(core.get("normalizer")) and _prefixed(tokenizer))
    for name in SPECIAL:
        number = getattr(tokenizer, f"{name}_token_id", None)
        if number is not None and number < vocabulary:
            getattr(writer, f"add_{name}_token_id")(number)
    _add_ends(writer, tokenizer)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def name_of(folder: str, tokenizer: Any) -> str:
    """A model's name in the file: its folder's. llama.cpp opens none called Phi-3 whose words are others."""
    words = tokenizer.get_vocab() if tokenizer is not None else ()
    known = all(word in words for word in PHI_3)
    return folder if known else re.sub("(phi)(-?3)", r"\g<1>_\g<2>", folder, flags=re.IGNORECASE)


def _core(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    core: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {}
    kind = core.get("model", {}).get("type", type(tokenizer).__name__)
    if kind != "BPE":
        raise UnsupportedModel(
            f"The tokenizer is of kind {kind}, and only those that merge pieces (BPE) are written to GGUF; export the "
            "model to transformers."
        )
    return core


def _words(core: dict[str, Any], vocabulary: int) -> tuple[list[str], list[int]]:
    """(words, what each is) by number; a row of the embedding that no word belongs to gets one that is never used."""
    kind = gguf.TokenType
    words = [f"[PAD{number}]" for number in range(vocabulary)]
    kinds = [kind.UNUSED] * vocabulary
    bytes_apart = bool(core["model"].get("byte_fallback"))
    for word, number in core["model"]["vocab"].items():
        is_byte = bytes_apart and len(word) == 6 and word.startswith("<0x") and word.endswith(">")
        if number < vocabulary:
            words[number], kinds[number] = word, kind.BYTE if is_byte else kind.NORMAL
    for one in core.get("added_tokens", ()):
        if one["id"] < vocabulary:
            special = kind.CONTROL if one["special"] else kind.USER_DEFINED
            words[one["id"]], kinds[one["id"]] = one["content"], special
    unknown = core["model"].get("unk_token")
    if unknown in words:
        kinds[words.index(unknown)] = kind.UNKNOWN
    return words, [int(one) for one in kinds]


def _spaced(part: str) -> str:
    """A piece in which no space can be taken for the one between two pieces."""
    return part.replace(" ", chr(ord(" ") + 256))


def _scores(words: list[str], merges: list[str]) -> list[float]:
    """By which llama.cpp merges first: the earlier a merge, the higher the word that it makes."""
    made: dict[str, int] = {}
    for place, merge in enumerate(merges):
        made.setdefault(merge.replace(" ", "", 1), place)
    return [-float(made.get(word, len(merges))) for word in words]


def _prefixed(tokenizer: Any) -> bool:
    """Whether a text begins with one more space."""
    first = tokenizer.convert_ids_to_tokens(tokenizer("b", add_special_tokens=False).input_ids[:1])
    return bool(first) and first[0].startswith("▁")


def _add_ends(writer: gguf.GGUFWriter, tokenizer: Any) -> None:
    """Whether texts begin, and end, with a token of their own: as the tokenizer does it."""
    bare, whole = (tokenizer(PIECE, add_special_tokens=added).input_ids for added in (False, True))
    writer.add_add_bos_token(whole[:1] != bare[:1] and whole[:1] == [tokenizer.bos_token_id])
    writer.add_add_eos_token(whole[-1:] != bare[-1:] and whole[-1:] == [tokenizer.eos_token_id])
