"""The app: builds the pages from their table and serves them. `python app.py --help` says what can be set.

This process shows what the store holds and loads no model; a worker process beside it does the work (see
`minillm.jobs.supervisor`). It listens on this machine only, unless told otherwise.
"""

import argparse
import os
import sys
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

import pages
from minillm.jobs.supervisor import Supervisor
from minillm.store.store import Store
from pages import api
from pages.shell import frame, plotly_host, theme

LOCAL = ("127.0.0.1", "localhost", "::1")
QUIET: Any = {"ssr_mode": False, "enable_monitoring": False, "run_history": False}
A_DAY = (3600, 86_400)
"""Files that were offered for download are looked for every hour and removed after a day (seconds)."""
FOOTER: Any = ["api", "settings"]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python app.py", description="MINI-LLM Explorer; MINILLM_HOME keeps runs.")
    parser.add_argument("--host", default=LOCAL[0], help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=7860)
    return parser.parse_args()


def build(store: Store, supervisor: Supervisor, confined: bool) -> gr.Blocks:
    """Every page of the table, at its path."""
    table = pages.modules()
    titles = tuple((page.TITLE, path) for path, page in table.items())
    with gr.Blocks(title="MINI-LLM Explorer", analytics_enabled=False, delete_cache=A_DAY) as app:
        context = frame.Context(store, supervisor, app, titles, confined)
        table.pop("").build(context)
        api.offer(context)
    for path, page in table.items():
        with app.route(page.TITLE, f"/{path}", show_in_navbar=False):
            page.build(context)
    return app


def main() -> None:
    """Serve until stopped."""
    given = arguments()
    store, confined = Store(), given.host not in LOCAL
    supervisor = Supervisor(store, confined=confined).start()
    gr.set_static_paths(plotly_host.static_paths())
    try:
        app = build(store, supervisor, confined)
        styles: Any = {
            "theme": theme.theme(),
            "css_paths": [plotly_host.STYLE, frame.STYLE],
            "head": plotly_host.head_html() + frame.SKIP,
        }
        app.launch(server_name=given.host, server_port=given.port, footer_links=FOOTER, **styles, **QUIET)
    except OSError as fault:
        sys.exit(f"The app cannot listen on {given.host}:{given.port} ({fault}); give another --port.")
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main()
