"""A model whose weights stay on disk is scored, cut and saved like one in memory, bit for bit, but never is there."""

import gc
import weakref

import numpy as np
import pytest
import tiny
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from minillm.criteria import judging
from minillm.errors import BadInput, UnknownName
from minillm.families.groups import CHANNELS
from minillm.models import residence
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.walk import forward


def neox():
    """GPT-NeoX: on the hub its output head has another name than in memory."""
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 48}
    config = GPTNeoXConfig(vocab_size=tiny.VOCABULARY, bos_token_id=1, eos_token_id=2, **sizes)
    return tiny.widened(lambda: GPTNeoXForCausalLM(config), 0)


FAMILIES = {**{name: tiny.ALL[name] for name in ("tied", "qwen2", "bloom", "opt_post_norm")}, "neox": neox}
families = pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES)


def pair(build, folder, dtype="float32"):
    """The same model whole and offloaded."""
    tiny.saved(folder, build())
    whole, away = (load_model(folder, dtype, "cpu", offload=offload) for offload in (None, "disk"))
    assert all(p.is_meta for p in away.model.parameters()) and away.offloaded and not whole.offloaded
    return whole, away


def same_scores(a, b):
    return all(np.array_equal(x[i], y[i]) for x, y in ((a.heads, b.heads), (a.channels, b.channels)) for i in x)


@families
def test_every_criterion_scores_the_same(build, tmp_path):
    whole, away = pair(build, tmp_path / "model")
    assert whole.groups == away.groups
    for criterion in judging(CHANNELS):
        a, b = (score(lm, criterion, tiny.tokens(6, 16), 3, submodels=8, directions=2, steps=2) for lm in (whole, away))
        assert same_scores(a, b), criterion
    assert all(p.is_meta for p in away.model.parameters())


def test_a_half_format_is_made_of_the_weights_as_they_are_read(tmp_path):
    whole, away = pair(tiny.llama, tmp_path / "model", "bfloat16")
    assert away.dtype == torch.bfloat16
    for criterion in ("fms-zo", "fms-bp"):
        assert same_scores(*(score(lm, criterion, tiny.tokens(6, 16), 3) for lm in (whole, away)))


@pytest.mark.parametrize(
    ("build", "compensate"),
    [*((f, "least-squares") for f in FAMILIES.values()), (tiny.llama, None), (tiny.llama, "bias")],
)
def test_pruned_to_disk_is_pruned_in_memory(build, compensate, tmp_path):
    whole, away = pair(build, tmp_path / "model")
    tokens = tiny.tokens(12, 20)
    plan = make_plan(score(whole, "wanda", tokens), 0.25)
    a, b = (prune(lm, plan, compensate, tokens) for lm in (whole, away))
    assert b.offloaded and a.groups == b.groups
    assert same_scores(*(score(lm, "fms-bp", tokens, 3) for lm in (a, b)))
    folders = [save_pruned(lm, tmp_path / name) for lm, name in ((a, "a"), (b, "b"))]
    with torch.no_grad():
        wanted = a.model(tokens).logits
        assert torch.equal(b.model(tokens).logits, wanted)
        for folder in folders:
            for offload in (None, "disk"):
                again = load_pruned(folder, offload=offload)
                assert again.offloaded == bool(offload) and again.groups == a.groups
                assert torch.equal(again.model(tokens).logits, wanted)
    assert all(p.is_meta for p in away.model.parameters())


def test_a_pruned_folder_is_scored_and_cut_again_from_disk(tmp_path):
    whole, tokens = wrap(tiny.llama()), tiny.tokens(6, 16)
    folder = save_pruned(prune(whole, make_plan(score(whole, "wanda", tokens, 3), 0.1)), tmp_path / "once")
    a, b = load_model(folder, device="cpu"), load_model(folder, device="cpu", offload="disk")
    plan = make_plan(score(b, "fms-zo", tokens, 3), 0.1, layers=[1, 2])
    small = load_pruned(save_pruned(prune(b, plan), tmp_path / "twice"))
    with torch.no_grad():
        assert torch.equal(small.model(tokens).logits, prune(a, plan).model(tokens).logits)


def test_shards_of_a_saved_model_are_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("minillm.models.checkpoint.SHARD", "20KB")
    whole, away = pair(tiny.llama, tmp_path / "model")
    small = prune(away, make_plan(score(whole, "wanda", tiny.tokens(), 3), 0.1))
    folder = save_pruned(small, tmp_path / "small")
    assert len(list(folder.glob("*.safetensors"))) > 3
    with torch.no_grad():
        wanted = small.model(tiny.tokens()).logits
        assert all(
            torch.equal(load_pruned(folder, offload=o).model(tiny.tokens()).logits, wanted) for o in (None, "disk")
        )


def weights(block) -> list[int]:
    """Which parameters a block has; views of it share them."""
    return [id(parameter) for parameter in block.parameters()]


def test_reading_ahead_changes_nothing_and_reads_every_block_but_the_first(tmp_path, monkeypatch):
    _, away = pair(tiny.llama, tmp_path / "model")
    read, real = [], residence._read_ahead
    monkeypatch.setattr(residence, "_read_ahead", lambda block: read.append(weights(block)) or real(block))
    ahead = score(away, "fms-zo", tiny.tokens(6, 16), 3)
    assert read == [weights(block) for block in away.model.model.layers][1:]
    monkeypatch.setattr(forward, "in_turn", lambda blocks: residence.in_turn(blocks, ahead=False))
    assert same_scores(ahead, score(away, "fms-zo", tiny.tokens(6, 16), 3)) and len(read) == 3


def test_what_was_read_is_gone_at_once_on_leaving(tmp_path):
    _, away = pair(tiny.llama, tmp_path / "model", "bfloat16")
    gc.disable()
    try:
        with residence.in_turn(list(away.model.model.layers)) as next_block:
            with next_block() as block:
                weights = [weakref.ref(p) for p in block.parameters()]
                assert len(weights) == 9 and all(w() is not None for w in weights)
            assert all(w() is None for w in weights)
    finally:
        gc.enable()


def test_cancelling_leaves_the_model_offloaded(tmp_path):
    from minillm.scoring.score import score_events

    _, away = pair(tiny.llama, tmp_path / "model")
    events = score_events(away, "fms-bp", tiny.tokens(6, 16), 3)
    next(events), events.close()
    assert all(p.is_meta for p in away.model.parameters())


def test_what_cannot_be_offloaded_is_refused(tmp_path):
    folder = tiny.saved(tmp_path / "model")
    with pytest.raises(UnknownName, match="disk"):
        load_model(folder, device="cpu", offload="disc")
    with pytest.raises(BadInput, match="on a GPU"):
        load_model(folder, device="cpu", offload="cpu")
    with pytest.raises(BadInput, match="one"):
        load_model(folder, device="cpu", offload="disk", device_map={"": "disk"})
    with pytest.raises(BadInput, match="GGUF"):
        load_model(tiny.gguf(tmp_path / "a.gguf"), device="cpu", offload="disk")


def test_a_shard_that_goes_while_it_is_used_is_one_sentence(tmp_path):
    _, away = pair(tiny.llama, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="must stay as they are") as caught:
        score(away, "magnitude-l1", tiny.tokens(), 3)
    assert "\n" not in str(caught.value)
