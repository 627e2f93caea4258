"""Formulas as MathML, from the plain way in which criteria's records, the command line and the documents write them.

The one idea: a formula is written once, and a browser draws it by itself, with no font or script from outside. What is
read:

    W  ĝ  Var  0.2      letters, names with a capital, numbers         W_j  H⁻¹  W²  xᵀ  w₁      below and above
    |…|  ‖…‖  […]  (…)  brackets, to any depth                        a / b                      a fraction; a/b is not
    by column           words stay words, between formulas

Each formula carries what it was made of as its text alternative; what cannot be read stands there letter by letter.
"""

import re
from collections.abc import Iterator
from unicodedata import normalize

from markupsafe import Markup, escape

ABOVE = {"²": "2", "⁻¹": "−1", "ᵀ": "T"}
BELOW = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+−", strict=True))
HAT = Markup('<mover accent="true"><mi>{}</mi><mo>^</mo></mover>')
BRACKETS = {"|": "|", "‖": "‖", "[": "]", "(": ")"}
TOKEN = re.compile(
    r"(?P<words>(?:, )?(?:\b[a-z] )?\b[a-z][a-z-]+(?:,? [a-z][a-z-]*\b)*)|(?P<fraction> / )|(?P<space>\s+)"
    rf"|(?P<script>_[a-z]+|[{''.join(BELOW)}]|{'|'.join(ABOVE)})|(?P<number>[-−]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?)"
    r"|(?P<letter>[A-Z][a-z]+|(?![Σ∂√])[^\W\d_]\u0302?)|(?P<sign>.)"
)


def formula(text: str) -> Markup:
    """A formula, or several with words between them, as HTML."""
    told = Markup(" ").join(filter(None, _pieces(text))).replace(" , ", ", ")
    return Markup('<span class="formula">{}</span>').format(told)


def _pieces(text: str) -> Iterator[Markup]:
    read = _Reader(text)
    while read.left:
        start = read.at
        if read.kind == "words":
            yield escape(read.taken())
            continue
        drawn, source = read.row(), text[start : read.at].strip()
        told = Markup('<math alttext="{0}" aria-label="{0}"><mrow>{1}</mrow></math>')
        yield told.format(source, drawn) if source else Markup("")


class _Reader:
    """Reads a formula from left to right, once."""

    def __init__(self, text: str) -> None:
        self._found = [(str(one.lastgroup), one.group(), one.start()) for one in TOKEN.finditer(text)]
        self._end, self._next, self._closers = len(text), 0, list[str]()

    @property
    def left(self) -> bool:
        """Whether there is anything more to read."""
        return self._next < len(self._found)

    @property
    def kind(self) -> str:
        """What comes next, of the names in `TOKEN`."""
        return self._found[self._next][0] if self.left else ""

    @property
    def at(self) -> int:
        """Where in the text the next token begins."""
        return self._found[self._next][2] if self.left else self._end

    def taken(self) -> str:
        """The next token, which is then read."""
        self._next += 1
        return self._found[self._next - 1][1]

    def row(self) -> Markup:
        """Everything up to the bracket that closes; at the outermost level up to words."""
        drawn: list[Markup] = []
        while self.left and not self._closes() and (self._closers or self.kind != "words"):
            if self.kind == "space":
                self.taken()
            elif self.kind == "fraction":
                self.taken()
                above = drawn.pop() if drawn else Markup("<mrow></mrow>")
                drawn.append(Markup("<mfrac>{}{}</mfrac>").format(above, self._product()))
            elif self.kind == "words":
                drawn.append(Markup("<mtext>{}</mtext>").format(self.taken()))
            else:
                drawn.append(self._product())
        return Markup("").join(drawn)

    def _closes(self) -> bool:
        return bool(self._closers) and self.left and self._found[self._next][1] == self._closers[-1]

    def _product(self) -> Markup:
        """What stands together without a space."""
        parts: list[Markup] = []
        while self.kind in ("letter", "number", "script", "sign") and not self._closes():
            parts.append(self._with_scripts())
        return parts[0] if len(parts) == 1 else Markup("<mrow>{}</mrow>").format(Markup("").join(parts))

    def _with_scripts(self) -> Markup:
        base, below, above = self._atom(), Markup(""), Markup("")
        while self.kind == "script":
            script = self.taken()
            if script in ABOVE:
                above += Markup("<mn>{}</mn>").format(ABOVE[script])
            else:
                below += Markup("<mi>{}</mi>").format(BELOW.get(script, script.removeprefix("_")))
        name = {(True, False): "msub", (False, True): "msup", (True, True): "msubsup"}.get((bool(below), bool(above)))
        return Markup("<{0}>{1}{2}{3}</{0}>").format(name, base, below, above) if name else base

    def _atom(self) -> Markup:
        kind, token = self.kind, self.taken()
        if kind == "letter" and normalize("NFD", token)[1:] == "\u0302":
            return HAT.format(normalize("NFD", token)[0])
        if token not in BRACKETS:
            tag = {"letter": "mi", "number": "mn"}.get(kind, "mo")
            return Markup("<{0}>{1}</{0}>").format(tag, token.replace("-", "−"))
        self._closers.append(BRACKETS[token])
        inner = self.row()
        closed = self.taken() if self._closes() else ""
        self._closers.pop()
        return Markup("<mrow><mo>{}</mo>{}<mo>{}</mo></mrow>").format(token, inner, closed)
