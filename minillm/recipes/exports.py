"""The table of exports: forms in which a cut model leaves this program, what each is for and what it cannot hold.

Adding one: a line here, and its writer in `exports.export.WRITERS`.
"""

from dataclasses import dataclass, replace

from ..errors import BadInput, UnknownName
from ..families import FAMILIES
from ..families.groups import Groups
from .llama_cpp import LLAMA_CPP

TRANSFORMERS, GGUF, MASKED = "transformers", "gguf", "masked"
DTYPES = ("float32", "bfloat16", "float16")
QUANTISED = "q8_0"


@dataclass(frozen=True)
class ExportForm:
    """One form.

    label: in a list of choices; about: what it is for; limits: what it cannot hold; numbers: the formats of weights it
    can be written in, the one that is taken unless another is asked for first; "" for that of the model.
    """

    name: str
    label: str
    about: str
    limits: str
    numbers: tuple[str, ...]


EXPORTS: dict[str, ExportForm] = {
    form.name: form
    for form in (
        ExportForm(
            TRANSFORMERS,
            "transformers (and vLLM)",
            "a folder that plain transformers opens, and what reads such folders (vLLM, lm-eval)",
            "one width for all blocks: narrower ones are filled up with zeros to the widest, so that widths from the "
            "allocation `even`, and whole blocks, leave it smallest",
            ("", *DTYPES),
        ),
        ExportForm(
            GGUF,
            "GGUF (llama.cpp, Ollama)",
            "one file for llama.cpp and Ollama; LLaMA-like models keep the width of each block",
            "widths of each block, except of LLaMA-like models: narrower ones are filled up with zeros; types that "
            "llama.cpp has no architecture for (OPT, GPT-J), experts, and tokenizers whose way of splitting text it "
            "does not know",
            ("float16", "bfloat16", "float32", QUANTISED),
        ),
        ExportForm(
            MASKED,
            "dense, with zeros",
            "the shape before the cut with zeros in place of what went: opens wherever the original does",
            "the gain in size and speed: it is as large as the original",
            ("", *DTYPES),
        ),
    )
}
"""Every form, in display order."""


def find_form(name: str) -> ExportForm:
    """A form by name. Raises UnknownName."""
    if name not in EXPORTS:
        raise UnknownName("form of export", name, EXPORTS)
    return EXPORTS[name]


def numbers_in(form: ExportForm, asked: str) -> str:
    """The format of weights that is written; asked: empty for the form's own. Raises BadInput."""
    if not asked:
        return form.numbers[0]
    if asked not in form.numbers:
        known = ", ".join(filter(None, form.numbers))
        raise BadInput(f"A {form.name} export is not written in “{asked[:40]}”; choose from {known}.")
    return asked


BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, QUANTISED: 34 / 32}
"""Bytes of a weight; Q8_0 keeps a scale of two bytes for 32 weights of one."""


def forecast(form: ExportForm, before: Groups, after: Groups, numbers: str) -> tuple[int, int]:
    """About how large an export will be: (parameters, zeros included; bytes).

    before, after: the model before the last cut and as it is; numbers: in which it is written, of `BYTES`.
    """
    square = FAMILIES[after.family].square
    there = LLAMA_CPP.get(after.model_type) if form.name == GGUF else None
    if form.name == MASKED:
        parameters = before.parameters
    elif there and there.own_widths:
        parameters = after.parameters
    else:
        parameters = _filled_up(before, after, square or bool(there and there.square))
    return parameters, int(parameters * BYTES[numbers])


def _filled_up(before: Groups, after: Groups, square: bool) -> int:
    """Parameters where every block is as wide as the widest; square: and has all heads there were."""
    blocks = after.blocks
    heads = max(1, *(b.heads for b in (before if square else after).blocks))
    channels, each = max(b.channels for b in blocks), max(b.head_parameters for b in blocks)
    wide = [replace(b, heads=heads, head_parameters=each, channels=channels) for b in blocks]
    return after.parameters + sum(w.parameters - b.parameters for w, b in zip(wide, blocks, strict=True))
