"""Scores computed the obvious way, as an oracle: whole-model passes, all gradients kept, plain loops over groups.

Nothing of the walk is used. Works on LLaMA-like models by their module names.
"""

import torch
from torch import Tensor, nn

HEAD_PARTS, CHANNEL_PARTS = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")


def linears(model: nn.Module, layer: int) -> dict[str, nn.Linear]:
    """The seven linears of a block by their transformers names."""
    block = model.model.layers[layer]
    return {name: getattr(block.self_attn, name) for name in HEAD_PARTS} | {
        name: getattr(block.mlp, name) for name in CHANNEL_PARTS
    }


def norms(model: nn.Module, tokens: Tensor) -> list[dict[str, Tensor]]:
    """X_j of every linear: one whole forward, all inputs kept."""
    layers = len(model.model.layers)
    kept: dict[tuple[int, str], Tensor] = {}
    handles = []
    for layer in range(layers):
        for name, linear in linears(model, layer).items():

            def keep(module, args, key=(layer, name)):
                kept[key] = args[0].detach().float()

            handles.append(linear.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return [
        {name: (kept[layer, name] ** 2).sum((0, 1)).sqrt() for name in linears(model, layer)} for layer in range(layers)
    ]


def gradients(model: nn.Module, tokens: Tensor) -> list[dict[str, Tensor]]:
    """∂L/∂W of every linear by one backward of transformers' own mean loss."""
    for p in model.parameters():
        p.requires_grad_(True)
    model.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()
    found = [{n: lin.weight.grad.clone() for n, lin in linears(model, i).items()} for i in range(len(model.model.layers))]
    model.zero_grad()
    for p in model.parameters():
        p.requires_grad_(False)
    return found


def grouped(elements: dict[str, Tensor], heads: int, reduction: str = "max") -> tuple[list[float], list[float]]:
    """Group scores of one block from element scores [out, in] by loops: (head groups, channels)."""
    pick = {"max": max, "sum": sum, "mean": lambda parts: sum(parts) / len(parts)}[reduction]
    head_scores = []
    for h in range(heads):
        parts = []
        for name in HEAD_PARTS:
            whole = elements[name] if name != "o_proj" else elements[name].T
            size = whole.shape[0] // heads
            parts.append(float(whole[h * size : (h + 1) * size].double().sum()))
        head_scores.append(pick(parts))
    channels = elements["gate_proj"].shape[0]
    channel_scores = [
        pick(
            [
                float(elements["gate_proj"][c].double().sum()),
                float(elements["up_proj"][c].double().sum()),
                float(elements["down_proj"][:, c].double().sum()),
            ]
        )
        for c in range(channels)
    ]
    return head_scores, channel_scores
