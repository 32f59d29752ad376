import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depixel.model.blocks import Blocks, cut_windows, turn, turn_back
from depixel.model.pixelation import prepare_image

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def batches(draw, largest=40):
    """uint8 images (B, 1, H, W) and areas (B, 5) within them; borders and corners of the images included."""
    height, width = draw(st.integers(2, largest)), draw(st.integers(2, largest))
    areas = []
    for _ in range(draw(st.integers(1, 4))):
        w, h = draw(st.integers(2, width)), draw(st.integers(2, height))
        x, y = draw(st.integers(0, width - w)), draw(st.integers(0, height - h))
        areas.append((x, y, w, h, draw(st.integers(2, 17))))
    return draw(arrays(np.uint8, (len(areas), 1, height, width))), np.array(areas)


def blocks_of(images, areas):
    """The images as float, their blocks, and their pixelated version."""
    truth = torch.from_numpy(images).float()
    blocks = Blocks(torch.from_numpy(areas), *truth.shape[2:])
    return truth, blocks, blocks.pixelate(truth)


def slack(blocks):
    return (blocks.count - 1) / blocks.count


@given(batches())
def test_pixelating_a_batch_is_preparing_each_image(batch):
    images, areas = batch
    _, blocks, pixelated = blocks_of(images, areas)
    for i, area in enumerate(areas):
        expected, known, _ = prepare_image(images[i], *area)
        np.testing.assert_array_equal(pixelated[i].numpy(), expected)
        np.testing.assert_array_equal(blocks.unknown[i].numpy(), ~known)


@pytest.mark.parametrize("value", [0, 254, 255])
def test_large_blocks_are_exact(value):
    """A mean just below a whole number is not rounded up to it: 1024 pixels, one of them darker by 1."""
    image = np.full((1, 1, 32, 32), value, np.uint8)
    if value:
        image[0, 0, 5, 5] -= 1
    _, _, pixelated = blocks_of(image, np.array([[0, 0, 32, 32, 32]]))
    assert (pixelated == max(value - 1, 0)).all()


def test_sums_and_counts_by_hand():
    image = np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5)
    truth, blocks, _ = blocks_of(image, np.array([[1, 1, 3, 3, 2]]))
    assert blocks.sums(truth)[0, 0].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 36, 36, 21, 0],
        [0, 36, 36, 21, 0],
        [0, 33, 33, 18, 0],
    ]
    assert blocks.count[0, 0].tolist() == [[1, 1, 1, 1, 1], [1, 4, 4, 2, 1], [1, 4, 4, 2, 1], [1, 2, 2, 1, 1]]


def test_sums_stay_exact_in_autocast():
    truth, blocks, _ = blocks_of(np.full((1, 1, 16, 16), 255, np.uint8), np.array([[0, 0, 15, 15, 15]]))
    with torch.autocast("cpu", torch.bfloat16):
        assert blocks.sums(truth).max() == 255 * 225


# Projections


@given(batches(largest=20), st.integers(0, 2**32 - 1), st.sampled_from([1, 30, 300]))
def test_the_interval_projection_never_raises_the_error(batch, seed, spread):
    truth, blocks, pixelated = blocks_of(*batch)
    noise = np.random.default_rng(seed).normal(0, spread, truth.shape) + seed % 3 - 1  # unbiased and biased
    prediction = truth + torch.from_numpy(noise).float()
    before = blocks.sums((prediction - truth).square())
    after = blocks.sums((blocks.project(prediction, pixelated) - truth).square())
    assert (after <= before * (1 + 1e-5) + 1e-3).all()  # in every single block


@given(batches(largest=20), st.integers(0, 2**32 - 1))
def test_where_projected_means_lie(batch, seed):
    _, blocks, pixelated = blocks_of(*batch)
    prediction = torch.from_numpy(np.random.default_rng(seed).uniform(-50, 300, pixelated.shape)).float()
    inside = blocks.unknown
    mean = blocks.sums(blocks.project(prediction, pixelated)) / blocks.count
    assert (mean >= pixelated - 1e-3)[inside].all()
    assert (mean <= pixelated + slack(blocks) + 1e-3)[inside].all()
    center = blocks.sums(blocks.project(prediction, pixelated, "center")) / blocks.count
    torch.testing.assert_close(center[inside], (pixelated + slack(blocks) / 2)[inside], rtol=0, atol=1e-3)


@given(batches(largest=20), st.sampled_from(["interval", "center"]))
def test_projections_shift_whole_blocks_and_nothing_outside(batch, onto):
    truth, blocks, pixelated = blocks_of(*batch)
    prediction = truth.flip(2) + 0.25
    projected = blocks.project(prediction, pixelated, onto)
    assert torch.equal(projected[~blocks.unknown], pixelated[~blocks.unknown])
    shift = torch.where(blocks.unknown, projected - prediction, 0)
    torch.testing.assert_close(blocks.sums(shift), shift * blocks.count, rtol=1e-4, atol=0.05)  # one for each block


def test_means_within_the_interval_are_left_alone():
    truth, blocks, pixelated = blocks_of(
        np.random.default_rng(0).integers(0, 256, (2, 1, 16, 16), dtype=np.uint8),
        np.array([[1, 2, 13, 12, 5], [0, 0, 16, 16, 4]]),
    )
    projected = blocks.project(truth, pixelated)
    torch.testing.assert_close(projected, truth, rtol=0, atol=1e-4)


def test_gradients_of_the_interval_projection():
    """Within the interval it is the identity; outside, the mean of a block is given and no gradient moves it."""
    image = np.random.default_rng(0).integers(50, 200, (1, 1, 8, 8), dtype=np.uint8)
    truth, blocks, pixelated = blocks_of(image, np.array([[0, 0, 8, 4, 4]]))
    offset = torch.zeros(8)
    offset[4:] = 20  # the right block's mean is wrong
    prediction = (truth + offset).requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(1).normal(size=truth.shape)).float()
    (blocks.project(prediction, pixelated) * weights).sum().backward()
    gradient = prediction.grad[0, 0]
    torch.testing.assert_close(gradient[:4, :4], weights[0, 0, :4, :4])
    right = weights[0, 0, :4, 4:]
    torch.testing.assert_close(gradient[:4, 4:], right - right.mean())
    assert (gradient[4:] == 0).all()


# Smooth interpolation


@settings(max_examples=40)
@given(batches(largest=20), st.sampled_from([0, 1, 16]))
def test_smoothing_keeps_block_means_and_the_surroundings(batch, steps):
    _, blocks, pixelated = blocks_of(*batch)
    smooth = blocks.smooth(pixelated, steps)
    inside = blocks.unknown
    mean = blocks.sums(smooth) / blocks.count
    torch.testing.assert_close(mean[inside], (pixelated + slack(blocks) / 2)[inside], rtol=0, atol=1e-3)
    assert torch.equal(smooth[~inside], pixelated[~inside])


def test_smoothing_beats_identity_on_a_smooth_image():
    x, y = np.meshgrid(np.arange(32), np.arange(32))
    waves = (128 + 90 * np.sin(x / 6) * np.cos(y / 9)).astype(np.uint8)[None, None]
    truth, blocks, pixelated = blocks_of(waves, np.array([[3, 4, 24, 25, 8]]))

    def rmse(image):
        return (image - truth)[blocks.unknown].square().mean().sqrt()

    assert rmse(blocks.smooth(pixelated, 16)) < 0.5 * rmse(pixelated)
    assert rmse(blocks.smooth(pixelated, 16)) < rmse(blocks.smooth(pixelated, 1))


# Features


def test_features_by_hand():
    """A 3 x 2 area in blocks of 2: the second column of blocks is one pixel wide."""
    features = Blocks(torch.tensor([[1, 1, 3, 2, 2]]), 4, 5).features()
    assert (features.shape, features.dtype) == ((1, 7, 4, 5), torch.float32)
    known, x, y, width, height, near_x, near_y = features[0]
    assert known.tolist() == [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    assert x[1].tolist() == [0, -0.5, 0.5, 0, 0]
    assert y[:, 1].tolist() == [0, -0.5, 0.5, 0]
    assert (width[1] * 16).tolist() == [0, 2, 2, 1, 0]
    assert (height[:, 3] * 16).tolist() == [0, 2, 2, 0]
    assert near_x[2].tolist() == [0, 1, 0.5, 1, 0]
    assert near_y[:, 2].tolist() == [0, 1, 1, 0]
    assert (features[0, 1:, known == 1] == 0).all()


# Windows


@given(batches(), *[st.sampled_from([24, 48])] * 2)
def test_windows_show_the_area_and_what_is_around_it(batch, across, down):
    images, areas = batch
    areas[:, 2:4] = areas[:, 2:4].clip(max=[across, down])
    windows, within = cut_windows(torch.from_numpy(images), torch.from_numpy(areas), across, down)
    assert windows.shape == (len(images), 1, down, across)
    height, width = images.shape[2:]
    for image, area, window, (x, y, w, h, size) in zip(
        images[:, 0], areas, windows[:, 0], within.tolist(), strict=True
    ):
        assert (w, h, size) == tuple(area[2:])
        assert 0 <= x <= across - w and 0 <= y <= down - h
        left, top = area[0] - x, area[1] - y
        assert 0 <= left <= max(width - across, 0) and 0 <= top <= max(height - down, 0)
        columns, rows = np.arange(left, left + across), np.arange(top, top + down)
        expected = image[rows.clip(max=height - 1)][:, columns.clip(max=width - 1)]  # small images are continued
        np.testing.assert_array_equal(window.numpy(), expected)
        for before, extent, start, side, length in ((x, w, left, across, width), (y, h, top, down, height)):
            context = (side - extent) // 2
            assert before >= context or start == 0
            assert side - before - extent >= context or start + side >= length


@given(batches(largest=16), st.integers(0, 7))
def test_turned_blocks_are_those_of_the_turned_images(batch, view):
    truth, blocks, pixelated = blocks_of(*batch)
    turned = blocks.turned(view)
    assert torch.equal(turn_back(turn(truth, view), view), truth)
    assert torch.equal(turned.unknown, turn(blocks.unknown, view))
    assert torch.equal(turned.count, turn(blocks.count, view))
    assert torch.equal(turned.pixelate(turn(truth, view)), turn(pixelated, view))


def test_there_are_eight_views():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert (
        len({(tuple(seen.shape), tuple(seen.flatten().tolist())) for seen in (turn(image, v) for v in range(8))}) == 8
    )


def test_features_turn_with_the_blocks():
    blocks = Blocks(torch.tensor([[1, 2, 7, 5, 3]]), 10, 12)
    known, x, y, width, height, border_x, border_y = blocks.features()[0]
    turned = blocks.turned(1).features()[0]  # mirrored left to right
    expected = torch.stack([known, -x, y, width, height, border_x, border_y]).flip(2)
    assert torch.equal(turned, expected)
    assert torch.equal(blocks.turned(4).features()[0], torch.stack([known, y, x, height, width, border_y, border_x]).mT)


# First blocks that are cut off


@given(batches(largest=24))
def test_blocks_whose_first_ones_are_cut_off_are_those_mirrored_whose_last_ones_are(batch):
    images, areas = batch
    truth, blocks, _ = blocks_of(images, areas)
    height, width = images.shape[2:]
    x, y, w, h, size = areas.T
    mirrored = np.stack([width - x - w, height - y - h, w, h, size, -w % size, -h % size], axis=1)
    found, expected = Blocks(torch.from_numpy(mirrored), height, width), blocks.turned(3)
    assert torch.equal(found.pixelate(turn(truth, 3)), turn(blocks.pixelate(truth), 3))
    for one, other in ((found.unknown, expected.unknown), (found.count, expected.count)):
        assert torch.equal(one, other)
    assert torch.equal(found.features(), expected.features())
    for one, other in zip(found.cells, expected.cells, strict=True):
        assert torch.equal(one.diff(), other.diff())


def test_sums_and_counts_of_blocks_cut_off_at_both_ends_by_hand():
    image = torch.arange(24.0).reshape(1, 1, 4, 6)
    blocks = Blocks(torch.tensor([[0, 1, 6, 2, 4, 3, 0]]), 4, 6)  # blocks of 1, 4 and 1 columns
    assert blocks.count[0, 0, 1].tolist() == [2, 8, 8, 8, 8, 2]
    assert blocks.sums(image)[0, 0, 2].tolist() == [18, 92, 92, 92, 92, 28]
    assert blocks.features()[0, 1, 1].tolist() == [0, -0.75, -0.25, 0.25, 0.75, 0]
