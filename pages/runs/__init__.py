"""Runs: all of them in a table, to find, describe, repeat, save, delete, and to compare two."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.errors import BadInput
from minillm.store import disk_space
from minillm.store.as_code import as_commands, as_python, course
from minillm.store.store import Store

from ..plots.quality import COSTS
from ..shell.address import remembered
from ..shell.clipboard import copied
from ..shell.drawers import drawer
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import ACT, QUIET, Answer, guarded
from ..shell.phrases import size
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import notice
from ..views import exports, quality as quality_view
from ..views.runs import NONE_YET, curves, fold, job_notes, side_by_side, storage_in_words, summary, table
from .files import wire_exports, wire_files
from .form import One, Room, Two, lay_out_one, lay_out_quality, lay_out_question, lay_out_room, lay_out_two
from .line import lay_out_line

TITLE = "Runs"
MOST, MOST_FOUND = 100, 1000
"""Runs in the table, and those of which it is made: the cells of a sweep are one line of it."""

HINTS = {
    0: "Tick one run to describe, repeat, save or delete it, two to compare them.",
    1: "Tick another one to compare the two.",
    2: "",
}
"""What stands below the table, by how many runs are ticked."""

ON_LOAD = """
const given = new URL(window.location).searchParams.get('ticked') ?? '';
const chosen = new Set(given.split(' ').filter(Boolean));
const boxes = () => [...element.querySelectorAll('input[type=checkbox]')];
const tell = () => trigger('select', {ids: [...chosen]});
let fresh = chosen.size > 0;
element.addEventListener('change', event => {
  event.target.checked ? chosen.add(event.target.value) : chosen.delete(event.target.value);
  tell();
});
watch('value', () => {
  const there = boxes().map(box => box.value), gone = [...chosen].filter(id => !there.includes(id));
  gone.forEach(id => chosen.delete(id));
  boxes().forEach(box => { box.checked = chosen.has(box.value); });
  if (gone.length || fresh) tell();
  fresh = false;
});
"""
"""Tells Python which runs are ticked, at first those in the address; a new table keeps the ticks of the runs that are
still in it, and of no others. (Gradio finds the event's name because it stands quoted here.)"""

PRIVATE: dict[str, Any] = {"api_visibility": "private", **ACT}


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    store = ctx.store
    with frame(ctx, needs_run=False) as shell:
        gr.Markdown("# Runs")
        timer = lay_out_line(shell)
        gr.Markdown("## All runs")
        told = "a word of the title, note, tags, model or text"
        search = gr.Textbox(label="Find", placeholder=told, elem_id="find-runs")
        listed = gr.HTML(elem_id="all-runs", js_on_load=ON_LOAD)
        chosen = gr.Textbox(visible=False, label="Runs")
        hint = gr.Markdown(HINTS[0], elem_id="runs-hint")
        one = lay_out_one()
        really, warning, yes, no = lay_out_question()
        two = lay_out_two()
        axes, dots = lay_out_quality()
        room = lay_out_room()
        drawer("runs")

        shell.live(lambda run_id, words: listing(store, words), [listed], [search], without_run=True)
        shell.live(lambda run_id: room_taken(store, room), room.outputs, without_run=True)
        shell.opens(partial(arrive, store, search, room), [search, room.bound])
        again: dict[str, Any] = {"fn": partial(listing, store), "inputs": search, "outputs": listed, **QUIET}
        remembered(search.change(trigger_mode="always_last", **again).then, {"find": search})
        wire_choice(store, listed, Ticked(chosen, hint, one, two, really))
        wire_one(store, one, chosen, again)
        wire_exports(store, one.exports, chosen, timer)
        delete = one.delete.click(guarded(partial(ask, store)), chosen, [really, warning], **PRIVATE)
        delete.success(None, None, None, js="() => document.querySelector('#delete-no')?.focus()", **QUIET)
        no.click(lambda: gr.Row(visible=False), None, really, **QUIET)
        gone = yes.click(guarded(partial(delete_run, store)), chosen, api_name="delete_run", **ACT).success(**again)
        gone.then(partial(room_taken, store, room), None, room.outputs, **QUIET)
        wire_room(store, room, again)
        wire_quality(store, shell, axes, dots)


def wire_quality(store: Store, shell: Shell, axes: dict[str, Any], dots: PlotlyHost) -> None:
    """The picture of all variants, by what the address or the reader chooses."""
    chosen, drawn = list(axes.values()), partial(quality, store, axes, dots)
    given = {"quality": "", "cost": next(iter(COSTS))}
    shell.opens(lambda run_id, options: {axes[name]: options.get(name, given[name]) for name in given}, chosen)
    shell.live(drawn, [*chosen[:1], dots], chosen, without_run=True)
    shell.follows(axes, drawn, [*chosen[:1], dots])


def quality(store: Store, axes: dict[str, Any], dots: PlotlyHost, run_id: str, measure: str, cost: str) -> Answer:
    """The ways of measuring there are, the one chosen or that of most variants, and its picture."""
    found = quality_view.measured(store)
    ways = quality_view.choices(found)
    measure = measure if measure in [value for _, value in ways] else ways[0][1] if ways else ""
    return {
        axes["quality"]: gr.Dropdown(choices=ways, value=measure or None),
        dots: quality_view.picture(found, measure, cost),
    }


@dataclass(frozen=True)
class Ticked:
    """What the page shows for the runs that are ticked; chosen: their ids, hidden."""

    chosen: gr.Textbox
    hint: gr.Markdown
    one: One
    two: Two
    really: gr.Row

    @property
    def outputs(self) -> list[Any]:
        """What `picked` changes."""
        one, two = self.one, self.two
        about = [one.row, one.title, one.tags, one.note, one.notes, one.code]
        made = one.exports
        about += [made.asked["variant"], made.told, made.table, made.made, made.save]
        return [self.chosen, self.hint, *about, self.really, two.row, two.compared, two.both]


def wire_choice(store: Store, listed: gr.HTML, on: Ticked) -> None:
    """Ticking runs; the address keeps which."""

    def ticked(event: gr.EventData) -> Answer:
        return picked(store, on, " ".join(event.ids))

    event = listed.select(guarded(ticked), None, on.outputs, api_visibility="private", **ACT)
    remembered(event.success, {"ticked": on.chosen})


def wire_one(store: Store, one: One, chosen: gr.Textbox, again: dict[str, Any]) -> None:
    """The buttons of one run."""
    given = [chosen, one.title, one.tags, one.note]
    one.save.click(guarded(partial(describe_run, store)), given, api_name="describe_run", **ACT).success(**again)
    for button, function in ((one.python, run_as_python), (one.command, run_as_commands)):
        event = button.click(guarded(partial(function, store)), chosen, one.code, api_name=function.__name__, **ACT)
        copied(event, one.code)
    wire_files(store, one, chosen)


def wire_room(store: Store, room: Room, again: dict[str, Any]) -> None:
    """The bound, and dropping what is offered above it."""
    look: dict[str, Any] = {"fn": partial(room_taken, store, room), "inputs": None, "outputs": room.outputs, **QUIET}
    change = guarded(partial(set_bound, store))
    room.set.click(change, room.bound, api_name="set_storage_bound", **ACT).success(**look)
    dropped = room.drop.click(guarded(partial(drop_weights, store)), None, api_name="drop_weights", **ACT)
    dropped.success(**look).then(**again)


def arrive(store: Store, search: gr.Textbox, room: Room, run_id: str, options: dict[str, str]) -> Answer:
    """The search that the address names, and the bound in GB."""
    return {search: options.get("find", ""), room.bound: round(disk_space.bound(store) / 1e9, 3)}


def listing(store: Store, words: str) -> str:
    """The table of all runs in which every word is found; without words, runs of a sweep's cells stand folded in its
    line."""
    found = store.runs(words or "", MOST_FOUND)
    if not found:
        return notice(f"No run has “{words}” in its title, note, tags, model or text.") if words else NONE_YET
    shown, folded = (found, {}) if words else fold(found)
    return table([summary(store, run, folded.get(run.id, 0)) for run in shown[:MOST]], tick=True)


def picked(store: Store, on: Ticked, ids: str) -> Answer:
    """One run with what can be done with it, two side by side, or what to tick."""
    runs = sorted((store.run(one) for one in ids.split()), key=lambda run: run.created)
    shown = {
        on.chosen: " ".join(run.id for run in runs),
        on.hint: HINTS.get(len(runs), f"{len(runs)} runs are ticked; two can be compared."),
        on.one.row: gr.Column(visible=len(runs) == 1),
        on.one.code: gr.Code(visible=False),
        on.really: gr.Row(visible=False),
        on.two.row: gr.Row(visible=len(runs) == 2),
    }
    if len(runs) == 1:
        tags = gr.Dropdown(choices=store.tags(), value=list(runs[0].tags))
        shown |= {on.one.title: runs[0].title, on.one.tags: tags, on.one.note: runs[0].note}
        shown |= {on.one.notes: job_notes(store, runs[0].id)}
        shown |= exports.shown(store, on.one.exports, runs[0].id, None)
    if len(runs) == 2:
        ids_of = [run.id for run in runs]
        shown |= {on.two.compared: side_by_side(store, *ids_of), on.two.both: curves(store, *ids_of)}
    return shown


def ask(store: Store, run_id: str) -> list[Any]:
    """Show what would be lost, before it is."""
    one = summary(store, store.run(run_id))
    lost = f"{len(one.criteria)} sets of scores and {len(one.variants)} variants ({size(one.bytes)})"
    return [gr.Row(visible=True), Markup("Delete <b>{}</b> with its {}?").format(one.title, lost)]


def describe_run(store: Store, run_id: str, title: str, tags: list[str], note: str) -> None:
    """Give a run another title, other tags, another note."""
    if not (title or "").strip():
        raise BadInput("The title is empty; give the run a few words to be found by.")
    store.describe_run(run_id, title, note or "", tags or [])


def run_as_python(store: Store, run_id: str) -> Any:
    """A run as Python that gives the same scores and variants again."""
    return gr.Code(as_python(course(store, run_id)), language="python", visible=True)


def run_as_commands(store: Store, run_id: str) -> Any:
    """A run as commands that give the same scores and variants again."""
    return gr.Code(as_commands(course(store, run_id)), language="shell", visible=True)


def delete_run(store: Store, run_id: str) -> None:
    """Remove a run with everything that came of it. Refused while one of its jobs is live."""
    store.delete_run(run_id)


def room_taken(store: Store, room: Room) -> Answer:
    """What runs take, and whether something is offered to be dropped."""
    return {room.told: storage_in_words(store), room.drop: gr.Button(visible=bool(disk_space.offered(store)))}


def set_bound(store: Store, gigabytes: float) -> None:
    """Change the size above which the Runs page warns, in GB (10⁹ bytes)."""
    disk_space.set_bound(store, gigabytes)


def drop_weights(store: Store) -> None:
    """Drop weights that can be rebuilt, the oldest first, until all runs fit below the bound. No result is lost."""
    chosen = disk_space.offered(store)
    if not chosen:
        raise BadInput("Runs take no more than the bound; nothing needs to be dropped.")
    gr.Info(f"{size(disk_space.drop(store, chosen))} freed; these weights are made again where they are needed.")
