"""How surprised one model is by what another wrote: the log-probability of every token, from one forward pass.

A judge reads the prompt and the text as the writer's token ids, so that its numbers belong to the very tokens that were
chosen. That means something only where both models' tokenizers give an id the same meaning.
"""

import torch

from ..errors import NumericalFault
from ..models.loaded import LoadedModel
from ..text.tokens import longest
from ..walk.view import eval_view
from ..walk.whole import hidden_states, token_losses
from .generation import Generation


def log_probabilities(judge: LoadedModel, written: Generation) -> list[float] | None:
    """log p of every token of a text under a judge, in nats: [tokens], each given the prompt and the tokens before it.

    Of the softmax at temperature 1, however the text was drawn; None where prompt and text are longer than the judge
    takes. Raises NumericalFault where they are not finite.
    """
    ids, before = torch.tensor([written.ids]), written.prompt_tokens - 1
    if ids.shape[1] > (longest(judge) or ids.shape[1]):
        return None
    judge = eval_view(judge)
    with torch.inference_mode():
        hidden = hidden_states(judge, ids).last_hidden_state
        losses = token_losses(judge, hidden[:, before:], ids[:, before:])[0]
    if not losses.isfinite().all():
        raise NumericalFault("The original's probabilities are not finite on these texts; load it in float32.")
    return (-losses).tolist()
