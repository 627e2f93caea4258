"""A filmstrip as pages and reports show it: one slider under the answers of ever smaller models.

The one idea: all frames of a strip go to the page at once, as one JSON, and assets/filmstrip.js draws what the slider
stands at; no move of it asks the server.
"""

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from minillm.paths import ASSETS
from minillm.plan.filmstrip import REPEATS, SURPRISE, Filmstrip, Strip, filmstrip_of, is_babble
from minillm.store.store import Store

from ..plots.style import looks
from ..shell.templates import html, trusted

KIND = "filmstrip"
HEADING = "The slider that makes it forget"
CAPTION = (
    "Drag, or use the arrow keys: the model is cut further and further by the scores of the criterion, and answers "
    "greedily. What differs from the original's answer is underlined; in the curve, the dot is where the slider "
    "stands, and ✕ where an answer stops being a sentence for good. That is a rule, not a judge: more than "
    f"{REPEATS:.0%} of its runs of three tokens stood in it before, or its tokens surprise the original by more than "
    f"{SURPRISE:g} nats on average, or it is empty."
)
EMPTY = "No strip has been made in this run yet."
STYLE, SCRIPT = ((ASSETS / f"filmstrip.{ending}").read_text(encoding="utf-8") for ending in ("css", "js"))
DASHES = {"solid": "", "dot": "2 4", "dash": "8 5", "longdash": "13 6", "dashdot": "8 4 2 4", "longdashdot": "13 5 2 5"}
"""SVG's words for Plotly's."""
MOST_NATS = math.log(1e9)
"""A loss beyond it is drawn as if it were this: a perplexity of a milliard."""


class FilmstripHost(gr.HTML):
    """The slider with its texts, curve and table. begin: what is chosen at first ({"one", "other": criteria, "how":
    compensation, "at": index of a ratio}); address: whether what is chosen stands in the page's address, and is taken
    from it. value: the JSON of `as_json`, "" or None."""

    def __init__(self, begin: Mapping[str, Any] | None = None, address: bool = False, **settings: Any) -> None:
        template = filmstrip_html(begin or {}, address)
        super().__init__(None, html_template=template, css_template=STYLE, js_on_load=SCRIPT, **settings)


def filmstrip_html(begin: Mapping[str, Any], address: bool = False) -> Markup:
    """What assets/filmstrip.js draws into; its words travel with it."""
    words = {"begin": dict(begin), "address": address, "empty": EMPTY}
    return html("filmstrip", heading=HEADING, caption=CAPTION, words=quote(json.dumps(words)))


def as_json(found: Filmstrip) -> str:
    """What assets/filmstrip.js takes."""
    drawn = looks(found.criteria)
    strips = [_strip(strip, drawn[strip.criterion], len(found.asked["prompts"])) for strip in found.strips]
    told = {"prompts": found.asked["prompts"], "ratios": found.ratios, "strips": strips}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _strip(strip: Strip, look: Any, prompts: int) -> dict[str, Any]:
    return {
        "criterion": strip.criterion,
        "compensate": strip.compensate,
        "colour": look.colour,
        "dash": DASHES[look.dash],
        "departs": [strip.departs(prompt) for prompt in range(prompts)],
        "ends": [strip.ends(prompt) for prompt in range(prompts)],
        "frames": [frame and _frame(frame) for frame in strip.frames],
    }


def _frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    answers = [
        {"text": answer["text"], "departs": answer["departs"] is not None, "babble": is_babble(answer)}
        for answer in frame["answers"]
    ]
    perplexity = math.exp(min(frame["loss"], MOST_NATS))
    told = {"perplexity": float(f"{perplexity:.5g}"), "kl": frame["kl"], "parameters": frame["parameters"]}
    return {**told, "answers": answers}


def strips_of(store: Store, run_id: str) -> Filmstrip | None:
    """The latest strips of a run; None where it has none."""
    found = filmstrip_of([result.data for result in store.results(run_id, KIND)])
    return found if found and found.strips else None


def filmstrip_json(store: Store, run_id: str) -> str:
    """The latest strips of a run for a `FilmstripHost`; "" where there are none."""
    found = strips_of(store, run_id)
    return as_json(found) if found else ""


def as_document(found: Filmstrip) -> Markup:
    """The slider in a file of its own: what it shows and what draws it stand beside each other."""
    data = trusted(as_json(found).replace("<", r"\u003c"))
    script = trusted(SCRIPT.replace("</script", r"<\/script"))
    frame = Markup('<div class="filmstrip">{}<script type="application/json">{}</script><script>{}</script></div>')
    start = trusted(
        "{ const element = document.currentScript.parentElement, watch = () => {};\n"
        "const props = {value: element.querySelector(\"[type='application/json']\").textContent};\n"
    )
    return frame.format(filmstrip_html({}), data, start + script + trusted("}"))
