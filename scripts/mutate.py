"""Do the tests notice? Small faults are put into a scratch copy of the engine, one at a time, and its tests are run.

    python -m scripts.mutate                        # every module of the table below, 70 mutants
    python -m scripts.mutate --only plan/budget.py  # the mutants of one module
    python -m scripts.mutate --list

A mutant is one change of one expression: a sign, a comparison, a maximum that becomes a minimum, an axis, an absolute
value or a clamp that is dropped, a constant. Which ones are tried follows from the seed. A mutant that no test notices
within the time is a survivor: it needs a test, or a reason why it changes nothing.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 180
"""How long the tests of one mutant may take."""

TESTS = {
    "scoring/score.py": ["scoring/test_group_masks.py", "scoring/test_score.py", "scoring/test_together.py"],
    "scoring/reduction.py": ["scoring/test_score.py"],
    "scoring/zeroth_order.py": ["scoring/test_zeroth_order.py", "scoring/test_score.py"],
    "scoring/group_masks.py": ["scoring/test_group_masks.py"],
    "scoring/submodels.py": ["scoring/test_submodels.py"],
    "criteria/ziplm.py": ["criteria/test_criteria.py"],
    "walk/observers.py": ["walk/test_observers.py", "criteria/test_criteria.py"],
    "walk/tail.py": ["walk/test_forward.py", "evaluation/test_perplexity.py", "allocation/test_structured.py"],
    "plan/budget.py": ["plan/test_budget.py", "plan/test_plan.py"],
    "plan/ranking.py": ["plan/test_budget.py"],
    "plan/overlap.py": ["plan/test_overlap.py"],
    "surgery/cut.py": ["surgery/test_cut.py", "surgery/test_compensation.py"],
    "surgery/compensation.py": ["surgery/test_compensation.py"],
    "surgery/sparsegpt_update.py": ["surgery/test_sparsify.py"],
    "surgery/recovery.py": ["surgery/test_recovery.py", "sweeps/test_labels.py"],
    "evaluation/perplexity.py": ["evaluation/test_perplexity.py"],
}
"""{module of minillm: where its tests are}."""

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
OTHERS = {"max": "min", "min": "max", "amax": "amin", "amin": "amax", "sum": "mean", "argsort": "sort", "all": "any"}
DROPPED = ("abs", "abs_", "square", "sqrt", "clamp", "clamp_", "exp")


@dataclass(frozen=True)
class Mutant:
    """One change. module: of minillm; line: where; was, now: the expression before and after."""

    module: str
    line: int
    was: str
    now: str
    source: str


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Faulty copies of one expression."""
    made = copy.deepcopy(node)
    if isinstance(made, ast.Compare) and type(made.ops[0]) in COMPARISONS:
        made.ops[0] = COMPARISONS[type(made.ops[0])]()
        yield made
    elif isinstance(made, ast.BinOp) and type(made.op) in ARITHMETIC and not _joins(made):
        made.op = ARITHMETIC[type(made.op)]()
        yield made
    elif isinstance(made, ast.UnaryOp) and isinstance(made.op, ast.USub):
        yield made.operand
    elif isinstance(made, ast.Call) and getattr(made.func, "id", "") != "Event":
        yield from _calls(made)


def _joins(node: ast.BinOp) -> bool:
    """Whether it puts texts or lists together rather than numbers."""
    parts = (node.left, node.right)
    return any(isinstance(one, ast.JoinedStr | ast.List | ast.Tuple) or _is_text(one) for one in parts)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _calls(made: ast.Call) -> Iterator[ast.AST]:
    name = made.func.attr if isinstance(made.func, ast.Attribute) else getattr(made.func, "id", "")
    if name in OTHERS:
        other = copy.deepcopy(made)
        setattr(other.func, "attr" if isinstance(other.func, ast.Attribute) else "id", OTHERS[name])
        yield other
    if name in DROPPED and isinstance(made.func, ast.Attribute):
        yield made.func.value
    for place, given in enumerate(made.args):
        if isinstance(given, ast.Constant) and given.value in (0, 1) and not isinstance(given.value, bool):
            other = copy.deepcopy(made)
            other.args[place] = ast.Constant(1 - given.value)
            yield other


def mutants(module: str) -> list[Mutant]:
    """Every mutant of a module of minillm."""
    source = (ROOT / "minillm" / module).read_text(encoding="utf-8")
    found = []
    for node in ast.walk(ast.parse(source)):
        for made in changes(node):
            was, now = ast.get_source_segment(source, node) or "", ast.unparse(ast.fix_missing_locations(made))
            changed = _replaced(source, node, now)
            found.append(Mutant(module, getattr(node, "lineno", 0), was, now, changed))
    return [one for one in found if one.was and one.source != source and "\n" not in one.was]


def _replaced(source: str, node: ast.AST, by: str) -> str:
    lines = source.splitlines(keepends=True)
    row, start, end = node.lineno - 1, node.col_offset, node.end_col_offset  # type: ignore[attr-defined]
    line = lines[row].encode()
    lines[row] = (line[:start] + f"({by})".encode() + line[end:]).decode()
    return "".join(lines)


def drawn(modules: list[str], count: int, seed: int) -> list[Mutant]:
    """So many mutants, drawn module by module in turn, so that each has its share."""
    draw = random.Random(seed)
    heaps = [draw.sample(found, len(found)) for found in map(mutants, modules)]
    chosen: list[Mutant] = []
    while len(chosen) < count and any(heaps):
        chosen += [heap.pop() for heap in heaps if heap]
    return chosen[:count]


def noticed(scratch: Path, mutant: Mutant) -> tuple[str, float]:
    """(killed, survived or late; seconds) of one mutant in a scratch copy, which is then as it was."""
    file = scratch / "minillm" / mutant.module
    before, began = file.read_text(encoding="utf-8"), time.monotonic()
    file.write_text(mutant.source, encoding="utf-8")
    tests = [f"tests/{name}" for name in TESTS[mutant.module]]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        ran = subprocess.run(command, cwd=scratch, capture_output=True, timeout=SECONDS, env=_environment())
        verdict = "survived" if ran.returncode == 0 else "killed"
    except subprocess.TimeoutExpired:
        verdict = "late"
    file.write_text(before, encoding="utf-8")
    return verdict, time.monotonic() - began


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=70)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many: to go on")
    parser.add_argument("--only", action="append", choices=list(TESTS), help="a module; repeat it")
    parser.add_argument("--list", action="store_true", help="name the mutants, run nothing")
    parser.add_argument("--out", type=Path, help="a JSON file for what became of each")
    return parser.parse_args()


def main() -> None:
    """Try them, say what became of each, and end with 1 where any survived."""
    given = arguments()
    chosen, told = drawn(given.only or list(TESTS), given.count, given.seed)[given.skip :], []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "copy"
        shutil.copytree(ROOT, scratch, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache"))
        for mutant in chosen:
            verdict, seconds = ("listed", 0.0) if given.list else noticed(scratch, mutant)
            told.append({"module": mutant.module, "line": mutant.line, "was": mutant.was, "now": mutant.now})
            told[-1] |= {"verdict": verdict, "seconds": round(seconds, 1)}
            print(
                f"{verdict:9} {mutant.module}:{mutant.line}  {mutant.was}  →  {mutant.now}  ({seconds:.0f} s)",
                flush=True,
            )
            if given.out:
                given.out.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    count = {verdict: sum(one["verdict"] == verdict for one in told) for verdict in ("killed", "survived", "late")}
    print(f"{len(told)} mutants: {count['killed']} killed, {count['survived']} survived, {count['late']} late")
    sys.exit(bool(count["survived"] + count["late"]))


if __name__ == "__main__":
    main()
