"""Where results go: looked at before any work begins, by every verb; and nothing that was worked out is thrown away."""

import json
import os
from pathlib import Path

import pytest
import tiny

import minillm
from minillm import places
from minillm.errors import BadInput, DoesNotFit, MiniLLMError
from minillm.paths import written_whole
from minillm.places import delivered, each_delivered, file_for, files_in, folder_for
from minillm.plan.scores import Scores


def foreign(at: Path) -> Path:
    (at / "mine").mkdir()
    (at / "mine" / "keep.txt").write_text("mine")
    return at / "mine"


def a_file(at: Path) -> Path:
    (at / "file").write_text("mine")
    return at / "file"


def a_link_to_nothing(at: Path) -> Path:
    (at / "link").symlink_to(at / "nowhere")
    return at / "link"


def a_link_to_other_files(at: Path) -> Path:
    (at / "link").symlink_to(foreign(at))
    return at / "link"


NO_FOLDERS = {
    "other files": (foreign, "holds other files"),
    "a file": (a_file, "is a file"),
    "under a file": (lambda at: a_file(at) / "below" / "out", "is a file"),
    "a link to nothing": (a_link_to_nothing, "link to nothing"),
    "a link to other files": (a_link_to_other_files, "holds other files"),
    "the folder one is in": (lambda at: Path("."), "is or holds the folder this was started in"),
    "the folder above": (lambda at: Path(".."), "is or holds the folder this was started in"),
    "the root": (lambda at: Path("/"), "is or holds the folder this was started in"),
    "a name that is too long": (lambda at: at / ("x" * 300), "cannot be the name"),
    "a name with a zero byte": (lambda at: at / "a\0b", "cannot be the name"),
    "a place that takes no files": (lambda at: Path("/proc/out"), "takes no files"),
}


@pytest.mark.parametrize("kind", NO_FOLDERS)
def test_a_folder_that_cannot_take_the_result_is_refused(kind: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, says = NO_FOLDERS[kind]
    with pytest.raises(BadInput, match=says) as caught:
        folder_for(make(tmp_path), "pruning.json")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_new_or_empty_or_ours_is_taken(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "pruning.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "ours", "new", "two/new/folders", tmp_path / "new"):
        assert folder_for(name, "pruning.json") == Path(name)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == ["empty", "ours"]


def test_a_file_that_cannot_take_the_result_is_refused(tmp_path: Path) -> None:
    for place, says in ((foreign(tmp_path), "is a folder"), (Path("/dev/null"), "no ordinary file")):
        with pytest.raises(BadInput, match=says):
            file_for(place)
    with pytest.raises(BadInput, match="another file, which would be lost"):
        file_for(a_file(tmp_path), lambda file: False)
    with pytest.raises(BadInput, match="is a file; give the name of a folder"):
        files_in(tmp_path / "file", "table.csv")
    (tmp_path / "tables" / "table.csv").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"table\.csv is a folder"):
        files_in(tmp_path / "tables", "table.csv")


def written(text: str):
    def write(target: Path) -> Path:
        with written_whole(target) as scratch:
            scratch.write_text(text)
        return target

    return write


@pytest.mark.parametrize("fault", [BadInput("Other files came."), DoesNotFit("Full."), PermissionError(13, "No")])
def test_a_result_whose_place_is_lost_is_kept_beside_and_said_where(fault: Exception, tmp_path: Path) -> None:
    target, write = tmp_path / "out.json", written("made")

    def fails_there(place: Path) -> Path:
        if place == target:
            raise fault
        return write(place)

    with pytest.raises(MiniLLMError, match=r"What was made is kept in .*out-2\.json instead") as caught:
        (tmp_path / "out-1.json").write_text("another")
        delivered(fails_there, target)
    assert (tmp_path / "out-2.json").read_text() == "made" and "\n" not in str(caught.value)
    assert (tmp_path / "out-1.json").read_text() == "another"


def test_of_several_results_one_without_a_place_takes_no_other_along(tmp_path: Path) -> None:
    def fails_at_first(place: Path) -> Path:
        if place == tmp_path / "first.json":
            raise PermissionError(13, "Permission denied")
        return written("first")(place)

    with pytest.raises(MiniLLMError, match=r"kept in .*first-1\.json instead"), each_delivered() as deliver:
        assert deliver(fails_at_first, tmp_path / "first.json") is None
        assert deliver(written("second"), tmp_path / "second.json") == tmp_path / "second.json"
    assert [(tmp_path / name).read_text() for name in ("first-1.json", "second.json")] == ["first", "second"]
    with (
        pytest.raises(MiniLLMError, match=r"kept in .*first-2\.json instead\. Not enough text\."),
        each_delivered() as deliver,
    ):
        deliver(fails_at_first, tmp_path / "first.json")
        raise BadInput("Not enough text.")
    with pytest.raises(BadInput, match="^Not enough text.$"), each_delivered():
        raise BadInput("Not enough text.")


def test_scores_of_one_walk_are_all_kept_where_one_has_lost_its_place(run, folder: Path, monkeypatch) -> None:
    kept = Scores.save

    def taken(self, path):
        if Path(path) == Path("scores/wanda.safetensors"):
            raise PermissionError(13, "Permission denied")
        return kept(self, path)

    monkeypatch.setattr(Scores, "save", taken)
    words = ("--text", "file:text.txt", "--samples", "4", "--length", "16", "--together")
    code, out, err = run("score", "wanda", "magnitude-l1", "--model", folder, *words)
    assert code == 2 and "kept in" in err and "magnitude-l1" not in err
    assert Scores.load("scores/magnitude-l1").criterion == "magnitude-l1"
    assert Scores.load("scores/wanda-1").criterion == "wanda"


def test_where_nothing_can_be_put_beside_it_goes_where_things_are_kept(tmp_path: Path, own_home: Path) -> None:
    def fails_in(place: Path) -> Path:
        if place.parent == tmp_path / "lost":
            raise PermissionError(13, "Permission denied")
        return written("made")(place)

    with pytest.raises(MiniLLMError, match="Permission denied. What was made is kept in"):
        delivered(fails_in, tmp_path / "lost" / "out")
    assert (own_home / "kept" / "out-1").read_text() == "made"


VERBS = {
    "prune": ("prune", "scores/wanda", "--model", "MODEL", "--ratio", "0.1"),
    "sparsify": ("sparsify", "wanda", "--model", "MODEL"),
    "recover": ("recover", "PRUNED", "--text", "file:text.txt"),
    "score": ("score", "wanda", "--model", "MODEL", "--text", "file:text.txt"),
    "allocate": ("allocate", "scores/wanda", "--model", "MODEL", "--text", "file:text.txt"),
    "masks": ("masks", "scores/wanda", "--model", "MODEL", "--text", "file:text.txt"),
    "domains": ("domains", "wanda", "--model", "MODEL"),
    "export": ("export", "PRUNED"),
    "sweep": ("sweep", "mine.yaml"),
    "sample": ("sample", "--model", "MODEL"),
    "runs export": ("runs", "export", "RUN"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_looks_at_its_place_before_a_model_is_loaded(verb: str, run, tmp_path: Path, monkeypatch) -> None:
    from made_sweeps import written as sweep_file

    from minillm.recipes.recipe import RunRecipe
    from minillm.store.store import Store

    lm = minillm.wrap(tiny.llama(), tiny.tokenizer())
    minillm.score(lm, "wanda", tiny.tokens(), 1).save(tmp_path / "scores" / "wanda")
    sweep_file(tmp_path)
    words = [w.replace("RUN", Store().create_run(RunRecipe())) if w == "RUN" else w for w in VERBS[verb]]

    def load(*given, **named):
        raise AssertionError("a model was loaded")

    for module in ("cutting", "scores", "allocating", "learning", "domains"):
        monkeypatch.setattr(f"minillm.cli.{module}.load", load)
    monkeypatch.setattr("minillm.models.load.load_model_events", load)
    place = a_file(tmp_path) / "below"
    out = [str(place)] if verb == "runs export" else ["--out", str(place)]
    code, _, err = run(*words, *out)
    assert code == 2 and "is a file" in err and len(err.splitlines()) == 1, err


def test_a_run_is_not_exported_over_other_files(run, tmp_path: Path) -> None:
    from minillm.recipes.recipe import RunRecipe
    from minillm.store.store import Store

    kept, mine = Store().create_run(RunRecipe()), foreign(tmp_path)
    code, _, err = run("runs", "export", kept, mine)
    assert code == 2 and "holds other files" in err and (mine / "keep.txt").read_text() == "mine"
    assert run("runs", "export", kept, tmp_path / "there")[0] == 0
    assert run("runs", "export", kept, tmp_path / "there")[0] == 0
    (tmp_path / "notes.zip").write_text("mine")
    code, _, err = run("runs", "export", kept, tmp_path / "notes.zip")
    assert code == 2 and (tmp_path / "notes.zip").read_text() == "mine"


def test_an_allocation_does_not_take_the_place_of_another_file(run, folder: Path, tmp_path: Path) -> None:
    lm = minillm.load_model(folder)
    minillm.score(lm, "wanda", tiny.tokens(), 1).save("scores/wanda")
    Path("notes.json").write_text(json.dumps({"mine": 1}))
    code, _, err = run("allocate", "scores/wanda", "--model", folder, "--out", "notes.json")
    assert code == 2 and "would be lost" in err and json.loads(Path("notes.json").read_text()) == {"mine": 1}


def test_a_recovery_whose_folder_was_taken_meanwhile_is_kept_beside_it(run, folder: Path, monkeypatch) -> None:
    from minillm.surgery import recovery

    lm = minillm.load_model(folder)
    plan = minillm.make_plan(minillm.score(lm, "magnitude-l1", tiny.tokens(), 1), 0.1)
    minillm.save_pruned(minillm.prune(lm, plan), "pruned")
    merged = recovery._Training.merged

    def taken(self):
        os.makedirs("out")
        Path("out", "keep.txt").write_text("mine")
        return merged(self)

    monkeypatch.setattr(recovery._Training, "merged", taken)
    words = ("--text", "file:text.txt", "--length", "16", "--steps", "1", "--batch", "2", "--held-out", "2")
    code, _, err = run("recover", "pruned", "--teacher", "", *words, "--out", "out")
    assert code == 2 and "kept in" in err and Path("out", "keep.txt").read_text() == "mine"
    assert minillm.load_pruned("out-1").history[-1]["step"] == "recover"


def test_scores_whose_names_differ_after_a_point_do_not_replace_each_other(tmp_path: Path) -> None:
    lm = minillm.wrap(tiny.llama(), tiny.tokenizer())
    for name in ("magnitude-l1", "magnitude-l2"):
        minillm.score(lm, name, tiny.tokens(), 1).save(tmp_path / f"scores.{name[-2:]}")
    found = [Scores.load(tmp_path / f"scores.l{i}").criterion for i in (1, 2)]
    assert found == ["magnitude-l1", "magnitude-l2"]


def test_files_of_scores_with_one_name_are_told_apart(run, folder: Path, tmp_path: Path) -> None:
    lm = minillm.load_model(folder)
    for name, criterion in (("a", "magnitude-l1"), ("b", "random")):
        minillm.score(lm, criterion, tiny.tokens(), 1).save(Path(name) / "scores")
    code, out, err = run("overlap", "a/scores", "b/scores", "--ratio", "0.1", "--json")
    assert code == 0, err
    assert [(row["reference"], row["other"]) for row in json.loads(out)] == [("a/scores", "b/scores")]


def test_nothing_is_left_behind_by_looking(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    places.folder_for(tmp_path / "new", "pruning.json")
    places.file_for(tmp_path / "new.json")
    assert sorted(tmp_path.iterdir()) == before


def test_what_was_measured_is_shown_where_the_next_one_cannot_be(run, folder: Path) -> None:
    words = ("--text", "file:text.txt", "--length", "16", "--tokens", "64")
    code, out, err = run("evaluate", "--model", folder, "--model", "nowhere/at-all", *words, "--json")
    assert code == 2 and [one["model"] for one in json.loads(out)] == [str(folder)] and len(err.splitlines()) == 1
    code, out, _ = run("generate", "The walk", "word " * 500, "--model", folder, "--max-new-tokens", "2", "--json")
    assert code == 2 and [one["prompt"] for one in json.loads(out)] == ["The walk"]


LATE = {
    "blocks of a preset": ("prune", "--preset", "quick", "--layers", "some"),
    "the ratio of a preset": ("prune", "--preset", "quick", "--ratio", "7"),
    "blocks that a preset's model lacks": ("prune", "--preset", "quick", "--layers", "90-99"),
    "the ratio of texts": ("domains", "wanda", "--ratio", "0.98"),
    "blocks of texts": ("domains", "wanda", "--layers", "some"),
    "a text that is not there": ("evaluate", "--text", "python-docs", "--text", "file:nowhere.txt"),
}


@pytest.mark.parametrize("kind", LATE)
def test_what_cannot_be_is_refused_before_any_work(kind: str, run, folder: Path, monkeypatch) -> None:
    def work(*given, **named):
        raise AssertionError("work was begun")

    for name in ("minillm.scoring.score.score_events", "minillm.evaluation.perplexity.perplexity_events"):
        monkeypatch.setattr(name, work)
    code, _, err = run(*LATE[kind], "--model", folder)
    assert code == 2 and len(err.splitlines()) == 1, err
