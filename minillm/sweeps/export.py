"""A sweep's table as text: Markdown, CSV and LaTeX, and the whole record as JSON.

CSV holds means, spreads and seeds in columns of their own, for who computes with them; the other two are for reading.
The page with pictures, in one HTML file, is made by the app, which is where pictures are drawn.
"""

import json
from pathlib import Path

from ..paths import written_whole
from ..places import files_in
from ..plain import csv_of, frame_csv, markdown
from ..store.store import Store
from .compare import as_frame
from .printed import Printed, printed
from .record import record, sweep_in
from .table import Table, shown, table

LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
LATEX |= {"±": r"$\pm$", "–": "--", "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "∇": r"$\nabla$"}


def as_markdown(whole: Table) -> str:
    """A heading, the table, what the paper prints of it, and the notes."""
    columns, rows = shown(whole)
    words = len(_words(whole)) if whole.measures else len(columns)
    parts = [f"## {markdown(whole.sweep.title)}", "", *_pipes(columns, rows, words), ""]
    for one in printed(whole.sweep):
        parts += [f"Printed in the paper ({one.table}, {one.model}):", "", *_pipes(*_reference(one), 2), ""]
        parts += [one.note, ""] if one.note else []
    return "\n".join([*parts, *(f"- {markdown(note)}" for note in whole.notes)]) + "\n"


def _words(whole: Table) -> list[str]:
    return list(whole.row_words(whole.rows[0])) if whole.rows else []


def _pipes(columns: list[str], rows: list[list[str]], words: int) -> list[str]:
    """Rows between bars; the first so many columns are words, the others numbers."""
    rule = ["---" if i < words else "---:" for i in range(len(columns))]
    return [f"| {' | '.join(map(markdown, line))} |" for line in (columns, rule, *rows)]


def _reference(one: Printed) -> tuple[list[str], list[list[str]]]:
    rows = [[f"{row[0]:.0%}", str(row[1]), *("–" if v is None else f"{v:,.2f}" for v in row[2:])] for row in one.rows]
    return ["ratio", "criterion", *one.columns], rows


def as_csv(whole: Table) -> str:
    """One row a cell: what was done, then mean, spread and number of seeds of each measure, unscaled; the paper's
    value beside it where the model is the paper's."""
    references = printed(whole.sweep)
    if whole.texts and not whole.measures:
        columns, lines = shown(whole)
        return csv_of([columns, *lines])
    named = [f"{m.name}{part}" for m in whole.measures for part in ("", " spread", " seeds", " paper")]
    what = ("model", "ratio", "criterion", "blocks", "allocation", "compensation", "recovery")
    found: list[list[object]] = [[*what, *named, "failed"]]
    for row in whole.rows:
        cell = row.cell
        line = [cell.model, cell.ratio, cell.criterion, cell.layers, cell.allocation, cell.compensate, cell.recovery]
        cells: list[object] = []
        for m in whole.measures:
            number = row.numbers.get(m.name)
            same = (one.value(cell.ratio, cell.criterion, m.name) for one in references if one.model == cell.model)
            theirs = next((v for v in same if v is not None), "")
            mean, spread = (number.mean, number.spread) if number else ("", "")
            cells += [mean, "" if spread is None else spread, len(number.values) if number else 0, theirs]
        found.append([*line, *cells, " ".join(row.errors)])
    return csv_of(found)


def as_latex(whole: Table) -> str:
    """A table environment with booktabs' rules, and the notes as comments."""
    columns, rows = shown(whole)
    words = len(_words(whole)) if whole.measures else len(columns)
    lines = [f"% {note}" for note in whole.notes]
    lines += [r"\begin{table}", r"\centering", f"\\caption{{{_escaped(whole.sweep.title)}}}"]
    kind = "p{0.3\\textwidth}" if whole.texts and not whole.measures else "l"
    lines += [f"\\begin{{tabular}}{{{kind * words}{'r' * (len(columns) - words)}}}", r"\toprule"]
    lines += [" & ".join(map(_escaped, columns)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_escaped, row)) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)


FORMATS = {"md": as_markdown, "csv": as_csv, "tex": as_latex}
"""{ending: what writes it}."""

WRITTEN = (*(f"table.{ending}" for ending in FORMATS), "record.json", "differences.csv")


def text_of(store: Store, run_id: str, ending: str) -> str:
    """One of the files. Raises BadInput where the run is no sweep."""
    if ending == "json":
        return json.dumps(record(store, run_id), indent=1, ensure_ascii=False)
    return FORMATS[ending](table(store, run_id, sweep_in(store, run_id)))


def write_all(store: Store, run_id: str, folder: Path) -> list[Path]:
    """Write the files of `WRITTEN` into a folder; returns their paths."""
    files_in(folder, *WRITTEN)
    whole = table(store, run_id, sweep_in(store, run_id))
    texts = {f"table.{ending}": text_of(store, run_id, ending) for ending in FORMATS}
    texts |= {"record.json": text_of(store, run_id, "json"), "differences.csv": frame_csv(as_frame(whole))}
    for name, text in texts.items():
        with written_whole(folder / name) as scratch:
            scratch.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
