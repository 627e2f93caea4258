"""The left side of Score: what is asked for, checked as soon as it is, and put in line.

Scores of one run share text, samples and seed, so that only criteria differ between them; asking for others makes a run
of its own.
"""

import re
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import gradio as gr

from minillm.criteria import CRITERIA, judging_all
from minillm.criteria.settings import CHOSEN, Settings
from minillm.errors import BadInput
from minillm.jobs.submit import submit
from minillm.paths import written_whole
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest
from minillm.recipes.texts import SUFFIXES, TEXTS, checked_text, parse
from minillm.store.store import Store

from ..shell import job_panel
from ..shell.controls import asked_in, control, fields_of, takes
from ..shell.frame import Context
from ..shell.handlers import Answer
from ..shell.templates import html
from ..views.variants import groups_of

READ = ("text", "samples", "length", "gradient_samples", "seed")
"""Fields of a run's recipe that scoring reads, in that order."""

FIRST = ("magnitude-l1", "wanda", "llm-pruner", "fms-zo")


@dataclass(frozen=True)
class Form:
    """What is asked for: criteria, what the run's recipe says about text, settings, and the button."""

    criteria: gr.CheckboxGroup
    together: gr.Checkbox
    recipe: dict[str, Any]
    settings: dict[str, Any]
    upload: gr.UploadButton
    button: gr.Button

    @property
    def inputs(self) -> list[Any]:
        """Values for `begin`, after the run id."""
        return [self.criteria, *self.recipe.values(), *self.settings.values(), self.together]


def lay_out_form() -> Form:
    """The left column."""
    criteria = gr.CheckboxGroup(
        list(judging_all(None)),
        value=[name for name in FIRST if name in CRITERIA],
        label="Criteria",
        elem_id="criteria",
    )
    together = control(fields_of(ScoreRequest, ["together"])[0], "", elem_id="together")
    with gr.Accordion("What each criterion reads and costs", open=False, elem_id="criteria-table"):
        gr.HTML(criteria_table())
    with gr.Accordion("Calibration text, samples, seed", open=False, elem_id="calibration"):
        text, upload = lay_out_text()
        recipe = {"text": text, **lay_out_recipe()}
    with gr.Accordion("Settings (the paper's)", open=False, elem_id="settings"):
        settings = lay_out_settings()
    button = gr.Button("Score", variant="primary", elem_id="score")
    return Form(criteria, together, recipe, settings, upload, button)


def lay_out_text() -> tuple[gr.Dropdown, gr.UploadButton]:
    """The calibration text by name, and a way to bring one's own."""
    named: dict[str, Any] = {"kind": gr.Dropdown, "allow_custom_value": True, "elem_id": "text"}
    choices = [(f"{name}: {about}", name) for name, about in TEXTS.items()]
    text = control(fields_of(RunRecipe, READ)[0], "", choices=choices, **named)
    return text, gr.UploadButton("Upload a text", file_types=list(SUFFIXES), size="sm", elem_id="upload-text")


def lay_out_recipe() -> dict[str, Any]:
    """Controls of the numbers in a run's recipe that scoring reads, by field."""
    found, numbers = {}, fields_of(RunRecipe, READ[1:])
    for first in (0, 2):
        with gr.Row():
            for one in numbers[first : first + 2]:
                name = one.name.replace("_", "-")
                found[one.name] = control(one, "", elem_id=name, precision=0, min_width=100)
    return found


def lay_out_settings() -> dict[str, Any]:
    """Controls of `Settings`, by field; the Methods page says what each means."""
    return {one.name: control(one, "setting", info=None) for one in fields_of(Settings, CHOSEN)}


def criteria_table() -> str:
    """Every criterion with its equation, what it reads, what it costs and its idea."""
    return html("criteria", criteria=CRITERIA.values())


def arrive(store: Store, form: Form, run_id: str, options: dict[str, str]) -> Answer:
    """The form as the run has it: what its latest job asked for, and its recipe."""
    if not run_id:
        return {}
    recipe = store.run(run_id).recipe
    shown: Answer = {control: getattr(recipe, name) for name, control in form.recipe.items()}
    request = job_panel.request_of(store, run_id, "score")
    able = list(judging_all(groups_of(store, run_id)))
    shown[form.criteria] = gr.CheckboxGroup(choices=able)
    if request:
        shown |= asked_in(request, {"together": form.together})
        ticked = [name for name in request.criteria if name in able]
        shown[form.criteria] = gr.CheckboxGroup(choices=able, value=ticked)
        shown |= asked_in(Settings.of(**request.settings), form.settings)
    return shown


@takes((ScoreRequest, ("criteria",)), (RunRecipe, READ), (Settings, CHOSEN), (ScoreRequest, ("together",)))
def begin(ctx: Context, run_id: str, **given: Any) -> int:
    """Score a run's model under some criteria, in turn or on one walk; returns the job's number. Other text, samples or
    seed than the run's make a new run beside it."""
    if not given["criteria"]:
        raise BadInput("No criterion is ticked; tick at least one.")
    settings = Settings.of(**{name: given[name] for name in CHOSEN}).changed()
    request = ScoreRequest.from_json(
        {"criteria": given["criteria"], "settings": settings, "together": given["together"]}
    )
    asked = {name: given[name] for name in READ} | {"text": checked_text(given["text"], ctx.confined)}
    wanted = RunRecipe.from_json({**ctx.store.run(run_id).recipe.to_json(), **asked})
    return submit(ctx.store, run_for(ctx.store, run_id, wanted), request)


def run_for(store: Store, run_id: str, wanted: RunRecipe) -> str:
    """The run in which a recipe can be scored: this one where it asks for the same, else a new one beside it.

    Scores of one run share text, samples and seed, so that only criteria differ between them. A run that has nothing
    yet but what its model is made of takes the new recipe itself: its address may have been handed on.
    """
    run = store.run(run_id)
    if run.recipe == wanted:
        return run_id
    if not store.score_labels(run_id) and all(j.kind == "inspect" and not j.live for j in store.jobs(run_id)):
        store.change_recipe(run_id, wanted)
        return run_id
    before, after = run.recipe.to_json(), wanted.to_json()
    changes = ", ".join(f"{key.replace('_', ' ')} {after[key]}" for key in after if after[key] != before[key])
    made = store.create_run(wanted, f"{run.title or run.id} · {changes}")
    for result in store.results(run_id, "inspect"):
        store.add_result(made, result.kind, result.data)
    return made


def kept_upload(store: Store, file: str) -> str:
    """Keep an uploaded text file under MINILLM_HOME; returns the text's name. The same file is kept once."""
    path = parse(f"file:{file}").path
    assert path is not None
    mark = blake2b(path.read_bytes(), digest_size=4).hexdigest()
    target = store.folder / "uploads" / mark / re.sub(r"[^\w.-]+", "-", path.name)
    with written_whole(target) as scratch:
        shutil.copyfile(path, scratch)
    return f"file:{target}"
