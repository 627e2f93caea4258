"""Sweeps: many recipes from one file, what they have in common done once, told as tables.

    file ─► Sweep ─► cells ─► (worker.sweep: scores, variants, measurements in the store) ─► table ─► exports

Everything here is plain data over the store, so that the app's process can show a sweep without loading a model. The
one idea: a cell is done when the store holds its numbers. So a sweep that was killed goes on by looking, not by a
protocol of its own, and a table is always what is there.
"""

from .cells import Cell, cells
from .file import read_sweep, shipped
from .recipe import Sweep

__all__ = ["Cell", "Sweep", "cells", "read_sweep", "shipped"]
