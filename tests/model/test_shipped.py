"""The shipped models predict what they always did, to the last bit.

tests/stored/shipped.npz holds predictions that were made before the code was laid out anew (version 0.1.0).
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import REPOSITORY

SAME_ARITHMETIC = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
"""So that other processors than the one that stored them round alike."""

PREDICT = """
import sys
import numpy as np, torch
from PIL import Image
from depixel.detection.search import find
from depixel.model.predictor import Predictor
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer

torch.set_num_threads(1)
stored, made = np.load(sys.argv[1]), {}
for name in ("laptop", "best"):
    predictor = Predictor.load(name, "cpu")
    predictor.precision = "float32"
    made[name] = np.concatenate(predictor.predict(stored["pixelated"], stored["areas"], views=2))
areas = stored["named"].tolist()
picture = pixelate(np.asarray(Image.open("docs/photo.png").convert("RGB")), areas)
restored = Restorer.load("laptop").restore(picture, areas)
for i, (x, y, width, height, _) in enumerate(areas):
    made[f"restored_{i}"] = restored[y : y + height, x : x + width]
made["found"] = np.array([[*one.area.columns(), 1] for one in find(picture) if one.certain])
np.savez(sys.argv[2], **made)
"""


@pytest.fixture(scope="module")
def made(detector, tmp_path_factory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("shipped") / "made.npz"
    command = [sys.executable, "-c", PREDICT, "tests/stored/shipped.npz", str(out)]
    subprocess.run(command, cwd=REPOSITORY, env=os.environ | SAME_ARITHMETIC, check=True)
    return dict(np.load(out))


@pytest.mark.parametrize("name", ["laptop", "best", "restored_0", "restored_1", "found"])
def test_the_same_pixels(made, name):
    stored = np.load(REPOSITORY / "tests/stored/shipped.npz")[name]
    if name == "found":  # certain ones, in any order; guesses may change
        stored, made[name] = (np.unique(of[of[:, -1] == 1], axis=0) for of in (stored, made[name]))
    np.testing.assert_array_equal(made[name], stored)
