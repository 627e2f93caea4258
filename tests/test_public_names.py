"""The names of `import minillm`: all there, imported when first used, and never hidden behind a module."""

import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import minillm

ROOT = Path(__file__).parents[1]
LONG = (
    "allocate",
    "export",
    "filmstrip",
    "generate",
    "learn_masks",
    "load_model",
    "load_text",
    "mixed_patterns",
    "perplexity",
    "prune",
    "recover",
    "score",
    "score_together",
    "sparsify",
)
SHORT = ("load_pruned", "make_plan", "overlap", "plan_by_hand", "plan_from_config", "save_pruned", "wrap")
CLASSES = ("Allocation", "Plan", "Scores")


def in_fresh_process(code: str) -> str:
    """What code prints, run where nothing is imported yet."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_is_what_others_rely_on() -> None:
    assert list(minillm.__all__) == sorted({*LONG, *(f"{name}_events" for name in LONG), *SHORT, *CLASSES})


@pytest.mark.parametrize("name", minillm.__all__)
def test_every_public_name_resolves_to_what_it_names(name: str) -> None:
    value = getattr(minillm, name)
    assert callable(value) and not isinstance(value, ModuleType)
    assert value.__name__ == name and value.__module__.startswith("minillm.")


def test_dir_lists_names_not_yet_imported() -> None:
    assert set(minillm.__all__) <= set(dir(minillm))
    listed = in_fresh_process("import minillm; print('score' in dir(minillm), 'score' in vars(minillm))")
    assert listed == "True False"


@pytest.mark.parametrize("name", ["skore", "__wrapped__"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'minillm' has no attribute '{name}'"):
        getattr(minillm, name)


def test_no_module_hides_a_public_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(minillm.__path__)}
    assert not modules & set(minillm.__all__)
