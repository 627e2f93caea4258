"""The contract of a criterion: what it is called, where it comes from, what it needs, and its element score.

Most criteria give every weight a score from what is known about its linear (`Evidence`); the sums over the slices of
a group and the reduction over its structures are the same for all (`scoring`). The records are plain data and the
formulas use methods of tensors only, so that the app can list criteria without loading a tensor library.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..families.groups import CHANNELS, EXPERTS, HEADS
from .settings import BACKPROP, CURVATURE, POLICY, SQUARED, SUBMODELS, ZEROTH_ORDER, Settings

if TYPE_CHECKING:
    from torch import Generator, Tensor

FAMILIES = {
    "chance": "nothing",
    "weights": "weights alone",
    "activations": "weights and activations",
    SUBMODELS: "losses of sub-models",
    POLICY: "masks that learn",
    BACKPROP: "the exact gradient",
    CURVATURE: "how the loss curves",
    ZEROTH_ORDER: "the estimated gradient",
}
"""{family: what its criteria judge by}, in the order in which families are shown."""

NORM, FLUCTUATION, MOMENTS, INVERSE, PRECISION = "norm", "fluctuation", "moments", "inverse", "precision"
SALIENCY = "saliency"
SECOND_MOMENTS = (MOMENTS, SALIENCY, INVERSE, PRECISION)
"""Those that need the second moments of the inputs."""

EVERY_KIND = (HEADS, CHANNELS, EXPERTS)
"""Of criteria that judge an expert by its weights as well: they are as many linears as it has matrices."""


@dataclass
class Evidence:
    """What is known about one linear when its weights are scored.

    weight: [out, in]; generator: seeded by (seed, layer, linear); settings: how to score;
    inputs: what was observed of the input features, [in]: X_j, the L2 norm over all calibration tokens ("norm"), the
    variance ("fluctuation"), [H⁻¹]_jj of the damped second moments H ("moments"), H_jj + 1 / [H⁻¹]_jj ("saliency"), or
    all of H⁻¹, [in, in] ("inverse"; "precision" of the mean second moments, damped by their median), all 0 where a
    feature never fired;
    gradient: ∂L/∂W or its estimate, [out, in]; squares: mean over samples of their squared gradients, [out, in];
    curvature: R with RᵀR = G, the mean second moments of ∂L/∂(output), [out, out], or r where G is taken as r² I.
    """

    weight: "Tensor"
    generator: "Generator"
    settings: Settings
    inputs: "Tensor | None" = None
    gradient: "Tensor | None" = None
    squares: "Tensor | None" = None
    curvature: "Tensor | None" = None


def as_they_are(kind: str, sums: "Tensor", settings: Settings) -> "Tensor":
    """Unit sums unchanged."""
    return sums


@dataclass(frozen=True)
class Look:
    """How one series is drawn: the same colour, dash and marker everywhere, so that no reader needs colour alone.

    As Plotly names them. Seven colours are Okabe and Ito's and grey; the others were searched for, so that any two of
    them stay apart for colour-blind readers as well (a test holds the distances).
    """

    colour: str
    dash: str
    marker: str

    def line(self, width: float = 2) -> dict[str, Any]:
        """Plotly's `line`."""
        return {"color": self.colour, "dash": self.dash, "width": width}

    def faint(self, opacity: float) -> str:
        """The colour, half-transparent."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


@dataclass(frozen=True)
class Criterion:
    """One criterion.

    name: what it is called everywhere, in code, forms, tables and pictures, where it has this look; label: the same
    in full, for where there is room (`titled`); paper, equation: where it comes from;
    element: Evidence -> scores of the weights, [out, in]; units: (kind, sums over rows or columns, settings) -> what
    is summed over a group; costs: of a criterion that scores whole groups of o's and down's columns instead, (Evidence,
    the columns of each, [groups, size]) -> [groups]; parts: of one that scores groups twice over, Evidence -> [out, in]
    for each part, whose group scores come together as their geometric mean; routed: of one that judges experts by what
    they write, (gate weights of the tokens sent to an expert, [n], what it makes of them, [n, width]) -> [n], whose
    mean is its score; judges: the kinds of group it has scores for; in_nats: whether scores are losses, which compare
    between blocks and kinds; structures: those that count (empty: all that are coupled);
    observes: None, or what of the inputs (`Evidence.inputs`); updates: whether, of N:M patterns, SparseGPT's update
    follows (it observes H); gradient: None, "backprop", "zeroth-order", "sub-models", "policy gradient" or "curvature";
    squares: whether it reads squared gradients whatever the settings; deaf: settings it takes no notice of, though
    others with its gradient do; cost: in passes, in words;
    idea: one sentence for the person choosing; differs: where this differs from the original, if it does.
    """

    name: str
    label: str
    paper: str
    equation: str
    cost: str
    idea: str
    look: Look
    element: Callable[[Evidence], "Tensor"] | None = None
    costs: Callable[[Evidence, "Tensor"], "Tensor"] | None = None
    parts: Callable[[Evidence], Iterable["Tensor"]] | None = None
    routed: Callable[["Tensor", "Tensor"], "Tensor"] | None = None
    judges: tuple[str, ...] = (HEADS, CHANNELS)
    units: Callable[[str, "Tensor", Settings], "Tensor"] = as_they_are
    structures: tuple[str, ...] = ()
    observes: str | None = None
    gradient: str | None = None
    in_nats: bool = False
    updates: bool = False
    squares: bool = False
    deaf: tuple[str, ...] = ()
    differs: str = ""

    def using(self, settings: Settings) -> Settings:
        """Settings as far as it takes notice of them, the others at their defaults: what its scores are computed with
        and named after."""
        standard = Settings()
        return replace(settings.used_by(self.gradient), **{name: getattr(standard, name) for name in self.deaf})

    def squared(self, settings: Settings) -> bool:
        """Whether the way back has to gather squared gradients, sample by sample."""
        return self.gradient == BACKPROP and (self.squares or settings.taylor in SQUARED)

    @property
    def titled(self) -> str:
        """Its name, with what that stands for in brackets where the name alone does not say it."""
        plain = self.label.lower().replace(" ", "-")
        return self.name if plain == self.name else f"{self.name} ({self.label})"

    @property
    def by_features(self) -> bool:
        """Whether a group's score is a sum over the input features of o or down that it owns."""
        return self.structures == ("o", "down") and not self.by_masks and self.costs is None

    @property
    def by_masks(self) -> bool:
        """Whether losses of masked models decide, and the scores of weights are only where they begin."""
        return self.gradient in (SUBMODELS, POLICY)

    @property
    def family(self) -> str:
        """One of `FAMILIES`: what it judges by."""
        without = "activations" if self.observes else "weights" if self.name != "random" else "chance"
        return self.gradient or without

    @property
    def activations(self) -> bool:
        """Whether the activation rows have to walk."""
        return self.observes is not None

    @property
    def reads_text(self) -> bool:
        """Whether calibration text has to walk at all: without, weights alone are read."""
        return self.activations or bool(self.gradient)

    @property
    def needs(self) -> str:
        """What it reads besides its seed, in words."""
        parts = ["weights"] if self.name != "random" else []
        parts += ["second moments" if self.observes in SECOND_MOMENTS else "activations"] * self.activations
        of_losses = self.by_masks or self.gradient == CURVATURE
        parts += [str(self.gradient) if of_losses else f"gradient ({self.gradient})"] * bool(self.gradient)
        return ", ".join(parts) or "nothing"
