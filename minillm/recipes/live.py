"""What is asked of the live process (`minillm.live`) about a sentence under a cut, as a record that checks itself."""

from dataclasses import dataclass
from typing import Any

from ..checks import Checked, device, field, line, one_of
from ..plan.by_hand import LONGEST
from .recipe import DTYPES, RunRecipe

MOST_TOKENS, LONGEST_SENTENCE = 128, 1_000
TOP, WORDS = 10, 12
"""Next words shown as bars, and words written on."""
ANSWER, RESTORE = "answer", "restore"


@dataclass(frozen=True)
class LiveRequest(Checked):
    """One question to the live process.

    model, dtype, device: of the run; cut: in words (see `plan.by_hand`), "" for none; want: what both models say, or
    which group's return matters most.
    """

    model: str = field(line())
    sentence: str = field(
        line(LONGEST_SENTENCE, strip=False),
        label="Sentence",
        help=f"At most {MOST_TOKENS} tokens. The bars are the words that may follow it.",
    )
    cut: str = field(line(LONGEST, empty=True), label="Cut", help="Such as 3: heads 0; channels 5-20.", default="")
    dtype: str = field(one_of(*DTYPES), default="auto")
    device: str = field(device, default="auto")
    want: str = field(one_of(ANSWER, RESTORE), default=ANSWER)

    @classmethod
    def of(cls, recipe: RunRecipe, sentence: Any, cut: Any, want: str = ANSWER) -> "LiveRequest":
        """A question about a run's model. Raises BadInput."""
        return cls(recipe.model, sentence, cut, recipe.dtype, recipe.device, want)
