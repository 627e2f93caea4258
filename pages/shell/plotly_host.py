"""Where figures stand on a page: a `gr.HTML` that draws with the plotly.js that came with plotly, and talks back.

`gr.Plot` loses the zoom at every update, stays white in the dark, has no click and brings an older plotly.js of its
own; so a figure's JSON goes to assets/plots.js, which draws it in place. The page needs these scripts in its head:

    gr.set_static_paths(static_paths())
    app.launch(head=head_html(), css_paths=[STYLE])

    plot = PlotlyHost("Scores by block", CAPTIONS["score_bands"], elem_id="bands")
    plot.select(chosen, None, …)       # chosen(event: gr.EventData): event.curve .name .point .x .y .z .customdata

A handler returns the figure itself, its JSON, or None for "nothing yet".
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import plotly
import plotly.graph_objects as go
from markupsafe import Markup

from minillm.paths import ASSETS

from ..plots import as_json
from .templates import html

STYLE = ASSETS / "style.css"
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SCRIPTS = tuple(
    ASSETS / f"{name}.js"
    for name in ("pointing", "plots", "card", "present", "xray-cells", "xray-paint", "xray-hands", "xray")
)
"""What draws figures, follows the pointer, makes cards of figures and shows them large, and the X-ray, in the order in
which a page takes it in."""
ALONE = ASSETS / "present.css"

ON_LOAD = """
(async () => {
  while (!window.MiniHost) await new Promise(done => setTimeout(done, 30));
  window.MiniHost(element, props, trigger, watch);
})();
"""


def static_paths() -> list[str]:
    """The files a page fetches from this server, for `gr.set_static_paths`."""
    return [str(file) for file in (PLOTLY_JS, *SCRIPTS)]


def head_html() -> str:
    """What belongs into the head of every page, for `launch(head=...)`.

    plotly is kept under a name of its own, because Gradio's own copy takes `window.Plotly` when it is loaded.
    """
    ours = "\n".join(f'<script src="/gradio_api/file={file}"></script>' for file in SCRIPTS)
    alone = f"<style>{ALONE.read_text(encoding='utf-8')}</style>"
    plotly_js = f'<script src="/gradio_api/file={PLOTLY_JS}" onload="window.MiniPlotly=window.Plotly"></script>'
    return f"{alone}\n{plotly_js}\n{ours}"


def figure_html(heading: str, caption: str = "", height: int = 360, empty: str = "") -> Markup:
    """What assets/plots.js draws into; its words travel with it."""
    words = {"heading": heading, "caption": caption, "height": height, "empty": empty}
    return html("figure", heading=heading, words=quote(json.dumps(words)))


class PlotlyHost(gr.HTML):
    """A figure with a heading above and a caption below; zoom outlives an update, colours follow the page.

    label: the heading, also the name for screen readers and of the picture; caption: what to look for;
    height: pixels, where the figure names none; empty: what stands there while there is no figure.
    value: a figure, its JSON, or None.
    """

    # The words travel in the template: a component that got its value while it was hidden loses its other properties.

    def __init__(
        self,
        label: str = "",
        caption: str = "",
        value: go.Figure | str | None = None,
        height: int = 360,
        empty: str = "Nothing to show yet.",
        **settings: Any,
    ) -> None:
        template = figure_html(label, caption, height, empty)
        super().__init__(value, label=label, html_template=template, js_on_load=ON_LOAD, **settings)

    def postprocess(self, value: go.Figure | str | None) -> str | None:
        """A figure becomes its JSON."""
        return as_json(value) if isinstance(value, go.Figure) else value
