"""One door from text to tokens, for every use: ids in range, half characters, unknown words, templates that refuse."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tokenizers import Tokenizer, decoders, models as words_of, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

import minillm
from minillm.errors import BadInput
from minillm.evaluation.generation import Generation, _decoder, _settled, generate, prompt_ids
from minillm.evaluation.surprise import log_probabilities
from minillm.evaluation.tasks import accuracy
from minillm.models.loaded import LoadedModel
from minillm.surgery.recovery import recover
from minillm.text import sampled
from minillm.text.chat import chat_text
from minillm.text.load import load_text, rows_available
from minillm.text.tokens import token_ids

WORDS = "The walk reads every block of the model once. " * 60
QUESTION = {"goal": "walk", "sol1": "a block", "sol2": "zq9 models", "label": 0}


def lm(words: Any = None, **settings: Any) -> LoadedModel:
    return minillm.wrap(tiny.llama(**settings), words or tiny.tokenizer())


def words_beyond() -> PreTrainedTokenizerFast:
    """Words that the model has no row for, common in the texts and in the chat format."""
    words = copy.deepcopy(tiny.tokenizer())
    words.add_tokens(["walk", "model", "user"])
    return words


def word_level(**unknown: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(words_of.WordLevel({"The": 0, "walk": 1, **dict.fromkeys(unknown.values(), 2)}, **unknown))
    core.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=core)


class Slow:
    """A tokenizer in plain Python that knows neither a word nor what to do about it."""

    def __call__(self, text: str, **_: Any) -> dict[str, list]:
        return {"input_ids": [{"The": 0, "walk": 1}.get(word) for word in text.split()]}


def small() -> LoadedModel:
    whole = lm()
    plan = minillm.make_plan(minillm.score(whole, "magnitude-l1", tiny.tokens(), 1), 0.1)
    return minillm.prune(whole, plan)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "piqa").mkdir()
    (tmp_path / "piqa" / "valid.jsonl").write_text(json.dumps(QUESTION) + "\n")
    (tmp_path / "words.txt").write_text(WORDS)
    (tmp_path / "chat.jsonl").write_text(json.dumps({"instruction": WORDS, "output": WORDS}) + "\n")
    return tmp_path


def recovered(model: LoadedModel, text: str) -> Any:
    model.plan = small().plan
    return recover(model, text, length=16, steps=1, batch=2, held_out=2)


USES: dict[str, Callable[[LoadedModel, Path], Any]] = {
    "calibration": lambda model, at: load_text(f"file:{at / 'words.txt'}", model, 4, 16),
    "how much there is": lambda model, at: rows_available(f"file:{at / 'words.txt'}", model, 16),
    "perplexity of a file": lambda model, at: minillm.perplexity(model, f"file:{at / 'words.txt'}", 16),
    "perplexity of a string": lambda model, at: minillm.perplexity(model, WORDS, 16),
    "generation": lambda model, at: generate(model, WORDS[:40], 2),
    "generation without a chat format": lambda model, at: generate(model, WORDS[:40], 2, chat=False),
    "recovery": lambda model, at: recovered(model, f"file:{at / 'words.txt'}"),
    "a task": lambda model, at: accuracy(model, "piqa", data=str(at)),
    "instructions": lambda model, at: load_text("instructions", model, 1, 16),
    "surprise": lambda model, at: log_probabilities(
        model, Generation("", 1, 1, "length", 0, 0, 0, None, (1, tiny.VOCABULARY), ("a",))
    ),
}


@pytest.mark.parametrize("use", USES)
def test_a_token_without_a_row_in_the_model_is_told_wherever_it_is_met(use: str, folder: Path) -> None:
    with pytest.raises(BadInput, match=r"vocabulary has 320 words; tokenise the text with the model's own"):
        USES[use](lm(words_beyond(), max_position_embeddings=2048), folder)


@pytest.mark.parametrize("given", [lambda: lm(), tiny.tokenizer], ids=["model", "tokenizer"])
def test_half_a_character_is_told_with_its_place(given: Callable[[], Any], folder: Path) -> None:
    (folder / "half.jsonl").write_text('{"text": "Half \\ud83d of one"}\n')
    with pytest.raises(BadInput, match=r"Character 6 of the text is half of one \(U\+D83D, a lone surrogate\)"):
        load_text(f"file:{folder / 'half.jsonl'}", given(), 1, 4)
    assert token_ids("whole \U0001f600", given())


def test_half_a_character_in_a_prompt_is_told() -> None:
    for chat in (True, False):
        with pytest.raises(BadInput, match="half of one"):
            generate(lm(), "What is \udcff?", 2, chat=chat)


@pytest.mark.parametrize("words", [word_level(), Slow()], ids=["fast", "slow"])
def test_a_word_that_the_tokenizer_does_not_know_is_told(words: Any) -> None:
    assert token_ids("The walk", words) == [0, 1]
    with pytest.raises(BadInput, match="The tokenizer of this model (cannot read|has no word for)"):
        token_ids("The walk reads", words)
    assert token_ids("The walk reads", word_level(unk_token="?")) == [0, 1, 2]


def test_a_tokenizer_that_panics_is_told() -> None:
    class PanicException(BaseException):
        pass

    def panics(text: str, **_: Any) -> None:
        raise PanicException("called `Option::unwrap()` on a `None` value")

    with pytest.raises(BadInput, match="cannot read this text: called"):
        token_ids("The walk", panics)

    def stopped(text: str, **_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_ids("The walk", stopped)


def test_a_prompt_of_which_nothing_is_known_is_told() -> None:
    core = Tokenizer(words_of.BPE({"a": 0}, []))
    with pytest.raises(BadInput, match="no token for anything in this prompt"):
        generate(lm(PreTrainedTokenizerFast(tokenizer_object=core)), "xyz", 2)


TEMPLATES = {
    "raises": "{{ raise_exception('only a system message may begin') }}",
    "is no template": "{% if %}",
    "is left open": "{% for m in messages %}",
    "asks for a turn that is not there": "{{ messages[5].content.strip() }}",
    "breaks out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "breaks in": "{{ messages.append(1) }}",
    "divides by zero": "{{ 1 / 0 }}",
    "adds a number to a text": "{{ 'a' + 1 }}",
    "knows a filter that is none": "{{ messages | pickled }}",
    "calls what is none": "{{ load('x') }}",
    "includes a file": "{% include '/etc/hostname' %}",
    "goes on for long": "{% for i in range(1000000000) %}{% endfor %}",
    "calls itself": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "says nothing": "{% for m in messages %}{% endfor %}",
    "says only space": "  \n ",
    "says too much": "{{ 'x' * 1000000 }}",
    "takes more than there is": "{{ 'x' * 10 ** 18 }}",
}


def refusing(template: Any) -> PreTrainedTokenizerFast:
    words = copy.deepcopy(tiny.tokenizer())
    words.chat_template = template
    return words


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_that_does_not_serve_is_spoken_of_and_the_way_around_it_works(kind: str, folder: Path) -> None:
    model = lm(refusing(TEMPLATES[kind]))
    for use in (
        lambda: generate(model, "The walk", 2),
        lambda: load_text("instructions", model, 1, 16),
        lambda: load_text(f"file:{folder / 'chat.jsonl'}", model, 1, 16),
    ):
        with pytest.raises(BadInput, match="chat template of this model .* --raw") as caught:
            use()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert generate(model, "The walk", 2, chat=False).tokens


def test_a_table_of_templates_without_a_standard_one_is_told() -> None:
    with pytest.raises(BadInput, match="chat template of this model"):
        generate(lm(refusing({"tools": tiny.CHAT})), "The walk", 2)


def test_the_command_line_offers_raw(run, tmp_path: Path) -> None:
    folder = tiny.saved(tmp_path / "model", words=refusing(TEMPLATES["raises"]))
    code, out, err = run("generate", "The walk", "--model", folder, "--max-new-tokens", 2)
    assert code == 2 and "only a system message may begin" in err and "--raw" in err, err
    assert run("generate", "The walk", "--model", folder, "--max-new-tokens", 2, "--raw")[0] == 0


# Nothing of the user's own files, and nothing of the caller's, moves


UNASKED = {"num_beams": 3, "no_repeat_ngram_size": 2, "bad_words_ids": [[5]], "min_new_tokens": 4, "top_k": 3}


def test_answers_are_greedy_whatever_the_models_own_settings_say(own_home: Path) -> None:
    plain = load_text("instructions", lm(), 2, 16)
    model = lm()
    model.model.generation_config = GenerationConfig(do_sample=True, eos_token_id=2, pad_token_id=0, **UNASKED)
    for file in (own_home / "answers").iterdir():
        file.unlink()
    assert torch.equal(load_text("instructions", model, 2, 16), plain)
    assert model.model.generation_config.num_beams == 3


def changed_weight(model: LoadedModel) -> None:
    weight = next(p for p in model.model.parameters() if p.numel() > 64)
    weight.data.flatten()[-1] += 1


CHANGES: dict[str, Callable[[LoadedModel], None]] = {
    "one weight": changed_weight,
    "an end token": lambda model: setattr(model.model.generation_config, "eos_token_id", [2, 7]),
    "the chat format": lambda model: setattr(model, "tokenizer", refusing(tiny.CHAT.replace("user", "person") + "!")),
    "the words": lambda model: setattr(model, "tokenizer", tiny.other_tokenizer()),
    "a setting of the model": lambda model: setattr(model.model.config, "rms_norm_eps", 0.5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_kept_answers_belong_to_what_decides_them(change: str) -> None:
    model, asked = lm(), ["Why?"]
    before = sampled._fingerprint(model, asked)
    assert sampled._fingerprint(lm(), asked) == before
    CHANGES[change](model)
    assert sampled._fingerprint(model, asked) != before


def without_padding() -> PreTrainedTokenizerFast:
    words = copy.deepcopy(tiny.tokenizer())
    words.pad_token = None
    return words


def state(model: LoadedModel) -> dict[str, Any]:
    """All that a call might leave changed."""
    words = model.tokenizer
    return {
        "special": dict(words.special_tokens_map),
        "words": len(words),
        "sides": (words.padding_side, words.truncation_side, words.model_max_length),
        "core": words.backend_tokenizer.to_str(),
        "config": model.model.config.to_dict(),
        "settings": model.model.generation_config.to_dict(),
        "mode": [module.training for module in model.model.modules()],
        "trained": [p.requires_grad for p in model.model.parameters()],
        "weights": [p.detach().clone() for p in model.model.parameters()],
        "numbers": torch.random.get_rng_state(),
    }


@pytest.mark.parametrize("use", [use for use in USES if use not in ("surprise", "recovery")])
def test_what_the_caller_gave_is_as_it_was(use: str, folder: Path) -> None:
    model = lm(without_padding(), max_position_embeddings=2048)
    model.model.train()
    before = state(model)
    USES[use](model, folder)
    after = state(model)
    for name, value in before.items():
        same = all(map(torch.equal, value, after[name])) if name == "weights" else None
        same = torch.equal(value, after[name]) if name == "numbers" else same
        assert same if same is not None else value == after[name], name


# Streams


def llama_like() -> PreTrainedTokenizerFast:
    """Llama 2's decoder: ▁ for spaces, bytes for what is no word, the first space stripped."""
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    words = ["<s>", "</s>", "<|user|>", *bytes_, "▁", "▁▁", "▁the", "▁cat", "s", "a", "▁a", ",", "\n", "▁é"]
    core = Tokenizer(words_of.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True))
    core.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", additional_special_tokens=["<|user|>"]
    )


def pieces_of(words: Any, ids: list[int]) -> list[str]:
    decoder = _decoder(words)
    return [next(decoder)] + [decoder.send(one) for one in ids]


def shown(words: Any, ids: list[int]) -> str:
    return words.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize(
    "said",
    [
        ["▁the", "<|user|>", "▁cat"],
        ["<s>", "▁the", "<|user|>", "<|user|>", "▁cat", "s"],
        ["▁", "▁the", "▁", "<|user|>", "▁cat"],
        ["▁▁", "▁the", "▁▁", "▁", "▁a"],
        ["▁the", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "▁cat"],
        ["▁the", "<0xC3>", "<|user|>", "▁cat"],
        ["<0xFF>", "<0xFE>", "a", "▁é", "\n", "▁", "a"],
    ],
)
def test_pieces_joined_are_the_text_with_a_decoder_that_strips_the_first_space(said: list[str]) -> None:
    words = llama_like()
    ids = words.convert_tokens_to_ids(said)
    assert None not in ids
    assert "".join(pieces_of(words, ids)) == shown(words, ids)


@pytest.mark.parametrize("words", [llama_like(), tiny.tokenizer()], ids=["llama", "bytes"])
def test_pieces_joined_are_the_text_of_whatever_a_model_writes(words: Any) -> None:
    source = torch.Generator().manual_seed(0)
    for _ in range(60):
        ids = torch.randint(len(words), (14,), generator=source).tolist()
        found = _settled(pieces_of(words, ids)[1:], shown(words, ids))
        assert "".join(found) == shown(words, ids) and len(found) == len(ids)


def test_a_character_left_open_at_the_end_is_in_the_pieces() -> None:
    open_ended = 0
    for seed in range(12):
        found = generate(lm(seed=seed), "The walk", 7, temperature=2.0, seed=seed)
        assert "".join(found.pieces) == found.text and len(found.pieces) == found.tokens
        open_ended += found.text.endswith("\ufffd")
    assert open_ended


def test_a_model_with_more_rows_than_words_writes_on() -> None:
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words_of.WordLevel({"The": 0, "walk": 1}, "The")))
    assert generate(lm(words), "walk", 5, temperature=3.0).tokens == 5


def test_a_chat_in_turns_is_the_templates_own() -> None:
    words = tiny.tokenizer()
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert chat_text(words, "Hi", "Ho") == words.apply_chat_template(turns, tokenize=False)
    assert token_ids(chat_text(words, "Hi"), words) == prompt_ids(lm(), "Hi")[0].tolist()
