"""Writing models as ONNX files, and quantizing them. `depixel.onnx.reading` describes these files and runs them."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.curation.synthetic import unseen_photos
from depixel.model.blocks import Blocks
from depixel.model.predictor import Predictor
from depixel.model.windows import STEP
from depixel.onnx.reading import INPUTS, Exported

if TYPE_CHECKING:
    import onnx

OPSET = 18
SEED, PHOTOS = 0, 64
"""Seed and number of the generated photos that check each file. A quantization is calibrated on as many others."""
LARGE = 256
"""Number of values above which a weight is stored in 16 bits, if 16 bits hold it exactly."""


class Check(NamedTuple):
    """Comparison of an ONNX file with its network, on the pixels of areas in generated photos.

    Attributes:
        rmse, rmse_torch: RMSE of the file's predictions, and of the network's in float32, gray levels.
        largest: the largest difference between the two predictions, gray levels.
    """

    rmse: float
    rmse_torch: float
    largest: float


def export(predictor: Predictor, path: Path, int8: bool = False) -> Check:
    """Write a model as an ONNX file.

    Args:
        predictor: the model.
        path: path of the file; an existing file is replaced.
        int8: whether to quantize the inputs and weights of the convolutions to 8 bits.

    Returns:
        The comparison of the file's predictions with those of the model.

    Raises:
        DepixelError: onnx or onnxscript is not installed; or, in float32, a prediction of the file differs from the
            network's by half a gray level or more.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401  (PyTorch needs it)
    except ModuleNotFoundError as error:
        raise DepixelError("export-model needs onnx and onnxscript: `pip install onnx onnxscript`") from error
    network = _Whole(predictor.network.float().cpu()).eval()
    configuration = predictor.configuration.model_copy(update={"precision": "float32"})
    with tempfile.TemporaryDirectory() as name, replacing(path) as beside:
        made = Path(name) / "float32.onnx"
        batch, rows, columns = (torch.export.Dim(name, min=1) for name in ("batch", "rows", "columns"))
        shapes = ({0: batch, 2: STEP * rows, 3: STEP * columns}, {0: batch}, None)
        translate(network, _inputs(*_samples(0, 2)[1:]), INPUTS, "prediction", shapes, made)
        if int8:
            made = _quantized(made, Path(name) / "int8.onnx")
        store(made, {"configuration": configuration.model_dump_json(), "weights": predictor.digest()}, beside)
        check = _check(network, Exported(beside))
        if not int8 and check.largest >= 0.5:
            raise DepixelError(
                f"{path}: not written, because its predictions differ from the model's by up to {check.largest:.2f} "
                "gray levels (less than 0.5 is right)"
            )
    return check


class _Whole(nn.Module):
    """A network with the geometry of its blocks; `depixel.onnx.reading` describes the inputs and outputs of forward."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixelated: Tensor, blocks: Tensor, mirrored: Tensor) -> Tensor:
        cut = Blocks(blocks, *pixelated.shape[2:]).mirrored_where(*mirrored)
        return self.network(pixelated, cut)[:, :1]


def translate(
    network: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    output: str,
    shapes: tuple[dict[int, Any] | None, ...],
    path: Path,
) -> None:
    """Write a network as an ONNX file, with PyTorch's exporter.

    Args:
        network: the network, in evaluation mode, on the CPU.
        example: example inputs.
        inputs, output: names of inputs and output in the file.
        shapes: the dimensions of each input that may differ from those of `example` (`dynamic_shapes` of torch.export).
        path: path of the file; overwritten.
    """
    with _quiet():
        torch.onnx.export(
            network, example, path, input_names=inputs, output_names=[output], dynamic_shapes=shapes,
            opset_version=OPSET, external_data=False, verbose=False,
        )  # fmt: skip


def store(made: Path, about: dict[str, str], path: Path) -> None:
    """Write a smaller copy of an ONNX file, with metadata, without the exporter's notes.

    These notes name files and folders of this machine.

    Args:
        made: the file to copy.
        about: the metadata.
        path: path of the new file; overwritten.
    """
    import onnx

    model = onnx.load(made)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    _halve(model)
    onnx.helper.set_model_props(model, about)
    onnx.save(model, path)


def _halve(model: "onnx.ModelProto") -> None:
    """Store weights in 16 bits if 16 bits hold them exactly, as for saved models; this halves the file."""
    import onnx

    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size > LARGE and (half == values).all():
            name = f"{weight.name}.half"
            graph.initializer.remove(weight)
            graph.initializer.append(onnx.numpy_helper.from_array(half, name))
            casts.append(onnx.helper.make_node("Cast", [name], [weight.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _quantized(path: Path, to: Path) -> Path:
    """Quantize the convolutions of a file, calibrated on generated photos; per channel, with symmetric weights."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            _, pixelated, areas = _samples(PHOTOS, PHOTOS)
            self.each = (
                dict(zip(INPUTS, (t.numpy() for t in _inputs(pixelated[i : i + 1], areas[i : i + 1])), strict=True))
                for i in range(PHOTOS)
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.each, None)

    with _quiet():
        quantization.quantize_static(path, to, Reader(), op_types_to_quantize=["Conv"], per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)  # fmt: skip
    return to


def _samples(first: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generated photos, the same pixelated, both (count, 64, 64) uint8, and their areas, (count, 5)."""
    photos, areas = (part[first:] for part in unseen_photos(SEED, first + count))
    images, within = torch.from_numpy(photos).float()[:, None], torch.from_numpy(areas)
    pixelated = Blocks(within, *photos.shape[1:]).pixelate(images)[:, 0].numpy().astype(np.uint8)
    return photos, pixelated, areas


def _inputs(pixelated: np.ndarray, areas: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    whole = F.pad(torch.from_numpy(areas), (0, 2))  # offsets 0: the first blocks are whole
    return torch.from_numpy(pixelated).float()[:, None], whole, torch.zeros(2, dtype=torch.bool)


def _check(network: nn.Module, exported: Exported) -> Check:
    photos, pixelated, areas = _samples(0, PHOTOS)
    inputs = _inputs(pixelated, areas)
    with torch.inference_mode():
        expected = network(*inputs)[:, 0].numpy()
    found = exported.predict_windows(inputs[0][:, 0].numpy(), inputs[1].numpy())
    unknown = Blocks(inputs[1], *photos.shape[1:]).unknown[:, 0].numpy()
    error, error_torch = ((values - photos)[unknown] for values in (found, expected))
    rmse, rmse_torch = (float(np.sqrt(np.mean(values**2))) for values in (error, error_torch))
    return Check(rmse, rmse_torch, float(np.abs(error - error_torch).max()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings that are meant for the developers of the exporter and the quantizer."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
