"""The app: builds the pages from their table and serves them. `python app.py --help` says what can be set.

This process shows what the store holds and loads no model; a worker process beside it does the work (see
`minillm.jobs.supervisor`). It listens on this machine only, unless told otherwise.
"""

import argparse
import os
import signal
import sys
from dataclasses import replace
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from starlette.middleware import Middleware

import pages
from minillm.errors import MiniLLMError
from minillm.jobs.live import Live
from minillm.jobs.supervisor import Supervisor
from minillm.recipes.texts import MOST_BYTES
from minillm.store.store import Store
from pages import api
from pages.shell import frame, gate, knife_host, plotly_host, scripts, terms, theme
from pages.shell.gate import LOCAL
from pages.xray import served

QUIET: Any = {"ssr_mode": False, "enable_monitoring": False, "run_history": False}
A_DAY = (3600, 86_400)
"""Files that were offered for download are looked for every hour and removed after a day (seconds)."""
FOOTER: Any = ["api", "settings"]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python app.py", description="MINI-LLM Explorer; MINILLM_HOME keeps runs.")
    host = os.environ.get("GRADIO_SERVER_NAME", LOCAL[0])  # where a Hugging Face Space says that it is asked
    parser.add_argument("--host", default=host, help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[name for name in os.environ.get("MINILLM_HOSTS", "").split(",") if name],
        metavar="NAME",
        help="a further name that it is asked by, such as that of a proxy; * for any (also MINILLM_HOSTS=NAME,NAME)",
    )
    parser.add_argument("--allow-frames", action="store_true", help="let other sites show it in a frame")
    return parser.parse_args()


def build(store: Store, supervisor: Supervisor, confined: bool) -> gr.Blocks:
    """Every page of the table, at its path."""
    table = pages.modules()
    titles = pages.titles(table)
    with gr.Blocks(title="MINI-LLM Explorer", analytics_enabled=False, delete_cache=A_DAY) as app:
        context = frame.Context(store, supervisor, Live(store, confined), app, titles, confined)
        table.pop("").build(context)
        api.offer(context)
    for path, page in table.items():
        with app.route(page.TITLE, f"/{path}", show_in_navbar=False):
            page.build(replace(context, path=path))
    return app


def serve(app: gr.Blocks, store: Store, given: argparse.Namespace) -> None:
    """Listen until stopped. An upload may be as large as a text may."""
    asked = Middleware(gate.Gate, host=given.host, allowed=given.allow_host, framed=given.allow_frames)
    kwargs = {"middleware": [asked], "exception_handlers": {404: gate.not_found}, "routes": served.routes(store)}
    styles: Any = {
        "theme": theme.theme(),
        "css_paths": [plotly_host.STYLE, frame.STYLE, knife_host.STYLE],
        "head": plotly_host.head_html() + scripts.HEAD + terms.head_html(),
    }
    where: Any = {"server_name": given.host, "server_port": given.port, "max_file_size": MOST_BYTES}
    app.launch(footer_links=FOOTER, app_kwargs=kwargs, **where, **styles, **QUIET)


def stop_kindly(*_: Any) -> None:
    """SIGTERM means what Ctrl-C means: the worker ends, too, and its job says so."""
    raise KeyboardInterrupt


def main() -> None:
    """Serve until stopped."""
    given = arguments()
    signal.signal(signal.SIGTERM, stop_kindly)
    try:
        store = Store()
    except MiniLLMError as fault:
        sys.exit(str(fault))
    confined = given.host not in LOCAL
    supervisor = Supervisor(store, confined=confined).start()
    gr.set_static_paths([*plotly_host.static_paths(), str(knife_host.SCRIPT)])
    try:
        serve(build(store, supervisor, confined), store, given)
    except OSError as fault:
        sys.exit(f"The app cannot listen on {given.host}:{given.port} ({fault}); give another --port.")
    except KeyboardInterrupt:
        print("Stopped.")
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main()
