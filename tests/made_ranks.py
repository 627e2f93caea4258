"""Two real processes over Gloo: what they find together, and how they end where one of them fails.

As a program (`python tests/made_ranks.py WHAT FOLDER`, in the surroundings that `surroundings` makes) it is one rank.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tiny
import torch

from minillm.criteria import judging
from minillm.errors import MiniLLMError, NumericalFault
from minillm.events import finish
from minillm.families.groups import EXPERTS, KINDS
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.scoring.group_masks import masked_losses_events
from minillm.scoring.score import score, score_together
from minillm.surgery.sparsify import sparsify
from minillm.walk import ranks, vigil
from minillm.walk.forward import Stream, forward_events
from minillm.walk.tail import tail_divergences

ROOT = Path(__file__).parent.parent
ROWS, GRADIENT_ROWS = 13, 7
MODELS = "model-on-disk"
FEW = {"submodels": 8, "steps": 3}
SETTINGS = {
    "zo": ({"directions": 3, "minibatch": 4}, {"scope": "groups", "directions": 3}, {"noise": "rademacher"}),
    "fms-zo": ({"directions": 2, "estimator": "multiply"},),
    "fms-bp": ({"taylor": "param_second"}, {"taylor": "param_mix"}),
    "kfac": ({"curvature": "full"}, {"curvature": "shrunk"}),
    "pgp": ({**FEW, "masked": "halves"},),
    "wanda": ({"heads": "slots"},),
}
MASKED = ("wanda", "sparsegpt", "flap", "fms-bp", "isc")
Found = dict[str, np.ndarray]


def everything(folder: Path) -> Found:
    """Whatever can be found of text, by name: 13 rows, which two ranks cannot share evenly."""
    return dict(_everything(folder))


def _everything(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    lm, tokens = wrap(tiny.llama()), tiny.tokens(ROWS, 20)
    for name in judging("channels"):
        for settings in ({**FEW}, *SETTINGS.get(name, ())):
            yield from _scored(str((name, settings)), lm, name, tokens, **settings)
    experts = wrap(tiny.some_experts())
    for name in judging(EXPERTS):
        yield from _scored(f"{name} of experts", experts, name, tokens)
    # 21 rows of 200 are two batches for one rank and one for the other.
    for name in ("wanda", "flap", "llm-pruner", "kfac"):
        yield from _scored(f"{name} of long rows", lm, name, tiny.tokens(21, 200))
    away = load_model(folder / MODELS, device="cpu", offload="disk")
    for name in ("wanda", "fms-bp", "fms-zo"):
        yield from _scored(f"{name} from disk", away, name, tokens)
        yield from _scored(f"{name} of bfloat16", wrap(tiny.llama(dtype=torch.bfloat16)), name, tokens)
    for name, found in score_together(lm, ("wanda", "llm-pruner", "fms-bp", "fms-zo"), tokens, GRADIENT_ROWS).items():
        yield from _vectors(f"{name} together", found)
    for name in MASKED:
        weights = sparsify(lm, name, "2:4", tokens, GRADIENT_ROWS).model.state_dict()
        yield from ((f"2:4 by {name}: {key}", value.float().numpy()) for key, value in weights.items())
    yield "divergences of fewer rows than the reference has", _divergences(lm, tokens)


def _scored(label: str, lm: LoadedModel, name: str, tokens: torch.Tensor, **settings) -> Iterator[tuple]:
    yield from _vectors(label, score(lm, name, tokens, GRADIENT_ROWS, **settings))


def _vectors(label: str, found) -> Iterator[tuple[str, np.ndarray]]:
    for kind in KINDS:
        yield f"{label}: {kind}", np.concatenate([getattr(found, kind)[i] for i in sorted(getattr(found, kind))])
    yield f"{label}: c", np.array(found.coefficients)


def _divergences(lm: LoadedModel, tokens: torch.Tensor) -> np.ndarray:
    dense = Stream(tokens)
    finish(forward_events(lm, [dense]))
    reference = torch.cat(dense.hidden[0])
    mask = {1: {"channels": (torch.arange(32) % 2).float()}}
    measure = lambda lm, stream: tail_divergences(lm, stream, reference)  # noqa: E731
    return finish(masked_losses_events(lm, tokens[:5], [mask], measure=measure)).numpy()


def refusals() -> list[str]:
    """What is said of that which two ranks cannot share."""
    lm, tokens = wrap(tiny.llama()), tiny.tokens(ROWS, 20)
    of_this_rank = tiny.tokens(ROWS, 20, seed=int(os.environ["RANK"]))
    asked: tuple[Callable[[], object], ...] = (
        lambda: score(lm, "wanda", tokens[:1]),
        lambda: score(lm, "fms-bp", tokens, 1),
        lambda: score(lm, "fms-zo", tokens, 7, minibatch=3),
        lambda: score(lm, "wanda", of_this_rank),
    )
    return [_said(one) for one in asked]


def _said(asked: Callable[[], object]) -> str:
    try:
        asked()
    except MiniLLMError as fault:
        return str(fault)
    return ""


def surroundings(rank: int, port: int) -> dict[str, str]:
    """What torchrun would set for one of two ranks."""
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, **place, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def two(what: str, folder: Path) -> list[subprocess.Popen]:
    """Both ranks, begun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, __file__, what, str(folder)],
            env=surroundings(rank, port),
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]


def _one_rank(what: str, folder: Path) -> None:
    rank = int(os.environ["RANK"])
    with ranks.joined(rank, 2, torch.device("cpu")):
        if what == "everything":
            found = everything(folder)
            np.savez(folder / f"found-{rank}.npz", **found)
            (folder / f"said-{rank}").write_text("\n".join(refusals()))
        elif what == "a fault of one":
            if rank == 1:
                raise NumericalFault("Only this rank has met it.")
            ranks.total(1)
        elif what == "a silent one":
            vigil.SILENT = 2.0
            ranks.total(1)
            if rank == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(120)


if __name__ == "__main__":
    try:
        _one_rank(sys.argv[1], Path(sys.argv[2]))
    except MiniLLMError as fault:
        sys.exit(str(fault))
