"""Running models as ONNX files by ONNX Runtime. Importing PyTorch takes longer than restoring a small picture.

An ONNX file has the network in float32, or quantized to 8 bits, including the geometry of the blocks:

    pixelated   (B, 1, H, W) float32, 0..255: windows; H and W multiples of 8
    blocks      (B, 7) int64: x, y, width, height and block size of the area in each window, and the number of columns
                and rows that its first blocks lack; pixels, before mirroring
    mirrored    (2,) bool: whether the windows are mirrored left to right, and top to bottom
    prediction  (B, 1, H, W) float32, gray levels; neither projected onto the block means nor clipped

Its metadata has `configuration`, the JSON beside the weights, and `weights`, the first half of their sha256.
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
        path: path of the file.
        inputs: the names that the graph's inputs must have, in this order.

    Returns:
        A session on the CPU, and the file's metadata.

    Raises:
        DepixelError: the file is missing or cannot be read, is not an ONNX file, or has other inputs.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the exceptions below report errors
    if arithmetic.is_chosen():  # layouts beyond this level depend on the width of the processor's registers
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    try:
        # from memory, so that the file cannot refer to other files for its weights
        session = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
    except FileNotFoundError as error:
        raise DepixelError(f"{path}: there is no such file. {_advice(path)}") from error
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        raise _not_a_model(path) from error
    if [node.name for node in session.get_inputs()] != inputs:
        raise _not_a_model(path)
    return session, session.get_modelmeta().custom_metadata_map


def _not_a_model(path: Path) -> DepixelError:
    return DepixelError(f"{path}: not an ONNX model of this version of depixel, or damaged. {_advice(path)}")


def _advice(path: Path) -> str:
    if path.parent.name == PRETRAINED.name:
        return f"`dvc {'checkout --force' if path.is_file() else 'pull'} {PRETRAINED.as_posix()}.dvc` fetches it"
    return "`depixel export-model MODEL -o FILE.onnx` writes one"


class Exported:
    """A model that `depixel export-model` wrote. Several threads may use it at once.

    Attributes:
        configuration: the fields of `depixel.model.predictor.ModelConfiguration`.
        weights: the first half of the sha256 of its original weights, in hexadecimal digits.
    """

    def __init__(self, path: Path):
        """Load the file `path`.

        Raises:
            DepixelError: the file is missing, or was not written by `depixel export-model`.
        """
        self._session, about = opened(path, INPUTS)
        try:
            self.configuration: dict[str, Any] = json.loads(about["configuration"])
            self.weights: str = about["weights"]
        except (KeyError, ValueError) as error:
            raise _not_a_model(path) from error

    @classmethod
    def of(cls, model: str | Path) -> "Exported | None":
        """Load the ONNX file that `--model` names: by its path, or as the export of a pretrained model.

        Args:
            model: a path, or the bare name of a pretrained model.

        Returns:
            The model; None if `model` names no ONNX file, or if the export does not match the pretrained weights.

        Raises:
            DepixelError: `model` is the path of an ONNX file that is missing or not an exported model.
        """
        if Path(model).suffix.lower() == SUFFIX:
            return cls(Path(model))
        if path := exported_path(model):
            try:
                exported, weights = cls(path), model_path(model)
                if not weights.is_file() or hash_of(weights, "sha256").startswith(exported.weights):
                    return exported
            except DepixelError:
                pass  # the weights are used instead
        return None

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        """Predict like `depixel.model.predictor.Predictor.predict_windows`, in float32 or quantized.

        Args:
            windows: (B, H, W) float32, 0..255, H and W multiples of 8.
            areas: (B, 7) integers, the area in each window; see the `blocks` above.
            views: the turned views whose predictions are averaged.

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
