"""Surprise against transformers' own logits, token by token, and where it is not to be had."""

import pytest
import tiny
import torch
from transformers import PreTrainedTokenizerFast

from minillm.errors import BadInput, NumericalFault
from minillm.evaluation.generation import Generation, generate
from minillm.evaluation.surprise import log_probabilities
from minillm.models.loaded import LoadedModel, wrap
from minillm.text.tokens import same_tokens

PROMPT = "The walk reads a block"


def lm(seed: int = 0) -> LoadedModel:
    return wrap(tiny.llama(seed=seed), tiny.tokenizer())


def oracle(judge: LoadedModel, written: Generation) -> list[float]:
    """From the model's whole forward: log-softmax of the logits before each token, at that token."""
    ids = torch.tensor([written.ids])
    shares = judge.model(ids).logits[0].float().log_softmax(-1)
    return [shares[place - 1, ids[0, place]].item() for place in range(written.prompt_tokens, ids.shape[1])]


@pytest.mark.parametrize("name", tiny.ALL)
def test_every_token_has_the_probability_the_whole_forward_gives_it(name: str) -> None:
    judge = wrap(tiny.ALL[name](), tiny.tokenizer())
    written = generate(lm(seed=1), PROMPT, 12, temperature=1.0, seed=4)
    found = log_probabilities(judge, written)
    assert len(found or []) == written.tokens > 0
    assert found == pytest.approx(oracle(judge, written), abs=1e-4)


def test_what_a_model_writes_greedily_is_its_own_likeliest_word_and_surprises_another_more() -> None:
    judge, written = lm(), generate(lm(), PROMPT, 10)
    own = log_probabilities(judge, written)
    other = log_probabilities(lm(seed=1), written)
    best = judge.model(torch.tensor([written.ids])).logits[0].log_softmax(-1).max(-1).values
    assert own == pytest.approx(best[written.prompt_tokens - 1 : -1].tolist(), abs=1e-4)
    assert sum(own or []) > sum(other or [])


def test_the_tokens_of_a_text_are_its_prompt_and_its_pieces() -> None:
    written = generate(lm(), PROMPT, 8)
    assert written.text.startswith("".join(written.pieces))
    assert len(written.ids) == written.prompt_tokens + written.tokens == written.prompt_tokens + len(written.pieces)


def test_an_empty_text_has_no_surprise_and_one_too_long_none_to_be_had() -> None:
    judge = lm()
    nothing = Generation("", 0, 3, "eos", 0.1, 0.1, 0.0, None, ids=(5, 6, 7))
    assert log_probabilities(judge, nothing) == []
    long = Generation("", 254, 3, "length", 0.1, 0.1, 0.0, None, ids=(5,) * 257)
    assert log_probabilities(judge, long) is None


def test_the_mode_comes_back_and_broken_numbers_are_said() -> None:
    judge, written = wrap(tiny.llama(attention_dropout=0.5), tiny.tokenizer()), generate(lm(seed=1), PROMPT, 4)
    wanted = log_probabilities(judge, written)
    judge.model.train()
    assert log_probabilities(judge, written) == wanted and judge.model.training
    judge.model.lm_head.weight.data[3] = float("nan")
    with pytest.raises(NumericalFault, match="not finite"):
        log_probabilities(judge, written)


def test_tokenizers_agree_where_every_id_means_the_same() -> None:
    first = tiny.tokenizer()
    copy = PreTrainedTokenizerFast(tokenizer_object=first.backend_tokenizer)
    assert same_tokens(wrap(tiny.llama(), first), wrap(tiny.llama(), copy))
    assert not same_tokens(first, tiny.other_tokenizer())
    with pytest.raises(BadInput, match="no tokenizer"):
        same_tokens(first, wrap(tiny.llama()))
