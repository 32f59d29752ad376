"""Models as ONNX files, run by ONNX Runtime: without PyTorch, whose import alone takes longer than a small picture.

An ONNX file holds the network in float32, or quantized to 8 bits, the geometry of the blocks included:

    pixelated   (B, 1, H, W) float32, 0..255: windows; H and W multiples of 8
    blocks      (B, 7) int64: x, y, width, height and block size of the area in each, and how many columns and rows its
                first blocks lack; as it is when not mirrored
    mirrored    (2,) bool: whether the windows are mirrored left to right, and top to bottom
    prediction  (B, 1, H, W) float32, gray levels; neither projected onto the block means nor clipped

and in its metadata `configuration`, the JSON that stands beside weights, and `weights`, the first half of their sha256.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depixel.base import arithmetic
from depixel.base.errors import DepixelError
from depixel.base.files import hash_of
from depixel.base.layout import PRETRAINED
from depixel.model.locations import exported_path, model_path
from depixel.model.windows import MIRROR_X, MIRROR_Y, TRANSPOSE, VIEWS

if TYPE_CHECKING:
    import onnxruntime

SUFFIX = ".onnx"
INPUTS = ["pixelated", "blocks", "mirrored"]


def opened(path: Path, inputs: list[str]) -> tuple["onnxruntime.InferenceSession", dict[str, str]]:
    """Open an ONNX file.

    Args:
        path: of the file. inputs: the names that the graph's inputs must have, in this order.

    Returns:
        A session on the CPU, and the file's metadata.

    Raises:
        DepixelError: the file is missing or cannot be read, is no ONNX file, or has other inputs.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is told below
    if arithmetic.is_chosen():  # the layouts beyond this level have as many channels as the registers of the processor
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    try:
        # from memory: it cannot name other files as the place of its weights
        session = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
    except FileNotFoundError as error:
        raise DepixelError(f"{path}: there is no such file. {_advice(path)}") from error
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # ONNX Runtime has many, without a common class
        raise _not_a_model(path) from error
    if [node.name for node in session.get_inputs()] != inputs:
        raise _not_a_model(path)
    return session, session.get_modelmeta().custom_metadata_map


def _not_a_model(path: Path) -> DepixelError:
    return DepixelError(f"{path}: not a whole model of depixel in ONNX, or of another version of it. {_advice(path)}")


def _advice(path: Path) -> str:
    if path.parent.name == PRETRAINED.name:
        return f"`dvc {'checkout --force' if path.is_file() else 'pull'} {PRETRAINED.as_posix()}.dvc` fetches it"
    return "`depixel export-model MODEL -o FILE.onnx` makes one"


class Exported:
    """A model that `depixel export-model` wrote. Several threads may use it at once.

    Attributes:
        configuration: what it was trained for: the fields of `depixel.model.predictor.ModelConfiguration`.
        weights: the first half of the sha256 of the weights that it was made of, in hexadecimal digits.
    """

    def __init__(self, path: Path):
        """Load the file `path`.

        Raises:
            DepixelError: it is missing or not such a file.
        """
        self._session, about = opened(path, INPUTS)
        try:
            self.configuration: dict[str, Any] = json.loads(about["configuration"])
            self.weights: str = about["weights"]
        except (KeyError, ValueError) as error:
            raise _not_a_model(path) from error

    @classmethod
    def of(cls, model: str | Path) -> "Exported | None":
        """The ONNX file that `--model` names, or that stands for the pretrained model of that name.

        Args:
            model: a path, or the bare name of a pretrained model.

        Returns:
            None if `model` is neither, or if the file beside the pretrained weights was not made of them.

        Raises:
            DepixelError: `model` is the path of an ONNX file that is missing or not such a file.
        """
        if Path(model).suffix.lower() == SUFFIX:
            return cls(Path(model))
        if path := exported_path(model):
            try:
                exported, weights = cls(path), model_path(model)
                if not weights.is_file() or hash_of(weights, "sha256").startswith(exported.weights):
                    return exported
            except DepixelError:
                pass  # then it is the weights that are used
        return None

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        """As `depixel.model.predictor.Predictor.predict_windows`, in float32 or in what it was quantized to.

        Args:
            windows: (B, H, W) float32, 0..255, H and W multiples of 8. areas: (B, 7) integers, the area in each.
            views: which turned views of each to average the predictions of.

        Returns:
            (B, H, W) float32, gray levels, neither projected onto the block means nor clipped.
        """
        return np.mean([self._view(windows, areas, view) for view in views], axis=0)

    def _view(self, windows: np.ndarray, areas: np.ndarray, view: int) -> np.ndarray:
        """The prediction of one view (`depixel.model.blocks.turn`), turned back."""
        mirrored = np.array([view & MIRROR_X, view & MIRROR_Y], bool)
        axes = tuple(axis for axis, along in ((2, MIRROR_X), (1, MIRROR_Y)) if view & along)
        turned = np.flip(windows, axes)
        if view & TRANSPOSE:
            turned, areas, mirrored = turned.swapaxes(1, 2), areas[:, [1, 0, 3, 2, 4, 6, 5]], mirrored[::-1]
        values = (turned[:, None], areas.astype(np.int64), mirrored)
        inputs = {name: np.ascontiguousarray(value) for name, value in zip(INPUTS, values, strict=True)}
        found: np.ndarray = self._session.run(None, inputs)[0][:, 0]
        return np.flip(found.swapaxes(1, 2) if view & TRANSPOSE else found, axes)
