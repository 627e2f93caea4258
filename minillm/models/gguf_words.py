"""How the tokenizer in a GGUF file splits text into words before it merges pieces: by a rule known by name.

The file names the rule (tokenizer.ggml.pre) and does not hold it. transformers splits as GPT-2 did where it does not
know a name, which gives other tokens without a word; here such a file is refused. The rules are llama.cpp's, and the
normal form of characters (NFC) that the models' own tokenizers bring text into, where a name belongs to one of them.
"""

import json
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from ..errors import UnsupportedModel

DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Every digit a word of its own, then as GPT-2."""

LIKE_GPT2 = ("gpt-2", "phi-2", "mpt", "olmo", "jais")
LIKE_BLOOM = ("bloom", "poro-chat", "gpt3-finnish")
BLOOM_WORDS = r" ?[^(\s|.,!?…。，、।۔،)]+"

COMPOSED = ("qwen2", "qwen35", "command-r")
"""Characters are composed (NFC) first."""

WHOLE_WORDS = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken")
"""A word that is a token as it stands is not built from pieces, and a text begins with a token of its own."""

BYTES, PIECES = "gpt2", "llama"
"""Kinds of vocabulary (tokenizer.ggml.model): pieces of bytes, or SentencePiece's of characters."""

UNREAD = {"add_sep_token": False, "remove_extra_whitespaces": False, "precompiled_charsmap": None}
"""{key: the one value that changes nothing}."""


def known_rules() -> tuple[str, ...]:
    """The names of rules that can be applied to pieces of bytes."""
    return tuple(dict.fromkeys((*LIKE_GPT2, *DIGITS, *LIKE_BLOOM, *GGUF_PRE_TOKENIZER_SPLITS)))


def check_words(fields: dict[str, Any], where: Any) -> None:
    """Refuse a tokenizer whose way of splitting text is not known. Raises UnsupportedModel, naming key and value."""
    kind, rule = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    way_out = "give the model as safetensors with its tokenizer"
    if kind not in (BYTES, PIECES):
        raise UnsupportedModel(f"{where} has a tokenizer of kind “{kind}” (tokenizer.ggml.model); {way_out}.")
    known = known_rules() if kind == BYTES else ("default", None)
    if rule not in known:
        said = f"“{str(rule)[:40]}”, which is not known" if rule is not None else "not named"
        raise UnsupportedModel(f"In {where} the rule by which text is split (tokenizer.ggml.pre) is {said}; {way_out}.")
    unread = {**UNREAD, **({"add_space_prefix": False} if kind == BYTES else {})}
    for key, neutral in unread.items():
        value = fields.get(f"tokenizer.ggml.{key}", neutral)
        if value != neutral:
            raise UnsupportedModel(
                f"In {where} tokenizer.ggml.{key} is {str(value)[:40]}, which is not read; {way_out}."
            )


def split_by_rule(tokenizer: Any, fields: dict[str, Any]) -> None:
    """Make a tokenizer that transformers read from a GGUF file split text as the file says."""
    backend, rule = tokenizer.backend_tokenizer, fields.get("tokenizer.ggml.pre")
    if fields["tokenizer.ggml.model"] == PIECES:
        return _space(backend, fields.get("tokenizer.ggml.add_space_prefix", True))
    _split(backend, rule)
    if rule in WHOLE_WORDS:
        backend.model.ignore_merges = True
        if "tokenizer.ggml.add_bos_token" not in fields and tokenizer.bos_token is not None:
            tokenizer.add_bos_token = True


def _split(backend: Any, rule: Any) -> None:
    words: Any = ByteLevel(add_prefix_space=False)
    if rule in LIKE_GPT2:
        backend.pre_tokenizer = words
    elif rule in DIGITS:
        backend.pre_tokenizer = Sequence([Digits(individual_digits=True), words])
    elif rule in LIKE_BLOOM:
        bare = ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = Sequence([Split(Regex(BLOOM_WORDS), "isolated"), bare])
    if rule in COMPOSED:
        backend.normalizer = normalizers.NFC()


def _space(backend: Any, prefix: bool) -> None:
    """SentencePiece's words: a text begins with one more space, also where it begins with one, or with none added."""
    written: list[Any] = [normalizers.Replace(" ", "▁")]
    read: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.pre_tokenizer = None
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *written] if prefix else written)
    backend.decoder = decoders.Sequence([*read, decoders.Strip(" ", 1, 0)] if prefix else read)


PROBE = (
    "I'll WALK 12345 blocks,  größer\n\n\t3½ x²  été — 漢字 don't; (a|b)…?! 'S  \n \r\n e.g. 7,000.50 "
    "नमस्ते عربى 🙂🙂 a_b CamelCase iPhone15 über/under ... ,。 ' 're"
)
"""Words, numbers, marks and spaces that rules split differently."""


def rule_of(tokenizer: Any) -> tuple[str, str]:
    """(kind of vocabulary, name of the rule) by which a GGUF file makes llama.cpp split text as this tokenizer does.

    The name is found by trying: the first known rule that splits a text of many kinds alike. Raises UnsupportedModel
    where none does.
    """
    backend = tokenizer.backend_tokenizer
    if getattr(backend.model, "byte_fallback", False):
        return PIECES, "default"
    changes = json.loads(backend.to_str()).get("normalizer")
    words = [] if backend.pre_tokenizer is None else _pieces(backend.pre_tokenizer)
    whole = bool(getattr(backend.model, "ignore_merges", False))
    for rule in known_rules() if changes in (None, {"type": "NFC"}) else ():
        if (rule in WHOLE_WORDS) == whole and _pieces(_splitter(rule)) == words:
            return BYTES, rule
    raise UnsupportedModel(
        "The tokenizer splits text by no rule that llama.cpp has a name for; export the model to transformers."
    )


def _pieces(splitter: Any) -> list[str]:
    return [piece for piece, _ in splitter.pre_tokenize_str(PROBE)]


def _splitter(rule: str) -> Any:
    """What splits text by a rule."""
    backend = Tokenizer(models.BPE())
    if rule in GGUF_PRE_TOKENIZER_SPLITS:
        bare = ByteLevel(add_prefix_space=False, use_regex=False)
        return Sequence([Split(Regex(GGUF_PRE_TOKENIZER_SPLITS[rule]), "isolated"), bare])
    _split(backend, rule)
    return backend.pre_tokenizer
