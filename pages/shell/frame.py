"""What every page has around it: navigation, the title bar, errors as sentences, and one poll while a job is live.

The one idea: the store is the truth. A page holds the id of its run (from ?run=ID in its address) and nothing else
that matters, so a reload, another tab or another person sees the same. A page is laid out inside the frame:

    with frame(ctx) as shell:
        ratio, plot, button = …                                                       the layout first
        shell.live(lambda run, ratio: draw(ctx.store, run, ratio), [plot], [ratio])   the wiring last
        shell.starts(button.click, begin, [ratio], api_name="score")

`shell.live` draws when the page opens, after a job was started here, and whenever a job of the run has got further.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.errors import BadInput, MiniLLMError
from minillm.jobs.live import Live
from minillm.jobs.submit import start_again
from minillm.jobs.supervisor import Supervisor
from minillm.paths import ASSETS
from minillm.store.records import Job
from minillm.store.store import Store

from . import job_panel
from .address import moves_of, remembers
from .clipboard import adds_to_talk, copies_address
from .handlers import ACT, QUIET, Answer, Arrive, Draw, answering, by_component, guarded, merged, unexpected
from .navigation import Groups, navigation
from .opening import in_lesson, opened_run, options_of, ways_on
from .scripts import FOLLOW, FRESH
from .title_bar import title_bar

STYLE = ASSETS / "app.css"

LOOK_EVERY = 0.5
"""Seconds between two looks at a live job: pictures are redrawn twice a second at most."""

NO_RUN = "No run is open; open one, or choose a model to make one."

OPENED = Markup('<span class="is-open" hidden></span>')
"""Stands in the title bar once the page has opened."""


@dataclass(frozen=True)
class Context:
    """What pages are given.

    store: runs and jobs; supervisor: keeps the worker alive; live: the live process; app: the Blocks all pages are in;
    pages: for the navigation; confined: the app can be reached from other machines, so paths outside MINILLM_HOME are
    refused; path: of the page being built.
    """

    store: Store
    supervisor: Supervisor
    live: Live
    app: gr.Blocks
    pages: Groups
    confined: bool = False
    path: str = ""


@dataclass(frozen=True)
class _View:
    draw: Draw
    outputs: list[Any]
    inputs: list[Any]
    without_run: bool

    def answer(self, run_id: str, given: Answer) -> Answer:
        drawn = self.draw(run_id, *(given[component] for component in self.inputs))
        return drawn if by_component(drawn) else {self.outputs[0]: drawn}


@dataclass
class Shell:
    """The frame of one page, while it is being built.

    run: the id of the run the page is about, "" without one: an input for handlers, as shell.run.
    started: the number of the job that was started here last. needs_run: whether the page shows the sample without a
    run.
    """

    ctx: Context
    needs_run: bool
    run: gr.Textbox
    started: gr.Number
    seen: gr.Textbox
    ways: gr.HTML
    bar: gr.HTML
    lesson: gr.HTML
    stop: gr.Button
    timer: gr.Timer
    views: list[_View] = field(default_factory=list)
    arrivals: list[tuple[Arrive, list[Any]]] = field(default_factory=list)

    def opens(self, arrive: Arrive, outputs: list[Any]) -> None:
        """When the page opens, before anything is drawn: arrive(run id, options of the address) -> an Answer.

        The run id is "" where the address names none, or one that is not there (the title bar says so).
        """
        self.arrivals.append((arrive, outputs))

    def live(self, draw: Draw, outputs: list[Any], inputs: list[Any] | None = None, without_run: bool = False) -> None:
        """Keep outputs up to date: draw(run id, *values of inputs) when the page opens and whenever a job of the run
        has got further. Without a run it is called only where `without_run` (its run id is then "")."""
        self.views.append(_View(draw, outputs, inputs or [], without_run))

    def redraws_when(
        self,
        state: Callable[[str], str],
        draw: Draw,
        outputs: list[Any],
        inputs: list[Any],
        asked: Arrive,
        anew: Draw | None = None,
    ) -> None:
        """Draw when the page opens, with what `asked` gives of the inputs, and then only where state(run id) is another
        than when it was drawn last: a live job must not disturb who is choosing.

        draw(run id, *values of inputs) is called without a run as well; anew: draws in its place on a change. `asked`
        may answer with `gr.update(value=…, …)`, where more than a value changes. Call it inside the layout.
        """
        drawn = gr.Textbox(visible=False)

        def mark(run_id: str) -> str:
            return f"as of {state(run_id)}"

        def arrive(run_id: str, options: dict[str, str]) -> Answer:
            given = asked(run_id, options)
            return {drawn: mark(run_id), **given, **draw(run_id, *(_value(given.get(one)) for one in inputs))}

        def looked(run_id: str, before: str, *values: Any) -> Answer:
            now = mark(run_id)
            return {} if before in ("", now) else {drawn: now, **(anew or draw)(run_id, *values)}

        self.live(looked, [drawn, *inputs, *outputs], [drawn, *inputs])
        self.opens(arrive, [drawn, *inputs, *outputs])

    def follows(self, controls: dict[str, Any], draw: Draw, outputs: list[Any]) -> None:
        """Draw anew, draw(run id, *values of controls), when a reader has moved one of them; keep all in the address.

        One event for all of them: of several, the answer to an earlier one could come last and show what was chosen
        before. controls: {option in the address: control}.
        """
        moves = [move for control in controls.values() for move in moves_of(control)]
        gr.on(moves, answering(draw), [self.run, *controls.values()], outputs, trigger_mode="always_last", **QUIET)
        remembers(controls)

    def starts(
        self, trigger: Callable, begin: Callable[..., int], inputs: list[Any], api_name: str, without_run: bool = False
    ) -> Any:
        """Wire a control that starts a job: begin(run id, *values of inputs) -> its number. The page then follows it,
        to the address of another run where `begin` made one for it (without_run: `begin` takes "" for the run id).

        The number is what the API's start_`api_name` returns; its parameters are named like `begin`'s, and `begin`'s
        docstring describes it there. Call it after all `live`.
        """

        @wraps(begin)
        def checked(run_id: str, *values: Any) -> int:
            if not run_id and not without_run:
                raise BadInput(NO_RUN)
            return begin(run_id, *values)

        given = [self.run, *inputs]
        event = trigger(guarded(checked), given, self.started, js=FRESH, api_name=f"start_{api_name}", **ACT)
        moved = event.success(self._run_of, [self.started], self.run, **QUIET)
        arrived = moved.success(None, [self.run], self.run, js=FOLLOW, **QUIET)
        self.looks_again(arrived)
        return event

    def _run_of(self, job_id: int) -> str:
        return self.ctx.store.job(job_id).run_id

    def runs_again(self, panel: job_panel.Panel) -> None:
        """Wire a panel's "Start again": the same request once more. Call it after all `live`."""

        def again(run_id: str) -> int:
            """The latest job of this kind, once more."""
            job = job_panel.current(self.ctx.store, run_id, panel.kind)
            if job is None:
                raise BadInput(f"This run has no {panel.kind} job to start again.")
            return start_again(self.ctx.store, job.id)

        self.starts(panel.again.click, again, [], api_name=f"{panel.kind}_again")

    @property
    def _inputs(self) -> set[Any]:
        """What handlers of the frame are given, by component."""
        return {self.run, self.seen, *(component for view in self.views for component in view.inputs)}

    @property
    def _outputs(self) -> list[Any]:
        own = [self.seen, self.bar, self.stop, self.timer]
        return list(dict.fromkeys([*own, *(component for view in self.views for component in view.outputs)]))

    def wire(self) -> None:
        """The events of the frame itself: opening the page, looking again, stopping."""
        opened = [self.run, self.ways, self.lesson, *self._outputs]
        # One after the other: an answer of the first that came last would put back what someone has done meanwhile.
        asked = list(dict.fromkeys(component for _, outputs in self.arrivals for component in outputs))
        load = self.ctx.app.load
        opens = load(answering(self._arrive), None, asked, **QUIET).then if asked else load
        opens(self._open, self._inputs, opened, **QUIET)
        self.timer.tick(self._look, self._inputs, self._outputs, **QUIET)
        stopped = self.stop.click(
            guarded(partial(job_panel.stop, self.ctx.store)), [self.run], None, api_visibility="private", **ACT
        )
        self.looks_again(stopped)

    def looks_again(self, event: Any) -> None:
        """After an event that has changed the run: draw everything anew. Call it after all `live`."""
        event.success(self._look_again, self._inputs, self._outputs, **QUIET)

    def _arrive(self, request: gr.Request) -> Answer:
        """What the pages' own controls say as the page opens, by its address."""
        run_id, _ = opened_run(self.ctx.store, request, self.needs_run)
        return merged(arrive(run_id, options_of(request)) for arrive, _ in self.arrivals)

    def _open(self, given: Answer, request: gr.Request) -> Answer:
        """The page as it opens: which run, and everything drawn."""
        run_id, problem = opened_run(self.ctx.store, request, self.needs_run)
        opened = {self.run: run_id, self.ways: navigation(self.ctx.pages, self.ctx.path, run_id)}
        opened[self.lesson] = in_lesson(options_of(request))
        return {**opened, **self._looked(run_id, "", given, problem)}

    def _look_again(self, given: Answer) -> Answer:
        return self._looked(given[self.run], "", given)

    def _look(self, given: Answer) -> Answer:
        return self._looked(given[self.run], given[self.seen], given)

    def _looked(self, run_id: str, seen: str, given: Answer, problem: str = "") -> Answer:
        """The title bar, always new, and the page's own where something has changed.

        Never raises. A view that cannot be drawn says why in the title bar, and is tried again at the next look.
        """
        store, job, stamp, drawn = self.ctx.store, None, "", {}
        try:
            if run_id:
                stamp, job = job_panel.stamp(store, run_id), job_panel.current(store, run_id)
            if not seen or stamp != seen:
                views = [view for view in self.views if run_id or view.without_run]
                drawn = merged(view.answer(run_id, given) for view in views)
        except MiniLLMError as fault:
            problem, stamp = problem or str(fault), ""
        except Exception as fault:
            problem, job = unexpected(fault), None
        live, stopping = (job.live, job.stopping) if job else (False, False)
        own = {self.seen: stamp, self.bar: self._bar(run_id, job, problem)}
        buttons = {self.stop: gr.Button(visible=live, interactive=not stopping), self.timer: gr.Timer(active=live)}
        return {**own, **buttons, **drawn}

    def _bar(self, run_id: str, job: Job | None, problem: str) -> str:
        try:
            bar = title_bar(self.ctx.store, run_id, job, problem or self.ctx.supervisor.problem, self.ctx.live.memory)
        except MiniLLMError as fault:
            run_id, bar = "", title_bar(self.ctx.store, "", None, str(fault))
        without = self.needs_run and not run_id
        return OPENED + bar + (ways_on(self.ctx.path, "" if bar else NO_RUN) if without else "")


@contextmanager
def frame(ctx: Context, needs_run: bool = True) -> Iterator[Shell]:
    """Lay out a page inside this; when the body ends, the frame's own events are wired.

    needs_run: the page has nothing of its own to show without a run: it opens on the sample.
    """
    hidden: dict[str, Any] = {
        "run": gr.Textbox(visible=False, elem_id="run", label="Run", show_label=False),
        "started": gr.Number(visible=False, precision=0, label="Job", show_label=False),
        "seen": gr.Textbox(visible=False),
        "timer": gr.Timer(LOOK_EVERY, active=False),
    }
    ways = gr.HTML(navigation(ctx.pages, ctx.path), elem_id="ways", elem_classes="page")
    with gr.Column(elem_id="page", elem_classes="page"):
        shell = Shell(ctx, needs_run, ways=ways, **hidden, **_bar())
        with gr.Column(elem_id="body"):
            yield shell
    shell.wire()


def _value(given: Any) -> Any:
    """What a control is set to by an answer that may change more of it."""
    return given["value"] if isinstance(given, dict) else given


def _bar() -> dict[str, Any]:
    with gr.Row(elem_id="title-row"):
        bar = gr.HTML('<p class="title-bar">Opening …</p>', elem_id="title-bar")
        copy = gr.Button("Copy link", elem_id="copy-link", size="sm", scale=0, min_width=110)
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop", size="sm", scale=0, min_width=90)
        talk = gr.Button("Add to talk", elem_id="add-to-talk", size="sm", scale=0, min_width=110)
    copies_address(copy)
    adds_to_talk(talk)
    return {"bar": bar, "stop": stop, "lesson": gr.HTML(elem_id="in-lesson")}
