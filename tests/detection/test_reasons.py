"""Why an area is doubtful."""

import numpy as np
import pytest

from depixel.areas.area import Area
from depixel.detection.reasons import reason
from depixel.pictures.pixels import pixelate
from tests.pictures.test_restorer import photo

AREA = (16, 16, 64, 48, 8)


def seen(area=AREA) -> np.ndarray:
    return pixelate(photo(120, 140, None), [area]).astype(np.float32)


def plain_beside() -> np.ndarray:
    gray = seen()
    gray[:, 80:] = gray[:, 79:80]
    return gray


@pytest.mark.parametrize(
    ("gray", "area", "expected"),
    [
        (seen((16, 16, 16, 16, 8)), (16, 16, 16, 16, 8), "it has only 4 blocks"),
        (photo(120, 140, None).astype(np.float32), AREA, "its blocks are not even"),
        (np.full((120, 140), 90, np.float32), AREA, "its blocks hardly differ"),
        (seen((16, 16, 112, 12, 16)), (16, 16, 112, 12, 16), "it shows no whole block"),
        (plain_beside(), AREA, "nothing shows where it ends: at its right side"),
        (seen(), AREA, "untouched photos sometimes look like this"),
    ],
    ids=["few", "uneven", "alike", "thin", "open", "like a photo"],
)
def test_the_property_that_is_least_like_a_pixelation_is_named(gray, area, expected):
    x, y, width, height, size = area
    assert reason(gray, Area(x, y, width, height).in_blocks_of(size)).startswith(expected)
