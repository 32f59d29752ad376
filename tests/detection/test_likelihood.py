from fractions import Fraction

import numpy as np
import pytest

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid
from depixel.base.errors import DepixelError
from depixel.detection import likelihood
from depixel.detection.boxes import Box
from depixel.detection.jpeg import luma, quantization
from depixel.detection.likelihood import Likelihood
from depixel.detection.named import block_size_in_jpeg
from depixel.detection.steps import Steps, search
from depixel.pictures.pixels import pixelate as pixelate_areas
from depixel.pictures.resolve import resolve
from tests.detection.test_search import as_jpeg, photo, pixelate

AREA = Box(10, 13, 33, 30, 7, 0, 0)


def of(image: np.ndarray, quality: int, check=lambda: None) -> Likelihood:
    gray = luma(as_jpeg(image, quality))
    return Likelihood(gray, quantization(gray), check)


def pixelated(box: Box = AREA, side: int = 60, seed: int = 0) -> np.ndarray:
    return pixelate(photo(side, side, seed), box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0, box.size)


def indifferent(side: int = 60) -> Steps:
    """Steps that prefer no area."""
    nothing = np.zeros((side, side), np.float32)
    return Steps.of((nothing, nothing), (nothing, nothing), reach=8, corner=0)


@pytest.mark.parametrize("quality", [75, 90, 95])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_pixelated_is_likelier_than_not_and_the_right_area_likelier_than_those_beside(quality, seed):
    seen, untouched = of(pixelated(seed=seed), quality), of(photo(60, 60, seed), quality)
    assert seen.evidence(AREA) > 20 > 0 > untouched.evidence(AREA)
    others = [box for change in likelihood._GRIDS + likelihood._SIDES for box in change(AREA, 60, 60)]
    assert len(others) > 50
    wrong = [box for box in others if max(abs(a - b) for a, b in zip(box[:7], AREA[:7], strict=True)) > 1]
    assert max(map(seen.evidence, wrong)) < seen.evidence(AREA)


@pytest.mark.parametrize(
    "start",
    [
        Box(10, 13, 30, 33, 7, 0, 0),
        Box(10, 6, 33, 30, 7, 0, 0),
        Box(12, 13, 33, 30, 5, 0, 0),
        Box(10, 13, 33, 30, 17, 0, 0),
    ],
)
def test_an_area_is_found_from_one_near_by(start, monkeypatch):
    monkeypatch.setattr(likelihood, "_OPTIONS", 100)  # the steps say nothing of which are likely
    assert of(pixelated(), 90).refined(start, indifferent()) == AREA


def test_each_place_is_compared_before_further_grids_of_another(monkeypatch):
    near = AREA._replace(x1=AREA.x1 + 1)
    grids = [AREA._replace(size=size) for size in range(8, 8 + likelihood._OPTIONS)]
    compared = []
    monkeypatch.setattr(Likelihood, "_likeliest", lambda self, boxes, prior: compared.append(boxes) or boxes[0])

    class Says(Steps):
        def score(self, box: Box) -> float:
            return 900 if box == near else 1000 - box.size

    says = Says(*[np.zeros((60, 60), np.float32)] * 2, reach=8, corner=0)
    of(pixelated(), 90)._climbed(AREA, says, lambda box: 0, (lambda box, high, wide: [near, *grids],))
    assert near in compared[0] and grids[0] in compared[0] and grids[-1] not in compared[0]


def test_first_blocks_that_are_cut_off_are_found_from_an_area_without_them(monkeypatch):
    monkeypatch.setattr(likelihood, "_OPTIONS", 100)
    cut = Box(9, 15, 34, 40, 8, 6, 2)
    image = pixelate_areas(photo(60, 60), [(9, 15, 25, 25, 8, 6, 2)])
    for start in (Box(11, 15, 34, 40, 8, 0, 2), Box(9, 21, 34, 37, 8, 6, 0)):
        assert of(image, 90).refined(start, indifferent()) == cut


def test_an_area_of_which_the_steps_say_much_less_is_not_looked_at():
    steps = indifferent()
    steps.inside[13:30, 10:30] = 1
    steps.inside[13:30, 30:] = -9
    assert of(pixelated(), 90).refined(AREA._replace(x1=30), steps).x1 <= 30


def test_the_covariance_of_what_is_pixelated_is_that_of_block_means():
    high, wide, box = 8, 12, Box(2, -3, 9, 6, 4, 1, 2)  # cut off by the tile
    random = np.random.default_rng(0).normal(size=(high * wide, high * wide))
    covariance = random @ random.T
    blocks = np.arange(high * wide).reshape(high, wide)  # a number for each block; pixels outside are their own
    for y in range(high):
        for x in range(wide):
            if box.x0 <= x < box.x1 and box.y0 <= y < box.y1:
                row, column = (y - box.y0 + box.offset_y) // box.size, (x - box.x0 + box.offset_x) // box.size
                blocks[y, x] = 1000 + row * 10 + column
    same = np.equal.outer(blocks.ravel(), blocks.ravel())
    means = same / same.sum(axis=1, keepdims=True)
    expected = means @ covariance @ means.T + same * (blocks.ravel() >= 1000) / 12
    likelihood._pixelate(covariance, box, high, wide)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-9)


def test_what_tiles_see_of_an_area_is_all_that_counts():
    image, moved = pixelated(side=64), np.full((64, 96), 128, np.uint8)
    moved[:, 32:] = image
    there = AREA.moved(32, 0)
    assert of(moved, 90).evidence(there) == pytest.approx(of(image, 90).evidence(AREA), rel=0.05)


def test_pictures_may_end_within_jpegs_blocks_and_within_tiles():
    image = pixelated(Box(30, 25, 53, 45, 6, 0, 0), side=53)[:45]
    area = Box(30, 25, 53, 45, 6, 0, 0)
    assert of(image, 90).evidence(area) > 20


@pytest.mark.parametrize("area", [(20, 10, 240, 190, 12), (15, 15, 369, 369, 12)])  # the latter of 24 columns of tiles
def test_of_a_large_area_some_tiles_from_all_over_are_enough(area):
    x, y, width, height, size = area
    seen = of(pixelate(photo(400, 400), *area), 85)
    assert seen.evidence(Box(x, y, x + width, y + height, size, 0, 0)) > 1000
    tiles = {tile for tile, _ in seen._known}
    assert len(tiles) <= likelihood._MOST_TILES
    assert min(len({tile[axis] for tile in tiles}) for axis in (0, 1)) > 5


def test_smooth_surroundings_are_none_of_an_area_beside_them():
    image = pixelated()
    image[AREA.y1 :] = np.linspace(100, 130, 60).astype(np.uint8)  # a sky below
    seen = of(image, 90)
    assert seen.refined(AREA, indifferent()) == AREA
    longer = AREA._replace(y1=AREA.y1 + 4)
    assert seen.evidence(longer) < seen.evidence(AREA) - 10


@pytest.mark.parametrize("quality", [60, 75, 90])
@pytest.mark.parametrize("area", [(10, 13, 23, 17, 7), (3, 40, 12, 9, 4), (20, 20, 32, 40, 13), (0, 0, 200, 150, 21)])
def test_the_block_size_of_a_named_area_is_told_in_a_jpeg(area, quality):
    clean = photo(220, 200, seed=3)
    color = as_jpeg(np.stack([pixelate(clean // share, *area) for share in (1, 2, 3)], axis=2), quality)
    place, size = area[:4], area[4]
    for image in (as_jpeg(pixelate(clean, *area), quality), color):
        assert block_size_in_jpeg(image, Area.of((*place, None, 0, 0))) == size
        assert block_size_in_jpeg(image, Area.of((*place, size, 0, 0))) == size
        assert block_size_in_jpeg(image, Area.of((*place, size + 2, 0, 0))) in (size, None)
        assert resolve(image, [place]) == [ResolvedArea(*area)]
    assert block_size_in_jpeg(as_jpeg(clean, quality), Area.of((*place, size, 0, 0))) is None
    assert block_size_in_jpeg(pixelate(clean, *area), Area.of((*place, size, 0, 0))) is None  # no JPEG


def test_a_block_size_that_a_jpeg_contradicts_is_refused():
    image = as_jpeg(pixelated(), 90)
    with pytest.raises(DepixelError, match="shows blocks of 7 pixels, not of 8"):
        resolve(image, [(10, 13, 23, 17, 8)])
    with pytest.raises(DepixelError, match="does not look pixelated"):
        resolve(as_jpeg(photo(60, 60), 90), [(10, 13, 23, 17, 7)])


def test_first_blocks_that_are_cut_off_are_told_in_a_jpeg():
    image = as_jpeg(pixelate_areas(photo(60, 60), [(9, 15, 25, 25, 8, 6, 2)]), 75)
    assert block_size_in_jpeg(image, Area.of((9, 15, 25, 25, 8, 6, 2))) == 8
    whole = as_jpeg(pixelated(), 75)
    assert block_size_in_jpeg(whole, Area.of((10, 13, 23, 17, 7, 0, 0))) == 7
    assert block_size_in_jpeg(whole, Area.of((10, 13, 23, 17, 7, 3, 4))) is None  # they begin at the corner


@pytest.mark.parametrize("area", [(5, 6, 2, 2), (5, 6, 3, 3), (5, 6, 4, 2), (58, 58, 2, 2)])
def test_the_smallest_areas_have_no_size_that_can_be_told(area):
    assert block_size_in_jpeg(as_jpeg(photo(60, 60), 90), Area.of((*area, None, 0, 0))) in (None, 4)


def test_an_area_that_is_ruled_out_counts_as_none():
    steps = indifferent()
    steps.inside[13:30, 10:33] = steps.turned.inside[10:33, 13:30] = 1
    assert steps.score(AREA) > 500
    steps.rule_out(AREA)
    assert steps.score(AREA) < -5000


def test_only_the_shape_of_an_area_is_ruled_out():
    steps = indifferent()
    for of_ in (steps, steps.turned):
        of_.inside[:] = 1
    mask = np.ones((AREA.y1 - AREA.y0, AREA.x1 - AREA.x0), bool)
    mask[:, 12:] = False
    before = steps.score(AREA._replace(x0=AREA.x0 + 12))
    steps.rule_out(AREA, mask)
    assert steps.score(AREA._replace(x0=AREA.x0 + 13)) <= before
    assert steps.score(AREA._replace(x1=AREA.x0 + 12)) < -1000
    assert (steps.inside[AREA.y0 : AREA.y1, AREA.x0 + 12 : AREA.x1] == 1).all()
    assert (steps.turned.inside[AREA.x0 + 12 : AREA.x1, AREA.y0 : AREA.y1] == 1).all()


def test_where_an_area_was_found_nothing_more_is_looked_for():
    steps, found = indifferent(), []
    for of_ in (steps, steps.turned):
        of_.inside[:], of_.line[:] = -1, -1
        of_.inside[10:40, 10:40] = 2
        of_.line[10:40, [10, 20, 30, 40]] = 3

    def done(score: float, box: Box) -> list[Box]:
        found.append(box)
        whole = box._replace(x0=0, y0=0, x1=60, y1=60)
        steps.rule_out(whole)
        return [whole]

    search(steps, 4.0, 10, 30, done)
    assert len(found) == 1


def test_it_can_be_given_up():
    class GivenUpError(Exception):
        pass

    def check():
        raise GivenUpError

    with pytest.raises(GivenUpError):
        of(pixelated(), 90, check).refined(AREA, indifferent())


@pytest.mark.parametrize("moved", [(3, 0, 0, 0), (0, -5, 0, 0), (0, 0, -4, 3), (1, 2, 3, -4)])
def test_sides_are_moved_to_where_the_area_ends(moved):
    box, lead = of(pixelated(), 90).placed(AREA.with_sides(*np.add(AREA[:4], moved).tolist()), indifferent())
    assert box[:4] == AREA[:4] and lead > 20


def test_a_side_is_not_clear_where_the_photo_beside_it_is_plain():
    image = photo(60, 60)
    image[:, AREA.x1 - 9 :] = 128
    _, lead = of(pixelate(image, 10, 13, 23, 17, 7), 90).placed(AREA, indifferent())
    assert lead < 6


def test_steps_decide_about_a_side_unless_the_surroundings_look_like_blocks_to_them():
    image = photo(60, 60)
    image[:, AREA.x1 - 9 :] = 128
    seen = of(pixelate(image, 10, 13, 23, 17, 7), 90)
    inside = np.zeros((60, 60), np.float32)
    inside[13:30, 10:33], inside[13:30, 33:] = 8, -8
    ends = Steps.of((inside, inside), (inside.T, inside.T), reach=8, corner=0)
    inside = np.where(inside == -8, np.float32(8), inside)
    goes_on = Steps.of((inside, inside), (inside.T, inside.T), reach=8, corner=0)
    box, lead = seen.placed(AREA, ends)
    assert abs(box.x1 - AREA.x1) <= 1 and lead > 6
    assert seen.placed(AREA, goes_on)[1] < 6


def test_blocks_of_another_size_are_less_likely():
    seen = of(pixelated(Box(10, 13, 46, 49, 7, 0, 0)), 90)
    assert seen.size_lead(Box(10, 13, 46, 49, 7, 0, 0)) > 20
    wrong = Grid(Fraction(36, 5), Fraction(36, 5))
    assert seen.size_lead(Box(10, 13, 46, 49, 8, 0, 0, wrong)) < 0
    assert seen.size_lead(Box(10, 13, 46, 49, 36, 0, 0)) == np.inf
