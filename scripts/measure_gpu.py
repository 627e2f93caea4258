"""What scoring and cutting cost on a GPU: peaks by its allocator, time beside a bare forward, copies beside kernels.

    python -m scripts.make_random random-7b --dtype bfloat16
    python -m scripts.measure_gpu --model random-7b --device cuda --out measured.jsonl

Weights lie on the GPU, then in main memory, from where blocks are copied on a stream of their own. A row a criterion
and place: seconds (the second of two runs), the peak above what is allocated at the start and in total, the share of
copying time that passes while kernels run, and how often the processor waited for the GPU. Then times of the dense
model, cut by 20 and by 50 %. On a CPU the same rows come out without what only a GPU's profiler tells.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import minillm
from minillm.bench import plain
from minillm.evaluation.profiling import compared, latencies_events, size
from minillm.events import finish
from minillm.models.loaded import LoadedModel

CRITERIA = ("wanda", "wanda-sp", "flap", "fms-bp", "llm-pruner", "zo", "fms-zo")
Span = tuple[float, float]
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--criterion", action="append")
    parser.add_argument("--place", action="append", choices=["", "cpu", "disk"], help="empty: on the device itself")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--gradient-rows", type=int, default=10)
    parser.add_argument("--ratio", action="append", type=float, help="of the models that are timed")
    parser.add_argument("--out", type=Path, default=None)
    return parser.parse_args()


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time as spans that do not touch, in order."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def overlap(copies: Iterable[Span], kernels: Iterable[Span]) -> float | None:
    """The share of copying time during which a kernel runs; None where nothing is copied."""
    copies, kernels = merged(copies), merged(kernels)
    copying = sum(end - start for start, end in copies)
    shared = sum(max(0.0, min(e, to) - max(s, at)) for s, e in copies for at, to in kernels)
    return shared / copying if copying else None


def traced(work: Callable[[], object]) -> dict[str, Any]:
    """What the GPU's profiler tells of `work`."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        work()
    events = trace.events() or []
    on_gpu = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    copies = [(e.time_range.start, e.time_range.end) for e in on_gpu if "Memcpy HtoD" in e.name]
    kernels = [(e.time_range.start, e.time_range.end) for e in on_gpu if "Mem" not in e.name]
    share = overlap(copies, kernels)
    return {"overlap": share and round(share, 3), "waits": sum(e.name in WAITS for e in events)}


def seconds(lm: LoadedModel, work: Callable[[], object]) -> float:
    """Until the device has done it: the second of two runs."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        if lm.device.type == "cuda":
            torch.cuda.synchronize(lm.device)
        took = time.perf_counter() - started
    return took


def scoring(lm: LoadedModel, tokens: Tensor, given: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """A row a criterion. `forward`: seconds of a bare forward pass over the same rows."""
    gpu = lm.device.type == "cuda"
    weights = torch.cuda.memory_allocated(lm.device) if gpu else lm.groups.parameters * lm.dtype.itemsize
    forward = seconds(lm, lambda: plain.forward(lm, tokens))
    yield {"what": "forward", "seconds": round(forward, 3), "weights_gigabytes": round(weights / 1e9, 3)}
    for criterion in given.criterion or CRITERIA:

        def work(criterion: str = criterion) -> minillm.Scores:
            return minillm.score(lm, criterion, tokens, given.gradient_rows)

        took, peak = seconds(lm, work), work().peak_bytes
        found = {"what": criterion, "seconds": round(took, 3), "of_forward": round(took / forward, 3)}
        found |= {"peak_gigabytes": round(peak / 1e9, 3), "total_gigabytes": round((weights + peak) / 1e9, 3)}
        yield found | (traced(work) if gpu else {})


def times(lm: LoadedModel, tokens: Tensor, given: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """Table 5: the dense model against cuts of it, in turns."""
    scores = minillm.score(lm, "magnitude-l2", tokens, given.gradient_rows)
    lms = {"dense": lm}
    for ratio in given.ratio or (0.2, 0.5):
        lms[f"{ratio:.0%}"] = minillm.prune(lm, minillm.make_plan(scores, ratio))
    prompt = min(64, tokens.shape[1] // 2)
    timed = finish(latencies_events(lms, prompt_tokens=prompt, new_tokens=min(16, prompt)))
    sizes = {name: size(one) for name, one in lms.items()}
    for name, one in timed.items():
        facts = {"prefill": one.prefill.median, "decode": one.decode.median, "macs": sizes[name].macs}
        yield {"what": name, **facts, **(compared(sizes, timed, name, "dense") if name != "dense" else {})}


def main() -> None:
    given = arguments()

    def tell(row: dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)
        if given.out:
            with given.out.open("a") as out:
                out.write(json.dumps(row) + "\n")

    for place in ["", "cpu"] if given.place is None else given.place:
        lm = minillm.load_model(given.model, given.dtype, given.device, offload=place or None)
        few = {"samples": given.rows, "length": given.length, "seed": 0}
        tokens = minillm.load_text("python-docs", lm, **few)
        for row in scoring(lm, tokens, given):
            tell({"place": place or "device", **row})
        if not place:
            for row in times(lm, tokens, given):
                tell({"place": "device", **row})
        del lm


if __name__ == "__main__":
    main()
