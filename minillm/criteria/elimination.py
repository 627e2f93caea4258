"""Groups of columns go one after the other, each time the one whose loss the others make up for best: what each costs.

    cost of group g:   Tr(W_g ([H⁻¹]_gg)⁻¹ W_gᵀ)          of what is still there
    after a cut P:     W ← W − W_P ([H⁻¹]_PP)⁻¹ [H⁻¹]_P·        H⁻¹ ← H⁻¹ − [H⁻¹]_·P ([H⁻¹]_PP)⁻¹ [H⁻¹]_P·

The cost of all that have gone, added up, is then exactly the error that least squares leave of the linear's output,
Tr(ΔW H ΔWᵀ). With one column a group this is ZipLM's; with the columns of a head it charges the head what it costs as
a whole, where the sum of its columns one by one knows nothing of what they have in common (OSSCAR: Meng et al. 2024).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 64
"""In how many steps all groups go: as good as one by one, at the price of a matrix inverse."""

SMALLEST, LEAST_RISE = 1e-30, 2e-7
"""What keeps two costs that are equal apart, in the order of removal; the second is of a float32's size."""


def removal_costs(weight: "Tensor", inverse: "Tensor", groups: "Tensor") -> "Tensor":
    """What each group costs at the time it goes: float32 [groups], rising in the order of removal.

    weight: [out, in]; inverse: H⁻¹, [in, in], rows and columns of inputs that never fire 0; groups: the columns of
    each, int64 [groups, size]. Inputs that never fire cost nothing.
    """
    weight, inverse = weight.float(), inverse.float().clone()
    never = inverse.diagonal() == 0
    weight = weight.masked_fill(never, 0)
    inverse.diagonal().masked_fill_(never, 1)
    order, paid = [], []
    names, at_once = groups.new_tensor(range(len(groups))), max(len(groups) // STEPS, 1)
    while len(groups):
        cost, cheapest = _costs(weight, inverse, groups).sort(stable=True)
        gone, stays = cheapest[:at_once], cheapest[at_once:].sort().values
        columns, kept = groups[gone].flatten(), groups[stays].flatten()
        share = inverse[columns][:, columns].inverse()
        together = ((weight[:, columns] @ share) * weight[:, columns]).sum()
        # Those of a step cost together what they cost together.
        paid += (cost[:at_once] * together / (cost[:at_once].sum() + SMALLEST)).tolist()
        order += names[gone].tolist()
        share = share @ inverse[columns][:, kept]
        weight = weight[:, kept] - weight[:, columns] @ share
        inverse = inverse[kept][:, kept] - inverse[kept][:, columns] @ share
        names, groups = names[stays], groups.new_tensor(range(len(kept))).view(len(stays), groups.shape[1])
    costs = weight.new_zeros(len(order))
    costs[names.new_tensor(order)] = weight.new_tensor(rising(paid))
    return costs


def rising(costs: list[float]) -> list[float]:
    """What costs that fall here and there become so that each is more than the one before: those that fell share with
    those before them, so that sums stay what they were."""
    pools: list[list[float]] = []
    for cost in costs:
        pools.append([cost, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last = pools.pop()
            pools[-1] = [pools[-1][0] + last[0], pools[-1][1] + last[1]]
    shared = [total / count for total, count in pools for _ in range(int(count))]
    return [cost * (1 + place * LEAST_RISE) + place * SMALLEST for place, cost in enumerate(shared)]


def _costs(weight: "Tensor", inverse: "Tensor", groups: "Tensor") -> "Tensor":
    """Tr(W_g ([H⁻¹]_gg)⁻¹ W_gᵀ) of every group: [groups]."""
    if groups.shape[1] == 1:
        return weight.square().sum(0)[groups[:, 0]] / inverse.diagonal()[groups[:, 0]]
    # One by one: a batch of them is inverted wrongly by more than one thread of some builds.
    costs = [((weight[:, g] @ inverse[g][:, g].inverse()) * weight[:, g]).sum() for g in groups]
    return weight.new_tensor(costs)
