"""Exports in a browser: the form says sizes, a job writes the files, and Runs hands them over."""

import re
import zipfile
from pathlib import Path

import pytest

from minillm.events import finish
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
SETTLED = 1000


def pruned(app) -> str:
    """A run with a variant that was cut evenly."""
    recipe = RunRecipe(app.models["quick"], "float32", "cpu", samples=6, length=16, gradient_samples=2)
    run_id = app.store.create_run(recipe, "To export")
    request = PruneRequest("magnitude-l2", allocation="even", evaluate_text="")
    finish(execute_events(app.store, run_id, request, Pool(10**9)))
    return run_id


def test_a_variant_is_exported_on_prune_and_handed_over_on_runs(visit, app, tmp_path: Path) -> None:
    run_id = pruned(app)
    page = visit(f"prune?run={run_id}")
    page.get_by_role("button", name="Export for other tools").click()
    page.wait_for_timeout(SETTLED)
    expect(page.locator("#prune-export-variant input")).to_have_value("pruned-1")
    expect(page.locator("#prune-export-forms tbody tr")).to_have_count(3)
    expect(page.locator("#prune-export-forms")).to_contain_text(re.compile(r"[\d.]+ kB in float32"))
    page.locator("button#prune-export").click()
    expect(page.locator("#prune-export-table")).to_contain_text("pruned-1-transformers")
    expect(page.locator(".job-chip")).to_contain_text("done")
    page.locator("button#prune-export").click()
    expect(page.locator(".toast-body")).to_contain_text("was exported in this form before")
    page = visit(f"runs?ticked={run_id}")
    page.locator("#one-run").get_by_role("button", name="Export for other tools").click()
    page.wait_for_timeout(SETTLED)
    expect(page.locator("#run-export-made input")).to_have_value("pruned-1-transformers")
    with page.expect_download() as found:
        page.locator("button#run-export-save").click()
    found.value.save_as(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        assert {"pruned-1-transformers/config.json", "pruned-1-transformers/README.md"} <= set(archive.namelist())
