import numpy as np
import pytest

from depixel.detection.boxes import Box
from depixel.detection.outlines import outline
from depixel.detection.steps import Steps

HEIGHT, WIDTH = 110, 130
BOX = Box(20, 18, 100, 90, 8, 0, 0)


def steps_of(shape: np.ndarray) -> Steps:
    """Steps that say where a shape (H, W) in blocks of 8 is, counted from the corner of `BOX`."""
    sides = []
    for axis, start in ((1, BOX.x0), (0, BOX.y0)):
        both = shape & np.roll(shape, 1, axis)
        on = (np.arange(shape.shape[axis]) - start) % 8 == 0
        on = on[None, :] if axis == 1 else on[:, None]
        inside = np.where(both & ~on, 6.0, -6.0).astype(np.float32)
        sides.append((inside, np.where(both & on, 6.0, -6.0).astype(np.float32)))
    return Steps.of(*sides, 48, 30.0)


def rectangle(box: Box = BOX) -> np.ndarray:
    shape = np.zeros((HEIGHT, WIDTH), bool)
    shape[box.y0 : box.y1, box.x0 : box.x1] = True
    return shape


def same(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_a_rectangle_has_no_mask():
    found = outline(steps_of(rectangle()), BOX)
    assert found.box == BOX and found.mask is None and found.whole and not found.other.any()
    assert found.mean == 24


@pytest.mark.parametrize("inner", [BOX, Box(36, 34, 84, 74, 8, 0, 0), Box(41, 37, 80, 70, 8, 5, 3)])
def test_an_ellipse_is_seen_from_a_rectangle_in_it_or_around_it(inner):
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    shape = ((x - 59.5) / 40) ** 2 + ((y - 53.5) / 36) ** 2 <= 1
    found = outline(steps_of(shape), inner)
    seen = np.zeros_like(shape)
    seen[found.box.y0 : found.box.y1, found.box.x0 : found.box.x1] = found.mask
    assert same(seen, shape) > 0.95
    assert (found.box.x0 - found.box.offset_x - BOX.x0) % 8 == (found.box.y0 - found.box.offset_y - BOX.y0) % 8 == 0
    assert found.mean > 20


def test_text_over_an_area_makes_it_no_other_shape():
    shape = rectangle()
    shape[40:56, 30:90:3] = False
    found = outline(steps_of(shape), BOX)
    assert found.mask is None and found.whole
    assert found.other[22:38, 10:70].mean() > 0.9 and not found.other[:15].any()
    assert found.mean == 24


def test_an_area_beside_it_does_not_belong_to_it():
    left, right = BOX._replace(x1=60), BOX._replace(x0=60)
    steps = steps_of(rectangle())
    assert outline(steps, left).mask is not None
    found = outline(steps, left, [right])
    assert found.mask is None and found.whole
