"""Recipes and requests: what they refuse, how they say it, and that JSON gives back what went in."""

import json
from typing import Any

import pytest

from minillm.errors import BadInput, UnknownName
from minillm.recipes import requests
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import REQUESTS, PruneRequest, ScoreRequest, request_from_json

EXAMPLES = {
    "inspect": requests.InspectRequest(),
    "score": ScoreRequest(("wanda", "fms-zo"), {"directions": 4}),
    "allocate": requests.AllocateRequest("fms-bp", layers=(2, 3), method="sensitivity", sensitivity="masking", rows=4),
    "masks": requests.MasksRequest("fms-bp", {"steps": 7, "keep": 0.5}),
    "domains": requests.DomainsRequest("wanda", ("python-docs", "file:a.txt")),
    "prune": PruneRequest("wanda", channels_from="fms-zo", ratio=0.25, layers=(2, 3), compensate="bias"),
    "sparsify": requests.SparsifyRequest("sparsegpt", allocation="evolutionary", sparsity=0.75, generations=3),
    "recover": requests.RecoverRequest("pruned-1", loss="language-model", steps=7),
    "export": requests.ExportRequest("pruned-1", "gguf", "q8_0"),
    "generate": requests.GenerateRequest(("Once upon a time ",), ("original", "pruned-1"), temperature=0.7, chat=False),
    "fidelity": requests.FidelityRequest(("groups", "gaussian"), seeds=2, directions=(4, 1), gradient_samples=3),
    "filmstrip": requests.FilmstripRequest(("wanda", "fms-bp"), (0.0, 0.1), ("Once upon a time ",), max_new_tokens=4),
    "evaluate": requests.EvaluateRequest(("original",), "file:a.txt", tokens=None),
    "profile": requests.ProfileRequest(("original", "pruned-1"), prompt_tokens=32, repeats=3),
    "sweep": requests.SweepRequest({"title": "Two", "models": ["opt-tiny"], "criteria": ["wanda"], "ratios": [0.2]}),
}


def test_there_is_an_example_of_every_kind_of_request():
    assert EXAMPLES.keys() == REQUESTS.keys()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_request_survives_json(kind: str):
    written = json.dumps(EXAMPLES[kind].to_json())
    assert request_from_json(kind, json.loads(written)) == EXAMPLES[kind]


def test_a_recipe_survives_json():
    given = RunRecipe("owner/name", "float16", "cuda:1", "ptb", 64, 256, 5, 3)
    assert RunRecipe.from_json(json.loads(json.dumps(given.to_json()))) == given


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("samples", 0, "Samples is 0; give a whole number from 1"),
        ("samples", "many", "Samples is “many”; give a whole number"),
        ("samples", True, "Samples is True; give a whole number"),
        ("samples", float("nan"), "Samples is nan; give a whole number"),
        ("samples", float("inf"), "Samples is inf; give a whole number"),
        ("length", 1.5, "Length is 1.5; give a whole number from 2"),
        ("device", "gpu", "Device is “gpu”; give auto, cpu, cuda or cuda:N"),
        ("device", "cuda:x", "Device is “cuda:x”"),
        ("dtype", "float8", "Unknown dtype “float8”"),
        ("model", "  ", "Model is “  ”; give some text"),
        ("model", "a\0b", "Model is"),
        ("text", "x" * 501, "Text has 501 characters; give at most 500"),
        ("seed", -1, "Seed is -1"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(field: str, value: Any, said: str):
    with pytest.raises(BadInput) as caught:
        RunRecipe(**{field: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ScoreRequest(("wandaa",)), "Unknown criterion “wandaa”. Did you mean wanda"),
        (lambda: ScoreRequest(()), "Criteria has 0 entries"),
        (lambda: ScoreRequest("wanda"), "Criteria is “wanda”; give a list"),
        (lambda: ScoreRequest(("wanda",), {"direction": 2}), "Unknown setting “direction”. Did you mean directions"),
        (lambda: ScoreRequest(("wanda",), {"directions": 0}), "Directions is 0"),
        (lambda: requests.MasksRequest("wanda", {"masks": 1}), "Masks is 1; give a whole number from 2 to 64"),
        (lambda: requests.DomainsRequest("wanda", ("self",)), "Texts names self alone; give two or more"),
        (lambda: requests.DomainsRequest("random"), "Unknown criterion “random”"),
        (lambda: PruneRequest("wanda", ratio=1.5), "Ratio is 1.5; give a number from 0 to 0.99"),
        (lambda: PruneRequest("wanda", ratio=float("nan")), "Ratio is nan"),
        (lambda: PruneRequest("wanda", compensate="bia"), "Unknown compensate “bia”. Did you mean bias"),
        (lambda: PruneRequest("wanda", layers=(-1,)), "Layers is -1"),
        (lambda: requests.SparsifyRequest("wanda", "0:8"), "“0:8” is no pattern; give N:M"),
        (lambda: requests.SparsifyRequest("wandas"), "Unknown criterion “wandas”. Did you mean wanda"),
        (lambda: requests.SparsifyRequest("wanda", sparsity=1), "Sparsity is 1; give a number from 0 to 0.875"),
        (lambda: requests.RecoverRequest("pruned-1", learning_rate=2), "Learning rate is 2"),
        (lambda: requests.RecoverRequest("pruned-1", trains="spq"), "Unknown trains “spq”. Did you mean spp"),
        (lambda: requests.RecoverRequest("pruned-1", trains="blocks", drawn="ist"), "blocks trains the weights"),
        (lambda: requests.RecoverRequest("pruned-1", places="gradients"), "Did you mean gradient"),
        (lambda: requests.GenerateRequest(()), "Prompts has 0 entries"),
        (lambda: requests.GenerateRequest(("a",), chat="no"), "Chat is “no”; give true or false"),
        (lambda: requests.EvaluateRequest(tokens=1), "Tokens is 1"),
        (lambda: requests.EvaluateRequest(text="python-dogs"), "Unknown text “python-dogs”. Did you mean python-docs"),
        (lambda: RunRecipe(text="file:notes.pdf"), "notes.pdf is no text that is read here"),
        (lambda: PruneRequest("wanda", evaluate_text="hub:../up"), "is no data set name"),
    ],
)
def test_a_bad_request_is_refused_in_one_sentence(make: Any, said: str):
    with pytest.raises(BadInput) as caught:
        make()
    assert said in str(caught.value)


def test_an_unknown_field_names_the_near_one():
    with pytest.raises(UnknownName, match="Unknown field “sampels”. Did you mean samples"):
        RunRecipe.from_json({"sampels": 3})


def test_an_unknown_kind_of_job_names_the_near_one():
    with pytest.raises(UnknownName, match="Unknown kind of job “scor”. Did you mean score"):
        request_from_json("scor", {})


def test_a_missing_field_is_named():
    with pytest.raises(BadInput, match="'criterion'"):
        PruneRequest.from_json({})


def test_whole_floats_of_sliders_count_as_numbers():
    assert RunRecipe(samples=64.0).samples == 64
    assert isinstance(RunRecipe(samples=64.0).samples, int)


def test_gradients_never_see_more_samples_than_there_are():
    assert RunRecipe(samples=4).gradient_samples == 4


def test_prompts_keep_their_spaces_and_names_do_not():
    assert EXAMPLES["generate"].prompts == ("Once upon a time ",)
    assert RunRecipe(" smollm2-135m ").model == "smollm2-135m"


def test_repeated_criteria_are_scored_once():
    assert ScoreRequest(["wanda", "random", "wanda"]).criteria == ("wanda", "random")


def test_scores_with_other_settings_have_a_label_of_their_own():
    assert ScoreRequest(("zo",)).label("zo") == "zo"
    assert ScoreRequest(("zo",), {"directions": 1}).label("zo") == "zo"
    assert ScoreRequest(("zo",), {"noise": "rademacher", "directions": 4}).label("zo") == (
        "zo (directions 4, noise rademacher)"
    )


def test_settings_a_criterion_does_not_use_are_not_in_its_label():
    request = ScoreRequest(("wanda", "zo", "llm-pruner"), {"directions": 4, "taylor": "vectorize", "reduction": "sum"})
    assert [request.label(criterion) for criterion in request.criteria] == [
        "wanda (reduction sum)",
        "zo (directions 4, reduction sum)",
        "llm-pruner (reduction sum, taylor vectorize)",
    ]


def test_criteria_that_read_weights_alone_are_scored_first():
    asked = ScoreRequest(("wanda", "random", "fms-zo", "magnitude-l2"))
    assert asked.in_turn == ["random", "magnitude-l2", "wanda", "fms-zo"] and asked.criteria[0] == "wanda"
