"""From pixelated images to restored ones: what training, evaluation, export and the command line all call."""

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
from depixel.model import networks
from depixel.model.blocks import Blocks, cut_windows, turn, turn_back
from depixel.model.functions import root
from depixel.model.locations import model_path
from depixel.model.malloc import keep_freed_memory
from depixel.model.pixelation import infer_block_sizes
from depixel.model.threads import each
from depixel.model.windows import VIEWS, window_side

WINDOWED = 2**16
"""Pixels of the windows that one thread restores together."""

Precision = Literal["float32", "bfloat16"]
Projection = Literal["interval", "center"]


class ModelConfiguration(Settings):
    """What is written beside the weights: enough to build the network again and to know what it was trained for."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    network: networks.Name
    width: int = Field(ge=1, le=1024)
    uncertainty: bool = Field(False, exclude_if=lambda value: not value, description="says how far off it may be")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    size: int = Field(ge=8)
    area_width: Range
    area_height: Range
    block_size: Range
    arithmetic: Arithmetic = Field("native", exclude_if=lambda value: value == "native", description="of its training")
    precision: Precision = "float32"
    hardware: str = Field("", exclude_if=lambda value: not value, description="what it was trained on, unless portable")
    versions: dict[str, str] = Field({}, description="of Python and of the packages it was trained with")
    sources: str = Field("", description="hash of the code that trained it")
    init: str = Field("", description="hash of the weights that its training started from, if not from random ones")
    teacher: str = Field("", exclude_if=lambda value: not value, description="hash of the weights that taught it")


def predicted(
    network: Callable[[Tensor, Blocks], Tensor],
    pixelated: Tensor,
    blocks: Blocks,
    precision: Precision,
    views: Sequence[int] = VIEWS[:1],
) -> Tensor:
    """What the network says of all pixels, before any projection.

    Args:
        network: as `depixel.model.networks` has them.
        pixelated: (B, 1, H, W) float32, 0..255, H and W multiples of 8. blocks: where they are pixelated.
        precision: of the convolutions.
        views: which turned views of the picture to average the predictions of (`blocks.turn`).

    Returns:
        (B, 1, H, W) float32, gray levels, neither clipped nor rounded; of a network that says how far off it may be,
        (B, 2, H, W), as of `restore`.
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

    Returns:
        (B, 1, H, W) float32, gray levels, neither clipped nor rounded; `pixelated` outside the areas. Of a network that
        says how far off it may be, (B, 2, H, W): beside it the expected error in gray levels.
    """
    mean = predicted(network, pixelated, blocks, precision, VIEWS[:views])
    return torch.cat([blocks.project(mean[:, :1], pixelated, projection), mean[:, 1:]], dim=1)


class Averaged(nn.Module):
    """Several networks as one, which predicts the mean of their predictions."""

    def __init__(self, networks: Iterable[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, pixelated: Tensor, blocks: Blocks) -> Tensor:
        """The mean of the networks' predictions, (B, C, H, W) float32."""
        return torch.stack([network(pixelated, blocks) for network in self.networks]).mean(dim=0)


def best_device() -> str:
    """cuda, mps or cpu: the fastest this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_precision(device: str) -> Precision:
    """The faster one: bfloat16 on GPUs that compute in it and on processors with AMX, else float32.

    With AVX-512 alone float32 is the faster one, also on processors that compute in bfloat16; benchmarks/arithmetic.py
    measures both. A process that computes portably does so in float32.
    """
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    amx = device == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return "bfloat16" if amx and not arithmetic.is_portable() else "float32"


class PredictSettings(Settings):
    """The section `predict` of params.yaml."""

    views: Literal[1, 2, 8] = Field(8, description="turned views of each picture whose predictions are averaged")
    projection: Projection = Field("interval", description="what the means of the blocks are moved onto")


def _configuration(path: Path) -> ModelConfiguration:
    """Read a model's .json. Raises `DepixelError` if it cannot be, or is something else."""
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
    """A trained network with all that is needed to restore pictures with it.

    Attributes:
        network: in evaluation mode, on `device`. configuration: what it was trained for.
        device: torch device name; unless one is named, the fastest, but for a portable model the CPU.
        precision: that of the training where it is the faster one on this device, else float32, which differs in
            single pixels by one gray level.
    """

    def __init__(self, network: nn.Module, configuration: ModelConfiguration, device: str | None = None):
        self.device = device or ("cpu" if configuration.arithmetic == "portable" else best_device())
        if self.device == "cpu":
            keep_freed_memory()
        self.configuration = configuration
        try:
            native = best_precision(self.device) == "bfloat16"
            self.network = networks.on_device(network, self.device).eval()
        except (RuntimeError, AssertionError) as error:  # as PyTorch says that a device is not there
            raise DepixelError(
                f"device {self.device}: cannot be used here ({str(error).partition(chr(10))[0]})"
            ) from error
        self.precision: Precision = configuration.precision if native else "float32"

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> "Predictor":
        """Load weights (safetensors) from `path`; their configuration is the .json beside them.

        `path` may also be the bare name of a pretrained model (`model_path`).

        Raises:
            DepixelError: a file is missing or not readable, or weights and configuration do not belong together.
        """
        path = model_path(path)
        if path.suffix.lower() == ".onnx":
            raise DepixelError(
                f"{path}: an ONNX file is for `depixel restore`; name the .safetensors file that it was made of"
            )
        if path.is_dir() or path.suffix.lower() != ".safetensors":
            raise DepixelError(
                f"{path}: no model. A model is a file NAME.safetensors with NAME.json beside it; a pretrained one is "
                "named by its bare name, such as laptop"
            )
        described = path.with_suffix(".json")
        for file in (path, described):
            if not file.is_file():
                raise DepixelError(
                    f"{file}: there is no such file. A model is two files, NAME.safetensors and NAME.json: train "
                    f"one with `dvc repro`, fetch the project's with `dvc pull`, or name another with --model"
                )
        configuration = _configuration(described)
        network = networks.build(
            configuration.network, configuration.width, configuration.dropout, configuration.uncertainty
        )
        try:
            network.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
        except SafetensorError as error:
            raise DepixelError(f"{path}: not a safetensors file, or cut off ({error})") from error
        except RuntimeError as error:
            raise DepixelError(
                f"{path}: these weights are not those of a {configuration.network} of width {configuration.width}, as "
                f"{described} says. Put the two files of one training run side by side"
            ) from error
        return cls(network, configuration, device)

    @classmethod
    def averaging(cls, models: Sequence["Predictor"]) -> "Predictor":
        """A predictor that averages the predictions of several; it is configured as the first, and cannot be saved.

        Raises:
            DepixelError: some say how far off they may be (`uncertainty`), and some do not.
        """
        first = models[0]
        if len({model.configuration.uncertainty for model in models}) > 1:
            raise DepixelError("cannot average models with and without `uncertainty`: name models of one kind")
        return (
            first if len(models) == 1 else cls(Averaged(m.network for m in models), first.configuration, first.device)
        )

    @classmethod
    def pretrained(cls, network: str, width: int, folder: Path = PRETRAINED) -> "Predictor":
        """The pretrained model of this network and width, or else the widest narrower one; on the CPU.

        Raises:
            DepixelError: there is none, or it cannot be loaded.
        """
        described = {path: _configuration(path) for path in sorted(folder.glob("*.json"))}
        widest = max((c.width for c in described.values() if c.network == network and c.width <= width), default=0)
        fitting = [path for path, c in described.items() if (c.network, c.width) == (network, widest)]
        if len(fitting) == 1:
            return cls.load(fitting[0].with_suffix(".safetensors"), "cpu")
        there = ", ".join(f"{path.stem}, {c.network} of width {c.width}" for path, c in described.items())
        problem = "more than one model is" if fitting else "no model is"
        raise DepixelError(
            f"train.init = 'pretrained': {problem} a {network} of width {widest or width} in {folder.as_posix()}. "
            + (f"It holds {there}; set train.network and train.width" if there else "It is empty: `dvc pull` fills it")
        )

    @classmethod
    def of_name(cls, name: str, folder: Path = PRETRAINED) -> "Predictor":
        """The model of a name in a folder; on the CPU.

        Raises:
            DepixelError: there is none, or it cannot be loaded.
        """
        known = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
        if name not in known:
            there = f"It holds {', '.join(known)}" if known else "It is empty: `dvc pull` fills it"
            raise DepixelError(f"train.teacher = {name!r}: no such model is in {folder.as_posix()}. {there}")
        return cls.load(known[name], "cpu")

    def save(self, path: str | Path) -> None:
        """Write the weights to `path` as float16 (half the size; the RMSE does not change in its third decimal) and
        the configuration to the .json beside it."""
        with replacing(path) as beside:
            beside.write_bytes(self._serialized())
        with replacing(Path(path).with_suffix(".json")) as beside:
            beside.write_text(self.configuration.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")

    def digest(self) -> str:
        """The first half of the sha256 of the file of weights that `save` writes."""
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
        """Restore many pictures of one size, one area each; on the CPU a batch for each core at a time.

        Args:
            pixelated: (N, H, W) uint8.
            areas: (N, 4) integers x, y, width, height; or (N, 5) with the block size, which else is inferred.
            views: how many turned views of each picture to average the predictions of: 8 lowers the RMSE most and takes
                8 times as long.
            batch_size: how many pictures one thread restores together.
            progress: wraps the iteration over the batches that are done, for a progress bar.
            projection: onto what the means of the blocks are moved (`Blocks.project`).

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
        """As `predict`; and beside it N flat float32 arrays: how far off, in gray levels, each pixel is expected to be
        (root mean square). They are empty if the network does not say."""
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
        # a limit of the process, so not in the threads: with any number of them the digits are the same
        with threadpool_limits(1, user_api="blas"):
            for batch in progress(batches):
                for i, prediction, error in zip(batch, *next(done), strict=True):
                    predictions[i], errors[i] = prediction, error
        return predictions, errors

    def predict_windows(self, windows: np.ndarray, areas: np.ndarray, views: Sequence[int] = VIEWS[:1]) -> np.ndarray:
        """What the network says of all pixels of windows, before any projection (`predicted`).

        On the CPU one thread each computes a view of some windows, so that the number of cores changes no digit.

        Args:
            windows: (B, H, W) float32, 0..255, H and W multiples of 8. areas: (B, 7) integers, the area in each, as
                `blocks.Blocks` has them.
            views: which turned views of each to average the predictions of (`blocks.turn`).

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
        errors = root(restored[:, 1:].square() + 1 / 12)[blocks.unknown].cpu().numpy()  # of rounding: 1 / 12
        return np.split(values, ends), np.split(errors, ends)
