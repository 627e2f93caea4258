"""What belongs to the whole process is as it was after every call, also where several threads make such calls."""

import csv
import logging
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from torch import nn
from transformers.utils import logging as told

import minillm
from minillm.alone import seeded
from minillm.text.rows import read_rows

ROUNDS = 4


def draw() -> tuple[float, float, float]:
    return torch.rand(1).item(), float(np.random.rand()), random.random()


def test_seeded_repeats_and_leaves_no_trace() -> None:
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    undisturbed = draw()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    with seeded(7):
        first = draw()
    assert draw() == undisturbed
    with seeded(7):
        assert draw() == first
    with seeded(8):
        assert draw() != first


def test_who_waits_to_seed_does_not_give_back_another_threads_seed() -> None:
    random.seed(1), np.random.seed(1)
    undisturbed = random.random(), float(np.random.rand())
    random.seed(1), np.random.seed(1)
    waits = Event()

    def second() -> None:
        waits.set()
        with seeded(8):
            draw()

    with seeded(7):
        other = Thread(target=second)
        other.start()
        waits.wait()
        time.sleep(0.2)  # until it stands at the door
    other.join()
    assert (random.random(), float(np.random.rand())) == undisturbed


def settings() -> dict[str, Any]:
    """Settings of the process that libraries change while they work."""
    return {
        "how modules take parameters": (nn.Module.register_parameter, nn.Module.register_buffer),
        "where a new weight lies": (nn.Linear(2, 2).weight.device.type, nn.Linear(2, 2).weight.dtype),
        "dtype of new tensors": torch.get_default_dtype(),
        "how weights begin and are tied": (nn.init.normal_, transformers.PreTrainedModel.tie_weights, torch.linspace),
        "what transformers says": (told.get_verbosity(), told.is_progress_bar_enabled()),
        "what the harness says": logging.getLogger("lm_eval").level,
        "where errors are written": sys.stderr,
        "warnings": list(warnings.filters),
        "the longest cell": csv.field_size_limit(),
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("places")
    lm = minillm.wrap(tiny.llama(), tiny.tokenizer())
    tiny.saved(at / "whole", lm.model, lm.tokenizer)
    tiny.gguf(at / "a.gguf", tiny.llama())
    minillm.save_pruned(cut(lm), at / "cut")
    (at / "rows.csv").write_text("text\n" + f"{'word ' * 50_000}\n")
    return at


def cut(lm: Any) -> Any:
    return minillm.prune(lm, minillm.make_plan(minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1))


def sums(lm: Any) -> list[float]:
    return [weight.double().sum().item() for weight in lm.model.parameters() if not weight.is_meta]


def exported(at: Path) -> Iterator[Callable[[], Any]]:
    for number in range(10**6):
        yield lambda number=number: minillm.export(minillm.load_model(at / "cut"), "transformers", at / f"out-{number}")


def work(at: Path) -> dict[str, Callable[[], Any]]:
    turns = exported(at)
    short = {"steps": 1, "batch": 2, "held_out": 2, "loss": "language-model"}
    small = cut(minillm.wrap(tiny.llama(), tiny.tokenizer()))
    return {
        "load": lambda: sums(minillm.load_model(at / "whole")),
        "load in half": lambda: sums(minillm.load_model(at / "whole", dtype="bfloat16")),
        "load from disk": lambda: minillm.perplexity(minillm.load_model(at / "whole", offload="disk"), ROWS, 16),
        "load a GGUF": lambda: sums(minillm.load_model(at / "a.gguf")),
        "load a cut model": lambda: sums(minillm.load_model(at / "cut")),
        "plan": lambda: minillm.plan_from_config({**tiny.llama().config.to_dict()}, 0.1).parameters,
        "export": lambda: next(turns)().parameters,
        "rows": lambda: len(read_rows(at / "rows.csv")),
        "adapters": lambda: sums(minillm.recover(small, tiny.tokens(8), trains="lora", **short)),
        "cut": lambda: sums(cut(small)),
        "perplexity": lambda: minillm.perplexity(small, ROWS, 16),
    }


ROWS = tiny.tokens(4, 16)


@pytest.fixture(scope="module")
def calls(places: Path) -> dict[str, Callable[[], Any]]:
    return work(places)


NAMES = ["load", "load in half", "load from disk", "load a GGUF", "load a cut model", "plan", "export", "rows"]
NAMES += ["adapters", "cut", "perplexity"]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_leaves_the_settings_and_the_random_numbers_of_the_process(name: str, calls) -> None:
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    undisturbed, before = draw(), settings()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    calls[name]()
    assert draw() == undisturbed
    assert settings() == before


PAIRS = [("load", "load"), ("load", "load a cut model"), ("load from disk", "load a GGUF"), ("export", "plan")]
PAIRS += [("load a cut model", "cut"), ("load a cut model", "adapters"), ("rows", "rows"), ("load", "perplexity")]
PAIRS += [("adapters", "adapters")]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_at_once_find_what_each_finds_alone_and_leave_the_settings(pair: tuple[str, str], calls) -> None:
    alone, before, switching = [calls[name]() for name in pair], settings(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(2) as threads:
                assert [one.result() for one in [threads.submit(calls[name]) for name in pair]] == alone
    finally:
        sys.setswitchinterval(switching)
    assert settings() == before
