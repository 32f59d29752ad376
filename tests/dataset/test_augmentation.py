import numpy as np
import pytest
import torch

from depixel.base.errors import DepixelError
from depixel.base.names import photo_ids
from depixel.base.settings import parse_section
from depixel.dataset.augmentation import Augmentation, AugmentSettings, moved_inside
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms

SIDE = 48
IDS = photo_ids([f"{i}.jpg" for i in range(64)])
STRONG = {"rotate": (-180, 180), "zoom": (0.5, 2), "crop": (0.5, 1), "shift": (-20, 20)}


def areas(width=(4, 32), ids=IDS):
    return draw_areas(uniforms(ids, "areas", 5), SIDE, PixelationSettings(width=width, height=width))


def changed(images, settings, ids=IDS, stream="train 0 0", where=None):
    return Augmentation(AugmentSettings(**settings))(images, areas(ids=ids) if where is None else where, ids, stream)


def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (len(IDS), SIDE, SIDE))).float()


@pytest.mark.parametrize("width", [(4, 32), (40, 48)])
def test_an_area_never_holds_what_is_not_in_the_photo(width):
    """Also where a turned area is larger than the photo. What comes from beyond its sides is mirrored."""
    where = areas(width)
    augmentation, seen = Augmentation(AugmentSettings(**STRONG)), []
    ramp = torch.arange(SIDE).float()
    for plane in (ramp.expand(SIDE, SIDE), ramp[:, None].expand(SIDE, SIDE)):
        seen.append(augmentation(plane.expand(len(IDS), SIDE, SIDE) * 4, where, IDS, "s") / 4)
    x, y = (values.numpy() for values in seen)  # the place that each pixel came from
    for i, (left, top, w, h, _) in enumerate(where):
        part = (i, slice(top, top + h), slice(left, left + w))
        # within a straight, unmirrored map, the second differences are those of rounding
        for place in (x[part], y[part]):
            assert np.abs(np.diff(place[:, 1:-1], 2, axis=1)).max(initial=0) <= 1.01
            assert np.abs(np.diff(place[1:-1], 2, axis=0)).max(initial=0) <= 1.01
    assert len({value.tobytes() for value in x}) == len(IDS)


def test_maps_are_moved_as_little_as_needed():
    maps = np.tile(np.eye(3), (3, 1, 1))
    maps[1, 0, 2], maps[2, :2, 2] = 10, (-30, 3)
    where = np.array([[0, 0, 8, 8], [40, 5, 8, 8], [30, 5, 8, 8]])
    moved = moved_inside(maps, where, SIDE)
    np.testing.assert_allclose(moved[:, :2, 2], [[0, 0], [0, 0], [-30, 3]])


def test_what_it_draws_depends_on_photo_stream_and_kind_only():
    both, some = {"noise": (0, 20), "brightness": (-50, 50)}, torch.arange(10)
    whole = changed(images(), both)
    assert torch.equal(changed(images()[some], both, IDS[:10]), whole[:10])
    assert not torch.equal(changed(images(), both, stream="train 0 1"), whole)
    flat = torch.full((len(IDS), SIDE, SIDE), 128.0)
    brighter = changed(flat, {"brightness": (-50, 50)}) - 128
    noisy = changed(flat, both) - 128
    torch.testing.assert_close(noisy.mean(dim=(1, 2)), brighter[:, 0, 0], rtol=0, atol=2)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"brightness": (20, 20)}, lambda x: x + 20),
        ({"contrast": (0.5, 0.5)}, lambda x: x.mean(dim=(1, 2), keepdim=True) / 2 + x / 2),
        ({"gamma": (2, 2)}, lambda x: (x / 255) ** 2 * 255),
        ({"shift": (0, 0), "rotate": (90, 90)}, lambda x: x.rot90(1, (1, 2))),
        ({"shift": (0, 0)}, lambda x: x),
        ({"blur": (0, 0)}, lambda x: x),
    ],
    ids=["brightness", "contrast", "gamma", "rotate", "shift", "blur"],
)
def test_what_the_changes_are(settings, wanted):
    corner = np.tile([20, 20, 4, 4, 4], (len(IDS), 1))
    found = changed(images(), settings, where=corner)
    torch.testing.assert_close(found, wanted(images()).clamp(0, 255).round(), rtol=0, atol=1)


def test_noise_has_its_deviation_and_blur_keeps_the_mean():
    flat = torch.full((len(IDS), SIDE, SIDE), 128.0)
    noise = changed(flat, {"noise": (10, 10)}) - 128
    assert noise.std().item() == pytest.approx(10, rel=0.02) and abs(noise.mean().item()) < 0.2
    blurred = changed(images(), {"blur": (2, 2)})
    assert blurred.mean().item() == pytest.approx(images().mean().item(), rel=0.03)
    assert blurred.std() < images().std() / 3


def test_a_low_quality_leaves_blocks():
    rough, fine = (changed(images(), {"jpeg": (quality, quality)}) - images() for quality in (10, 95))
    assert fine.std() < rough.std() / 4


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"zoom": [0, 1]}, r"params.yaml: augment.zoom = .*both ends must be from 0.25 to 4"),
        ({"rotate": [10, -10]}, r"augment.rotate = .*smaller value comes first: \[-10"),
        ({"jpeg": 50}, r"augment.jpeg = 50: "),
        ({"twist": None}, "unknown key augment.twist; augment has flip, rotate"),
    ],
)
def test_ranges_are_checked(section, told):
    with pytest.raises(DepixelError, match=told):
        parse_section({"augment": section}, "params.yaml", "augment", AugmentSettings)
