"""Runs that outlive a page and a process: a database (`store.sqlite`) and a folder of files for each run.

This is all a page needs to draw anything: recipes, jobs and their events (`job_line`), scores and plans (`files`),
variants and results. Several processes and threads may use it at once.
"""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from .. import paths
from ..checks import line
from ..errors import BadInput, UnknownName
from ..plan.plan import Plan
from ..plan.scores import Scores
from ..recipes.recipe import RunRecipe
from ..scratch import scratch_folder
from . import files
from .faults import copy_of
from .job_line import IS_LIVE, JobTable
from .records import ORIGINAL, Result, Run, Variant

LIST = "store.sqlite"
RUN_ID = re.compile(r"[0-9a-f]{8}")
LONGEST_TITLE, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 120, 2000, 40, 20

SEARCH = r"""
SELECT * FROM runs WHERE NOT EXISTS (
    SELECT 1 FROM json_each(?) AS word
    WHERE runs.id || ' ' || title || ' ' || json_extract(recipe, '$.model') || ' ' || json_extract(recipe, '$.text')
    || ' ' || note || ' ' || COALESCE((SELECT group_concat(tag.value, ' ') FROM json_each(tags) AS tag), '')
    NOT LIKE '%' || word.value || '%' ESCAPE '\')
ORDER BY created DESC, rowid DESC LIMIT ?
"""


LONGEST_SEARCH = 1_000


class Store(JobTable):
    """Everything that is kept, under one folder (default: `paths.home()`). patience, errors: as of `Database`."""

    def __init__(self, folder: str | Path | None = None, patience: float | None = None) -> None:
        self.folder = paths.made(Path(folder)) if folder else paths.home()
        super().__init__(self.folder / LIST, patience)

    def keep_copy(self) -> None:
        """Make the copy of the list anew from which one that is damaged is restored. Raises like the store."""
        with paths.written_whole(copy_of(self.folder / LIST)) as scratch:
            self.copy_to(scratch)

    def create_run(self, recipe: RunRecipe, title: str = "") -> str:
        """Keep a recipe as a new run; returns its id: 8 hexadecimal digits."""
        row = (token_hex(4), _title(title), json.dumps(recipe.to_json()), time.time())
        with self.writing() as db:
            db.execute("INSERT INTO runs (id, title, recipe, created) VALUES (?, ?, ?, ?)", row)
        return row[0]

    def run(self, run_id: str) -> Run:
        """A run by id. Raises BadInput where there is none: never was, deleted, or not the form of an id."""
        row = None
        if isinstance(run_id, str) and RUN_ID.fullmatch(run_id):
            row = self.reading().execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise BadInput(f"There is no run “{str(run_id)[:40]}”; it may have been deleted. Choose one from the list.")
        return _run(row)

    def runs(self, search: str = "", limit: int = 100) -> list[Run]:
        """Runs of which id, title, model, text, note or tags contain every word, newest first. Raises BadInput for a
        search that is too long."""
        if len(search) > LONGEST_SEARCH:
            raise BadInput(f"The search has {len(search):,} characters; give at most {LONGEST_SEARCH:,}.")
        words = [re.sub(r"([\\%_])", r"\\\1", word) for word in search.split()]
        found = self.reading().execute(SEARCH, (json.dumps(words), limit))
        return [_run(row) for row in found]

    def describe_run(
        self, run_id: str, title: str | None = None, note: str | None = None, tags: Iterable[str] | None = None
    ) -> None:
        """Give a run another title, note, set of tags; what is None stays. Raises BadInput, and changes nothing, for a
        note that is too long, an empty or long tag, or too many."""
        self.run(run_id)
        told = (
            None if title is None else _title(title),
            None if note is None else line(LONGEST_NOTE, empty=True)("note", note),
            None if tags is None else json.dumps(_tags(tags)),
        )
        with self.writing() as db:
            db.execute(
                "UPDATE runs SET title = COALESCE(?, title), note = COALESCE(?, note), tags = COALESCE(?, tags) "
                "WHERE id = ?",
                (*told, run_id),
            )

    def change_recipe(self, run_id: str, recipe: RunRecipe) -> None:
        """Give a run another recipe: for one in which nothing was found by the old one. Raises BadInput."""
        self.run(run_id)
        with self.writing() as db:
            db.execute("UPDATE runs SET recipe = ? WHERE id = ?", (json.dumps(recipe.to_json()), run_id))

    def tags(self) -> list[str]:
        """Every tag that some run has, sorted."""
        found = self.reading().execute("SELECT DISTINCT value FROM runs, json_each(tags) ORDER BY value COLLATE NOCASE")
        return [row["value"] for row in found]

    def option(self, name: str) -> Any:
        """What was set for the whole store under a name; None where nothing was."""
        row = self.reading().execute("SELECT value FROM options WHERE name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else None

    def set_option(self, name: str, value: Any) -> None:
        """Set something for the whole store, as JSON can hold it."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO options VALUES (?, ?)", (name, json.dumps(value)))

    def delete_run(self, run_id: str) -> None:
        """Remove a run with its jobs, results and files. Raises BadInput while one of its jobs is live."""
        folder = self.run_folder(run_id)
        with self.writing() as db:
            _check_idle(db, run_id)
            db.execute("DELETE FROM runs WHERE id = ?", (run_id,))
        _removed(folder)

    def run_folder(self, run_id: str) -> Path:
        """Where the files of a run lie. Raises BadInput where there is no such run."""
        return self.folder / "runs" / self.run(run_id).id

    def storage_bytes(self, run_id: str | None = None) -> int:
        """Bytes that the files of a run take, or all runs with the database."""
        if run_id is not None:
            return files.size(self.run_folder(run_id))
        return files.size(self.folder / "runs") + sum(f.stat().st_size for f in self.folder.glob("store.*"))

    def save_scores(self, run_id: str, scores: Scores, label: str = "") -> None:
        """Keep scores under a label (default: their own label or criterion), in place of earlier ones."""
        label = label or str(scores.recipe.get("label") or scores.criterion)
        files.save_scores(self.run_folder(run_id), label, scores)

    def score_labels(self, run_id: str) -> list[str]:
        """Labels of the scores of a run, sorted; reads no scores."""
        return files.score_labels(self.run_folder(run_id))

    def scores(self, run_id: str) -> dict[str, Scores]:
        """{label: scores} of a run, sorted by label. Unchanged scores are the same objects at every call."""
        return files.load_scores(self.run_folder(run_id))

    def add_variant(self, run_id: str, variant: Variant, plan: Plan | None = None) -> Variant:
        """Keep a variant and its plan; returns it with the time. Raises BadInput where its name is taken."""
        row = (variant.name, variant.kind, variant.parent, json.dumps(variant.request), json.dumps(variant.details))
        if plan is not None:
            files.save_plan(self.run_folder(run_id), variant.name, plan)
        try:
            with self.writing() as db:
                db.execute("INSERT INTO variants VALUES (?, ?, ?, ?, ?, ?, ?)", (run_id, *row, time.time()))
        except sqlite3.IntegrityError as fault:
            raise BadInput(f"This run already has a variant “{variant.name}”; give it another name.") from fault
        return self.variant(run_id, variant.name)

    def variants(self, run_id: str) -> list[Variant]:
        """The original, then the others in the order they were made."""
        run = self.run(run_id)
        found = self.reading().execute("SELECT * FROM variants WHERE run_id = ? ORDER BY rowid", (run_id,))
        return [Variant(ORIGINAL, ORIGINAL, created=run.created), *map(_variant, found)]

    def variant(self, run_id: str, name: str) -> Variant:
        """A variant by name. Raises UnknownName, which lists near or all of the run's."""
        known = {variant.name: variant for variant in self.variants(run_id)}
        if name not in known:
            raise UnknownName("variant", name, known)
        return known[name]

    def located(self, run_id: str, reference: str) -> tuple[str, str]:
        """(run, variant) that a reference means, seen from a run: NAME is a variant of its own, RUN/NAME of any run.

        Raises BadInput where there is no such run, UnknownName where it has no such variant.
        """
        other, _, name = reference.rpartition("/")
        return other or run_id, self.variant(other or run_id, name).name

    def at_hand(self, run_id: str, name: str) -> bool:
        """Whether a variant can be brought back: its weights are kept here, or follow from its plan, or were computed
        here and dropped (elsewhere the sums of a compensation may differ in their last bit)."""
        variant = self.variant(run_id, name)
        by_plan = variant.rebuilds and (not variant.request.get("compensate") or "dropped" in variant.details)
        return variant.kind == ORIGINAL or by_plan or self.weights_folder(run_id, name).is_dir()

    def check_at_hand(self, run_id: str, name: str) -> None:
        """Raise BadInput for a variant that is more than its plan and whose weights are not here: cut again by the plan
        alone it would be another model under the same name."""
        if not self.at_hand(run_id, name):
            raise BadInput(
                f"The weights of “{name}” are not kept here (an imported run comes without any, as the sample run, "
                f"and no folder {self.weights_folder(run_id, name)} is there); its numbers and texts can be read, and "
                "Prune & recover makes it anew."
            )

    def free_name(self, run_id: str, kind: str) -> str:
        """The next name for a variant of a kind: pruned-1, pruned-2 …"""
        return f"{kind}-{1 + sum(variant.kind == kind for variant in self.variants(run_id))}"

    def plan(self, run_id: str, name: str) -> Plan:
        """The plan a pruned variant was cut by. Raises BadInput where it has none."""
        return files.load_plan(self.run_folder(run_id), self.variant(run_id, name).name)

    def weights_folder(self, run_id: str, name: str) -> Path:
        """Where the weights of a variant lie, where they are kept and not rebuilt."""
        return files.weights_folder(self.run_folder(run_id), name)

    def exports_folder(self, run_id: str) -> Path:
        """Where the exports of a run lie, each a folder; not made before there is one."""
        return self.run_folder(run_id) / "exports"

    def drop_weights(self, run_id: str, name: str) -> int:
        """Remove kept weights that are rebuilt where they are needed; returns the bytes that gave.

        Raises BadInput where they are not kept, cannot be rebuilt, or a job of the run is live.
        """
        variant, folder = self.variant(run_id, name), self.weights_folder(run_id, name)
        if not (variant.rebuilds and folder.is_dir()):
            raise BadInput(f"No weights of “{name}” can be dropped: none are kept, or they could not be rebuilt.")
        with self.writing() as db:
            _check_idle(db, run_id)
            dropped = (json.dumps({**variant.details, "dropped": True}), run_id, name)
            db.execute("UPDATE variants SET details = ? WHERE run_id = ? AND name = ?", dropped)
        return _removed(folder)

    def add_result(self, run_id: str, kind: str, data: dict[str, Any], job_id: int | None = None) -> int:
        """Keep a result (perplexity, curve, generation, memory …); returns its number."""
        with self.writing() as db:
            row = (run_id, job_id, kind, json.dumps(data), time.time())
            found = db.execute(
                "INSERT INTO results (run_id, job_id, kind, data, created) VALUES (?, ?, ?, ?, ?) RETURNING id", row
            )
            return int(found.fetchone()["id"])

    def results(self, run_id: str, kind: str | None = None) -> list[Result]:
        """Results of a run, oldest first; of one kind or all."""
        self.run(run_id)
        found = self.reading().execute(
            "SELECT * FROM results WHERE run_id = ? AND (? IS NULL OR kind = ?) ORDER BY id", (run_id, kind, kind)
        )
        return [Result(**{**dict(row), "data": json.loads(row["data"])}) for row in found]


def _removed(folder: Path) -> int:
    """Remove a folder; returns the bytes that gave. What is cut off in the midst of it is a dead maker's scratch."""
    freed = files.size(folder)
    if folder.is_dir():
        with suppress(OSError), scratch_folder(folder.parent, f".{folder.name}-") as scratch:
            folder.rename(scratch / folder.name)
        shutil.rmtree(folder, ignore_errors=True)  # a full disk has no room for a scratch folder
    return freed


def _check_idle(db: sqlite3.Connection, run_id: str) -> None:
    live = db.execute(f"SELECT id, kind FROM jobs WHERE run_id = ? AND {IS_LIVE}", (run_id,)).fetchone()
    if live:
        raise BadInput(f"The {live['kind']} job {live['id']} of this run is live; stop it before deleting.")


def _title(title: str) -> str:
    return " ".join(title.split())[:LONGEST_TITLE]


def _tags(tags: Iterable[str]) -> list[str]:
    chosen = list(dict.fromkeys(" ".join(line(LONGEST_TAG)("tag", tag).split()) for tag in tags))
    if len(chosen) > MOST_TAGS:
        raise BadInput(f"There are {len(chosen)} tags; give at most {MOST_TAGS}.")
    return chosen


def _run(row: sqlite3.Row) -> Run:
    recipe, tags = RunRecipe.from_json(json.loads(row["recipe"])), tuple(json.loads(row["tags"]))
    return Run(row["id"], row["title"], recipe, row["created"], row["note"], tags)


def _variant(row: sqlite3.Row) -> Variant:
    request, details = json.loads(row["request"]), json.loads(row["details"])
    return Variant(row["name"], row["kind"], row["parent"], request, details, row["created"])
