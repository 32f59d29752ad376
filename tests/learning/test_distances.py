import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch.nn import functional as F

from depixel.learning.distances import DISTANCES, HUBER, SSIM_WEIGHT, TYPICAL, Restored


def restored(deviation=TYPICAL, seed=0, count=3):
    """Windows of 24 x 16 pixels whose areas are the first 8 rows, and those areas' pixels: wanted and predicted."""
    random = torch.Generator().manual_seed(seed)
    wanted = torch.rand(count, 1, 24, 16, generator=random) * 255
    prediction = wanted.clone()
    prediction[:, :, :8] += deviation * torch.randn(count, 1, 8, 16, generator=random)
    prediction.requires_grad_()
    squares = (prediction - wanted).square().sum(dim=(1, 2, 3))
    found = Restored(prediction, wanted, squares, torch.full((count,), 128), 128.0)
    return found, prediction.detach()[:, :, :8], wanted[:, :, :8]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("rmse", lambda p, t: (p - t).square().mean(dim=(1, 2, 3)).sqrt().mean()),
        ("mse", lambda p, t: F.mse_loss(p, t) / (2 * TYPICAL)),
        ("mae", F.l1_loss),
        ("huber", lambda p, t: F.huber_loss(p, t, delta=HUBER) / HUBER),
        ("charbonnier", lambda p, t: ((p - t).square() + 1).sqrt().mean() - 1),
    ],
)
def test_they_are_those_of_the_books(name, reference):
    found, prediction, wanted = restored()
    torch.testing.assert_close(DISTANCES[name](found).mean(), reference(prediction, wanted), rtol=1e-4, atol=1e-4)


def test_ssim_mse_is_that_of_wang_et_al():
    """With uniform weights, over all whole windows."""
    found, prediction, wanted = restored(count=1)
    x, y = (image.detach().double().numpy()[0, 0] for image in (found.prediction, found.wanted))

    def mean(values):
        return uniform_filter(values, 7)[3:-3, 3:-3]

    covariance = mean(x * y) - mean(x) * mean(y)
    variances = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean(x) * mean(y) + first) / (mean(x) ** 2 + mean(y) ** 2 + first)
    likeness = (luminance * (2 * covariance + second) / (variances + second)).mean()
    expected = F.mse_loss(prediction, wanted).item() / (2 * TYPICAL) + SSIM_WEIGHT * (1 - likeness)
    assert DISTANCES["ssim_mse"](found).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_typical_error_has_about_the_same_gradient(name):
    norms = []
    for loss in (name, "rmse"):
        found, *_ = restored()
        (gradient,) = torch.autograd.grad(DISTANCES[loss](found).sum(), found.prediction)
        norms.append(gradient.norm())
    assert 0.3 < norms[0] / norms[1] < 3


@pytest.mark.parametrize("name", DISTANCES)
def test_without_an_error_they_are_lowest_and_have_a_gradient(name):
    values = []
    for deviation in (0.0, 1.0, 20.0):
        found, *_ = restored(deviation)
        loss = DISTANCES[name](found).sum()
        (gradient,) = torch.autograd.grad(loss, found.prediction)
        assert gradient.isfinite().all()
        values.append(loss.item())
    assert np.isfinite(values).all() and values == sorted(values)
