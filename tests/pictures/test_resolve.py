"""Block sizes, found and checked."""

import io

import numpy as np
import pytest
from PIL import Image

from depixel.areas.area import Area, ResolvedArea
from depixel.base.errors import DepixelError
from depixel.pictures.pixels import pixelate
from depixel.pictures.resolve import resolve
from tests.conftest import REPOSITORY
from tests.pictures.test_restorer import photo


def test_what_first_blocks_cannot_lack_is_told():
    shown = pixelate(photo(), [(10, 10, 40, 30, 8)])
    with pytest.raises(
        DepixelError, match=r"10,10,40,30: first blocks can lack 0 to 8 - 1 columns and rows, not 8 and"
    ):
        resolve(shown, [(10, 10, 40, 30, 8, 8, 0)])
    with pytest.raises(DepixelError, match="Give the block size, too"):
        resolve(shown, [(10, 10, 40, 30, None, 3, 0)])
    with pytest.raises(DepixelError, match="is no area"):
        resolve(shown, [(10, 10, 40, 30, 8, 3)])
    assert resolve(shown, [(18, 18, 3, 5, 8, 4, 3)]) == [ResolvedArea(18, 18, 3, 5, 8)]  # no line is seen in one block
    with pytest.raises(DepixelError, match=r"area 13,10,37,30: .* shows blocks of 8 pixels, not of 9"):
        resolve(shown, [(13, 10, 37, 30, 9, 3, 0)])
    assert resolve(shown, [(13, 10, 37, 30, 8, 3, 0)])
    with pytest.raises(DepixelError, match="does not look pixelated"):  # four parts of blocks larger than the area
        resolve(photo(), [(10, 10, 24, 24, 24, 12, 12)])


def test_block_sizes_are_found():
    image = photo(200, 220)
    for block in (2, 3, 8, 13, 50):
        area = (10, 10, 150, 170)
        assert resolve(pixelate(image, [(*area, block)]), [area]) == [ResolvedArea(*area, block)]


def test_an_area_of_one_value_is_one_block():
    flat = np.full((60, 60), 100, np.uint8)
    assert resolve(flat, [(5, 5, 20, 30)])[0].block_size == 30


def test_a_wrong_block_size_is_told():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    assert resolve(shown, [(10, 10, 96, 96, 12)])
    with pytest.raises(DepixelError, match=r"shows blocks of 12 pixels, not of 6"):  # which are as flat
        resolve(shown, [(10, 10, 96, 96, 6)])
    with pytest.raises(DepixelError, match=r"area 10,10,96,96: .* shows blocks of 12 pixels, not of 16"):
        resolve(shown, [(10, 10, 96, 96, 16)])
    with pytest.raises(DepixelError, match=r"shows blocks of 12 pixels, not of 8.*corner at which a block begins"):
        resolve(shown, [(13, 13, 93, 93, 8)])


def test_an_area_that_begins_within_a_block_has_the_blocks_that_are_seen():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    for size in (None, 12):
        assert resolve(shown, [(13, 14, 93, 92, size)]) == [ResolvedArea(13, 14, 93, 92, 12, offset_x=3, offset_y=4)]
        assert resolve(shown, [(22, 14, 84, 92, size)]) == [ResolvedArea(22, 14, 84, 92, 12, offset_y=4)]
    # steps along one axis, or two, may be of any blocks
    strip = pixelate(photo(), [(10, 10, 96, 6, 6)])
    assert resolve(strip, [(10, 10, 96, 6)]) == [ResolvedArea(10, 10, 96, 6, 6)]
    # a few of them are told by those around
    assert resolve(shown, [(13, 14, 30, 30)]) == [ResolvedArea(13, 14, 30, 30, 12, offset_x=3, offset_y=4)]


def test_an_area_that_is_not_pixelated_is_told():
    for block in (None, 8):
        with pytest.raises(DepixelError, match="does not look pixelated"):
            resolve(photo(), [(10, 10, 96, 96, block)])


def test_blocks_of_more_than_the_largest_size_are_taken_apart():
    image = np.random.default_rng(1).integers(0, 256, (4, 4), dtype=np.uint8).repeat(260, axis=0).repeat(260, axis=1)
    (area,) = resolve(image, [(0, 0, 1040, 1040)])
    assert area.block_size == 130 and resolve(image, [area.numbers()]) == [area]


def test_a_single_block_is_looked_at_too():
    with pytest.raises(DepixelError, match="does not look pixelated"):
        resolve(photo(), [(10, 10, 40, 40, 40)])
    shown = pixelate(photo(), [(10, 10, 40, 40, 40)])
    assert resolve(shown, [(10, 10, 40, 40, 40)]) == [ResolvedArea(10, 10, 40, 40, 40)]


def test_an_area_that_reaches_beyond_the_blocks_is_told():
    shown = pixelate(photo(), [(10, 10, 96, 96, 12)])
    with pytest.raises(DepixelError, match=r"area 10,10,108,96"):
        resolve(shown, [(10, 10, 108, 96, 12)])


def test_an_area_that_is_named_roughly_snaps_to_its_blocks():
    shown, real = pixelate(photo(), [(30, 20, 80, 64, 8)]), ResolvedArea(30, 20, 80, 64, 8)
    for place in ((29, 19, 82, 66), (27, 17, 86, 70), (33, 20, 77, 62), (30, 20, 80, 64)):
        for block in (None, 8):
            assert resolve(shown, [(*place, block)]) == [real]
    assert resolve(shown, [(34, 22, 70, 60)]) == [ResolvedArea(34, 22, 70, 60, 8, offset_x=4, offset_y=2)]


REAL = ResolvedArea(66, 38, 64, 64, 8)  # as in the docs


def docs_photo(quality: int | None = None) -> np.ndarray:
    """The photo of the docs with the pixelated area `REAL`; with a quality, as a JPEG."""
    shown = pixelate(np.asarray(Image.open(REPOSITORY / "docs/photo.png")), [REAL])
    if quality is None:
        return shown
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def named_by(image: np.ndarray, left: int, top: int, right: int, bottom: int, *block: int) -> ResolvedArea | str:
    """The area that is resolved if `REAL` is named with this margin, pixels, on each side; the message of a refusal."""
    area = (REAL.x - left, REAL.y - top, REAL.width + left + right, REAL.height + top + bottom)
    try:
        return resolve(image, [(*area, *block)])[0]
    except DepixelError as error:
        return str(error)


def margins(*by: int) -> list[tuple[int, int, int, int]]:
    """Margins on all sides and on each."""
    return [tuple(m if at in (side, 4) else 0 for side in range(4)) for at in range(5) for m in by]


@pytest.mark.parametrize("block", [(), (8,)])
def test_an_area_with_a_margin_never_changes_true_pixels(block):
    image = docs_photo()
    for margin in margins(1, 2, 3):
        assert named_by(image, *margin, *block) == REAL, margin
    for margin in margins(4, 6, 8, 12):
        told = named_by(image, *margin, *block)
        assert isinstance(told, str) and "66,38,64,64 in blocks of 8 is. Name that area: 66,38,64,64,8" in told, told
        assert ("--ignore-check" in told) == bool(block)
    for size in (2, 4):
        assert isinstance(named_by(image, 6, 6, 6, 6, size), str)
    assert resolve(image, [(60, 32, 76, 76, 2)], ignore_check=True) == [ResolvedArea(60, 32, 76, 76, 2)]


def test_a_part_of_a_pixelated_area_keeps_its_blocks():
    image = docs_photo()
    for margin in margins(-1, -2, -3):
        assert named_by(image, *margin) == REAL
    for margin in margins(-4, -5, -8, -12):
        found = named_by(image, *margin)
        left, top = (-by for by in margin[:2])
        assert isinstance(found, ResolvedArea) and found.blocks == "8"
        assert (found.x, found.y) == (REAL.x + left, REAL.y + top)
        assert (found.offset_x, found.offset_y) == (left % 8, top % 8)


@pytest.mark.slow
@pytest.mark.parametrize("quality", [95, 75])
def test_an_area_with_a_margin_in_a_jpeg_is_snapped_or_refused(quality):
    image = docs_photo(quality)
    for margin in [(3, 3, 3, 3), (0, -12, 0, 0)]:
        found = named_by(image, *margin)
        assert isinstance(found, ResolvedArea) and found.blocks == "8"
        assert not (found.x - found.offset_x - REAL.x) % 8 and not (found.y - found.offset_y - REAL.y) % 8
    for margin in [(4, 4, 4, 4), (6, 6, 6, 6), (0, 0, 6, 0)]:
        told = named_by(image, *margin)
        assert isinstance(told, str) and "66,38,64,64 in blocks of 8 is" in told, told


def test_an_area_too_faint_to_be_found_is_refused_unless_it_is_even_up_to_its_sides():
    shown = pixelate(np.asarray(Image.open(REPOSITORY / "docs/photo.png")), [(30, 40, 24, 16, 4)])
    assert resolve(shown, [(30, 40, 24, 16)]) == [ResolvedArea(30, 40, 24, 16, 4)]
    for place in ((28, 38, 28, 20), (26, 36, 32, 24), (30, 40, 28, 16), (30, 36, 24, 20)):
        for block in ((), (2,)):
            with pytest.raises(DepixelError, match=r"does not look pixelated|shows blocks of 4 pixels"):
                resolve(shown, [(*place, *block)])


def test_blocks_may_be_named_by_their_number():
    area = Area.of({"area": [30, 20, 75, 60], "grid": [10, 16]})
    for like in ("pillow", "opencv"):
        shown = pixelate(photo(), [area], like)
        (found,) = resolve(shown, [area])
        assert (found.place, found.blocks) == ("30,20,75,60", "7.5x3.75")
        assert resolve(shown, [(30, 20, 75, 60)]) == [found]


def test_what_the_picture_contradicts_is_restored_only_if_told_to():
    shown = pixelate(photo(), [(30, 20, 80, 64, 8)])
    for area in ((30, 20, 80, 64, 5), (1, 1, 20, 20, 4)):
        with pytest.raises(DepixelError, match="--ignore-check"):
            resolve(shown, [area])
        assert resolve(shown, [area], ignore_check=True) == [ResolvedArea(*area)]


def test_blocks_that_are_not_square_are_not_taken_for_smaller_ones():
    shown = pixelate(photo(), [(30, 20, 80, 64, "16x8")])
    assert resolve(shown, [(30, 20, 80, 64)])[0].blocks == "16x8"
    with pytest.raises(DepixelError, match="shows blocks of 16x8 pixels, not of 8"):
        resolve(shown, [(30, 20, 80, 64, 8)])


def test_a_mask_keeps_its_shape_and_gets_the_blocks_that_are_seen():
    y, x = np.mgrid[:64, :80]
    mask = ((x - 39.5) / 40) ** 2 + ((y - 31.5) / 32) ** 2 <= 1
    shown = pixelate(photo(), [Area(30, 20, 80, 64, 8, mask=mask)])
    (found,) = resolve(shown, [Area(30, 20, 80, 64, mask=mask)])
    assert found.blocks == "8" and found.mask is mask and (found.offset_x, found.offset_y) == (0, 0)


def test_an_area_that_begins_within_a_block_of_a_jpeg_keeps_its_place(shared):
    image = np.asarray(Image.open(shared / "field/08_within.jpg").convert("RGB"))
    assert resolve(image, [(63, 57, 120, 88)]) == [ResolvedArea(63, 57, 120, 88, 8, offset_x=2, offset_y=4)]
    assert resolve(image, [(60, 52, 130, 98)]) == [ResolvedArea(61, 53, 128, 96, 8)]
