"""Ways to cut and to recover that are known by name. A way to cut says who chooses the head groups, who the channels,
how much each block gives up, and what makes up for the cut; a way to recover says how adapters are trained.

A cut is chosen best by what it costs once what stays has taken over, and in the units of the loss: then heads,
channels and blocks are one question with one budget.
"""

from dataclasses import dataclass
from typing import Any

from ..checks import Checked, field, number, one_of, whole
from ..errors import UnknownName
from .trains import ALL, BLOCKS, DRAWN, GLOBAL, GRADIENT, LORA, PLACES, SHARED, SPP, TRAINS, check_drawn


@dataclass(frozen=True)
class Left:
    """What of the embedded model was left: perplexity on WikiText-2 and PTB test, untuned (docs/measured.md)."""

    ratio: float
    wikitext2: float
    ptb: float


DENSE = Left(0.0, 52, 116)


@dataclass(frozen=True)
class CutPreset:
    """One way to cut.

    label, about: for people; heads, channels: criteria; allocation: a method; compensate: as
    `cut.prune` takes it, empty for none; samples: rows of text that scores and compensation are measured on.
    left: what it left of the embedded model, took: time and memory of the cut of 20 %; empty where not measured.
    """

    label: str
    heads: str
    channels: str
    allocation: str
    compensate: str
    samples: int
    about: str
    left: tuple[Left, ...] = ()
    took: str = ""


CUTS: dict[str, CutPreset] = {
    "paper": CutPreset(
        "the paper",
        "fms-zo",
        "fms-zo",
        "uniform",
        "",
        128,
        "MINI-LLM's own: one estimated gradient chooses everything, and nothing makes up for the cut.",
    ),
    "best": CutPreset(
        "best measured here",
        "kfac",
        "kfac",
        "knapsack",
        "least-squares",
        512,
        "Head groups, whole attentions and channels of all blocks under one budget, by what each costs in nats once "
        "the others have taken over; the columns of o and down that stay take over by least squares.",
        (Left(0.2, 64, 170), Left(0.5, 133, 468)),
        "5 min 24 s, 1.8 GB",
    ),
    "quick": CutPreset(
        "quick: two minutes",
        "kfac",
        "kfac",
        "knapsack",
        "least-squares",
        128,
        "The best way from a quarter of the text: the same costs, less well known.",
        (Left(0.2, 67, 181), Left(0.5, 136, 491)),
        "1 min 39 s, 1.6 GB",
    ),
    "thorough": CutPreset(
        "thorough: with a search",
        "kfac",
        "kfac",
        "evolutionary",
        "least-squares",
        512,
        "From the best way on: many divisions of the cut between the blocks, each judged after least squares by how "
        "far the model then is from the original.",
    ),
    "shortgpt": CutPreset(
        "ShortGPT: whole blocks",
        "magnitude-l1",
        "magnitude-l1",
        "blocks",
        "",
        128,
        "The blocks whose output is most like their input go as a whole; nothing is scored inside a block, and the "
        "cut model opens everywhere.",
    ),
    "2ssp": CutPreset(
        "2SSP: attentions and channels",
        "wanda-sp",
        "wanda-sp",
        "2ssp",
        "",
        256,
        "Channels first, the same share of every block, then whole attentions one by one. Channels are ranked by "
        "Wanda-sp here, by the norm of their activation alone in the original.",
    ),
}


def find_cut(name: str) -> CutPreset:
    """The way to cut of that name. Raises UnknownName."""
    if name not in CUTS:
        raise UnknownName("preset", name, CUTS)
    return CUTS[name]


@dataclass(frozen=True, kw_only=True)
class RecoverySettings(Checked):
    """How to recover. The defaults take little memory, whatever the model; `RECOVERIES["paper"]` is Section 4.1."""

    loss: str = field(
        one_of("distill", "language-model"),
        label="Loss",
        help="distill: KL from the original's next-word distribution; language-model: the paper's plain loss.",
        default="distill",
    )
    steps: int = field(whole(1, 1_000_000), label="Steps", help="Updates.", default=120)
    batch: int = field(whole(1, 4096), label="Batch", help="Rows an update.", default=8)
    accumulate: int = field(
        whole(1, 4096), label="Pieces", help="In how many pieces the rows of an update are pushed.", default=1
    )
    rank: int = field(
        whole(1, 1024),
        label="Rank r",
        help="LoRA's and SPP's r. sparse trains as many numbers as LoRA would.",
        default=8,
    )
    alpha: int = field(whole(1, 10_000), label="Alpha α", help="LoRA's and SPP's α.", default=16)
    learning_rate: float = field(number(1e-8, 1), label="Learning rate", help="Peak of a cosine.", default=1e-3)
    warmup: int = field(whole(0, 1_000_000), label="Warm-up", help="Updates until that peak.", default=5)
    evaluate_every: int = field(
        whole(1, 1_000_000), label="Evaluate every", help="Updates between measurements on held-out rows.", default=25
    )
    held_out: int = field(whole(1, 100_000), label="Held out", help="Rows kept for these measurements.", default=16)
    seed: int = field(whole(0, 2**31 - 1), label="Seed", help="Of adapters and the order of rows.", default=0)
    trains: str = field(
        one_of(*TRAINS),
        label="Trains",
        help="lora: adapters, little memory; spp, sparse: adapters that keep N:M zeros; outputs: the weights of o and "
        "down; blocks: all weights of the blocks, 20 bytes each. Weights want about a third of LoRA's learning rate, "
        "spp four times as much.",
        default=LORA,
    )
    drawn: str = field(
        one_of(*DRAWN),
        label="Blocks an update",
        help="Which blocks an update of adapters trains: all; ist: a quarter, drawn by how much their adapters were "
        "found to matter; rst: a quarter by chance.",
        default=ALL,
    )
    places: str = field(
        one_of(*PLACES),
        label="Sparse: places",
        help=f"sparse trains the weights where this is highest: {', '.join(f'{n}: {how}' for n, how in PLACES.items())}"
        "; g is the gradient of the recovery's loss.",
        default=GRADIENT,
    )
    shared: str = field(
        one_of(*SHARED),
        label="Sparse: shared out",
        help=f"{'; '.join(f'{name}: {how}' for name, how in SHARED.items())}.",
        default=GLOBAL,
    )
    score_rows: int = field(
        whole(1, 4096), label="Sparse: rows for places", help="Rows of text whose gradient chooses them.", default=8
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_drawn(self.trains, self.drawn)


@dataclass(frozen=True)
class RecoveryPreset:
    """One way to recover. label: for people; training: how; text: what the app trains on."""

    label: str
    training: RecoverySettings
    text: str


RECOVERIES: dict[str, RecoveryPreset] = {
    "embedded": RecoveryPreset(
        "embedded model: ten minutes on two cores",
        RecoverySettings(trains=BLOCKS, learning_rate=3e-4, steps=80, evaluate_every=20),
        "instructions + python-docs",
    ),
    "lora": RecoveryPreset("adapters: little memory", RecoverySettings(), "instructions + python-docs"),
    "zeros": RecoveryPreset(
        "adapters that keep N:M zeros",
        RecoverySettings(trains=SPP, learning_rate=4e-3),
        "instructions + python-docs",
    ),
    "paper": RecoveryPreset(
        "the paper's: hours on a GPU",
        RecoverySettings(
            loss="language-model",
            steps=1560,
            batch=64,
            accumulate=8,
            learning_rate=1e-4,
            warmup=100,
            evaluate_every=100,
        ),
        "alpaca-cleaned",
    ),
}
"""embedded: of what fits in ten minutes, all weights of the blocks gain most (docs/measured.md). paper: 2 epochs of
about 50,000 rows at batch 64, r 8, α 16, lr 1e-4, cosine (Section 4.1, which names no warm-up; 100 updates of it are
LLM-Pruner's)."""


def find_recovery(name: str) -> RecoveryPreset:
    """The way to recover of that name. Raises UnknownName."""
    if not isinstance(name, str) or name not in RECOVERIES:
        raise UnknownName("preset", name, RECOVERIES)
    return RECOVERIES[name]


def preset_and(given: dict[str, Any]) -> dict[str, Any]:
    """Settings of a recovery in which `preset` may name a way: its own where it differs from the defaults, with what is
    given beside it in their place. Raises UnknownName for a name that is none."""
    others = {name: value for name, value in given.items() if name != "preset"}
    return (find_recovery(given["preset"]).training.changed() if "preset" in given else {}) | others
