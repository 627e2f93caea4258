"""The pipeline: that each kind of job leaves what the engine's own functions give, and that a variant can be brought
back bit for bit by a worker that has nothing but the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import minillm
from minillm.criteria import find
from minillm.criteria.forecast import forecast
from minillm.errors import BadInput, DoesNotFit, NumericalFault
from minillm.evaluation.surprise import log_probabilities
from minillm.events import RESULT, Event, Events, finish
from minillm.models.loaded import LoadedModel
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import (
    EvaluateRequest,
    GenerateRequest,
    InspectRequest,
    PruneRequest,
    RecoverRequest,
    Request,
    ScoreRequest,
    SparsifyRequest,
)
from minillm.store.store import Store
from minillm.worker import workbench
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool, size
from minillm.worker.progress import JOB, LOADING, Steps

ROOMY = 10**9
MEASURED = {"evaluate_text": "python-docs", "evaluate_tokens": 256, "evaluate_length": 32}


@pytest.fixture
def lm(model: str) -> LoadedModel:
    return minillm.load_model(model, device="cpu")


def calibration(lm: LoadedModel) -> torch.Tensor:
    return minillm.load_text("python-docs", lm, samples=6, length=16, seed=3)


def run(
    store: Store, run_id: str, request: Request, pool: Pool, stop: Callable[[], bool] = lambda: False
) -> list[Event]:
    """All events of a request; checks what holds for every kind."""
    events = list(execute_events(store, run_id, request, pool, stop))
    assert [event.stage for event in events].index(RESULT) == len(events) - 1
    shares = [event.done for event in events if event.stage == JOB]
    assert shares == sorted(set(shares))
    assert all(0 <= share <= 1000 for share in shares)
    for event in events:
        json.dumps(event.payload, allow_nan=False)
    return events


def same(a: LoadedModel, b: LoadedModel) -> bool:
    one, other = a.model.state_dict(), b.model.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def brought_back(store: Store, run_id: str, name: str) -> LoadedModel:
    """A variant as a worker would make it that was started just now."""
    return finish(Pool(ROOMY).variant_events(store, run_id, name))


def test_inspecting_says_what_the_model_is_made_of(store: Store, run_id: str, pool: Pool, lm: LoadedModel):
    found = run(store, run_id, InspectRequest(), pool)[-1].payload
    assert json.loads(json.dumps(found)) == store.results(run_id, "inspect")[0].data
    assert found["groups"]["parameters"] == found["parameters"] == sum(p.numel() for p in lm.model.parameters())
    assert (found["bytes"], found["dtype"], found["device"]) == (4 * found["parameters"], "float32", "cpu")
    assert found["chat"] is True


def test_scores_are_those_of_the_engine(store: Store, run_id: str, pool: Pool, lm: LoadedModel):
    run(store, run_id, ScoreRequest(("wanda", "random"), {"reduction": "sum"}), pool)
    kept = store.scores(run_id)
    assert list(kept) == ["random (reduction sum)", "wanda (reduction sum)"]
    for criterion in ("wanda", "random"):
        expected = minillm.score(lm, criterion, calibration(lm), 2, reduction="sum", seed=3)
        scores = kept[f"{criterion} (reduction sum)"]
        for layer in range(4):
            np.testing.assert_array_equal(scores.heads[layer], expected.heads[layer])
            np.testing.assert_array_equal(scores.channels[layer], expected.channels[layer])
        assert (scores.recipe["text"], scores.recipe["label"]) == ("python-docs", f"{criterion} (reduction sum)")


def test_what_reads_weights_alone_is_scored_before_any_text_is_read(store: Store, run_id: str, pool: Pool):
    criteria = ("wanda", "magnitude-l1", "random")
    stages = [event.stage for event in run(store, run_id, ScoreRequest(criteria), pool)]
    first = {name: stages.index(f"score:{name}") for name in criteria}
    last = {name: len(stages) - stages[::-1].index(f"score:{name}") for name in criteria}
    read = stages.index("reading text")
    assert max(last["magnitude-l1"], last["random"]) <= read < first["wanda"]
    known = {name: scores.recipe["tokens"] for name, scores in store.scores(run_id).items()}
    assert known["magnitude-l1"] == known["random"] == "" != known["wanda"]
    assert {scores.recipe["samples"] for scores in store.scores(run_id).values()} == {6}


def test_no_text_is_read_where_none_is_needed(store: Store, pool: Pool, model: str):
    made = store.create_run(RunRecipe(model=model, device="cpu", text="file:/nowhere.txt"))
    stages = {event.stage for event in run(store, made, ScoreRequest(("magnitude-l2",)), pool)}
    assert "reading text" not in stages and store.score_labels(made) == ["magnitude-l2"]
    with pytest.raises(BadInput, match="nowhere"):
        run(store, made, ScoreRequest(("random", "wanda")), pool)
    assert store.score_labels(made) == ["magnitude-l2", "random"], "they do not wait for a text that cannot be read"


@pytest.mark.parametrize("criterion", ["wanda", "llm-pruner"])
def test_a_picture_can_be_drawn_while_blocks_are_scored(store: Store, run_id: str, pool: Pool, criterion: str):
    events = run(store, run_id, ScoreRequest((criterion,)), pool)
    shown = [event.payload for event in events if event.stage == f"score:{criterion}" and event.payload]
    scores = store.scores(run_id)[criterion]
    assert sorted(block["layer"] for block in shown) == [0, 1, 2, 3]
    for block in shown:
        np.testing.assert_allclose(block["heads"], scores.heads[block["layer"]], rtol=1e-5)
        channels = np.sort(scores.channels[block["layer"]])
        np.testing.assert_allclose(block["channel_quantiles"][2], np.median(channels), rtol=1e-5)
        assert channels[0] <= block["channel_quantiles"][0] <= block["channel_quantiles"][4] <= channels[-1]


def test_a_mixture_of_experts_goes_all_the_way(store: Store, pool: Pool, tmp_path: Path):
    folder = tiny.saved(tmp_path / "mixture", tiny.some_experts(max_position_embeddings=512))
    recipe = {"samples": 6, "length": 16, "gradient_samples": 2, "seed": 3, "device": "cpu", "dtype": "float32"}
    made = store.create_run(RunRecipe(model=str(folder), text="python-docs", **recipe))
    events = run(store, made, ScoreRequest(("reap", "wanda")), pool)
    shown = {event.payload["layer"]: event.payload for event in events if event.stage == "score:reap" and event.payload}
    assert "heads" not in shown[0] and len(shown[0]["channel_quantiles"]) == 5 and shown[1] == {"layer": 1}
    run(store, made, PruneRequest("wanda", channels_from="reap", ratio=0.2, compensate="least-squares"), pool)
    run(store, made, PruneRequest("reap", ratio=0.2), pool)
    short = {"steps": 2, "batch": 2, "held_out": 2, "length": 16, "evaluate_every": 1}
    run(store, made, RecoverRequest("pruned-2", **short), pool)
    run(
        store,
        made,
        EvaluateRequest(("original", "pruned-1", "recovered-1"), text="python-docs", tokens=256, length=32),
        pool,
    )
    run(store, made, GenerateRequest(("A block",), ("pruned-2", "recovered-1"), max_new_tokens=4), pool)
    for name in ("pruned-1", "pruned-2", "recovered-1"):
        lm = brought_back(store, made, name)
        assert 3 <= lm.groups.experts < 8 and lm.groups.blocks[1].ffn == "channels"
        assert same(lm, finish(pool.variant_events(store, made, name)))


def test_a_criterion_that_fails_does_not_take_the_others_with_it(
    store: Store, run_id: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    engine, criteria = workbench.score_together_events, ("random", "wanda", "magnitude-l1")

    def failing(lm: LoadedModel, criteria: list[str], *given: object, **settings: object) -> Events:
        if "wanda" in criteria:
            raise NumericalFault("The scores are not finite.")
        yield from engine(lm, criteria, *given, **settings)

    monkeypatch.setattr(workbench, "score_together_events", failing)
    with pytest.raises(NumericalFault, match="^random, magnitude-l1, wanda: The scores are not finite.$"):
        run(store, run_id, ScoreRequest(criteria, together=True), pool)
    assert store.score_labels(run_id) == []
    with pytest.raises(NumericalFault, match="^wanda: The scores are not finite.$"):
        run(store, run_id, ScoreRequest(criteria), pool)
    assert store.score_labels(run_id) == ["magnitude-l1", "random"]


def test_on_one_walk_scores_are_those_of_each_alone_and_say_who_was_beside(store: Store, run_id: str, pool: Pool):
    criteria = ("wanda", "fms-bp", "fms-zo")
    run(store, run_id, ScoreRequest(criteria), pool)
    apart = store.scores(run_id)
    run(store, run_id, ScoreRequest(criteria, together=True), pool)
    for label, scores in store.scores(run_id).items():
        assert scores.recipe["together_with"] == [one for one in criteria if one != label]
        assert "together_with" not in apart[label].recipe
        for mine, alone in zip(scores.channels, apart[label].channels, strict=True):
            np.testing.assert_array_equal(mine, alone)


def test_scoring_that_will_not_fit_is_refused_before_it_starts(
    store: Store, run_id: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(workbench, "free_memory", lambda device: 1000)
    events = execute_events(store, run_id, ScoreRequest(("magnitude-l1", "fms-bp")), pool)
    with pytest.raises(DoesNotFit, match="Scoring by magnitude-l1 would need .*, but 0 MB are free; "):
        assert [event.stage for event in events if event.stage.startswith("score")] == []
    assert store.score_labels(run_id) == []


def test_what_fits_alone_but_not_together_is_refused_together(
    store: Store, run_id: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    lm, recipe = finish(pool.variant_events(store, run_id, "original")), store.run(run_id).recipe
    sizes = (recipe.samples, recipe.length, recipe.gradient_samples, lm.dtype.itemsize)
    needs = [forecast(lm.groups, find(name), *sizes).above for name in ("wanda", "fms-bp")]
    monkeypatch.setattr(workbench, "free_memory", lambda device: max(needs))
    run(store, run_id, ScoreRequest(("wanda", "fms-bp")), pool)
    with pytest.raises(DoesNotFit, match="Scoring by fms-bp would need"):
        run(store, run_id, ScoreRequest(("wanda", "fms-bp"), together=True), pool)


def test_a_job_closed_in_its_midst_keeps_what_was_whole_and_changes_no_weight(store: Store, run_id: str, pool: Pool):
    original = finish(pool.variant_events(store, run_id, "original"))
    before = {name: tensor.clone() for name, tensor in original.model.state_dict().items()}
    events = execute_events(store, run_id, ScoreRequest(("wanda", "fms-zo")), pool)
    for event in events:
        if event.stage == "score:fms-zo" and event.done == 2:
            events.close()
    assert store.score_labels(run_id) == ["wanda"]
    assert all(torch.equal(before[name], tensor) for name, tensor in original.model.state_dict().items())


def test_pruning_cuts_what_the_plan_says_and_measures_both(store: Store, run_id: str, pool: Pool, lm: LoadedModel):
    run(store, run_id, ScoreRequest(("wanda",)), pool)
    request = PruneRequest("wanda", channels_from="magnitude-l1", ratio=0.15, layers=(1, 2), **MEASURED)
    found = run(store, run_id, request, pool)[-1].payload
    scores = store.scores(run_id)
    assert list(scores) == ["magnitude-l1", "wanda"]  # what was missing was scored first
    plan = minillm.make_plan(scores["wanda"], 0.15, [1, 2], channels_from=scores["magnitude-l1"])
    small = minillm.prune(lm, plan)
    assert same(brought_back(store, run_id, "pruned-1"), small)
    assert store.plan(run_id, "pruned-1").to_json() == plan.to_json()
    assert not store.weights_folder(run_id, "pruned-1").exists()
    assert (found["variant"], found["parameters"], found["ratio"]) == ("pruned-1", small.parameters, plan.ratio)
    assert found["perplexity_before"] == minillm.perplexity(lm, "python-docs", 32, 256)
    assert found["perplexity"] == minillm.perplexity(small, "python-docs", 32, 256)
    kept = {r.data["variant"]: r.data["value"] for r in store.results(run_id, "perplexity")}
    assert kept == {"original": found["perplexity_before"], "pruned-1": found["perplexity"]}


def test_what_was_measured_in_the_same_way_is_not_measured_again(store: Store, run_id: str, pool: Pool):
    run(store, run_id, PruneRequest("random", **MEASURED), pool)
    run(store, run_id, PruneRequest("random", ratio=0.1, **MEASURED), pool)
    run(store, run_id, EvaluateRequest(("original", "pruned-2"), length=32, tokens=256), pool)
    measured = [result.data["variant"] for result in store.results(run_id, "perplexity")]
    assert measured == ["original", "pruned-1", "pruned-2"]
    run(store, run_id, EvaluateRequest(("original",), length=32, tokens=128), pool)
    assert len(store.results(run_id, "perplexity")) == 4


def test_pruning_without_a_text_to_evaluate_measures_nothing(store: Store, run_id: str, pool: Pool):
    found = run(store, run_id, PruneRequest("random", evaluate_text=""), pool)[-1].payload
    assert "perplexity" not in found
    assert store.results(run_id) == []


@pytest.mark.parametrize("compensate", ["bias", "least-squares"])
def test_a_compensated_variant_comes_back_bit_for_bit(
    store: Store, run_id: str, pool: Pool, lm: LoadedModel, compensate: str
):
    run(store, run_id, PruneRequest("wanda", compensate=compensate, evaluate_text=""), pool)
    small = minillm.prune(lm, store.plan(run_id, "pruned-1"), compensate, calibration(lm))
    again = brought_back(store, run_id, "pruned-1")
    assert same(again, small)
    ids = tiny.tokens()
    assert torch.equal(again.model(ids).logits, small.model(ids).logits)


@pytest.mark.parametrize("criterion", ["wanda", "sparsegpt", "fms-bp"])
def test_a_sparse_variant_comes_back_bit_for_bit(
    store: Store, run_id: str, pool: Pool, lm: LoadedModel, criterion: str
):
    found = run(store, run_id, SparsifyRequest(criterion, "4:8", **MEASURED), pool)[-1].payload
    assert (found["variant"], found["sparsity"], set(found["patterns"])) == ("sparse-1", 0.5, {"4:8"})
    assert found["nonzero"] < found["parameters"] == lm.parameters
    assert found["perplexity"] != found["perplexity_before"]
    wanted = minillm.sparsify(lm, criterion, "4:8", calibration(lm), 2, seed=3)
    assert same(brought_back(store, run_id, "sparse-1"), wanted)
    assert brought_back(store, run_id, "sparse-1").patterns == wanted.patterns
    run(store, run_id, GenerateRequest(("A",), ("original", "sparse-1"), max_new_tokens=3), pool)


def test_mixed_patterns_are_searched_for_under_the_budget(store: Store, run_id: str, pool: Pool):
    asked = {"allocation": "evolutionary", "sparsity": 0.75, "generations": 2, "evaluate_text": ""}
    events = run(store, run_id, SparsifyRequest("magnitude-l1", **asked), pool)
    assert [event.done for event in events if event.stage == "allocate:search"] == [0, 1, 2]
    assert events[-1].payload["sparsity"] == 0.75
    assert store.variant(run_id, "sparse-1").details["patterns"] == events[-1].payload["patterns"]
    run(store, run_id, SparsifyRequest("wanda", **asked | {"allocation": "sensitivity"}), pool)
    assert store.variant(run_id, "sparse-2").details["sparsity"] == 0.75


def test_a_pattern_that_does_not_fit_is_refused_before_the_text_is_read(store: Store, run_id: str, pool: Pool):
    seen: list[Event] = []
    with pytest.raises(BadInput, match="groups of 5 do not divide"):
        for event in execute_events(store, run_id, SparsifyRequest("wanda", "2:5"), pool):
            seen.append(event)
    assert {event.stage for event in seen} <= {"load", JOB}


def test_recovery_keeps_a_variant_and_its_curve(store: Store, run_id: str, pool: Pool):
    run(store, run_id, PruneRequest("wanda", evaluate_text=""), pool)
    request = RecoverRequest("pruned-1", steps=4, batch=2, length=16, evaluate_every=2, learning_rate=1e-3)
    events = run(store, run_id, request, pool)
    found = events[-1].payload
    steps = [event.payload["step"] for event in events if event.stage == "recover" and event.payload]
    assert steps == [0, 1, 2, 3, 4]
    (curve,) = store.results(run_id, "curve")
    assert [point["step"] for point in curve.data["points"]] == steps
    measured = {point["step"]: point["perplexity"] for point in curve.data["points"] if "perplexity" in point}
    assert list(measured) == [0, 2, 4]
    assert found["best_step"] == min(measured, key=lambda step: measured[step])
    assert (found["variant"], found["stopped"]) == ("recovered-1", False)
    variant = store.variant(run_id, "recovered-1")
    assert (variant.parent, variant.kind) == ("pruned-1", "recovered")
    recovered = finish(pool.variant_events(store, run_id, "recovered-1"))
    assert same(brought_back(store, run_id, "recovered-1"), recovered)
    run(store, run_id, EvaluateRequest(("recovered-1",), length=32, tokens=64), pool)


def test_a_sparse_variant_is_recovered_and_keeps_its_zeros(store: Store, run_id: str, pool: Pool):
    run(store, run_id, SparsifyRequest("wanda", "2:4", evaluate_text=""), pool)
    how = {"steps": 2, "batch": 2, "length": 16, "evaluate_every": 1, "trains": "spp", "drawn": "ist"}
    found = run(store, run_id, RecoverRequest("sparse-1", **how), pool)[-1].payload
    recovered = brought_back(store, run_id, found["variant"])
    assert [str(pattern) for pattern in recovered.patterns] == ["2:4"] * 4
    with pytest.raises(BadInput, match="would fill the N:M zeros"):
        run(store, run_id, RecoverRequest(found["variant"], **how | {"trains": "lora", "drawn": "all"}), pool)


def test_a_recovery_told_to_stop_keeps_its_best_so_far(store: Store, run_id: str, pool: Pool):
    run(store, run_id, PruneRequest("wanda", evaluate_text=""), pool)
    asked = iter([False] * 3 + [True] * 100)
    request = RecoverRequest("pruned-1", steps=50, batch=2, length=16, evaluate_every=1)
    found = run(store, run_id, request, pool, stop=lambda: next(asked))[-1].payload
    assert (found["variant"], found["stopped"], found["steps"]) == ("recovered-1", True, 3)
    assert store.variant(run_id, "recovered-1").details["stopped"] is True


def test_a_recovery_stopped_before_its_first_step_leaves_nothing(store: Store, run_id: str, pool: Pool):
    run(store, run_id, PruneRequest("wanda", evaluate_text=""), pool)
    request = RecoverRequest("pruned-1", steps=50, batch=2, length=16)
    found = run(store, run_id, request, pool, stop=lambda: True)[-1].payload
    assert (found["variant"], found["stopped"], found["steps"]) == ("", True, 0)
    assert [variant.name for variant in store.variants(run_id)] == ["original", "pruned-1"]
    assert store.results(run_id, "curve") == []


@pytest.mark.parametrize("budget", [ROOMY, 0], ids=["side by side", "in turn"])
def test_variants_write_what_they_write_alone(store: Store, run_id: str, lm: LoadedModel, budget: int):
    pool = Pool(budget)
    run(store, run_id, PruneRequest("wanda", evaluate_text=""), pool)
    prompts = ("The walk reads", "A group is")
    request = GenerateRequest(prompts, ("original", "pruned-1"), max_new_tokens=5, temperature=0.8, seed=2, chat=False)
    events = run(store, run_id, request, pool)
    small = minillm.prune(lm, store.plan(run_id, "pruned-1"))
    kept = {(r.data["variant"], r.data["number"]): r.data for r in store.results(run_id, "generation")}
    assert len(kept) == 4
    for (name, number), data in kept.items():
        alone = minillm.generate(lm if name == "original" else small, prompts[number], 5, 0.8, 1.0, 2, False)
        assert (data["text"], data["tokens"], data["prompt"]) == (alone.text, alone.tokens, prompts[number])
        assert data["prompt_perplexity"] == pytest.approx(alone.prompt_perplexity)
        shown = [event.payload for event in events if event.stage == f"generate:{name}:{number}"]
        assert len(shown) == alone.tokens
        assert all(part["variant"] == name and part["prompt"] == number for part in shown)
        assert alone.text.startswith(shown[-1]["text"])


@pytest.mark.parametrize("budget", [ROOMY, 0], ids=["side by side", "in turn"])
def test_the_original_reads_what_was_written(store: Store, run_id: str, lm: LoadedModel, budget: int):
    pool, prompts = Pool(budget), ("The walk reads", "A group is")
    run(store, run_id, PruneRequest("wanda", evaluate_text=""), pool)
    run(store, run_id, GenerateRequest(prompts, ("pruned-1",), max_new_tokens=5, chat=False), pool)
    small = minillm.prune(lm, store.plan(run_id, "pruned-1"))
    kept = {r.data["number"]: r.data for r in store.results(run_id, "surprise")}
    assert sorted(kept) == [0, 1]
    for number, prompt in enumerate(prompts):
        alone = minillm.generate(small, prompt, 5, chat=False)
        assert kept[number]["variant"] == "pruned-1" and kept[number]["pieces"] == list(alone.pieces)
        assert kept[number]["log_probs"] == pytest.approx(log_probabilities(lm, alone), abs=1e-3)


def test_variants_of_other_runs_answer_too_each_with_its_own_tokenizer(store: Store, run_id: str, tmp_path: Path):
    recipe = store.run(run_id).recipe
    near = store.create_run(RunRecipe(recipe.model, "float32", "cpu", samples=6, length=16, gradient_samples=2))
    run(store, near, PruneRequest("random", evaluate_text=""), Pool(ROOMY))
    folder = tiny.saved(tmp_path / "far", tiny.llama(seed=5), tiny.other_tokenizer())
    far = store.create_run(RunRecipe(str(folder), "float32", "cpu"))
    asked = ("original", f"{near}/pruned-1", f"{far}/original")
    run(store, run_id, GenerateRequest(("The walk reads",), asked, max_new_tokens=5), Pool(ROOMY))
    texts = {r.data["variant"]: r.data["text"] for r in store.results(run_id, "generation")}
    assert list(texts) == list(asked)
    alone = minillm.generate(minillm.load_model(folder, device="cpu"), "The walk reads", 5)
    assert texts[f"{far}/original"] == alone.text
    assert [r.data["variant"] for r in store.results(run_id, "surprise")] == list(asked[:2]), (
        "ids mean other words there"
    )


def test_a_confined_pool_reads_no_model_outside_its_home(store: Store, run_id: str):
    with pytest.raises(BadInput, match="may not be read while the app can be reached from other machines"):
        finish(Pool(ROOMY, confined=True).variant_events(store, run_id, "original"))


def test_a_confined_pool_reads_no_text_outside_its_home(store: Store, run_id: str, model: str, tmp_path: Path):
    inside = store.folder / "models" / "tiny"
    tiny.saved(inside)
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret " * 500)
    request = EvaluateRequest(("original",), f"file:{secret}", length=16, tokens=64)
    other = store.create_run(RunRecipe(str(inside), "float32", "cpu"))
    with pytest.raises(BadInput, match="may not be read"):
        run(store, other, request, Pool(ROOMY, confined=True))
    assert run(store, other, request, Pool(ROOMY))[-1].payload["perplexity"]["original"] > 1


def test_the_pool_loads_once_and_drops_the_oldest(store: Store, run_id: str, lm: LoadedModel):
    run(store, run_id, PruneRequest("random", evaluate_text=""), Pool(ROOMY))
    roomy, tight = Pool(ROOMY), Pool(size(lm) + 1)
    for pool, kept in ((roomy, True), (tight, False)):
        first = finish(pool.variant_events(store, run_id, "original"))
        assert finish(pool.variant_events(store, run_id, "original")) is first
        finish(pool.variant_events(store, run_id, "pruned-1"))
        assert (finish(pool.variant_events(store, run_id, "original")) is first) == kept
    roomy.clear()
    assert same(finish(roomy.variant_events(store, run_id, "original")), lm)


def test_steps_share_out_the_whole_by_their_costs():
    steps = Steps({"load": LOADING, "score": 3 * LOADING})
    events = [
        *_taken(steps, "load", [Event("load", 0, 1)]),
        *_taken(steps, "score", [Event("s", i, 4) for i in (1, 2)]),
    ]
    assert [event.done for event in events if event.stage == JOB] == [0, 250, 437, 625, 1000]


def test_a_step_of_stages_side_by_side_is_as_far_as_they_are_on_average():
    inner = [Event("a", 1, 2), Event("a", 2, 2), Event("b", 1, 2), Event("b", 2, 2)]
    events = _taken(Steps({"both": LOADING}), "both", inner, at_once=2)
    assert [event.done for event in events if event.stage == JOB] == [250, 500, 750, 1000]


def test_a_stage_that_is_through_does_not_pass_for_a_step_with_others_to_come():
    inner = [Event("sensitivity:fisher", 2, 2), Event("allocate:candidates", 4, 4), Event("allocate:search", 1, 2)]
    steps = Steps({"allocate": 400.0})
    events = _taken(steps, "allocate", inner, stages={"fisher": 100.0, "search": 300.0})
    assert [event.done for event in events if event.stage == JOB] == [250, 625, 1000]


def test_a_step_that_had_nothing_to_do_leaves_the_sum():
    steps = Steps({"load": LOADING, "score": LOADING})
    events = [*_taken(steps, "load", []), *_taken(steps, "score", [Event("s", 1, 2)])]
    assert [event.done for event in events if event.stage == JOB] == [0, 500, 1000]


def _taken(steps: Steps, name: str, inner: list[Event], at_once: int = 1, **more: Any) -> list[Event]:
    def events() -> Events:
        yield from inner
        yield Event(RESULT, 1, 1, None)

    return list(steps.take(name, events(), at_once, **more))
