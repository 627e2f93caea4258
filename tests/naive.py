"""Scores computed the obvious way, as an oracle: whole-model passes, all gradients kept, plain loops over groups.

Nothing of the walk or of the family descriptions is used: where heads and channels lie is written out again here.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def blocks(model: nn.Module) -> nn.ModuleList:
    """The blocks of a LLaMA-like, OPT or BLOOM model."""
    kind = model.config.model_type
    return {"opt": lambda: model.model.decoder.layers, "bloom": lambda: model.transformer.h}.get(
        kind, lambda: model.model.layers
    )()


def linears(model: nn.Module, layer: int) -> dict[str, nn.Linear]:
    """The linears of a block by the names scores use."""
    block, kind = blocks(model)[layer], model.config.model_type
    if kind == "bloom":
        attention, ffn = block.self_attention, block.mlp
        return {
            "qkv": attention.query_key_value,
            "o": attention.dense,
            "up": ffn.dense_h_to_4h,
            "down": ffn.dense_4h_to_h,
        }
    attention = {n: getattr(block.self_attn, f"{n}_proj") for n in ("q", "k", "v")}
    if kind == "opt":
        return {**attention, "o": block.self_attn.out_proj, "up": block.fc1, "down": block.fc2}
    ffn = {n: getattr(block.mlp, f"{n}_proj") for n in ("gate", "up", "down")}
    return {**attention, "o": block.self_attn.o_proj, **ffn}


def kv_heads(model: nn.Module) -> int:
    """Head groups of a block."""
    return getattr(model.config, "num_key_value_heads", None) or model.config.num_attention_heads


def norms(model: nn.Module, tokens: Tensor) -> list[dict[str, Tensor]]:
    """X_j of every linear: one whole forward, all inputs kept."""
    layers = range(len(blocks(model)))
    kept: dict[tuple[int, str], Tensor] = {}
    handles = []
    for layer in layers:
        for name, linear in linears(model, layer).items():

            def keep(module, args, key=(layer, name)):
                kept[key] = args[0].detach().float().flatten(0, -2)

            handles.append(linear.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return [{name: (kept[i, name] ** 2).sum(0).sqrt() for name in linears(model, i)} for i in layers]


def inputs(model, tokens) -> list[dict[str, torch.Tensor]]:
    """Inputs of every linear, float64 [tokens, features]."""
    kept, handles = {}, []
    for layer in range(len(blocks(model))):
        for name, linear in linears(model, layer).items():

            def keep(module, args, key=(layer, name)):
                kept[key] = args[0].detach().double().flatten(0, -2)

            handles.append(linear.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return [{n: kept[i, n] for n in linears(model, i)} for i in range(len(blocks(model)))]


def gradients(model: nn.Module, tokens: Tensor) -> list[dict[str, Tensor]]:
    """∂L/∂W of every linear by one backward of transformers' own mean loss."""
    for p in model.parameters():
        p.requires_grad_(True)
    model.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()
    found = [{n: w.weight.grad.clone() for n, w in linears(model, i).items()} for i in range(len(blocks(model)))]
    model.zero_grad()
    for p in model.parameters():
        p.requires_grad_(False)
    return found


def head_parts(elements: dict[str, Tensor], heads: int, h: int) -> list[Tensor]:
    """The slices of q, k, v (rows) and o (columns) that head group h owns."""
    if "qkv" in elements:
        fused = elements["qkv"].view(heads, 3, -1, elements["qkv"].shape[1])
        rows = [fused[h, 0], fused[h, 1], fused[h, 2]]
    else:
        rows = [elements[n].chunk(heads)[h] for n in ("q", "k", "v")]
    return [*rows, elements["o"].T.chunk(heads)[h].T]


def channel_parts(elements: dict[str, Tensor], c: int) -> list[Tensor]:
    """Row c of gate (where there is one) and up, column c of down."""
    return [elements[n][c] for n in ("gate", "up") if n in elements] + [elements["down"][:, c]]


def grouped(elements: dict[str, Tensor], heads: int, reduction: str = "max") -> tuple[list[float], list[float]]:
    """Group scores of one block from element scores [out, in] by loops: (head groups, channels)."""
    pick: Callable = {"max": max, "sum": sum, "mean": lambda parts: sum(parts) / len(parts)}[reduction]

    def reduced(parts: list[Tensor]) -> float:
        return pick([float(p.double().sum()) for p in parts])

    channels = elements["up"].shape[0]
    return (
        [reduced(head_parts(elements, heads, h)) for h in range(heads)],
        [reduced(channel_parts(elements, c)) for c in range(channels)],
    )


def saap_parts(
    model: nn.Module, tokens: Tensor, layer: int
) -> tuple[tuple[list[float], list[float]], tuple[list[float], list[float]]]:
    """(heads, channels) of the coarse part, |Σ W·g| of rows or columns, and of the fine part, Σ |W·g − ½ W·F·W|."""
    g, fisher, heads = gradients(model, tokens)[layer], {}, kv_heads(model)
    for row in tokens:
        for name, own in gradients(model, row[None])[layer].items():
            fisher[name] = fisher.get(name, 0) + own.double() ** 2 / len(tokens)
    weight = {name: one.weight.detach().double() for name, one in linears(model, layer).items()}
    signed = {name: w * g[name] for name, w in weight.items()}
    fine = grouped({n: (c - weight[n] ** 2 * fisher[n] / 2).abs() for n, c in signed.items()}, heads)

    def coarse(parts):
        *rows, column = parts
        sizes = [float(row.view(-1, row.shape[-1]).sum(1).abs().sum()) for row in rows]
        return max(*sizes, float(column.view(len(column), -1).sum(0).abs().sum()))

    coarse_heads = [coarse(head_parts(signed, heads, h)) for h in range(heads)]
    return (coarse_heads, [coarse(channel_parts(signed, c)) for c in range(len(signed["up"]))]), fine
