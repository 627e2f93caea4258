"""Foreign errors: whatever their form, the one line that holds the reason."""

from pathlib import Path

import pytest
import yaml
from transformers import LlamaConfig

from minillm.errors import LONGEST_REASON, reason


def raised(call, *given, **named) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call(*given, **named)
    return caught.value


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


FORMS = {
    "heading": (RuntimeError("Error(s) in loading state_dict for X:\n\tsize mismatch for a.weight."), "size mismatch"),
    "empty first line": (ImportError("\nX needs the Y library.\nInstall it."), "X needs the Y library"),
    "pointer": (RuntimeError("Nothing was converted. For details look at the above report!"), "Nothing was converted"),
    "pointer alone": (
        caused(RuntimeError("For details look at the `CONVERSION` entries of the above report!"), ValueError("bad q")),
        "bad q",
    ),
    "traceback": (
        RuntimeError('Caught it in worker 0.\nOriginal Traceback:\n  File "x.py", line 3, in f\nValueError: odd width'),
        "odd width",
    ),
    "named": (RuntimeError("Validation error for field 'a':\n    TypeError: Field 'a' expected int"), "Field 'a' exp"),
    "nothing said": (caused(RuntimeError(), OSError(28, "No space left on device")), "No space left on device"),
    "only a heading": (RuntimeError("The following went wrong:"), "The following went wrong"),
    "no word at all": (ZeroDivisionError(), "ZeroDivisionError"),
    "colours": (RuntimeError("\x1b[31mred\x1b[0m reason"), "red reason"),
    "key": (KeyError("model_type"), "there is no 'model_type'"),
    "key that is a sentence": (KeyError("No such family."), "No such family"),
    "plain": (ValueError("Plain."), "Plain"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_line_that_holds_the_reason_is_found(form):
    fault, expected = FORMS[form]
    found = reason(fault)
    assert found.startswith(expected) and "\n" not in found and not found.endswith((".", ":", "!"))


def test_the_reasons_of_the_libraries_own_errors_are_found(tmp_path: Path):
    width = reason(raised(LlamaConfig, hidden_size="wide"))
    assert "hidden_size" in width and "wide" in width
    heads = reason(raised(LlamaConfig, hidden_size=48, num_attention_heads=7))
    assert "48" in heads and "7" in heads
    assert reason(raised(yaml.safe_load, "a: 1\n- b")) == "expected <block end>, but found '-' (line 2)"
    missing = reason(raised((tmp_path / "none").read_text))
    assert missing.startswith("No such file or directory") and "Errno" not in missing


def test_a_reason_is_bounded_and_circles_end():
    assert len(reason(ValueError("long " * 1000))) == LONGEST_REASON
    first, second = RuntimeError(), RuntimeError()
    first.__cause__, second.__cause__ = second, first
    assert reason(first) == "RuntimeError"
