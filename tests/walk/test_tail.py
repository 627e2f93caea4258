"""The end of a walk: words drawn from the model's own distribution, whatever the batches."""

import tiny
import torch

from minillm.events import finish
from minillm.models.loaded import wrap
from minillm.walk.forward import Stream, forward_events
from minillm.walk.tail import _drawn, tail_gradients


def test_words_are_drawn_as_often_as_the_model_expects_them():
    shares = torch.tensor([0.5, 0.0, 0.3, 0.2])
    places = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    words = _drawn(shares.clamp(min=1e-30).log().expand(20_000, 4), places)
    torch.testing.assert_close(torch.bincount(words, minlength=4) / 20_000, shares, atol=0.01, rtol=0)


def test_the_ends_of_the_unit_interval_are_words_that_can_come():
    shares = torch.tensor([[-1000.0, -0.5, -0.9, -1000.0]])  # the first and the last are expected with 0
    almost = torch.tensor([1.0], dtype=torch.float64).nextafter(torch.zeros(1, dtype=torch.float64))
    assert int(_drawn(shares, torch.zeros(1, dtype=torch.float64))) == 1
    assert int(_drawn(shares, almost)) == 2


def test_drawn_words_do_not_depend_on_the_batches():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(5, 40)
    found = []
    for batch in (1, 2, 5):
        stream = Stream(tokens, batch=batch, drawn=3)
        finish(forward_events(lm, [stream]))
        found.append(torch.cat(tail_gradients(lm, stream)))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
