"""Restores pixelated images with a trained network; training, evaluation, export and the command line use it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialized
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from depixel.base import arithmetic
from depixel.base.arithmetic import Arithmetic
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.layout import PRETRAINED
from depixel.base.settings import Range, Settings
from depixel.base.spelling import suggestion
from depixel.model import layers, networks
from depixel.model.blocks import Blocks, cut_windows, turn, turn_back
from depixel.model.functions import root
from depixel.model.locations import model_path
from depixel.model.malloc import keep_freed_memory
from depixel.model.pixelation import infer_block_sizes
from depixel.model.threads import each
from depixel.model.windows import VIEWS, window_side

WINDOWED = 2**16
"""The maximum number of pixels of windows that one thread restores together."""

Precision = Literal["float32", "bfloat16"]
Projection = Literal["interval", "center"]


class ModelConfiguration(Settings):
    """The JSON file beside the weights: enough to build the network again and to know how it was trained.

    Attributes:
        size: side of the training images, pixels.
        area_width, area_height, block_size: ranges that the training drew from, pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    network: networks.Name
    width: int = Field(ge=1, le=1024)
    uncertainty: bool = Field(False, exclude_if=lambda value: not value, description="whether it predicts its error")
    error_scale: float = Field(
        default=1.0, gt=0, exclude_if=lambda value: value == 1, description="factor of the expected errors"
    )
    activation: layers.ActivationName = Field("relu", exclude_if=lambda value: value == "relu")
    normalization: layers.NormalizationName = Field("none", exclude_if=lambda value: value == "none")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    size: int = Field(ge=8)
    area_width: Range
    area_height: Range
    block_size: Range
    arithmetic: Arithmetic = Field("native", exclude_if=lambda value: value == "native", description="in training")
    precision: Precision = "float32"
    hardware: str = Field("", exclude_if=lambda value: not value, description="processor of the training, if native")
    versions: dict[str, str] = Field({}, description="versions of Python and packages at training")
    sources: str = Field("", description="hash of the code that trained it")
    init: str = Field("", description="hash of the initial weights, unless random")
    teacher: str = Field("", exclude_if=lambda value: not value, description="hash of the teacher's weights")

    def build(self) -> networks.Network:
        """Make this network with random weights (`networks.build`)."""
        return networks.build(
            self.network, self.width, self.dropout, self.uncertainty, self.activation, self.normalization
        )


def predicted(
    network: Callable[[Tensor, Blocks], Tensor],
    pixelated: Tensor,
    blocks: Blocks,
    precision: Precision,
    views: Sequence[int] = VIEWS[:1],
) -> Tensor:
    """The network's prediction of all pixels, before any projection.

    Args:
        network: one of `depixel.model.networks`.
        pixelated: (B, 1, H, W) float32, 0..255, H and W multiples of 8.
        blocks: the areas and blocks of these images.
        precision: that of the convolutions.
        views: the turned views of the picture whose predictions are averaged (`blocks.turn`).

    Returns:
        (B, 1, H, W) float32, gray levels, neither clipped nor rounded; (B, 2, H, W) as in `restore` if the network
        predicts its error.
    """
    with torch.autocast(pixelated.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        predictions = [turn_back(network(turn(pixelated, view), blocks.turned(view)).float(), view) for view in views]
    return torch.stack(predictions).mean(dim=0)


def restore(
    network: Callable[[Tensor, Blocks], Tensor],
    pixelated: Tensor,
    blocks: Blocks,
    precision: Precision,
    views: Literal[1, 2, 8] = 1,
    projection: Projection = "interval",
) -> Tensor:
    """Predict the areas' pixels (`predicted`) and project them, in float32, onto the block means (`Blocks.project`).

    Args:
        network, pixelated, blocks, precision: as for `predicted`.
        views: number of turned views to average.
        projection: "interval" or "center", see `Blocks.project`.

    Returns:
        (B, 1, H, W) float32, gray levels, neither clipped nor rounded; `pixelated` outside the areas. If the network
        predicts its error, (B, 2, H, W): the second plane is the expected error in gray levels.
    """
    mean = predicted(network, pixelated, blocks, precision, VIEWS[:views])
    return torch.cat([blocks.project(mean[:, :1], pixelated, projection), mean[:, 1:]], dim=1)


class Averaged(nn.Module):
    """Several networks as one that predicts the mean of their predictions."""

    def __init__(self, networks: Iterable[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The mean of the networks' predictions, (B, C, H, W) float32."""
        return torch.stack([network(pixelated, blocks) for network in self.networks]).mean(dim=0)


def best_device() -> str:
    """The fastest device of this machine: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_precision(device: str) -> Precision:
    """The faster precision: bfloat16 on GPUs and processors that have instructions for it, else float32.

    On processors these are AMX and AVX-512 BF16. Others emulate bfloat16, which is slower than float32
    (benchmarks/arithmetic.py measures both). Portable arithmetic always uses float32.
    """
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # some builds of PyTorch lack them
    supported = device == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests)
    return "bfloat16" if supported and not arithmetic.is_portable() else "float32"


class PredictSettings(Settings):
    """The section `predict` of params.yaml."""

    views: Literal[1, 2, 8] = Field(8, description="number of turned views of each picture to average")
    projection: Projection = Field("interval", description="target of the block means")


def _configuration(path: Path) -> ModelConfiguration:
    """Read a model's .json. Raises `DepixelError` if it cannot be read or is no configuration."""
    try:
        return ModelConfiguration.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DepixelError(f"{path}: {key}: {first['msg']}; this is not a configuration of depixel") from error
    except ValueError as error:
        weights = path.with_suffix(".safetensors")
        raise DepixelError(f"{path}: not JSON ({error}); it must be the configuration of {weights}") from error


class Predictor:
    """A trained network, ready to restore pictures.

    Args:
        network: the trained network.
        configuration: how it was trained.
        device: name of a PyTorch device; None: the CPU for a portable model, the fastest device for any other.

    Attributes:
        network: in evaluation mode, on `device`.
        configuration: how it was trained.
        device: name of the PyTorch device.
        precision: that of the training, but float32 where bfloat16 would be slower. The two differ in single pixels by
            one gray level.

    Raises:
        DepixelError: this machine has no such device.
    """

    def __init__(self, network: nn.Module, configuration: ModelConfiguration, device: str | None = None):
        self.device = device or ("cpu" if configuration.arithmetic == "portable" else best_device())
        if self.device == "cpu":
            keep_freed_memory()
        self.configuration = configuration
        try:
            native = best_precision(self.device) == "bfloat16"
            self.network = networks.on_device(network, self.device).eval()
        except (RuntimeError, AssertionError) as error:  # PyTorch's errors for a missing device
            raise DepixelError(
                f"device {self.device}: cannot be used here ({str(error).partition(chr(10))[0]})"
            ) from error
        self.precision: Precision = configuration.precision if native else "float32"

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> "Predictor":
        """Load a model.

        Args:
            path: the weights, a .safetensors file with its configuration in the .json beside it; or the bare name of a
                pretrained model (`model_path`).
            device: as for `Predictor`.

        Raises:
            DepixelError: a file is missing or unreadable, or weights and configuration do not belong together.
        """
        path = model_path(path)
        if path.suffix.lower() == ".onnx":
            raise DepixelError(
                f"{path}: only `depixel restore` reads ONNX files; name the .safetensors file that it was made from"
            )
        if path.is_dir() or path.suffix.lower() != ".safetensors":
            raise DepixelError(
                f"{path}: not a model. Name a file NAME.safetensors that has NAME.json beside it, or a pretrained "
                "model by its bare name, such as laptop"
            )
        described = path.with_suffix(".json")
        for file in (path, described):
            if not file.is_file():
                raise DepixelError(
                    f"{file}: there is no such file. A model is two files, NAME.safetensors and NAME.json. Train one "
                    "with `dvc repro`, fetch the project's with `dvc pull`, or name another with --model"
                )
        configuration = _configuration(described)
        network = configuration.build()
        try:
            network.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
        except SafetensorError as error:
            raise DepixelError(f"{path}: not a safetensors file, or cut off ({error})") from error
        except RuntimeError as error:
            raise DepixelError(
                f"{path}: these weights do not fit {described}, which says {configuration.network} of width "
                f"{configuration.width}. Put the two files of the same training run side by side"
            ) from error
        return cls(network, configuration, device)

    @classmethod
    def averaging(cls, models: Sequence["Predictor"]) -> "Predictor":
        """A predictor that averages the predictions of several; it has the first one's configuration.

        Raises:
            DepixelError: some models predict their error (`uncertainty`) and some do not.
        """
        first = models[0]
        if len({model.configuration.uncertainty for model in models}) > 1:
            raise DepixelError("cannot average models with and without `uncertainty`: name only one kind")
        return (
            first if len(models) == 1 else cls(Averaged(m.network for m in models), first.configuration, first.device)
        )

    @classmethod
    def pretrained(cls, network: str, width: int, folder: Path = PRETRAINED) -> "Predictor":
        """The pretrained model of this network and width, else the widest narrower one; on the CPU.

        Raises:
            DepixelError: there is none, there are several, or it cannot be loaded.
        """
        described = {path: _configuration(path) for path in sorted(folder.glob("*.json"))}
        widest = max((c.width for c in described.values() if c.network == network and c.width <= width), default=0)
        fitting = [path for path, c in described.items() if (c.network, c.width) == (network, widest)]
        if len(fitting) == 1:
            return cls.load(fitting[0].with_suffix(".safetensors"), "cpu")
        there = ", ".join(f"{path.stem}, {c.network} of width {c.width}" for path, c in described.items())
        problem = "more than one model" if fitting else "no model"
        limit = widest if fitting else f"{width} or less"
        raise DepixelError(
            f"train.init = 'pretrained': {folder.as_posix()} has {problem} with network {network} and width {limit}. "
            + (f"It has {there}; set train.network and train.width" if there else "It is empty: `dvc pull` fills it")
        )

    @classmethod
    def of_name(cls, name: str, folder: Path = PRETRAINED) -> "Predictor":
        """The model with this name in a folder; on the CPU.

        Raises:
            DepixelError: there is none, or it cannot be loaded.
        """
        known = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
        if name not in known:
            there = f"It has {', '.join(known)}" if known else "It is empty: `dvc pull` fills it"
            raise DepixelError(
                f"train.teacher = {name!r}: {folder.as_posix()} has no such model. {there}.{suggestion(name, known)}"
            )
        return cls.load(known[name], "cpu")

    def save(self, path: str | Path) -> None:
        """Write the weights to `path`, a .safetensors file, and the configuration to the .json beside it.

        The weights are stored as float16. This halves the size and leaves the third decimal of the RMSE unchanged.

        Raises:
            DepixelError: a file cannot be written.
        """
        with replacing(path) as beside:
            beside.write_bytes(self._serialized())
        with replacing(Path(path).with_suffix(".json")) as beside:
            beside.write_text(self.configuration.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")

    def digest(self) -> str:
        """The first 32 hexadecimal digits of the sha256 of the weights file that `save` writes."""
        return hashlib.sha256(self._serialized()).hexdigest()[:32]

    def _serialized(self) -> bytes:
        return serialized({name: w.half().cpu().contiguous() for name, w in self.network.state_dict().items()})

    def predict(
        self,
        pixelated: np.ndarray,
        areas: np.ndarray,
        views: Literal[1, 2, 8] = 1,
        batch_size: int = 32,
        progress: Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]] = iter,
        projection: Projection = "interval",
    ) -> list[np.ndarray]:
        """Restore many pictures of one size, with one area each; on the CPU, each core works on one batch.

        Args:
            pixelated: (N, H, W) uint8.
            areas: (N, 4) integers x, y, width, height; or (N, 5) with the block size, which is otherwise inferred.
            views: number of turned views of each picture to average: 8 gives the lowest RMSE and takes 8 times as long
                as 1.
            batch_size: number of pictures that one thread restores together.
            progress: wraps the iteration over the finished batches, for a progress bar.
            projection: "interval" or "center", see `Blocks.project`.

        Returns:
            N flat uint8 arrays: the predicted pixels of each area in row-major order, clipped and rounded.
        """
        return self.predict_with_errors(pixelated, areas, views, batch_size, progress, projection)[0]

    def predict_with_errors(
        self,
        pixelated: np.ndarray,
        areas: np.ndarray,
        views: Literal[1, 2, 8] = 1,
        batch_size: int = 32,
        progress: Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]] = iter,
        projection: Projection = "interval",
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """As `predict`, with the expected errors.

        Returns:
            The predictions; and N flat float32 arrays: the expected error (root mean square) of each pixel, in gray
            levels. These arrays are empty if the network does not predict its error.
        """
        if areas.shape[1] == 4:
            sizes = infer_block_sizes(pixelated, areas, self.configuration.block_size)
            areas = np.concatenate([areas, sizes[:, None]], axis=1)
        shapes = window_side(areas[:, 2:4])  # (N, 2), width and height
        order = np.lexsort(shapes.T)  # windows of one shape come together
        ends = np.flatnonzero(np.diff(shapes[order], axis=0).any(axis=1)) + 1
        batches = [part[i : i + batch_size] for part in np.split(order, ends) for i in range(0, len(part), batch_size)]

        predictions = [np.empty(0, np.uint8)] * len(pixelated)
        errors = [np.empty(0, np.float32)] * len(pixelated)

        def restored(batch: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
            images = torch.from_numpy(pixelated[batch]).float()[:, None]
            return self.predict_batch(images, torch.from_numpy(areas[batch].astype(np.int64)), views, projection)

        done = each(restored, batches, self.device)
        # set here because the limit applies to the process; with it, the number of threads changes no digit
        with threadpool_limits(1, user_api="blas"):
            for batch in progress(batches):
                for i, prediction, error in zip(batch, *next(done), strict=True):
                    predictions[i], errors[i] = prediction, error
        return predictions, errors

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        """The network's prediction of all pixels of windows, before any projection (`predicted`).

        On the CPU, each thread computes one view of some windows, so the number of cores changes no digit.

        Args:
            windows: (B, H, W) float32, 0..255, H and W multiples of 8.
            areas: (B, 7) integers, the area in each window, as for `blocks.Blocks`.
            views: the turned views of each window whose predictions are averaged (`blocks.turn`).

        Returns:
            (B, H, W) float32, gray levels, neither clipped nor rounded.
        """
        pixelated, within = (torch.from_numpy(array).to(self.device) for array in (windows[:, None], areas))
        count, height, width = windows.shape
        most = max(1, WINDOWED // (height * width)) if self.device == "cpu" else count

        def found(part: tuple[int, int]) -> np.ndarray:
            start, view = part
            some = slice(start, start + most)
            with torch.inference_mode():
                blocks = Blocks(within[some], height, width)
                return predicted(self.network, pixelated[some], blocks, self.precision, [view])[:, 0].cpu().numpy()

        parts = [(start, view) for view in views for start in range(0, count, most)]
        by_view = np.concatenate(list(each(found, parts, self.device))).reshape(len(views), *windows.shape)
        return by_view.mean(axis=0, dtype=np.float32)

    def predict_batch(
        self, pixelated: Tensor, areas: Tensor, views: Literal[1, 2, 8] = 1, projection: Projection = "interval"
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """As `predict_with_errors`, for one batch: pixelated (B, 1, H, W) float32, areas (B, 5) int64."""
        pixelated, areas = pixelated.to(self.device), areas.to(self.device)
        width, height = (window_side(extent) for extent in areas[:, 2:4].amax(dim=0).tolist())
        windows, within = cut_windows(pixelated, areas, width, height)
        blocks = Blocks(within, *windows.shape[2:])
        with torch.inference_mode():
            restored = restore(self.network, windows, blocks, self.precision, views, projection)
        values = restored[:, :1].clamp(0, 255).round().to(torch.uint8)[blocks.unknown].cpu().numpy()
        ends = np.cumsum((areas[:, 2] * areas[:, 3]).cpu().numpy())[:-1]
        if restored.shape[1] == 1:
            return np.split(values, ends), [np.empty(0, np.float32)] * len(areas)
        errors = root(restored[:, 1:].square() + 1 / 12)[blocks.unknown].cpu().numpy()  # 1 / 12: variance of rounding
        errors *= np.float32(self.configuration.error_scale)
        return np.split(values, ends), np.split(errors, ends)
