"""The command line: each verb is thin, calls one library function's events, and draws them as progress.

Files connect verbs: `score` writes one file a criterion, `overlap`, `plan` and `prune` read them, `prune` and `recover`
write folders that every --model takes. Exit codes: 0 done; 2 bad input, with one sentence on stderr; 1 a fault.
"""

import os
import sys
import traceback
from contextlib import suppress
from typing import Any

import typer
from typer.exceptions import TyperException

from ..errors import ENOUGH, MiniLLMError, out_of_memory, reason
from ..heap import keep_freed
from ..plain import terminal
from . import (
    about,
    allocating,
    cutting,
    domains,
    exporting,
    forgetting,
    gradient,
    learning,
    measuring,
    ranks,
    runs,
    scores,
    sweeping,
)

app = typer.Typer(
    name="minillm",
    help="See what pruning criteria cut from a language model: score, compare, cut, recover, read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for verbs in (
    about,
    scores,
    domains,
    gradient,
    learning,
    allocating,
    cutting,
    exporting,
    forgetting,
    measuring,
    sweeping,
    runs,
):
    verbs.add_to(app)


def main() -> None:
    """Run the command line and turn faults into one sentence and an exit code."""
    _ready_streams()
    keep_freed()
    ranks.keep_quiet()
    try:
        ranks.check_shared(" ".join(sys.argv[1:2]) or "This", *sys.argv[1:2])
        app(standalone_mode=False)
        sys.stdout.flush()
    except TyperException as fault:
        _end(fault.format_message() if hasattr(fault, "format_message") else str(fault), 2)
    except (typer.Abort, KeyboardInterrupt):
        _end("Stopped.", 130)
    except MiniLLMError as fault:
        _end(str(fault), 2)
    except BrokenPipeError:
        # Who reads (head, a pager) has seen enough; what was worked out is written by now.
        _hush(sys.stdout)
        sys.exit(1)
    except Exception as fault:
        if os.environ.get("MINILLM_DEBUG"):
            traceback.print_exc()
        if out_of_memory(fault):
            _end(ENOUGH, 2)
        if isinstance(fault, OSError) and fault.filename is None:
            _hush(sys.stdout)  # a full device, or one that is gone: it would complain again at the end
        said = f"{type(fault).__name__}: {reason(fault)}"
        _end(f"Something went wrong that is no fault of yours ({said}); MINILLM_DEBUG=1 shows where.", 1)


def _ready_streams() -> None:
    """Streams that take every letter, whatever the terminal's encoding; nowhere where they were closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _hush(stream: Any) -> None:
    """Let what is still to be written to a closed pipe go nowhere, so that the end of the process is quiet."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _end(sentence: str, code: int) -> None:
    with suppress(BrokenPipeError):
        print(" ".join(terminal(sentence).split("\n")), file=sys.stderr)
    sys.exit(code)
