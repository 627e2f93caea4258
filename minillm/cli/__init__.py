"""The command line: each verb is thin, calls one library function's events, and draws them as progress.

Files connect verbs: `score` writes one file a criterion, `overlap`, `plan` and `prune` read them, `prune` and `recover`
write folders that every --model takes. Exit codes: 0 done; 2 bad input, with one sentence on stderr; 1 a fault.
"""

import os
import sys
import traceback

import typer
from typer.exceptions import TyperException

from ..errors import MiniLLMError
from . import about, allocating, cutting, gradient, measuring, runs, scores, sweeping

app = typer.Typer(
    name="minillm",
    help="See what pruning criteria cut from a language model: score, compare, cut, recover, read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for verbs in (about, scores, gradient, allocating, cutting, measuring, sweeping, runs):
    verbs.add_to(app)


def main() -> None:
    """Run the command line and turn faults into one sentence and an exit code."""
    try:
        app(standalone_mode=False)
    except TyperException as fault:
        _end(fault.format_message() if hasattr(fault, "format_message") else str(fault), 2)
    except (typer.Abort, KeyboardInterrupt):
        _end("Stopped.", 130)
    except MiniLLMError as fault:
        _end(str(fault), 2)
    except Exception as fault:
        if os.environ.get("MINILLM_DEBUG"):
            traceback.print_exc()
        said = f"{type(fault).__name__}: {fault}".splitlines()[0]
        _end(f"Something went wrong that is no fault of yours ({said}); MINILLM_DEBUG=1 shows where.", 1)


def _end(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(code)
