"""What is noted of inputs, against numpy over all of them at once; and factors of matrices that are hard to factor."""

import pytest
import torch

from minillm.errors import NumericalFault
from minillm.walk.observers import InputFluctuation, InputMean, InputMoments, InputNorm, damped_factor

INPUTS = torch.randn(6, 10, 5, generator=torch.Generator().manual_seed(0)) + torch.arange(5)


def noted(observer):
    """An observer that was fed in uneven batches."""
    for batch in INPUTS.split([1, 3, 2]):
        observer.add(batch)
    return observer


def test_batches_add_up_to_the_whole():
    flat = INPUTS.flatten(0, 1).double().numpy()
    moments = noted(InputMoments())
    for found, wanted in (
        (noted(InputNorm()).result(), (flat**2).sum(0) ** 0.5),
        (noted(InputFluctuation()).result(), flat.var(0)),
        (noted(InputMean()).mean, flat.mean(0)),
        (moments.mean, flat.mean(0)),
        (moments.moments, flat.T @ flat),
    ):
        torch.testing.assert_close(found.double(), torch.from_numpy(wanted), rtol=1e-5, atol=1e-5)


def test_damping_grows_until_the_matrix_can_be_factored():
    """An eigenvalue of −0.05 of the mean diagonal: 1 % does not lift it above zero, 10 % does."""
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    values = torch.tensor([1.2, 1.1, 1.3, 1.25, 1.2, -0.05])
    moments = turn @ torch.diag(values) @ turn.T
    factor, mean = damped_factor(moments), moments.diagonal().mean()
    torch.testing.assert_close(factor @ factor.T, moments + 0.1 * mean * torch.eye(6), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("broken", [-torch.eye(3), torch.full((3, 3), float("inf")), torch.full((3, 3), float("nan"))])
def test_what_no_damping_helps_is_named(broken):
    with pytest.raises(NumericalFault, match="cannot be inverted, even with damping; give more or other text"):
        damped_factor(broken)


def test_features_that_never_fire_do_not_stop_the_others():
    moments = torch.diag(torch.tensor([4.0, 0.0, 9.0])) + torch.tensor([[0, 0, 1.0], [0, 0, 0], [1.0, 0, 0]])
    assert torch.linalg.cholesky_ex(moments).info > 0
    factor, living = damped_factor(moments), [0, 2]
    torch.testing.assert_close(factor[living][:, living], damped_factor(moments[living][:, living]))
    assert factor[1, 0] == factor[2, 1] == 0 and damped_factor(torch.zeros(3, 3)).isfinite().all()
    torch.testing.assert_close(damped_factor(1e-6 * moments), 1e-3 * factor)
