"""Whether answers are on topic and grammatical, judged without knowing who wrote them: the table in docs/measured.md.

    python -m scripts.judge_answers write --model smollm2-135m --model cut --model recovered --sheet sheet.md
    (read sheet.md, and write for each number the marks of its answer into a file: one line "7 yes no", the first for on
    topic, the second for grammatical, in the order of the sheet)
    python -m scripts.judge_answers count --sheet sheet.md --marks marks.txt

Prompts are the paper's five and those bundled instructions that nothing is trained on, 20 of them. On the sheet every
answer stands under its prompt with a number that says nothing; who wrote which lies in a file beside it. On topic: it
does what was asked or says something of it, and does not contradict itself. Grammatical: every sentence but the last,
which the length cuts, is one, and none is said twice.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import minillm
from minillm.evaluation.generation import compare
from minillm.recipes.prompts import instructions, paper_prompts

OWN = 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["write", "count"])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--sheet", type=Path, required=True)
    parser.add_argument("--marks", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def prompts() -> list[str]:
    return paper_prompts() + [*instructions("evaluation"), *instructions("calibration")][:OWN]


def write(given: argparse.Namespace) -> None:
    """Greedy answers of all models, 64 words each, shuffled."""
    lms = {name: minillm.load_model(name) for name in given.model}
    answers = [
        {"prompt": prompt, "model": name, "text": found.text}
        for prompt in prompts()
        for name, found in compare(lms, prompt, max_new_tokens=64).items()
    ]
    numbers = list(range(len(answers)))
    random.Random(given.seed).shuffle(numbers)
    key = [{**answers[place], "number": number} for number, place in enumerate(numbers)]
    lines = [f"## {one['number']}\n\nAsked: {one['prompt']}\n\n{one['text'].strip()}\n" for one in key]
    given.sheet.write_text("\n".join(lines), encoding="utf-8")
    _key(given).write_text(json.dumps(key, indent=1, ensure_ascii=False), encoding="utf-8")


def count(given: argparse.Namespace) -> None:
    """How many of each model's answers were marked yes, and twice yes."""
    marks = {int(line.split()[0]): line.split()[1:3] for line in given.marks.read_text().splitlines() if line.strip()}
    found: dict[str, list[list[bool]]] = {}
    for one in json.loads(_key(given).read_text(encoding="utf-8")):
        found.setdefault(one["model"], []).append([mark == "yes" for mark in marks[one["number"]]])
    print("| model | on topic | grammatical | both | of |\n|---|---|---|---|---|")
    for model, judged in found.items():
        topic, grammar, both = (sum(map(of, judged)) for of in (lambda m: m[0], lambda m: m[1], all))
        print(f"| {model} | {topic} | {grammar} | {both} | {len(judged)} |")


def _key(given: argparse.Namespace) -> Any:
    return given.sheet.with_suffix(".key.json")


def main() -> None:
    given = arguments()
    {"write": write, "count": count}[given.do](given)


if __name__ == "__main__":
    main()
