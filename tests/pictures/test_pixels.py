import numpy as np
import pytest
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo


def test_pixelated_areas_do_not_overlap():
    with pytest.raises(DepixelError, match="overlap"):
        pixelate(photo(), [(0, 0, 40, 40, 8), (30, 30, 40, 40, 8)])


def test_pixelating_takes_what_restoring_takes():
    image = photo()
    shown = pixelate(Image.fromarray(image), [(10, 10, 96, 96, 12)])
    np.testing.assert_array_equal(np.asarray(shown), pixelate(image, [(10, 10, 96, 96, 12)]))
    with pytest.raises(DepixelError, match="give the block size"):
        pixelate(image, [(10, 10, 96, 96)])
    with pytest.raises(DepixelError, match="a picture must be"):
        pixelate(image.astype(float), [(10, 10, 96, 96, 12)])
