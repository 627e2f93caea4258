"""The tiny models that come with the project: what is told of them is true, and the main job runs on each, offline."""

from pathlib import Path

import pytest

import minillm
from minillm.models.loaded import LoadedModel
from minillm.paths import ASSETS
from minillm.recipes.models import MODELS
from minillm.text.documents import JOINT, python_docs
from minillm.text.tokens import in_order, tokenised
from scripts.train_tiny import bigram_perplexity

BUNDLED = {name: entry for name, entry in MODELS.items() if entry.folder is not None}


@pytest.fixture(scope="module", params=BUNDLED)
def lm(request: pytest.FixtureRequest) -> LoadedModel:
    return minillm.load_model(request.param, device="cpu")


def files() -> list[Path]:
    return [file for file in (ASSETS / "models").rglob("*") if file.is_file()]


def test_they_come_along_without_pickle_and_small():
    assert BUNDLED["bloom-tiny"].groups.family == "bloom" and BUNDLED["bloom-tiny"].groups.blocks[0].heads == 6
    assert {file.suffix for file in files()} == {".json", ".safetensors"}
    assert sum(file.stat().st_size for file in files()) < 10e6


def test_what_is_told_of_a_model_is_what_is_loaded(lm: LoadedModel):
    entry = BUNDLED[lm.source]
    assert lm.groups == entry.groups and 1.5e6 < lm.parameters < 2.5e6
    assert lm.provenance == entry.provenance and "PSF" in entry.licence and "poor" in entry.note
    assert lm.tokenizer.decode(lm.tokenizer("Zwölf Boxkämpfer: ∀x\n").input_ids) == "Zwölf Boxkämpfer: ∀x\n"
    assert len(lm.tokenizer) == lm.groups.vocabulary <= 4000


def test_it_reads_better_than_a_bigram_fitted_to_the_same_documents(lm: LoadedModel):
    known = tokenised(JOINT.join(python_docs(part) for part in ("calibration", "recovery")), lm.tokenizer)
    rows = in_order(tokenised(python_docs("evaluation"), lm.tokenizer), 128)
    bigram = bigram_perplexity(known, rows, lm.groups.vocabulary)
    found = minillm.perplexity(lm, "python-docs", length=128)
    assert found < 0.9 * bigram
    assert f"): {found:.0f}; a bigram model reaches" in lm.provenance["note"]


def test_the_main_job(lm: LoadedModel, tmp_path: Path):
    """Score by three criteria, plan, prune, make up for it, save, evaluate, write."""
    calibration = minillm.load_text("python-docs", lm, samples=32, length=128)
    text = {"text": "python-docs", "length": 128, "tokens": 12_800}
    dense, found = minillm.perplexity(lm, **text), {}
    for criterion in ("random", "wanda", "fms-bp"):
        scores = minillm.score(lm, criterion, calibration)
        plan = minillm.make_plan(scores, 0.2)
        small = minillm.prune(lm, plan)
        assert small.parameters == plan.parameters and abs(plan.ratio - 0.2) < 1e-3
        found[criterion] = minillm.perplexity(small, **text)
    assert dense < found["fms-bp"] == min(found.values())
    small = minillm.prune(lm, plan, "least-squares", calibration)
    made_up = minillm.perplexity(small, **text)
    assert dense < made_up < found["fms-bp"]
    again = minillm.load_pruned(minillm.save_pruned(small, tmp_path / "small"))
    assert minillm.generate(again, "The Python", max_new_tokens=8).tokens > 0
    assert minillm.perplexity(again, **text) == made_up
