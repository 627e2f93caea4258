"""The Prune page's pure part: what may be chosen, the preview, the requests, the table of variants, learning curves."""

import dataclasses
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_scores import scores, shape, smollm2

from minillm.criteria import judging
from minillm.errors import BadInput, UnreachableRatio
from minillm.events import Event
from minillm.families import groups_from_config
from minillm.families.groups import CHANNELS
from minillm.jobs.submit import submit
from minillm.models.configs import config_from_dict
from minillm.plan.plan import make_plan
from minillm.recipes.presets import RECOVERIES, RecoverySettings, find_recovery, preset_and
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest, RecoverRequest, SparsifyRequest, scoring_of
from minillm.store.records import Variant
from minillm.store.store import Store
from minillm.sweeps import Sweep
from pages.prune import begin_evaluate, begin_prune, begin_recover, recovery_of
from pages.prune.form import TRAINED
from pages.prune.zeros import begin_sparsify
from pages.views import cut, variants
from pages.views.cut import Cut
from pages.views.variants import (
    curve,
    curve_in_words,
    curve_points,
    dtype_of,
    groups_of,
    recovery_in_words,
    variants_table,
)

SHARED = {"num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 64}
SHARED |= {"intermediate_size": 96, "vocab_size": 100}


@pytest.fixture
def run_id(store: Store) -> str:
    """A run with two criteria scored."""
    made = store.create_run(RunRecipe(dtype="bfloat16"), "Two criteria")
    for seed, name in enumerate(("wanda", "llm-pruner")):
        store.save_scores(made, scores(shape(), name, seed), name)
    return made


def test_scored_criteria_come_first_and_the_others_say_that_they_are_scored_first(store: Store, run_id: str) -> None:
    choices = cut.criteria_choices(store, run_id)
    assert choices[:2] == [("wanda", "wanda"), ("llm-pruner", "llm-pruner")]
    assert {label for _, label in choices} == set(judging(CHANNELS))
    assert all("scored first" in shown for shown, label in choices[2:])


@pytest.mark.parametrize(("asked", "scored", "chosen"), [
    ("llm-pruner", ("wanda", "llm-pruner"), "llm-pruner"),
    ("nonsense", ("wanda", "llm-pruner"), "wanda"),
    (None, ("wanda", "fms-zo"), "fms-zo"),
    ("magnitude-l1", ("wanda",), "magnitude-l1"),
    (None, (), "fms-zo"),
])  # fmt: skip
def test_the_first_choice(store: Store, asked: str | None, scored: tuple[str, ...], chosen: str) -> None:
    made = store.create_run(RunRecipe())
    for name in scored:
        store.save_scores(made, scores(shape(), name), name)
    assert cut.first_choice(store, made, asked) == chosen


def test_the_plan_takes_heads_from_one_criterion_and_channels_from_another(store: Store, run_id: str) -> None:
    plan = cut.plan_of(store, run_id, Cut("wanda", "llm-pruner", 0.3, "1-4"))
    known = store.scores(run_id)
    expected = make_plan(known["wanda"], 0.3, [1, 2, 3, 4], channels_from=known["llm-pruner"])
    for layer in range(6):
        assert (plan.kept_heads[layer] == expected.kept_heads[layer]).all()
        assert (plan.kept_channels[layer] == expected.kept_channels[layer]).all()


def test_a_criterion_without_scores_has_a_plan_of_the_same_size(store: Store, run_id: str) -> None:
    with_scores, without = (cut.plan_of(store, run_id, Cut(name, "", 0.3, "")) for name in ("wanda", "random"))
    assert without.removed == with_scores.removed
    assert without.table().equals(with_scores.table())


def test_the_preview_is_a_sentence_costs_a_figure_and_a_table(store: Store, run_id: str) -> None:
    sentence, costs, figure, table = cut.preview(store, run_id, Cut("wanda", "", 0.2, ""))
    assert "19.96 % of all parameters" in sentence and "at most" in sentence
    assert "weights in bfloat16" in costs
    assert len(figure.data) == 2 and table.count('scope="row"') == 6


def test_what_cannot_be_planned_is_said(store: Store, run_id: str) -> None:
    with pytest.raises(UnreachableRatio):
        cut.preview(store, run_id, Cut("wanda", "", 0.9, ""))
    with pytest.raises(BadInput, match="blocks 0 to 5"):
        cut.preview(store, run_id, Cut("wanda", "", 0.2, "5-9"))
    empty = store.create_run(RunRecipe())
    with pytest.raises(BadInput, match="Model page"):
        cut.preview(store, empty, Cut("wanda", "", 0.2, ""))


def test_the_model_is_known_from_its_inspection_too(store: Store) -> None:
    made = store.create_run(RunRecipe(dtype="float16"))
    assert groups_of(store, made) is None and dtype_of(store, made) == "float16"
    store.add_result(made, "inspect", {"groups": smollm2().to_json(), "dtype": "float32"})
    assert groups_of(store, made) == smollm2() and dtype_of(store, made) == "float32"
    assert "134.5 M" in cut.preview(store, made, Cut("wanda", "", 0.2, ""))[1]


def test_pruning_puts_the_request_in_line_and_refuses_the_first_wrong_field(store: Store, run_id: str) -> None:
    given = {"criterion": "wanda", "channels_from": "", "ratio": 0.2, "blocks": "1-4", "allocation": "uniform"}
    given["compensate"] = "bias"
    text = {"evaluate_text": "python-docs", "evaluate_tokens": None, "evaluate_length": 64.0}
    job = store.job(begin_prune(store, run_id, **given, **text))
    assert job.request == PruneRequest(
        "wanda", ratio=0.2, layers=(1, 2, 3, 4), compensate="bias", evaluate_tokens=None, evaluate_length=64
    )
    for wrong, said in (
        ({"blocks": "9"}, "blocks 0 to 5"),
        ({"ratio": 0.95}, "the largest ratio"),
        ({"compensate": "magic"}, "compensate"),
        ({"criterion": "wandb"}, "wanda"),
        ({"evaluate_length": 1}, "Evaluate length"),
        ({"evaluate_length": None}, "Evaluate length"),
        ({"evaluate_tokens": 1.5}, "Evaluate tokens"),
    ):
        with pytest.raises(BadInput, match=said):
            begin_prune(store, run_id, **{**given, **text, **wrong})
    assert len(store.jobs(run_id)) == 1


@pytest.mark.parametrize("name", RECOVERIES)
def test_every_face_recovers_by_a_preset_in_the_same_way(name: str, store: Store, run_id: str) -> None:
    way = find_recovery(name)
    pruned(store, run_id)
    page = store.job(begin_recover(store, run_id, "pruned-1", *recovery_of(name))).request
    (in_sweep,) = Sweep("t", ("m",), ("wanda",), (0.2,), recoveries=({"preset": name},)).recoveries
    command = RecoverySettings.from_json({**preset_and({"preset": name}), "loss": way.training.loss})
    assert page.training == command == RecoverRequest.from_json({**in_sweep, "variant": "any"}).training == way.training
    assert page.text == way.text


def test_the_papers_recovery_is_the_papers() -> None:
    paper = RECOVERIES["paper"].training
    assert (paper.loss, paper.batch, paper.steps, paper.rank, paper.alpha) == ("language-model", 64, 1560, 8, 16)
    assert (paper.learning_rate, paper.warmup, paper.accumulate) == (1e-4, 100, 8)


def test_every_setting_of_a_recovery_has_a_control() -> None:
    assert {one.name for one in dataclasses.fields(RecoverRequest)} - {"variant"} == set(TRAINED)


def pruned(store: Store, run_id: str, **details) -> Variant:
    plan = make_plan(store.scores(run_id)["wanda"], 0.2)
    request = PruneRequest("wanda", ratio=0.2, channels_from="llm-pruner", compensate="least-squares").to_json()
    found = {"parameters": plan.parameters, "ratio": plan.ratio, **details}
    return store.add_variant(
        run_id, Variant(store.free_name(run_id, "pruned"), "pruned", "original", request, found), plan
    )


def measure(store: Store, run_id: str, variant: str, value: float, tokens: int = 2048) -> None:
    way = {"text": "python-docs", "length": 128, "tokens": tokens, "dtype": "bfloat16"}
    store.add_result(run_id, "perplexity", {"variant": variant, "value": value, **way})


def test_the_table_of_variants_has_a_column_for_each_way_of_measuring(store: Store, run_id: str) -> None:
    pruned(store, run_id)
    request = RecoverRequest("pruned-1", steps=40).to_json()
    details = {"parameters": 1000, "best_step": 10, "stopped": True, "held_out_perplexity": 61.25}
    store.add_variant(run_id, Variant("recovered-1", "recovered", "pruned-1", request, details))
    for name, value, tokens in (("original", 26.7, 2048), ("pruned-1", 52.8, 2048), ("original", 27.1, 1024)):
        measure(store, run_id, name, value, tokens)
    table = variants_table(store, run_id)
    assert "perplexity, python-docs, window 128, 2,048 tokens, bfloat16" in table
    assert "1,024 tokens" in table
    rows = {row.split("</th>")[0].split(">")[-1]: row for row in table.split("<tr>")[2:]}
    assert list(rows) == ["original", "pruned-1", "recovered-1"]
    assert "26.70" in rows["original"] and "27.10" in rows["original"]
    assert "52.80" in rows["pruned-1"] and "<td>–</td>" in rows["pruned-1"]
    assert (
        "heads by wanda, channels by llm-pruner, ratio 0.2" in rows["pruned-1"] and "least squares" in rows["pruned-1"]
    )
    assert "best at step 10 of 40, stopped early; held out 61.25" in rows["recovered-1"]


def test_zeros_are_put_in_line_or_refused_and_shown_as_what_they_are(store: Store, run_id: str) -> None:
    given = {"criterion": "sparsegpt", "pattern": " 2:4 ", "allocation": "uniform", "sparsity": 0.5}
    text = {"evaluate_text": "", "evaluate_tokens": None, "evaluate_length": 64.0}
    job = store.job(begin_sparsify(store, run_id, **given, **text))
    assert job.request == SparsifyRequest(
        "sparsegpt", "2:4", evaluate_text="", evaluate_tokens=None, evaluate_length=64
    )
    for wrong, said in (
        ({"pattern": "5:4"}, "“5:4” is no pattern"),
        ({"pattern": None}, "Pattern is “”; give some text"),
        ({"criterion": "fms-zo"}, "Did you mean fms-bp"),
        ({"sparsity": 0.9}, "Sparsity is 0.9; give a number from 0 to 0.875"),
    ):
        with pytest.raises(BadInput, match=said):
            begin_sparsify(store, run_id, **{**given, **text, **wrong})
    found = {"parameters": 1000, "sparsity": 0.75, "patterns": ["1:8", "3:8"] * 3}
    request = SparsifyRequest("wanda", allocation="evolutionary", sparsity=0.75).to_json()
    store.add_variant(run_id, Variant("sparse-1", "sparse", "original", request, found))
    shown = "3 × 1:8, 3 × 3:8 by wanda, mixed (evolutionary); 75.0% of the weights in blocks are zeros, none is gone"
    assert shown in variants_table(store, run_id)
    with pytest.raises(BadInput, match="Training lora would fill the N:M zeros of this model; train spp or sparse"):
        submit(store, run_id, RecoverRequest("sparse-1"))
    store.add_variant(run_id, Variant("recovered-1", "recovered", "sparse-1", RecoverRequest("sparse-1").to_json()))
    with pytest.raises(BadInput, match="Training blocks would fill"):
        submit(store, run_id, RecoverRequest("recovered-1", trains="blocks"))
    assert store.job(submit(store, run_id, RecoverRequest("sparse-1", trains="spp"))).request.trains == "spp"


def test_recovery_and_measuring_are_put_in_line_or_refused(store: Store, run_id: str) -> None:
    given = {
        "variant": "",
        "loss": "distill",
        "text": "python-docs",
        "steps": 40.0,
        "batch": 2,
        "length": 32,
        "learning_rate": 1e-3,
    }
    more = {"rank": 8, "alpha": 16, "evaluate_every": 5, "seed": 0}
    with pytest.raises(BadInput, match="prune the model first"):
        begin_recover(store, run_id, **given, **more)
    with pytest.raises(BadInput, match="nothing to recover from"):
        begin_recover(store, run_id, **{**given, "variant": "original"}, **more)
    pruned(store, run_id)
    given["variant"] = "pruned-1"
    for field, value in (("steps", 0), ("rank", None), ("learning_rate", "a lot"), ("loss", "guess"), ("seed", -1)):
        with pytest.raises(BadInput, match=field.replace("_", " ").capitalize() if field != "loss" else "loss"):
            begin_recover(store, run_id, **{**given, **more, field: value})
    assert store.job(begin_recover(store, run_id, **given, **more)).request.steps == 40
    with pytest.raises(BadInput, match="No evaluation text"):
        begin_evaluate(store, run_id, "", 128, 64)
    store.weights_folder(run_id, "pruned-1").mkdir(parents=True)
    store.add_variant(run_id, Variant("recovered-1", "recovered", "pruned-1"))  # its weights lie elsewhere
    measuring = store.job(begin_evaluate(store, run_id, "python-docs", 128, 64)).request
    assert measuring.variants == ("original", "pruned-1") and (measuring.tokens, measuring.length) == (128, 64)


def test_a_warning_only_where_what_calibrates_also_evaluates(store: Store, run_id: str) -> None:
    assert "flatters" in cut.warning(store, run_id, "python-docs")
    assert cut.warning(store, run_id, "wikitext2") == ""
    assert cut.warning(store, run_id, "no such text") == ""
    assert cut.warning(store, run_id, None) == ""


def test_the_curve_is_the_live_jobs_and_afterwards_the_kept_one(store: Store, run_id: str) -> None:
    assert curve_points(store, run_id, None) == [] and curve([], None) is None
    pruned(store, run_id)
    number = store.add_job(run_id, RecoverRequest("pruned-1", steps=40))
    store.claim_next("auto/1")
    for step, found in enumerate(({"perplexity": 80.0}, {"loss": 0.5}, {"loss": 0.4, "perplexity": 70.0})):
        store.append_event(number, Event("recover", step, 40, {"step": step, **found}))
    live = curve_points(store, run_id, store.job(number))
    assert [point["step"] for point in live] == [0, 1, 2]
    assert curve(live, store.job(number)).layout.xaxis.range[1] > 40
    store.finish_job(number, "done")
    assert curve_points(store, run_id, store.job(number)) == []
    store.add_result(run_id, "curve", {"variant": "recovered-1", "points": live})
    assert curve_points(store, run_id, store.job(number)) == live


@pytest.mark.parametrize(("seen", "live", "said"), [
    ([], True, ""),
    ([80.0], True, "80.00 before training."),
    ([80.0, 70.0, 75.0], True, "80.00 before training, best so far 70.00 at step 5."),
    ([80.0, 70.0], False, "80.00 before training, 70.00 at step 5, which is kept."),
    ([80.0, 90.0], True, "no step has been better so far."),
    ([80.0, 90.0], False, "no step has been better, so nothing was changed."),
])  # fmt: skip
def test_the_curve_is_read_aloud(seen: list[float], live: bool, said: str) -> None:
    points = [{"step": 5 * i, "perplexity": value} for i, value in enumerate(seen)] + [{"step": 1, "loss": 0.5}]
    assert curve_in_words(points, live).endswith(said)


def test_the_rows_of_a_job_name_its_steps_in_words(store: Store, run_id: str) -> None:
    number = store.add_job(run_id, PruneRequest("random"))
    store.claim_next("auto/1")
    for stage in ("load", "score:random", "cut", "perplexity:original", "result"):
        store.append_event(number, Event(stage, 1, 1))
    html = cut.rows(store.job(number), store.events(number))
    assert "load the model" in html and "score under random" in html and "perplexity of original" in html
    assert "result" not in html
    assert "load the model" in cut.rows(store.job(number), []), "a running job is never without a word"


def test_a_long_curve_is_thinned_and_keeps_every_measurement(store: Store, run_id: str) -> None:
    points = [{"step": i, "loss": 1.0, **({"perplexity": 9.0} if i % 100 == 7 else {})} for i in range(9000)]
    store.add_result(run_id, "curve", {"variant": "recovered-1", "points": points})
    shown = curve_points(store, run_id, None)
    assert len(shown) < 2500
    assert sum("perplexity" in point for point in shown) == 90


def test_a_text_is_named_in_the_head_of_a_table_as_it_is_called_beside_the_others() -> None:
    way = variants.Way("file:/far/away/wikitext2/test.txt", 128, 16_000, "bfloat16")
    assert way.called("wikitext2/test").startswith("perplexity, wikitext2/test, window 128, 16,000")


def test_query_slots_are_offered_where_heads_share_keys(store: Store) -> None:
    made = store.create_run(RunRecipe())
    groups = groups_from_config(config_from_dict({"model_type": "llama", **SHARED}))
    store.save_scores(made, scores(groups, "wanda"), "wanda")
    labels = [label for _, label in cut.criteria_choices(store, made)]
    assert "wanda (heads slots)" in labels and "fms-zo (heads slots)" in labels
    plan = cut.plan_of(store, made, Cut("wanda (heads slots)", "", 0.2, "0-3"))
    assert plan.groups.unit == "slots" and plan.groups.blocks[0].heads == 4
    job = store.job(begin_prune(store, made, "wanda (heads slots)", "", 0.2, "0-3", "uniform"))
    assert scoring_of(job.request.criterion) == ("wanda", {"heads": "slots"})


def test_what_stays_in_a_block_is_asked_and_previewed(store: Store, run_id: str) -> None:
    groups = shape()
    ratio = 1.5 * groups.blocks[0].parameters / groups.parameters
    with pytest.raises(UnreachableRatio):
        cut.preview(store, run_id, Cut("wanda", "", ratio, "1"))
    asked = {"ratio": 0.99 * groups.blocks[0].parameters / groups.parameters, "blocks": "1", "allocation": "uniform"}
    least = {"min_heads": 0, "min_channels": 0}
    said, _, _, table = cut.preview(store, run_id, Cut("wanda", "", *asked.values(), **least))
    assert "4 of 4" in table and "4 head groups" in said
    job = store.job(begin_prune(store, run_id, criterion="wanda", channels_from="", **asked, **least))
    assert (job.request.min_heads, job.request.min_channels) == (0, 0)


def test_what_a_recovery_will_take_is_said_before_it_starts(store: Store, run_id: str) -> None:
    """Weights in numbers that a plan leaves in the blocks, and 16 bytes more for each than adapters would take."""
    variant = pruned(store, run_id)
    asked = {"variant": variant.name, "text": "python-docs", "steps": 30}
    kept = store.plan(run_id, variant.name).after
    inside = sum(block.parameters for block in kept.blocks)
    told = recovery_in_words(store, run_id, RecoverRequest(**asked, trains="blocks"))
    assert f"30 updates of 8 rows of 128 tokens train {inside:,} numbers" in told
    fewer = recovery_in_words(store, run_id, RecoverRequest(**asked, trains="outputs"))
    assert fewer != told and f"{inside:,}" not in fewer
