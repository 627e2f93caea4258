"""Tiny random models of real transformers classes, and a real tokenizer, for every test.

All builders are seeded, return eval-mode models in float32 unless asked otherwise, and share one vocabulary
(`VOCABULARY`), so that `tokenizer()` fits every one of them. Weights are drawn wide (std 0.2, biases included) so that
no head or channel is idle and cutting any of them moves the logits.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

VOCABULARY = 320
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SENTENCES = (
    "The walk reads every block of the model once and hands its inputs to the visitor.",
    "A group is a set of weights that must go together: one head, or one channel.",
    "Nothing is cut before a plan says what stays, and the plan says what it costs.",
    "Short words help: a ratio is a share, a block is a layer, and a score is a number.",
)


def _built(model_class: str, config_class: str, seed: int, dtype: torch.dtype, **config: Any) -> PreTrainedModel:
    settings = {**SPECIAL, "vocab_size": VOCABULARY, "max_position_embeddings": 256, **config}
    made = getattr(transformers, config_class)(**settings)
    return widened(lambda: getattr(transformers, model_class)(made), seed, dtype)


def widened(make: Callable[[], PreTrainedModel], seed: int, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """What `make` builds, with wide random weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        for parameter in model.parameters():
            spread = torch.randn_like(parameter)
            parameter.data = 1 + 0.2 * spread if _is_norm(model, parameter) else 0.2 * spread
    model.tie_weights()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model.eval()


def _is_norm(model: PreTrainedModel, parameter: torch.nn.Parameter) -> bool:
    norms = [m for m in model.modules() if "norm" in type(m).__name__.lower()]
    return any(parameter is getattr(m, "weight", None) for m in norms)


def _sizes(layers: int, heads: int, kv: int, width: int, ffn: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "hidden_size": width,
        "intermediate_size": ffn,
    }


def llama(
    layers: int = 4,
    heads: int = 6,
    kv: int = 3,
    width: int = 48,
    ffn: int = 32,
    tied: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **config: Any,
) -> PreTrainedModel:
    """Llama with grouped-query heads (6 query heads on 3 key/value heads). Extra keywords go to the config."""
    sizes = _sizes(layers, heads, kv, width, ffn)
    return _built("LlamaForCausalLM", "LlamaConfig", seed, dtype, **{**sizes, "tie_word_embeddings": tied, **config})


def tied(**settings: Any) -> PreTrainedModel:
    """`llama` whose output head is its embedding."""
    return llama(tied=True, **settings)


def odd_head_dim(**settings: Any) -> PreTrainedModel:
    """`llama` whose head_dim (10) is not width / heads (8)."""
    return llama(**{"head_dim": 10, **settings})


def mistral(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """Mistral with a sliding window of 8 tokens in every block."""
    settings = {**_sizes(4, 6, 3, 48, 32), "sliding_window": 8, **config}
    return _built("MistralForCausalLM", "MistralConfig", seed, dtype, **settings)


def qwen2(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """Qwen2: biases on q, k, v; blocks 0–1 attend fully, blocks 2–3 through a sliding window of 8 tokens."""
    sliding = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
    return _built("Qwen2ForCausalLM", "Qwen2Config", seed, dtype, **{**_sizes(4, 6, 3, 48, 32), **sliding, **config})


def qwen3(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """Qwen3: norms on q and k, head_dim of its own."""
    settings = {**_sizes(4, 6, 3, 48, 32), "head_dim": 8, **config}
    return _built("Qwen3ForCausalLM", "Qwen3Config", seed, dtype, **settings)


def gemma(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """Gemma: tied embeddings scaled by √width, head_dim (16) ≠ width / heads (12), norms stored as an offset from 1."""
    settings = {**_sizes(3, 4, 2, 48, 32), "head_dim": 16, **config}
    return _built("GemmaForCausalLM", "GemmaConfig", seed, dtype, **settings)


def bloom(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """BLOOM: fused q-k-v, ALiBi slopes a head, biases everywhere, tied embeddings with a norm after them."""
    settings = {"n_layer": 3, "n_head": 4, "hidden_size": 32, "hidden_dropout": 0.1, "attention_dropout": 0.1, **config}
    return _built("BloomForCausalLM", "BloomConfig", seed, dtype, **settings)


def opt(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """OPT: learned positions, biases everywhere, tied embeddings, dropout in its config (silent in eval mode)."""
    sizes = {"num_hidden_layers": 4, "num_attention_heads": 4, "hidden_size": 32, "ffn_dim": 48}
    settings = {**sizes, "word_embed_proj_dim": 32, "dropout": 0.1, **config}
    return _built("OPTForCausalLM", "OPTConfig", seed, dtype, **settings)


def opt_post_norm(**settings: Any) -> PreTrainedModel:
    """`opt` as the 350m: norms after the sums, narrower embeddings with projections in and out."""
    return opt(**{"do_layer_norm_before": False, "word_embed_proj_dim": 16, **settings})


LLAMA_LIKE = {
    "llama": llama,
    "tied": tied,
    "odd_head_dim": odd_head_dim,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma": gemma,
}
"""Every LLaMA-like builder by name, for parametrised tests."""


def neox(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """GPT-NeoX: fused q-k-v, rotary positions on a quarter of each head, biases everywhere, two sums side by side."""
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 48}
    return _built("GPTNeoXForCausalLM", "GPTNeoXConfig", seed, dtype, **{**sizes, **config})


def bloom_six_heads(**settings: Any) -> PreTrainedModel:
    """`bloom` with a head count that is no power of two, where ALiBi interleaves its slopes."""
    return bloom(**{"n_head": 6, "hidden_size": 48, **settings})


OTHERS = {"bloom": bloom, "bloom_six_heads": bloom_six_heads, "opt": opt, "opt_post_norm": opt_post_norm}
"""Builders of the other families."""


def mixtral(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """Mixtral: six experts a block, two a token, whose gate weights add up to 1."""
    settings = {**_sizes(3, 6, 3, 48, 16), "num_local_experts": 6, "num_experts_per_tok": 2, **config}
    return _built("MixtralForCausalLM", "MixtralConfig", seed, dtype, **settings)


def qwen3_moe(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """Qwen3's mixture of experts: eight a block, three a token, gate weights that do not add up to 1."""
    experts = {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16, "norm_topk_prob": False}
    settings = {**_sizes(3, 6, 3, 48, 32), "head_dim": 8, **experts, **config}
    return _built("Qwen3MoeForCausalLM", "Qwen3MoeConfig", seed, dtype, **settings)


def some_experts(**settings: Any) -> PreTrainedModel:
    """`qwen3_moe` of four blocks, the second of which has channels, and gate weights that add up to 1."""
    return qwen3_moe(**{"num_hidden_layers": 4, "mlp_only_layers": [1], "norm_topk_prob": True, **settings})


def olmoe(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> PreTrainedModel:
    """OLMoE: five experts a block, two a token, norms of queries and of keys over all heads at once."""
    settings = {**_sizes(3, 4, 4, 32, 16), "num_experts": 5, "num_experts_per_tok": 2, **config}
    return _built("OlmoeForCausalLM", "OlmoeConfig", seed, dtype, **settings)


EXPERTS = {"mixtral": mixtral, "qwen3_moe": qwen3_moe, "some_experts": some_experts, "olmoe": olmoe}
"""Builders of mixtures of experts by name."""


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `VOCABULARY` words with a chat template; any text survives a round trip."""
    return _trained(SENTENCES)


@cache
def other_tokenizer() -> PreTrainedTokenizerFast:
    """Another one of the same size, whose ids mean other words."""
    return _trained(tuple(sentence[::-1] for sentence in SENTENCES))


def _trained(sentences: tuple[str, ...]) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(sentences, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=special[0], bos_token=special[1], eos_token=special[2], model_max_length=256
    )
    fast.chat_template = CHAT
    return fast


def tokens(rows: int = 4, length: int = 16, seed: int = 0) -> torch.Tensor:
    """Random token ids without special ones: int64 [rows, length]."""
    return torch.randint(3, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def saved(folder: Path, model: PreTrainedModel | None = None, words: PreTrainedTokenizerFast | None = None) -> Path:
    """Save a model (default `llama()`) with a tokenizer as safetensors; returns the folder."""
    (model or llama()).save_pretrained(folder)
    (words or tokenizer()).save_pretrained(folder)
    return Path(folder)


def gguf(
    file: Path,
    model: PreTrainedModel | None = None,
    splitting: str | None = "smollm",
    fields: dict[str, Any] | None = None,
    extra: dict[str, torch.Tensor] | None = None,
    stored: Callable[[str, Any], tuple[Any, Any] | None] = lambda name, numbers: None,
    words: Callable[[Any], None] | None = None,
) -> Path:
    """Write a LLaMA-like model or a BLOOM (default `llama()`) with the tokenizer as one GGUF file; returns the file.

    As llama.cpp does it: rows of q, k and fused q-k-v lie in the order that its own attention wants. In float32, where
    `stored` (name, numbers) gives no (bytes, type). splitting: the rule's name; words: writes another tokenizer;
    fields: metadata to add, or None to leave out; extra: tensors more than the model's.
    """
    from gguf import GGUFWriter

    model = model or llama()
    kind = model.config.model_type
    writer = GGUFWriter(file, kind)
    for key, value in {**_gguf_fields(model.config), **(fields or {})}.items():
        if value is not None:
            add = {bool: writer.add_bool, str: writer.add_string, float: writer.add_float32, list: writer.add_array}
            whole = key.startswith(("tokenizer.", "general.", "split.", "adapter."))
            add.get(type(value), writer.add_uint32)(key if whole else f"{kind}.{key}", value)
    (words or (lambda writer: _add_tokenizer(writer, splitting)))(writer)
    weights = {
        _gguf_name(n): _gguf_rows(n, w, model.config) for n, w in model.state_dict().items() if not _is_copy(model, n)
    }
    for name, weight in {**weights, **(extra or {})}.items():
        numbers = weight.float().numpy()
        packed, form = stored(name, numbers) or (numbers, None)
        writer.add_tensor(name, packed, raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(file)


def _is_copy(model: PreTrainedModel, name: str) -> bool:
    return name in (model.all_tied_weights_keys or {})


def _gguf_fields(config: Any) -> dict[str, Any]:
    same = {
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "attention.head_count": config.num_attention_heads,
    }
    if config.model_type == "bloom":
        return {**same, "attention.layer_norm_epsilon": config.layer_norm_epsilon}
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rotary = {"rope.dimension_count": head} if config.model_type == "llama" else {}
    return {
        **same,
        **rotary,
        "context_length": config.max_position_embeddings,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "vocab_size": config.vocab_size,
    }


def _add_tokenizer(writer: Any, splitting: str | None) -> None:
    core = json.loads(tokenizer().backend_tokenizer.to_str())
    words = sorted(core["model"]["vocab"], key=core["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    if splitting is not None:
        writer.add_tokenizer_pre(splitting)
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<|") else 1 for word in words])
    writer.add_token_merges([" ".join(pair) for pair in core["model"]["merges"]])
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT)


GGUF_NAMES = {
    "transformer.word_embeddings_layernorm": "token_embd_norm",
    "transformer.word_embeddings": "token_embd",
    "transformer.ln_f": "output_norm",
    "transformer.h": "blk",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
    "self_attn.o_proj": "attn_output",
    "self_attn.": "attn_",
    "mlp.": "ffn_",
    "_proj": "",
}


def _gguf_name(name: str) -> str:
    for ours, theirs in GGUF_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _gguf_rows(name: str, weight: torch.Tensor, config: Any) -> torch.Tensor:
    if "query_key_value" in name:
        apart = weight.reshape(config.n_head, 3, -1, *weight.shape[1:])
        return apart.swapaxes(0, 1).reshape(weight.shape).contiguous()
    heads = {"q_proj": config.num_attention_heads, "k_proj": getattr(config, "num_key_value_heads", 0)}
    count = next((n for part, n in heads.items() if part in name), None)
    if count is None or config.model_type != "llama":
        return weight
    return weight.reshape(count, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape).contiguous()


ALL = {**LLAMA_LIKE, **OTHERS}
"""Every builder by name."""
