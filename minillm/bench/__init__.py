"""The budgets, measured: what scoring costs as ratios to plain work on the same tokens, in one run on one machine.

Seconds mean little elsewhere; a ratio of two times taken in turns, each the least of several, means the same on a quiet
laptop and on a shared server. Peaks are the allocator's. Beside the budgets stand two baselines in the words of their
papers: backprop that keeps all gradients, and zeroth order that perturbs in place.
"""

from .report import BUDGETS, Report, Row
from .run import bench_events

__all__ = ["BUDGETS", "Report", "Row", "bench_events"]
