"""The inputs of a training run: settings, photos, and the models that it starts and learns from."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from depixel.base.arithmetic import Arithmetic
from depixel.base.errors import DepixelError
from depixel.base.settings import Settings
from depixel.dataset import balancing
from depixel.dataset.augmentation import AugmentSettings
from depixel.dataset.samples import Photos
from depixel.learning import distances, initial, optimizers, schedules
from depixel.model import layers, networks
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import ModelConfiguration, Precision, Predictor, best_device, best_precision


class TrainSettings(Settings):
    """The section `train` of params.yaml."""

    network: networks.Name = "unet"
    width: int = Field(32, ge=1, le=1024, description="channels of the first level")
    activation: layers.ActivationName = "relu"
    normalization: layers.NormalizationName = "none"
    init: Literal["random", "pretrained"] = Field("random", description="weights to start from")
    initial_weights: initial.Name = Field("default", description="how random weights are drawn")
    freeze: tuple[int, ...] = Field((), description="levels that stay as init: pretrained brought them")
    unfreeze_after: int = Field(0, ge=0, description="epochs after which they are trained too; 0 = never")
    teacher: str = Field("", description="a pretrained model whose predictions are learnt; '' = none")
    dropout: float = Field(0.0, ge=0, lt=1)
    epochs: float = Field(20, gt=0, description="number of times that each photo is shown; may be a fraction")
    batch_size: int = Field(64, ge=1)
    loss: distances.Name = "rmse"
    optimizer: optimizers.Name = "muon"
    momentum: float | None = Field(None, ge=0, lt=1, description="of the gradients; null = the optimizer's usual one")
    weight_decay: float = Field(0.0, ge=0)
    learning_rate: float = Field(2e-3, gt=0)
    schedule: schedules.Name = "linear"
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the run in which the learning rate rises")
    gradient_clip: float = Field(1.0, ge=0, description="maximum norm of the gradient; 0 = no clipping")
    ema: float = Field(0.0, ge=0, lt=1, description="share of the past in the average of the weights; 0 = no average")
    uncertainty: bool = Field(False, description="also predict the error of each pixel; changes no prediction")
    balance: balancing.Name = Field("none", description="groups of photos that count the same")
    balance_by: Literal["sampling", "loss"] = Field(
        "sampling", description="draw rare photos more often, or weigh them"
    )
    flip: bool = Field(
        True, exclude=True, description="`augment.flip`, which replaced it; false here also switches it off"
    )
    patience: int = Field(0, ge=0, description="early stopping after this number of epochs; 0 = never")
    arithmetic: Arithmetic = Field("portable", description="same bits on every processor, or fastest on this one")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    shards: int = Field(2, ge=1, description="parts of each batch, one thread each; changes the last digits")
    seed: int = 0
    overfit: int = Field(0, ge=0, description="train and validate on this number of photos, with fixed areas; 0 = off")
    loggers: tuple[Literal["dvclive", "tensorboard", "wandb"], ...] = Field((), description="loggers beside logs/")

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, section: object) -> object:
        """Accept `threads`, the name of `shards` until 0.2."""
        if not isinstance(section, dict) or "threads" not in section:
            return section
        return {"shards": section["threads"]} | {key: value for key, value in section.items() if key != "threads"}

    @model_validator(mode="after")
    def _fits(self) -> "TrainSettings":
        if self.arithmetic == "portable":
            for name, value, portable in (
                ("device", self.device, ("auto", "cpu")),
                ("precision", self.precision, ("auto", "float32")),
            ):
                if value not in portable:
                    raise ValueError(
                        f"{name}: {value} is not portable. Set train.arithmetic: native, or {name}: {portable[-1]}"
                    )
        if self.overfit and self.balance != "none":
            raise ValueError("balance: with overfit, each photo is shown as often. Set balance: none, or overfit: 0")
        if self.balance == "none" and self.balance_by != "sampling":
            raise ValueError("balance_by: nothing is balanced. Set train.balance: kind, or balance_by: sampling")
        if self.init == "pretrained" and self.initial_weights != "default":
            raise ValueError(
                f"initial_weights: {self.initial_weights} is for random weights. Set train.init: random, or "
                "initial_weights: default"
            )
        if self.momentum is not None and self.optimizer in optimizers.WITHOUT_MOMENTUM:
            raise ValueError(f"momentum: {self.optimizer} has none. Set momentum: null, or another train.optimizer")
        if self.schedule == "one_cycle" and self.patience:
            raise ValueError(
                f"patience: {self.patience} would end one_cycle before its learning rate falls. Set patience: 0, or "
                "another train.schedule"
            )
        self._check_frozen()
        return self

    def _check_frozen(self) -> None:
        """Raise `ValueError` if `freeze` names no levels of the network, or nothing that is pretrained."""
        if self.unfreeze_after and not self.freeze:
            raise ValueError("unfreeze_after: nothing is frozen. Set train.freeze: [0], or unfreeze_after: 0")
        if not self.freeze:
            return
        if self.init != "pretrained":
            raise ValueError("freeze: random weights would stay random. Set train.init: pretrained, or freeze: []")
        with torch.device("meta"):  # without memory and random numbers
            count = len(networks.build(self.network, 1).levels())
        if unknown := [level for level in self.freeze if not 0 <= level < count]:
            there = f"the levels of {self.network} are 0 to {count - 1}" if count else f"{self.network} has no levels"
            raise ValueError(f"freeze: there is no level {unknown[0]}; {there}")

    @property
    def chosen_optimizer(self) -> optimizers.Chosen:
        """The settings of the optimizer."""
        return optimizers.Chosen(self.learning_rate, self.momentum, self.weight_decay)


def computed_by(settings: TrainSettings) -> tuple[str, Precision]:
    """The device and the precision of a training with these settings on this machine."""
    if settings.arithmetic == "portable":
        return "cpu", "float32"
    device = best_device() if settings.device == "auto" else settings.device
    return device, best_precision(device) if settings.precision == "auto" else settings.precision


@dataclass
class Task:
    """The inputs of a run. With `train.overfit`, both sides are the first training photos and there is no teacher.

    Attributes:
        settings, pixelation: the sections `train` and `pixelation` of params.yaml.
        training, validation: the photos of each side; of many for validation, those that `Photos.scored` draws.
        init: the model to start from, of the same network and the same or a smaller width; None for random weights.
        teacher: the model whose predictions are learnt instead of the photos' pixels; None for the photos' pixels.
        augment: the section `augment` of params.yaml.
        weights: (M,) the weight of each training photo (`train.balance`); None: all weigh the same.
        device, precision: those of the computation.

    Raises:
        DepixelError: the teacher was trained on photos of another size, or on smaller ranges of areas or blocks; or the
            model to start from has another activation or normalization.
    """

    settings: TrainSettings
    pixelation: PixelationSettings
    training: Photos
    validation: Photos
    init: Predictor | None = None
    teacher: Predictor | None = None
    augment: AugmentSettings = field(default_factory=lambda: AugmentSettings.model_validate({}))
    weights: np.ndarray | None = field(init=False)
    device: str = field(init=False)
    precision: Precision = field(init=False)

    def __post_init__(self) -> None:
        if self.settings.overfit:
            self.training = self.validation = self.training.first(self.settings.overfit)
            self.teacher = None  # to overfit, the network must learn the photos themselves
        self.weights = balancing.weights(self.training, self.settings.balance)
        check_models(self.init, self.teacher, self.settings, self.pixelation, self.size)
        self.device, self.precision = computed_by(self.settings)

    @classmethod
    def load(
        cls,
        settings: TrainSettings,
        pixelation: PixelationSettings,
        augment: AugmentSettings,
        prepared: Path,
        splits: Path,
        pretrained: Path,
    ) -> "Task":
        """Load the photos and the models that the settings name.

        Args:
            settings, pixelation, augment: the sections of params.yaml.
            prepared: the folder of prepared photos.
            splits: the table of splits.
            pretrained: the folder of pretrained models.

        Raises:
            DepixelError: a file is missing, or files do not belong together.
        """
        training = Photos.load(prepared, splits, "train")
        validation = Photos.load(prepared, splits, "validation").scored()
        return cls(settings, pixelation, training, validation, *pretrained_models(settings, pretrained), augment)

    @property
    def flip(self) -> bool:
        """Whether photos are mirrored and transposed."""
        return self.augment.flip and self.settings.flip

    @property
    def size(self) -> int:
        """Side of the photos, pixels."""
        return self.training.images.shape[-1]

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps that show each training photo once; the last batch may be smaller."""
        return -(-len(self.training) // self.settings.batch_size)

    @property
    def steps(self) -> int:
        """Number of steps of the whole run; its last epoch may be cut short."""
        return math.ceil(self.settings.epochs * self.steps_per_epoch)

    @property
    def validation_stream(self) -> str:
        """The stream of the validation photos' areas (`dataset.samples`), the same in every epoch."""
        return f"validation {self.settings.seed}"

    def training_stream(self, epoch: int) -> str:
        """The stream of the training photos' areas in an epoch, counted from 0."""
        return self.validation_stream if self.settings.overfit else f"train {self.settings.seed} {epoch}"


def pretrained_models(settings: TrainSettings, folder: Path) -> tuple[Predictor | None, Predictor | None]:
    """The model that a run starts from and its teacher, from the folder of pretrained models; None for none.

    Raises:
        DepixelError: the folder lacks one, or it cannot be loaded.
    """
    init = Predictor.pretrained(settings.network, settings.width, folder) if settings.init == "pretrained" else None
    return init, Predictor.of_name(settings.teacher, folder) if settings.teacher else None


def check_models(
    init: Predictor | None,
    teacher: Predictor | None,
    settings: TrainSettings,
    pixelation: PixelationSettings,
    size: int,
) -> None:
    """Raise `DepixelError` if `pretrained_models` do not fit the settings, or photos of this size in pixels."""
    if init:
        _check_init(init.configuration, settings)
    if teacher and not settings.overfit:
        _check_teacher(teacher.configuration, pixelation, size)


def _check_init(init: ModelConfiguration, settings: TrainSettings) -> None:
    """Raise `DepixelError` if the model to start from has another activation or normalization than the run."""
    for key in ("activation", "normalization"):
        here, there = getattr(settings, key), getattr(init, key)
        if here != there:
            raise DepixelError(
                f"train.{key} = {here!r}, but the model that train.init starts from has {there}. Set train.{key}: "
                f"{there}, or train.init: random"
            )


def _check_teacher(teacher: ModelConfiguration, pixelation: PixelationSettings, size: int) -> None:
    """Raise `DepixelError` if the teacher was trained on photos of another size, or on smaller ranges."""
    if teacher.size != size:
        raise DepixelError(
            f"train.teacher was trained on photos of {teacher.size} x {teacher.size} pixels, but these have {size} x "
            f"{size}. Set prepare.size: {teacher.size}, or name another teacher"
        )
    for key in ("width", "height", "block_size"):
        here, known = getattr(pixelation, key), getattr(teacher, key if key == "block_size" else f"area_{key}")
        if here[0] < known[0] or here[1] > known[1]:
            raise DepixelError(
                f"pixelation.{key} = {list(here)}, but train.teacher was trained on {list(known)}. Keep within that "
                "range, or name another teacher"
            )
