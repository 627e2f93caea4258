"""GGUF files in llama.cpp itself: the same words written as by our model, each the likeliest; and by our own reader."""

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import made_cuts
import numpy as np
import published
import pytest
import tiny
import torch
from made_cuts import BIASES, BLOCKS, EVEN, MIXED, cut, whole
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from minillm.errors import MiniLLMError, NumericalFault, UnsupportedModel
from minillm.exports.export import export
from minillm.models.gguf import read_gguf
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.recipes.exports import GGUF
from minillm.surgery.cut import prune

EACH = [
    *made_cuts.each(GGUF, made_cuts.CLOSELY),
    *(
        pair
        for pair in made_cuts.each(GGUF)
        if pair[0] not in made_cuts.CLOSELY and pair[1] in (EVEN, BLOCKS, MIXED, BIASES)
    ),
]
"""Every kind of cut of some types, and of the others those that make different files."""
PROMPTS = ["The walk reads", "A group is 12 größer\n\n\tdon't", "x"]
COUNT = 30
ONE = PROMPTS[1:2]
"""Prompts for those that are not looked at from all sides."""
ROUGH = {"gpt_neox": 0.01, "bloom": 0.01}
"""How far behind the likeliest word one may be, as a share of the range of logits, where llama.cpp computes GELU from a
table in float16 (and by its tanh form where the model's is exact)."""
STRETCHED = {"rope_type": "dynamic", "alpha": 1000.0, "rope_theta": 10_000.0, "factor": 1.0}
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


@cache
def pieces() -> PreTrainedTokenizerFast:
    """A tokenizer of SentencePiece's kind: characters, spaces as ▁, bytes for what it does not know."""
    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # type: ignore[assignment]
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])  # type: ignore[assignment]
    special = ["<unk>", "<s>", "</s>"]
    single = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False)
    core.train_from_iterator([f"▁{one.replace(' ', '▁')}" for one in tiny.SENTENCES], trainer)
    learnt = [word for word, _ in sorted(core.get_vocab().items(), key=lambda pair: pair[1])][len(special) :]
    words = [*special, *single, *learnt]
    merges = [tuple(pair) for pair in json.loads(core.to_str())["model"]["merges"]]
    core.model = models.BPE(  # type: ignore[assignment]
        {word: number for number, word in enumerate(words)},
        merges,
        byte_fallback=True,
        unk_token="<unk>",
        fuse_unk=True,
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def file_of(lm: LoadedModel, folder: Path, numbers: str = "float32") -> Path:
    return next(export(lm, GGUF, folder, numbers).folder.glob("*.gguf"))


def special() -> dict[str, LoadedModel]:
    """Models for what the cuts of `made_cuts` do not have."""
    even = made_cuts.plan_of(whole("llama"), EVEN)
    unknown = tiny.llama(vocab_size=len(pieces()) + 3)
    return {
        "even widths with biases": prune(whole("llama"), even, "bias", tiny.tokens(8, 12)),
        "positions of Llama 3": wrap(tiny.llama(rope_parameters=LLAMA_3), tiny.tokenizer()),
        "linear positions": wrap(
            tiny.llama(rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}), tiny.tokenizer()
        ),
        "a quarter of each head turned": wrap(tiny.neox(rotary_pct=0.5), tiny.tokenizer()),
        "tied": wrap(tiny.tied(), tiny.tokenizer()),
        "another head size": wrap(tiny.odd_head_dim(head_dim=16), tiny.tokenizer()),
        "pieces of characters": wrap(unknown, pieces()),
        "one key for all heads": wrap(published.shrunk("falcon-7b"), tiny.tokenizer()),
        "another base of positions": wrap(
            published.shrunk("hunyuan-0.5b", rope_parameters=STRETCHED), tiny.tokenizer()
        ),
        "an FFN with a gate and norms of its own": wrap(
            published.shrunk("phi-3-mini", sliding_window=None), tiny.tokenizer()
        ),
        "a longer window": wrap(tiny.mistral(sliding_window=150), tiny.tokenizer()),
    }


@pytest.fixture(scope="module")
def judged(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, tuple[LoadedModel, Any]]:
    """{(family, kind) or name: (model, what llama.cpp did with its file)}; llama.cpp is started once."""
    place, folder = llama_cpp.installed(shared_home), tmp_path_factory.mktemp("gguf")
    cases: dict[Any, LoadedModel] = {pair: cut(*pair) for pair in EACH} | special()
    files = {key: file_of(lm, folder / str(number)) for number, (key, lm) in enumerate(cases.items())}
    found = {}
    for prompts in (PROMPTS, ONE):
        asked = [file for key, file in files.items() if prompts_of(key) is prompts]
        found |= llama_cpp.greedy(place, asked, prompts, COUNT)
    return {key: (cases[key], found[str(file)]) for key, file in files.items()}


def prompts_of(case: Any) -> list[str]:
    """What a case is asked."""
    return PROMPTS if case[0] in made_cuts.CLOSELY or isinstance(case, str) else ONE


def likeliest(lm: LoadedModel, ids: list[int], count: int = COUNT) -> list[int]:
    """The words our model writes, in float32, the end of a text a word like others."""
    how = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "eos_token_id": None}
    with torch.no_grad():
        return lm.model.generate(torch.tensor([ids]), **how)[0, len(ids) :].tolist()


def behind(lm: LoadedModel, read: list[int], written: list[int]) -> float:
    """How far the words written are behind the likeliest: the most, as a share of the range of logits."""
    with torch.no_grad():
        found = lm.model(torch.tensor([read + written])).logits[0, len(read) - 1 : -1]
    chosen = found.gather(1, torch.tensor(written)[:, None])[:, 0]
    return float(((found.amax(1) - chosen) / (found.amax(1) - found.amin(1))).max())


@pytest.mark.parametrize("case", [*EACH, *special()], ids=str)
def test_llama_cpp_reads_and_writes_the_same_tokens(case: Any, judged: dict[Any, tuple[LoadedModel, Any]]) -> None:
    lm, found = judged[case]
    assert isinstance(found, list), found
    for prompt, one in zip(prompts_of(case), found, strict=True):
        assert one["read"] == lm.tokenizer(prompt).input_ids
        if lm.groups.model_type in ROUGH:
            assert behind(lm, **one) < ROUGH[lm.groups.model_type]
        else:
            assert one["written"] == likeliest(lm, one["read"])
    assert len({tuple(one["written"]) for one in found}) == len(found)


def test_the_judge_tells_another_model_apart(shared_home: Path, tmp_path: Path) -> None:
    """Rows of q in the order of the wrong architecture: it opens, and writes other words."""
    place, lm = llama_cpp.installed(shared_home), wrap(tiny.llama(), tiny.tokenizer())
    right = file_of(lm, tmp_path / "right")
    other = tiny.llama()
    other.model.layers[0].self_attn.q_proj.weight.data.mul_(-1)
    wrong = file_of(wrap(other, tiny.tokenizer()), tmp_path / "wrong")
    found = llama_cpp.greedy(place, [right, wrong], PROMPTS[:1], COUNT)
    assert behind(lm, **found[str(right)][0]) < 1e-5 and behind(lm, **found[str(wrong)][0]) > 0.05


@pytest.mark.parametrize("numbers", ["float32", "float16", "bfloat16"])
def test_our_reader_reads_it_back(numbers: str, tmp_path: Path) -> None:
    """Even widths are those of an architecture that we read; matrices rounded as torch rounds them."""
    lm = cut("llama", EVEN)
    back = load_model(file_of(lm, tmp_path / "out", numbers), device="cpu")
    for one, other in zip(lm.model.state_dict().values(), back.model.state_dict().values(), strict=True):
        assert torch.equal(other, one.to(getattr(torch, numbers)).float() if one.dim() > 1 else one)
    assert back.tokenizer(PROMPTS[1]).input_ids == lm.tokenizer(PROMPTS[1]).input_ids
    assert back.tokenizer.chat_template == lm.tokenizer.chat_template


def test_what_q8_0_groups_is_filled_up_and_quantised_and_the_rest_is_float16(tmp_path: Path) -> None:
    """24 channels become 32, which Q8_0 groups; rows of 48 are no multiple of 32, and vectors stay float32."""
    lm = cut("llama", EVEN)
    tensors = {one.name: one for one in gguf.GGUFReader(file_of(lm, tmp_path / "out", "q8_0")).tensors}
    kind = gguf.GGMLQuantizationType
    assert tensors["blk.0.ffn_down.weight"].tensor_type == kind.Q8_0
    assert tensors["blk.0.ffn_up.weight"].tensor_type == kind.F16
    assert tensors["blk.0.ffn_norm.weight"].tensor_type == kind.F32
    written = gguf.dequantize(tensors["blk.0.ffn_down.weight"].data, kind.Q8_0)
    before = lm.model.model.layers[0].mlp.down_proj.weight.numpy()
    assert written.shape == (48, 32) and not written[:, before.shape[1] :].any()
    assert np.abs(written[:, : before.shape[1]] - before).max() <= np.abs(before).max() / 127


def test_it_is_as_large_as_what_is_left(tmp_path: Path) -> None:
    """Mixed widths of a LLaMA-like model are written as they are, at two bytes a weight of a matrix."""
    lm = cut("llama", MIXED)
    found = export(lm, GGUF, tmp_path / "out", "float16")
    assert found.parameters == lm.parameters and "deci" in found.note
    tensors = gguf.GGUFReader(next(found.folder.glob("*.gguf"))).tensors
    assert sum(int(np.prod(one.shape)) for one in tensors) == lm.parameters


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (tiny.opt, "no architecture for models of type “opt”"),
        (partial(published.shrunk, "gpt-j-6b"), "no architecture for models of type “gptj”"),
        (partial(published.shrunk, "smollm3-3b"), "smollm3 leaves every fourth block without positions"),
        (partial(published.shrunk, "exaone-4.0-32b"), "exaone4 has windows in models of 64 blocks alone"),
        (partial(published.shrunk, "falcon-rw-1b"), "falcon has rotary positions"),
        (partial(published.shrunk, "glm-4-9b"), "chatglm has attention as wide as the model"),
        (partial(published.shrunk, "olmo-2-1b", tie_word_embeddings=True), "olmo2 has an output head beside"),
        (partial(published.shrunk, "gemma-2-2b", attn_logit_softcapping=None), "gemma2 caps attention scores"),
        (partial(tiny.qwen3, rope_parameters=LLAMA_3), "kind “llama3”, which are not written"),
        (
            partial(tiny.llama, rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}),
            "rotary positions of kind “yarn”",
        ),
    ],
)
def test_what_llama_cpp_cannot_hold_is_refused_in_a_sentence(build: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=said) as caught:
        export(wrap(build(), tiny.tokenizer()), GGUF, tmp_path / "out")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["qwen3", "gemma", "smollm3", "arcee"])
def test_biases_that_an_architecture_does_not_have_are_refused(family: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="a bias, which no config|has no biases of"):
        export(cut(family, BIASES), GGUF, tmp_path / "out")


def key_of(file: Path, name: str) -> Any:
    found = gguf.GGUFReader(file).get_field(name)
    return found.contents() if found else None


def test_a_window_that_llama_cpp_has_not_is_the_length_of_the_text(tmp_path: Path) -> None:
    """Up to it nothing falls out of it, and no longer text is promised."""
    for build, length in ((partial(tiny.mistral, sliding_window=150), 150), (tiny.qwen2, 8), (tiny.llama, 256)):
        found = export(wrap(build(), tiny.tokenizer()), GGUF, tmp_path / str(length))
        assert key_of(next(found.folder.glob("*.gguf")), "llama.context_length") == length
        assert (f"texts of up to {length} tokens" in found.note) == (length < 256)


def test_windows_are_told_block_by_block_and_said_where_another_order_is_usual(tmp_path: Path) -> None:
    window, full = "sliding_attention", "full_attention"
    for kinds, remarked in (([window, full, window], False), ([full, window, full], True)):
        lm = wrap(published.shrunk("gemma-2-2b", layer_types=kinds), tiny.tokenizer())
        found = export(lm, GGUF, tmp_path / str(remarked))
        file = next(found.folder.glob("*.gguf"))
        assert key_of(file, "gemma2.attention.sliding_window_pattern") == [kind == window for kind in kinds]
        assert key_of(file, "gemma2.attention.sliding_window") == 8 and ("block by block" in found.note) == remarked


def test_a_name_that_llama_cpp_takes_for_other_words_is_written_otherwise(tmp_path: Path) -> None:
    name = key_of(
        file_of(wrap(published.shrunk("phi-4-mini"), tiny.tokenizer()), tmp_path / "Phi-3-cut"), "general.name"
    )
    assert name == "Phi_-3-cut"


def test_tokenizers_that_llama_cpp_does_not_know_are_refused(tmp_path: Path) -> None:
    lm = wrap(tiny.llama())
    with pytest.raises(UnsupportedModel, match="has no tokenizer"):
        export(lm, GGUF, tmp_path / "out")
    odd = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny.tokenizer().backend_tokenizer.to_str()))
    odd.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("e", "isolated")
    with pytest.raises(UnsupportedModel, match="by no rule that llama.cpp has a name for"):
        export(wrap(tiny.llama(), odd), GGUF, tmp_path / "out")
    unigram = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)], 0)))
    with pytest.raises(UnsupportedModel, match="of kind Unigram"):
        export(wrap(tiny.llama(), unigram), GGUF, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    model = tiny.llama()
    model.model.layers[2].mlp.up_proj.weight.data[0, 0] = 1e6
    with pytest.raises(NumericalFault, match="beyond what float16 can hold"):
        export(wrap(model, tiny.tokenizer()), GGUF, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    assert file_of(wrap(model, tiny.tokenizer()), tmp_path / "out", "bfloat16").is_file()


def test_a_write_cut_short_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy says of a short write how many numbers it wrote, and no more."""

    def short(self: Any, tensor: Any, *more: Any) -> None:
        raise OSError("100 requested and 3 written")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", short)
    with pytest.raises(MiniLLMError, match="takes no more .*make room"):
        export(cut("llama", EVEN), GGUF, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_embedded_model_cut_and_made_up_for_writes_the_same_in_llama_cpp(
    embedded: LoadedModel, shared_home: Path, tmp_path: Path
) -> None:
    """Fifty words of each prompt, from other widths in every block and from even ones."""
    place, draw = llama_cpp.installed(shared_home), np.random.default_rng(0)
    blocks = embedded.groups.blocks
    cuts = {}
    for name, heads in (("mixed", lambda i: 2 + i % 2), ("even", lambda i: 2)):
        kept = {i: np.sort(draw.permutation(3)[: heads(i)]) for i in range(len(blocks))}
        channels = {i: np.sort(draw.permutation(1536)[: 1500 - (i % 7 if name == "mixed" else 0)]) for i in kept}
        cuts[name] = prune(embedded, made_cuts.Plan(embedded.groups, kept, channels))
    files = {name: file_of(lm, tmp_path / name) for name, lm in cuts.items()}
    prompts = ["größer 12345  x²\n\n\tdon't (a|b)…?! 漢字. The capital of France is"]
    found = llama_cpp.greedy(place, files.values(), prompts, 50)
    for name, lm in cuts.items():
        for prompt, one in zip(prompts, found[str(files[name])], strict=True):
            assert one["read"] == lm.tokenizer(prompt).input_ids
            assert one["written"] == likeliest(lm, one["read"], 50)
    _, back, _ = read_gguf(files["even"], torch.float32)
    tokens = torch.arange(100, 140)[None]
    with torch.no_grad():
        torch.testing.assert_close(back(tokens).logits, cuts["even"].model(tokens).logits, rtol=1e-4, atol=1e-4)
