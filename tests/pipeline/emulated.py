"""What is to come out the same on every processor: a training, its scores, restorations by PyTorch and ONNX Runtime.

    python tests/pipeline/emulated.py PART...

Run in a folder with params.yaml, data/prepared and picture.png; what it writes there is compared. The parts are
`begin`, which stops the training after its first epoch with a checkpoint, `train`, `evaluate`, `restore`, and
`choices`, which trains a few steps with each choice of a setting.
"""

import io
import os
import sys

from depixel.base import arithmetic

if "EMULATED" in os.environ:  # QEMU 7.2 crashes in NumPy's sorting for AVX2
    arithmetic.VARIABLES["NPY_DISABLE_CPU_FEATURES"] += " X86_V3"
arithmetic.begin()

import hashlib  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from depixel.base import code  # noqa: E402
from depixel.base.console import PREEMPTED  # noqa: E402

PRETRAINED = Path(__file__).resolve().parents[2] / "models/pretrained"
AREA = (8, 16, 24, 16, 8)


def begin() -> None:
    from depixel.learning.training import Run
    from stages import train

    whole = Run.epochs

    def first(run, *arguments, **options):
        for row in whole(run, *arguments, **options):
            run.end()
            yield row

    Run.epochs = first
    try:
        train.main([], standalone_mode=False)
    except SystemExit as stopped:
        assert stopped.code == PREEMPTED


def train() -> None:
    """Also writes the weights as they are computed with: those of the model have 16 bits."""
    import torch

    from stages import train

    train.main([], standalone_mode=False)
    (checkpoint,) = Path("checkpoints").glob("*/last.pt")
    state = torch.load(io.BytesIO(checkpoint.read_bytes()[32:]), weights_only=True)
    np.save("weights.npy", np.concatenate([value.numpy().ravel() for value in state["network"].values()]))


def evaluate() -> None:
    from stages import evaluate

    evaluate.main([], standalone_mode=False)


def restore() -> None:
    from PIL import Image

    from depixel import Restorer

    picture = np.asarray(Image.open("picture.png"))
    window, area = np.float32(picture[None, :40, :40]), np.array([[*AREA, 0, 0]])
    for name in ("laptop.safetensors", "laptop.onnx"):
        if (PRETRAINED / name).is_file():
            restorer = Restorer.load(PRETRAINED / name)
            np.save(f"by_{name}.npy", restorer.restore(picture, [AREA]))
            np.save(f"before_rounding_by_{name}.npy", restorer.model.predict_windows(window, area, [0, 5]))


def choices() -> None:
    import torch

    from tests.learning.conftest import made
    from tests.learning.test_choices import CHOICES, shown

    torch.set_num_threads(1)
    weights = {}
    for choice in CHOICES:
        if "init" not in choice:
            run = made(Path("runs") / str(len(weights)), epochs=1, width=8, **choice)
            list(run.epochs())
            weights[shown(choice)] = np.concatenate([value.numpy().ravel() for value in run.best.values()])
    np.savez("choices.npz", **weights)


if __name__ == "__main__":
    # without parsing the sources: emulated, that takes minutes
    code._digest_of = lambda source: hashlib.sha256(source).hexdigest()
    for part in sys.argv[1:]:
        {"begin": begin, "train": train, "evaluate": evaluate, "restore": restore, "choices": choices}[part]()
