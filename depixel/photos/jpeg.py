"""The quantization tables of JPEG that nearly all programs write."""

import numpy as np

_STANDARD = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).reshape(8, 8)  # fmt: skip
"""The table of luminance of the JPEG standard (ITU-T T.81, annex K), which nearly all programs scale by a quality."""


def standard_table(quality: int) -> np.ndarray:
    """(8, 8) quantization steps of the luminance at a quality of 1 to 100, as libjpeg has them."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((_STANDARD * percent + 50) // 100, 1, 255)
