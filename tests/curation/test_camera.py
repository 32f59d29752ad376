"""Generated photos are stored as cameras store them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from depixel.curation import camera


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_photo_is_upright_by_its_exif(orientation):
    ramp = np.add.outer(np.arange(120) * 1.5, np.arange(100) * 0.5).astype(np.uint8)
    stored = Image.open(io.BytesIO(camera.jpeg(Image.fromarray(ramp), 95, orientation)))
    upright = np.asarray(ImageOps.exif_transpose(stored), int)
    assert np.abs(upright - ramp).max() < 8
