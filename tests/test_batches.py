import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from depixel.batches import (
    NO_IMAGES,
    Photos,
    epoch_batches,
    fixed_batch,
    fixed_samples,
    resized_crops,
    training_batch,
)
from depixel.errors import DepixelError
from depixel.pixelation import PixelationSettings, photo_ids, prepare_image
from depixel.prepared import Photo
from depixel.splits import Assigned
from depixel.tables import write_table
from depixel.windows import TRAINING_CONTEXT, window_side

pytestmark = pytest.mark.usefixtures("one_thread")
PIXELATION = PixelationSettings(width=(4, 12), height=(4, 12), block_size=(2, 6))


def photo_like(seed, side):
    """(side, side) uint8: soft shapes with some grain."""
    random = np.random.default_rng(seed)
    soft = Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    return (np.asarray(soft) + random.normal(0, 5, (side, side))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos():
    """20 of 23 photos, in two sizes."""
    names = [f"k{i:08}/IMG.jpg" for i in range(23)]
    large = np.stack([photo_like(i, 48) for i in range(23)])
    small = np.stack([photo_like(100 + i, 24) for i in range(23)])  # another picture, to tell the two apart
    rows = np.arange(22, 2, -1)
    return Photos(small, large, rows, photo_ids(names)[rows])


# Where photos come from


def write(folder, sides):
    """Prepared photos with these sides of the split."""
    index = [Photo(f"k{i}", "a.jpg", "0") for i in range(len(sides))]
    write_table(folder / "index.csv", Photo, index)
    write_table(folder / "split.csv", Assigned, [Assigned(*photo, s) for photo, s in zip(index, sides, strict=True)])
    for name, side in (("images.npy", 8), ("train_images.npy", 12)):
        np.save(folder / name, np.arange(len(sides), dtype=np.uint8)[:, None, None].repeat(side, 1).repeat(side, 2))


def test_load_takes_one_side(tmp_path):
    write(tmp_path, ["train", "test", "train", "validation"])
    photos = Photos.load(tmp_path, tmp_path / "split.csv", "train", larger=True)
    assert len(photos) == 2
    assert photos.rows.tolist() == [0, 2]
    assert photos.ids.tolist() == photo_ids(["k0/a.jpg", "k2/a.jpg"]).tolist()
    assert photos.images.shape == (4, 8, 8) and photos.train_images.shape == (4, 12, 12)
    images, _ = fixed_batch(photos, np.array([1, 0]), PIXELATION, "areas")
    assert images[:, 0, 0, 0].tolist() == [2, 0]
    assert Photos.load(tmp_path, tmp_path / "split.csv", "test").train_images.size == 0


@pytest.mark.parametrize("name", ["index.csv", "split.csv", "images.npy", "train_images.npy"])
def test_load_names_what_is_missing(tmp_path, name):
    write(tmp_path, ["train", "test", "validation"])
    (tmp_path / name).unlink()
    with pytest.raises(DepixelError, match=name):
        Photos.load(tmp_path, tmp_path / "split.csv", "train", larger=True)


def test_first_and_order(photos):
    few = photos.first(5)
    assert few.rows.tolist() == photos.rows[:5].tolist() and few.ids.tolist() == photos.ids[:5].tolist()
    order = photos.order("order 0 1")
    assert sorted(order) == list(range(20)) and order.tolist() != list(range(20))
    assert order.tolist() != photos.order("order 0 2").tolist()
    # the others keep their order when one is gone
    without = Photos(photos.images, photos.train_images, photos.rows[:-1], photos.ids[:-1])
    assert without.order("order 0 1").tolist() == [i for i in order if i != 19]


def test_batches_of_an_epoch_hold_areas_of_like_size(photos):
    batches = epoch_batches(photos, PIXELATION, "train 0 1", "0 1", 4)
    assert sorted(np.concatenate(batches)) == list(range(20)) and [len(batch) for batch in batches] == [4] * 5
    areas = [training_batch(photos, batch, PIXELATION, "train 0 1", 0.5, True)[1] for batch in batches]
    sides = [window_side(of[:, 2:4].numpy(), TRAINING_CONTEXT) for of in areas]
    alike, mixed = np.mean([of.std(axis=0) for of in sides]), np.concatenate(sides).std(axis=0).mean()
    assert alike < 0.6 * mixed
    again = epoch_batches(photos, PIXELATION, "train 0 1", "0 1", 4)
    assert all((one == other).all() for one, other in zip(batches, again, strict=True))
    # at random otherwise: neither from small to large, nor always the same together
    assert [of.sum() for of in sides] != sorted(of.sum() for of in sides)
    other = epoch_batches(photos, PIXELATION, "train 0 1", "0 2", 4)
    assert {tuple(sorted(batch)) for batch in batches} != {tuple(sorted(batch)) for batch in other}


# Samples


@pytest.mark.parametrize("larger", [True, False])
def test_a_sample_depends_on_its_photo_and_stream_only(photos, larger):
    if not larger:
        photos = Photos(photos.images, NO_IMAGES, photos.rows, photos.ids)

    def draw(chosen, stream="train 0 0"):
        return training_batch(photos, np.array(chosen), PIXELATION, stream, crop=0.5, flip=True)

    images, areas = draw(range(20))
    assert (images.shape, images.dtype) == ((20, 1, 24, 24), torch.float32)
    assert (areas.shape, areas.dtype) == ((20, 5), torch.int64)
    for chosen in (range(19, -1, -1), [7], [3, 11]):
        some_images, some_areas = draw(chosen)
        assert torch.equal(some_images, images[list(chosen)]) and torch.equal(some_areas, areas[list(chosen)])
    others, other_areas = draw(range(20), "train 0 1")
    assert (others != images).flatten(1).any(dim=1).sum() >= 15
    assert not torch.equal(other_areas, areas)


def test_without_crops_and_flips_a_sample_is_the_photo(photos):
    images, _ = training_batch(photos, np.arange(20), PIXELATION, "train", crop=0, flip=False)
    np.testing.assert_array_equal(images[:, 0].numpy(), photos.images[photos.rows])


def test_crop_is_the_share_of_crops(photos):
    streams = [f"train 0 {epoch}" for epoch in range(50)]

    def cropped(crop):
        drawn = [training_batch(photos, np.arange(20), PIXELATION, stream, crop, flip=False)[0] for stream in streams]
        same = [(images[:, 0].numpy() == photos.images[photos.rows]).all(axis=(1, 2)) for images in drawn]
        return 1 - np.mean(same)

    assert cropped(1) == 1
    assert cropped(0.3) == pytest.approx(0.3, abs=0.08)


def test_crops_are_of_the_own_photo():
    """Each photo has a gray level of its own."""
    levels = np.arange(0, 200, 10, dtype=np.uint8)[:, None, None]
    photos = Photos(
        np.broadcast_to(levels, (20, 8, 8)),
        np.broadcast_to(levels + 3, (20, 16, 16)),
        np.arange(20),
        photo_ids([str(i) for i in range(20)]),
    )
    images, _ = training_batch(photos, np.arange(20), PIXELATION, "train", crop=0.5, flip=True)
    values = images[:, 0].numpy()
    assert (values == values[:, :1, :1]).all()
    shift = values[:, 0, 0] - levels[:, 0, 0]
    assert set(shift.tolist()) == {0, 3}


def test_all_8_orientations_appear_equally_often():
    corner = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    count = 2_000
    photos = Photos(corner, NO_IMAGES, np.zeros(count, int), photo_ids([str(i) for i in range(count)]))
    images, _ = training_batch(photos, np.arange(count), PIXELATION, "train", crop=0, flip=True)
    expected = {np.rot90(way, k).tobytes() for way in (corner[0], corner[0].T) for k in range(4)}
    found = [image.byte().numpy().tobytes() for image in images[:, 0]]
    assert set(found) == expected and len(expected) == 8
    assert all(abs(found.count(way) - 250) < 5 * 250**0.5 for way in expected)


# Crops


def pillow(image, left, top, side, size):
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)).astype(int)


@settings(max_examples=60)
@given(st.integers(0, 99), st.integers(8, 64), st.integers(8, 32), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_crops_are_resized_as_pillow_does(seed, length, size, share, across, down):
    image = np.random.default_rng(seed).integers(0, 256, (length, length), dtype=np.uint8)
    size = min(size, length)
    side = size + share * (length - size)
    left, top = across * (length - side), down * (length - side)
    arguments = (torch.tensor([v]) for v in (left, top, side))
    crop = resized_crops(torch.from_numpy(image).float()[None], *arguments, size)
    assert (crop.shape, crop.dtype) == ((1, size, size), torch.float32)
    assert torch.equal(crop, crop.round()) and crop.min() >= 0 and crop.max() <= 255
    assert np.abs(crop[0].numpy() - pillow(image, left, top, side, size)).max() <= 1


def test_the_whole_image_is_resized_as_pillow_does():
    images = np.stack([photo_like(i, 128) for i in range(3)])
    zero = torch.zeros(3)
    crops = resized_crops(torch.from_numpy(images).float(), zero, zero, torch.full((3,), 128.0), 64)
    for crop, image in zip(crops.numpy(), images, strict=True):
        difference = crop - np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(difference).max() <= 1 and (difference == 0).mean() > 0.8  # Pillow rounds between its two passes


def test_each_crop_is_cut_where_it_was_asked_for():
    image = torch.arange(256.0).reshape(1, 16, 16)
    left, top, side = torch.tensor([[3.0, 8.0], [5.0, 0.0], [8.0, 8.0]])
    crops = resized_crops(image.expand(2, -1, -1), left, top, side, 8)
    assert torch.equal(crops[0], image[0, 5:13, 3:11]) and torch.equal(crops[1], image[0, :8, 8:])


# Fixed samples


@pytest.mark.parametrize("batch_size", [7, 256])
def test_fixed_samples_are_prepared_images(photos, batch_size):
    samples = fixed_samples(photos, PIXELATION, ["test 0 0", "test 0 1"], batch_size)
    assert samples.images.shape == samples.pixelated.shape == (40, 24, 24)
    assert samples.images.dtype == samples.pixelated.dtype == np.uint8
    np.testing.assert_array_equal(samples.images, np.tile(photos.images[photos.rows], (2, 1, 1)))
    for i, area in enumerate(samples.areas):
        pixelated, _, target = prepare_image(samples.images[i][None], *area)
        np.testing.assert_array_equal(samples.pixelated[i], pixelated[0])
        np.testing.assert_array_equal(samples.targets[i], target)
        assert samples.targets[i].dtype == np.uint8
    assert not np.array_equal(samples.areas[:20], samples.areas[20:])
    _, areas = fixed_batch(photos, np.arange(20), PIXELATION, "test 0 1")
    np.testing.assert_array_equal(samples.areas[20:], areas)
