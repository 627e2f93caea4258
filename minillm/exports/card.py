"""The model card of an export, and the recipe beside it: what was cut, by what, what came of it, how to do it again."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks import spans
from ..families.groups import CHANNELS
from ..models.checkpoint import versions
from ..models.loaded import LoadedModel
from ..plain import markdown
from ..recipes.exports import GGUF, ExportForm
from ..recipes.models import MODELS, is_hub_name

CARD, RECIPE = "README.md", "recipe.json"
LICENCE_TOLD = re.compile(r"^license:\s*([A-Za-z0-9._-]+)\s*$", re.M)


@dataclass(frozen=True)
class Written:
    """What a form's writer wrote.

    parameters: zeros included; numbers: the format of the weights; note: what was filled up; apart: how far its
    logits are from ours on a few tokens, None where that was not tried; architecture: by llama.cpp's name, of a GGUF.
    """

    parameters: int
    numbers: str
    note: str
    apart: float | None = None
    architecture: str = ""


def write_card(
    lm: LoadedModel, folder: Path, form: ExportForm, written: Written, measured: Sequence[Mapping[str, Any]]
) -> None:
    """Write README.md and recipe.json into a folder. measured: see `export_events`."""
    plan = lm.plan and lm.plan.to_json()
    patterns = [str(pattern) for pattern in lm.patterns or ()]
    about = {"form": form.name, "numbers": written.numbers, "parameters": written.parameters}
    told = {"source": lm.source, "plan": plan, "patterns": patterns, "history": lm.history, "versions": versions()}
    (folder / RECIPE).write_text(json.dumps({**told, "export": about}), encoding="utf-8")
    parts = [
        _front(lm, form),
        f"# {_name(lm)}, pruned",
        _what(lm, form, written),
        _cut(lm),
        _steps(lm),
        _measured(measured),
        _opening(form, folder, written),
        _again(lm),
        _licence(lm),
    ]
    (folder / CARD).write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _name(lm: LoadedModel) -> str:
    """The original's name for people: no path of the machine it was cut on."""
    known = MODELS.get(lm.source)
    return markdown(known.label if known else lm.source if is_hub_name(lm.source) else Path(lm.source).name)


def licence_of(lm: LoadedModel) -> str:
    """The licence of the original's weights, "" where nothing here says it."""
    if lm.source in MODELS:
        return MODELS[lm.source].licence
    card = Path(lm.source) / CARD
    try:
        found = LICENCE_TOLD.search(card.read_text(encoding="utf-8")[:10_000]) if card.is_file() else None
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""


def _front(lm: LoadedModel, form: ExportForm) -> str:
    """What the hub reads of a card."""
    lines = ["---", "tags:", "- pruned"]
    lines += [f"library_name: {'gguf' if form.name == GGUF else 'transformers'}"]
    lines += [f"base_model: {lm.source}"] if is_hub_name(lm.source) else []
    lines += [f"license: {licence.lower()}"] if re.fullmatch(r"[\w.-]+", licence := licence_of(lm)) else []
    return "\n".join([*lines, "---"])


def _what(lm: LoadedModel, form: ExportForm, written: Written) -> str:
    tried = (
        ""
        if written.apart is None
        else (f" On a few tokens its logits are {written.apart:.1e} (of the largest) from those of the cut model.")
    )
    return (
        f"An export of a model that MINI-LLM Explorer cut: {form.about}. Weights in {written.numbers}. {written.note}"
        f"{tried}"
    )


def _cut(lm: LoadedModel) -> str:
    """What is left of what, in numbers."""
    if lm.patterns:
        return f"Of every group of weights in blocks some are zero: {', '.join(dict.fromkeys(map(str, lm.patterns)))}."
    if lm.plan is None:
        return "Nothing was cut from it."
    plan, blocks = lm.plan, lm.groups.blocks
    heads, channels = ([f(b) for b in blocks] for f in (lambda b: b.heads * b.queries, lambda b: b.channels))
    rows = [
        ("parameters", plan.groups.parameters, lm.parameters),
        ("blocks", len(plan.groups), len(blocks)),
        ("query heads of a block", _range(b.key_heads * _served(b) for b in plan.groups.blocks), _range(heads)),
        (f"{plan.groups.named(CHANNELS)} of a block", _range(b.channels for b in plan.groups.blocks), _range(channels)),
    ]
    table = "\n".join(f"| {name} | {_cell(before)} | {_cell(after)} |" for name, before, after in rows)
    gone = f"\n\nBlocks that went as a whole: {spans(plan.dropped)}." if plan.dropped else ""
    return f"## What was cut\n\n| | before the last cut | now |\n|---|---|---|\n{table}{gone}"


def _served(block: Any) -> int:
    """Query heads to a key/value head, whatever heads are counted in."""
    return block.heads if block.unit == "slots" else block.queries


def _range(numbers: Any) -> str:
    found = sorted(numbers)
    return f"{found[0]:,}" if found[0] == found[-1] else f"{found[0]:,} to {found[-1]:,}"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _steps(lm: LoadedModel) -> str:
    """What was done, step by step."""
    lines = [f"{number}. {_step(one)}" for number, one in enumerate(lm.history, 1)]
    return "## How\n\n" + "\n".join(lines) if lines else ""


def _step(one: Mapping[str, Any]) -> str:
    if one.get("step") == "prune":
        recipe = one.get("plan") or {}
        allocation = recipe.get("allocation", "uniform")
        named = allocation.get("name") if isinstance(allocation, dict) else allocation
        chosen = recipe.get("criterion", "by hand")
        channels = recipe.get("channels_from", chosen)
        who = f"heads and channels by {chosen}" if channels == chosen else f"heads by {chosen}, channels by {channels}"
        ratio = f", ratio {recipe['ratio']:g}" if "ratio" in recipe else ""
        made_up = f"; compensated by {one['compensate']}" if one.get("compensate") else ""
        return f"Cut: {markdown(who)}, allocation {markdown(str(named))}{ratio}{made_up}."
    if one.get("step") == "recover":
        settings = one.get("settings", {})
        how = ", ".join(f"{name} {settings[name]}" for name in ("trains", "loss", "steps") if name in settings)
        return f"Recovered ({how}): held-out perplexity {one.get('held_out_perplexity', float('nan')):.2f}."
    return markdown(f"{one.get('step', 'a step')}: " + ", ".join(f"{k} {v}" for k, v in one.items() if _short(v)))


def _short(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and len(str(value)) < 40


def _measured(measured: Sequence[Mapping[str, Any]]) -> str:
    if not measured:
        return ""
    rows = "\n".join(
        f"| {markdown(str(one['text']))} | {one['tokens']:,} × {one['length']} | {_number(one.get('before'))} | "
        f"{_number(one.get('after'))} |"
        for one in measured
    )
    head = (
        "| text | tokens × window | perplexity of the original | of this model, before the export |\n|---|---|---|---|"
    )
    return f"## Measured\n\n{head}\n{rows}"


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else "not measured"


def _opening(form: ExportForm, folder: Path, written: Written) -> str:
    name = folder.name
    if form.name == GGUF:
        lines = [
            f"llama-cli -m {name}.gguf",
            f"ollama create {name.lower()} -f Modelfile",
            f"ollama run {name.lower()}",
        ]
    else:
        lines = [f"vllm serve ./{name}", ""]
        lines += ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
        lines += [f'model = AutoModelForCausalLM.from_pretrained("{name}")']
        lines += [f'tokenizer = AutoTokenizer.from_pretrained("{name}")']
    return "## Opening it\n\n" + "\n".join(f"    {line}".rstrip() for line in lines)


def _again(lm: LoadedModel) -> str:
    """How the cut is repeated from the plan beside the card."""
    if lm.plan is None:
        return ""
    compensate = next((one.get("compensate") for one in lm.history if one.get("step") == "prune"), "")
    given = (lm.plan.recipe.get("scores") or {}).get("text")
    text = f', compensate="{compensate}", text={json.dumps(given) if given else "CALIBRATION"}' if compensate else ""
    source = lm.source if lm.source in MODELS else _name(lm)
    lines = [
        "import json, minillm",
        "",
        f'plan = minillm.Plan.from_json(json.load(open("{RECIPE}"))["plan"])',
        f'small = minillm.prune(minillm.load_model("{source}"), plan{text})',
    ]
    note = f"`{RECIPE}` holds every index that stays and the settings of every step since the last cut."
    return "## Doing it again\n\n" + note + "\n\n" + "\n".join(f"    {line}".rstrip() for line in lines)


def _licence(lm: LoadedModel) -> str:
    licence, known = licence_of(lm), MODELS.get(lm.source)
    where = f"the Python package {known.package} {known.version}" if known and known.package else ""
    note = f" {known.note}" if known else ""
    origin = f"Made of {_name(lm)}{f', from {where}' if where else ''}.{note}"
    said = f"Licence of the original: {licence}." if licence else "Its licence is that of the original; look there."
    return f"## Source and licence\n\n{origin} {said}"
