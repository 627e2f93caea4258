"""FLAP as its paper has it (WIFV, bias compensation, all blocks) under allocations, on a model it could be run on.

    python -m scripts.compare_flap --calibrate file:wikitext2/valid.txt --evaluate file:wikitext2/test.txt \\
        --evaluate file:ptb/test.txt --ratio 0.2 --ratio 0.5

FLAP's own code knows no grouped queries: key/value heads are repeated first, which leaves the function as it is.
"""

import argparse
import copy

import torch
from transformers import AutoModelForCausalLM

import minillm
from minillm.models.loaded import LoadedModel
from minillm.plan.methods import FROM_SCORES


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="LLaMA-like")
    parser.add_argument("--calibrate", default="python-docs")
    parser.add_argument("--evaluate", action="append", required=True)
    parser.add_argument("--allocation", action="append", choices=list(FROM_SCORES))
    parser.add_argument("--ratio", action="append", type=float)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--length", type=int, default=128)
    return parser.parse_args()


def multi_head(lm: LoadedModel) -> LoadedModel:
    """The same function with a key/value head for every query head."""
    config = copy.deepcopy(lm.model.config)
    repeats = config.num_attention_heads // config.num_key_value_heads
    config.num_key_value_heads = config.num_attention_heads
    weights = dict(lm.model.state_dict())
    for name, weight in weights.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            heads = weight.view(config.num_attention_heads // repeats, -1, weight.shape[1])
            weights[name] = heads.repeat_interleave(repeats, 0).flatten(0, 1)
    model = AutoModelForCausalLM.from_config(config, dtype=lm.dtype)
    model.load_state_dict(weights)
    return minillm.wrap(model.requires_grad_(False).eval(), lm.tokenizer, f"{lm.source}, multi-head")


def evaluated(lm: LoadedModel, given: argparse.Namespace) -> list[float]:
    return [round(minillm.perplexity(lm, text, given.length, given.tokens), 2) for text in given.evaluate]


def main() -> None:
    given = arguments()
    lm = multi_head(minillm.load_model(given.model))
    ids = torch.arange(2, 42)[None]
    original = minillm.load_model(given.model).model
    with torch.no_grad():
        print("largest difference of logits:", float((original(ids).logits - lm.model(ids).logits).abs().max()))
    print("dense", evaluated(lm, given), flush=True)
    calibration = minillm.load_text(given.calibrate, lm, samples=128, length=given.length, seed=0)
    scores, layers = minillm.score(lm, "flap", calibration), range(len(lm.groups))
    for ratio in given.ratio or [0.2]:
        for name in given.allocation or ["al-am", "global"]:
            decide = FROM_SCORES[name].decide
            assert decide is not None
            plan = minillm.make_plan(scores, ratio, layers, decide(scores, ratio, layers))
            cut = plan.table()[["heads_cut", "channels_cut"]].sum().tolist()
            small = minillm.prune(lm, plan, "bias", calibration)
            print(f"{ratio:g} {name}: heads and channels cut {cut}, {plan.parameters:,} parameters left,", end=" ")
            print(evaluated(small, given), flush=True)


if __name__ == "__main__":
    main()
