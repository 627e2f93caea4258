"""One model used by several at once: each gets its own right numbers, and the model is left as it was."""

import copy
import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import tiny
import torch
from accelerate import cpu_offload, disk_offload

from minillm import perplexity, recover, score
from minillm.allocation.measuring import fisher_sensitivity
from minillm.errors import BadInput
from minillm.evaluation.generation import generate_events
from minillm.events import RESULT
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score_events
from minillm.surgery.cut import prune
from minillm.walk.view import eval_view

ROUNDS = 10
TOKENS = tiny.tokens(8, 24)


@pytest.fixture(autouse=True)
def impatient():
    """Threads change places often, so that what can meet does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def scores_of(lm, criterion, **settings):
    found = score(lm, criterion, TOKENS, 4, **settings)
    return [values.tolist() for kind in (found.heads, found.channels) for values in kind.values()]


def digest(model) -> str:
    """Everything a model is to others: weights, mode, what is hooked or set on its modules, gradients."""
    facts = [(name, m.training, sorted(m.__dict__), len(m._forward_pre_hooks)) for name, m in model.named_modules()]
    weights = [(n, None if p.is_meta else p.detach().numpy().tobytes(), p.grad) for n, p in model.named_parameters()]
    return hashlib.sha256(repr((facts, weights)).encode()).hexdigest()


def pruned(lm, method):
    small = prune(lm, make_plan(score(lm, "magnitude-l2", TOKENS, 4), 0.1), method, TOKENS)
    return [p.tolist() for p in small.model.parameters()]


WORK = {
    "wanda": partial(scores_of, criterion="wanda"),
    "fms-bp": partial(scores_of, criterion="fms-bp"),
    "fms-zo": partial(scores_of, criterion="fms-zo", directions=2),
    "bonsai": partial(scores_of, criterion="bonsai", submodels=8),
    "perplexity": partial(perplexity, text=TOKENS, length=12),
    "fisher": lambda lm: fisher_sensitivity(lm, TOKENS[:3]).to_json(),
    "compensation": partial(pruned, method="least-squares"),
}
PAIRS = [("wanda", "wanda"), ("wanda", "perplexity"), ("fms-zo", "fms-bp"), ("bonsai", "fisher")]
PAIRS += [("compensation", "fms-zo"), ("perplexity", "perplexity")]


def at_once(lm, names):
    """What each piece of work finds, all of them in threads of their own."""
    with ThreadPoolExecutor(len(names)) as threads:
        return [one.result() for one in [threads.submit(WORK[name], lm) for name in names]]


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
@pytest.mark.parametrize("build", [tiny.opt, tiny.bloom], ids=["opt", "bloom"])
def test_two_threads_on_one_model_each_get_their_own_right_numbers(build, names):
    lm = wrap(build(dropout=0.3).train() if build is tiny.opt else build().train())
    before, wanted = digest(lm.model), [WORK[name](lm) for name in names]
    for _ in range(ROUNDS if "wanda" in names else 2):
        assert at_once(lm, names) == wanted
        assert digest(lm.model) == before


@pytest.mark.parametrize("place", ["cpu", "disk"])
def test_two_threads_on_an_offloaded_model_each_get_their_own_right_numbers(place, tmp_path):
    model = tiny.tied()
    wanted = [WORK[name](wrap(model)) for name in ("perplexity", "fms-bp")]
    if place == "cpu":
        cpu_offload(model, execution_device="cpu")
    else:
        disk_offload(model, str(tmp_path), execution_device="cpu")
    lm = wrap(model)
    for _ in range(3):
        assert at_once(lm, ("perplexity", "fms-bp", "perplexity")) == [*wanted, wanted[0]]
        assert all(p.is_meta for p in model.parameters())


def test_two_recoveries_with_one_teacher_at_a_time_are_the_same_as_one_after_the_other():
    teacher = wrap(tiny.llama(attention_dropout=0.5).train())
    small = prune(teacher, make_plan(score(teacher, "wanda", TOKENS, 4), 0.2))
    text = tiny.tokens(20, 12)

    def recovered(seed):
        fixed = recover(small, text, teacher, steps=3, batch=4, held_out=4, seed=seed)
        return [p.tolist() for p in fixed.model.parameters()]

    wanted = [recovered(seed) for seed in (0, 1)]
    for _ in range(3):
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(recovered, (0, 1))) == wanted


def written(lm, seed):
    return generate_events(lm, "The walk reads", max_new_tokens=8, temperature=1.0, seed=seed)


@pytest.mark.parametrize("make", [lambda lm, seed: score_events(lm, "fms-zo", TOKENS, 4, seed=seed), written])
def test_two_generators_taking_turns_in_one_thread_find_what_each_finds_alone(make):
    """The second used to be measured in train mode once the first was done, and the model left in eval mode."""
    lm = wrap(tiny.opt(dropout=0.5).train(), tiny.tokenizer())
    before = digest(lm.model)

    def found(events):
        return [e.payload for e in events if e.stage == RESULT][0]

    def plain(result):
        return result.ids if hasattr(result, "ids") else [v.tolist() for v in result.channels.values()]

    wanted = [plain(found(make(lm, seed))) for seed in (0, 1)]
    first, second = make(lm, 0), make(lm, 1)
    next(first), next(second)
    assert [plain(found(first)), plain(found(second))] == wanted
    abandoned = make(lm, 0)
    next(abandoned)
    abandoned.close()
    assert digest(lm.model) == before


def test_a_view_shares_every_weight_and_nothing_else():
    lm = wrap(tiny.opt(dropout=0.5).train())
    view = eval_view(lm)
    assert all(a is b for a, b in zip(view.model.parameters(), lm.model.parameters(), strict=True))
    assert all(a is b for a, b in zip(view.model.buffers(), lm.model.buffers(), strict=True))
    assert not {id(m) for m in view.model.modules()} & {id(m) for m in lm.model.modules()}
    assert not any(m.training for m in view.model.modules()) and all(m.training for m in lm.model.modules())
    assert view.groups == lm.groups and view.model.config is lm.model.config


def test_hooks_of_the_owner_go_on_seeing_what_passes():
    class Seen(list):
        def note(self, *_):
            self.append(1)

    lm, seen = wrap(tiny.llama()), Seen()
    lm.model.model.layers[0].register_forward_pre_hook(seen.note)
    perplexity(lm, TOKENS, length=12)
    assert seen


@pytest.mark.parametrize("criterion", ["wanda", "llm-pruner", "fms-zo", "bonsai", "sparsegpt"])
def test_scores_inside_inference_mode_are_those_outside_of_it(criterion):
    lm = wrap(tiny.llama())
    wanted = scores_of(lm, criterion, submodels=8)
    with torch.inference_mode():
        found = score(lm, criterion, TOKENS.clone(), 4, submodels=8)
    assert [v.tolist() for kind in (found.heads, found.channels) for v in kind.values()] == wanted


def test_a_whole_job_inside_inference_mode_is_the_job_outside_of_it(tmp_path):
    def job(folder):
        tiny.llama().save_pretrained(folder)
        lm, rows = load_model(folder), TOKENS.clone()
        small = prune(lm, make_plan(score(lm, "llm-pruner", rows, 4), 0.2), "least-squares", rows)
        again = load_pruned(save_pruned(small, folder / "small"))
        fixed = recover(again, rows, lm, steps=2, batch=2, held_out=2)
        return score(fixed, "fms-bp", rows, 4).channels

    wanted = job(tmp_path / "outside")
    with torch.inference_mode():
        found = job(tmp_path / "inside")
    assert all((found[layer] == wanted[layer]).all() for layer in wanted)


def test_weights_that_no_gradient_can_pass_are_refused_in_one_sentence():
    with torch.inference_mode():
        lm = wrap(copy.deepcopy(tiny.llama()))
    with pytest.raises(BadInput, match="made under torch.inference_mode.*load the model outside of it"):
        score(lm, "llm-pruner", TOKENS, 4)
    assert scores_of(lm, "wanda") == scores_of(wrap(tiny.llama()), "wanda")
