"""Where a model stands on a page, group by group: a `gr.HTML` in which assets/xray.js draws, cuts and counts.

The one idea: nothing is asked of the server while a reader moves the slider. The component's value says only whose
cells to fetch (`pages.xray.served`), and what a live job has scored so far.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from .templates import html

CAPTION = (
    "Every row is a block, every cell a group that is cut as a whole. Faded cells go at this ratio. Look for columns "
    "of one colour where a criterion repeats itself from block to block"
)
OVERLAID = ", and lay a second criterion over it to see how little two of them may share"

ON_LOAD = """
(async () => {
  while (!window.MiniXray) await new Promise(done => setTimeout(done, 30));
  window.MiniXray(element, props, watch);
})();
"""


class XrayHost(gr.HTML):
    """The X-ray of a run. Its value: what `shown` gives, or None for nothing yet.

    label: the heading; brief: criterion, ratio and allocation alone can be chosen, and nothing is kept in the address;
    begin: what a brief one shows at first, of {"criterion", "ratio"}.
    """

    def __init__(
        self,
        label: str,
        value: str | None = None,
        brief: bool = False,
        begin: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        template = xray_html(label, brief, begin)
        super().__init__(value, label=label, html_template=template, js_on_load=ON_LOAD, **settings)


def xray_html(label: str, brief: bool = False, begin: Mapping[str, Any] | None = None) -> Markup:
    """What assets/xray.js draws into; its words travel with it."""
    words = quote(json.dumps({"heading": label, "brief": brief, "begin": dict(begin or {})}))
    return html("xray", heading=label, words=words, caption=f"{CAPTION}{'' if brief else OVERLAID}.", brief=brief)


def shown(run_id: str, state: str = "", live: dict[str, Any] | None = None, empty: str = "") -> str:
    """A host's value. state: changes whenever the run's scores or plans do; live: {"label", "of": blocks, "blocks":
    {block: quantiles of its channels' scores}} of a criterion at work; empty: what stands where nothing is scored."""
    return json.dumps({"run": run_id, "state": state, "live": live, "empty": empty})
