import numpy as np
import pytest
import torch
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.base.names import photo_ids
from depixel.base.tables import write_table
from depixel.dataset import samples
from depixel.dataset.prepared import Photo
from depixel.dataset.samples import Photos, epoch_batches, fixed_batch, fixed_samples, training_batch
from depixel.dataset.splits import Assigned
from depixel.model.pixelation import PixelationSettings, prepare_image
from depixel.model.windows import TRAINING_CONTEXT, window_side

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
    """20 of 23 photos."""
    names = [f"k{i:08}/IMG.jpg" for i in range(23)]
    rows = np.arange(22, 2, -1)
    return Photos(np.stack([photo_like(i, 24) for i in range(23)]), rows, photo_ids(names)[rows])


# Where photos come from


def write(folder, sides):
    """Prepared photos with these sides of the split."""
    index = [Photo(f"k{i}", "a.jpg", "0") for i in range(len(sides))]
    write_table(folder / "index.csv", Photo, index)
    write_table(folder / "split.csv", Assigned, [Assigned(*photo, s) for photo, s in zip(index, sides, strict=True)])
    levels = np.arange(len(sides), dtype=np.uint8)[:, None, None]
    np.save(folder / "images.npy", levels.repeat(8, 1).repeat(8, 2))


def test_load_takes_one_side(tmp_path):
    write(tmp_path, ["train", "test", "train", "validation"])
    photos = Photos.load(tmp_path, tmp_path / "split.csv", "train")
    assert len(photos) == 2
    assert photos.rows.tolist() == [0, 2]
    assert photos.ids.tolist() == photo_ids(["k0/a.jpg", "k2/a.jpg"]).tolist()
    assert photos.images.shape == (4, 8, 8)
    images, _ = fixed_batch(photos, np.array([1, 0]), PIXELATION, "areas")
    assert images[:, 0, 0, 0].tolist() == [2, 0]


def test_many_photos_are_scored_by_a_sample_drawn_by_name(monkeypatch):
    names = [f"k{i:08}/IMG.jpg" for i in range(200)]
    images = np.arange(200, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    photos = Photos(images, np.arange(200), photo_ids(names), np.array(names))
    assert (photos.scored().rows == photos.rows).all()
    monkeypatch.setattr(samples, "SCORED", 50)
    some = photos.scored()
    assert len(some) == 50 and (np.diff(some.rows) > 0).all()
    assert (some.ids == photos.ids[some.rows]).all() and (some.contributors == photos.contributors[some.rows]).all()
    left = Photos(images, photos.rows[1:], photos.ids[1:], photos.contributors[1:]).scored()
    assert len(np.intersect1d(some.rows, left.rows)) >= 49  # only the photo that is gone is replaced
    large = Photos(np.zeros((200, 256, 256), np.uint8), photos.rows, photos.ids)
    assert len(large.scored()) == 12


@pytest.mark.parametrize("name", ["index.csv", "split.csv", "images.npy"])
def test_load_names_what_is_missing(tmp_path, name):
    write(tmp_path, ["train", "test", "validation"])
    (tmp_path / name).unlink()
    with pytest.raises(DepixelError, match=name):
        Photos.load(tmp_path, tmp_path / "split.csv", "train")


def test_first_and_order(photos):
    few = photos.first(5)
    assert few.rows.tolist() == photos.rows[:5].tolist() and few.ids.tolist() == photos.ids[:5].tolist()
    order = photos.order("order 0 1")
    assert sorted(order) == list(range(20)) and order.tolist() != list(range(20))
    assert order.tolist() != photos.order("order 0 2").tolist()
    # the others keep their order when one is gone
    without = Photos(photos.images, photos.rows[:-1], photos.ids[:-1])
    assert without.order("order 0 1").tolist() == [i for i in order if i != 19]


def test_batches_of_an_epoch_hold_areas_of_like_size(photos):
    batches = epoch_batches(photos, PIXELATION, "train 0 1", "0 1", 4)
    assert sorted(np.concatenate(batches)) == list(range(20)) and [len(batch) for batch in batches] == [4] * 5
    areas = [training_batch(photos, batch, PIXELATION, "train 0 1", True)[1] for batch in batches]
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


def test_a_sample_depends_on_its_photo_and_stream_only(photos):
    def draw(chosen, stream="train 0 0"):
        return training_batch(photos, np.array(chosen), PIXELATION, stream, flip=True)

    images, areas = draw(range(20))
    assert (images.shape, images.dtype) == ((20, 1, 24, 24), torch.float32)
    assert (areas.shape, areas.dtype) == ((20, 5), torch.int64)
    for chosen in (range(19, -1, -1), [7], [3, 11]):
        some_images, some_areas = draw(chosen)
        assert torch.equal(some_images, images[list(chosen)]) and torch.equal(some_areas, areas[list(chosen)])
    others, other_areas = draw(range(20), "train 0 1")
    assert (others != images).flatten(1).any(dim=1).sum() >= 15
    assert not torch.equal(other_areas, areas)


def test_without_flips_a_sample_is_the_photo(photos):
    images, _ = training_batch(photos, np.arange(20), PIXELATION, "train", flip=False)
    np.testing.assert_array_equal(images[:, 0].numpy(), photos.images[photos.rows])


def test_all_8_orientations_appear_equally_often():
    corner = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    count = 2_000
    photos = Photos(corner, np.zeros(count, int), photo_ids([str(i) for i in range(count)]))
    images, _ = training_batch(photos, np.arange(count), PIXELATION, "train", flip=True)
    expected = {np.rot90(way, k).tobytes() for way in (corner[0], corner[0].T) for k in range(4)}
    found = [image.byte().numpy().tobytes() for image in images[:, 0]]
    assert set(found) == expected and len(expected) == 8
    assert all(abs(found.count(way) - 250) < 5 * 250**0.5 for way in expected)


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
