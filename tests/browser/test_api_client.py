"""The API of the running app, called as other programs call it, against the engine's own functions."""

import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from gradio_client import Client

import minillm
from minillm.evaluation import surprise
from minillm.families.groups import CHANNELS, HEADS

SIZES = {"samples": 4, "length": 16, "gradient_samples": 2}
PROMPT = "The walk reads"


@pytest.fixture(scope="module")
def client(app) -> Iterator[Client]:
    with tempfile.TemporaryDirectory() as folder:
        made = Client(app.url(), verbose=False, download_files=folder)
        yield made
        made.close()


@pytest.fixture(scope="module")
def scored(client: Client, app) -> dict:
    given = {"model": app.models["quick"], "dtype": "float32", "device": "cpu", **SIZES, "seed": 3}
    return client.predict(criteria=["wanda", "fms-zo"], **given, api_name="/score")


@pytest.fixture(scope="module")
def lm(app) -> "minillm.models.loaded.LoadedModel":
    return minillm.load_model(app.models["quick"], device="cpu")


@pytest.fixture(scope="module")
def scores(lm) -> dict[str, "minillm.Scores"]:
    tokens = minillm.load_text("python-docs", lm, samples=4, length=16, seed=3)
    return {name: minillm.score(lm, name, tokens, gradient_samples=2, seed=3) for name in ("wanda", "fms-zo")}


def test_score(scored, scores):
    assert list(scored["scores"]) == ["fms-zo", "wanda"]
    for name, expected in scores.items():
        for kind in (HEADS, CHANNELS):
            for layer, vector in expected.of(kind).items():
                np.testing.assert_allclose(scored["scores"][name][kind][layer], vector, rtol=1e-5)


def test_overlap_and_plan(client, scored, scores):
    plans = [minillm.make_plan(scores[name], 0.3, [0, 1, 2]) for name in ("wanda", "fms-zo")]
    given = {"run": scored["run"], "ratio": 0.3, "blocks": "0-2"}
    rows = client.predict(reference="wanda", other="fms-zo", **given, api_name="/overlap")
    expected = minillm.overlap(*plans)
    assert [row["count"] for row in rows] == expected["count"].tolist() and any(row["count"] for row in rows)
    assert [np.nan if row["share"] is None else row["share"] for row in rows] == pytest.approx(
        expected["share"].tolist(), nan_ok=True
    )
    found = client.predict(criterion="wanda", channels_from="fms-zo", **given, api_name="/plan")
    plan = minillm.make_plan(scores["wanda"], 0.3, [0, 1, 2], channels_from=scores["fms-zo"])
    assert (found["parameters"], found["removed"], found["macs"]) == (plan.parameters, plan.removed, plan.macs(64))
    for kind in (HEADS, CHANNELS):
        assert found[f"kept_{kind}"] == [plan.kept(kind)[layer].tolist() for layer in range(len(plan.groups))]


def test_generate(client, scored, lm):
    given = {"run": scored["run"], "prompts": [PROMPT], "variants": ["original"], "max_new_tokens": 6, "chat": False}
    (entry,) = client.predict(**given, api_name="/generate")
    alone = minillm.generate(lm, PROMPT, 6, chat=False)
    (text,) = entry["texts"]
    assert (entry["prompt"], text["variant"], text["text"]) == (PROMPT, "original", alone.text)
    assert text["log_probs"] == pytest.approx(surprise.log_probabilities(lm, alone), abs=1e-3)


def test_what_cannot_be_is_one_sentence(client, scored, app):
    for name, given, said in (
        ("/score", {"criteria": ["wonder"], "model": app.models["quick"]}, "Did you mean wanda"),
        ("/overlap", {"run": scored["run"], "reference": "wanda", "other": "flap"}, "Unknown scores “flap”"),
        ("/plan", {"run": scored["run"], "criterion": "wanda", "ratio": 0.99}, "99"),
        ("/generate", {"run": "00000000", "prompts": ["a"], "variants": ["original"]}, "There is no run"),
        ("/stop", {"run": scored["run"]}, "nothing to stop"),
    ):
        with pytest.raises(Exception, match=said):
            client.predict(**given, api_name=name)
