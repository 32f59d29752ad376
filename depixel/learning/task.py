"""What a training run is a function of, beside the code: settings, photos, the models it starts and learns from."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from depixel.base.arithmetic import Arithmetic
from depixel.base.errors import DepixelError
from depixel.base.settings import Settings
from depixel.dataset.samples import Photos
from depixel.learning import optimizers
from depixel.learning.loop import Schedule
from depixel.model import networks
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import ModelConfiguration, Precision, Predictor, best_device, best_precision


class TrainSettings(Settings):
    """The section `train` of params.yaml."""

    network: networks.Name = "unet"
    width: int = Field(32, ge=1, le=1024, description="channels of the first level")
    init: Literal["random", "pretrained"] = Field("random", description="weights to start from")
    teacher: str = Field("", description="a pretrained model whose predictions are what is learnt; '' = none")
    dropout: float = Field(0.0, ge=0, lt=1)
    epochs: float = Field(20, gt=0, description="how often each photo is shown; may be a fraction")
    batch_size: int = Field(64, ge=1)
    optimizer: optimizers.Name = "muon"
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Schedule = "linear"
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the run in which the learning rate rises")
    gradient_clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0 = none")
    uncertainty: bool = Field(False, description="also predict how far off each pixel is; changes no prediction")
    flip: bool = True
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better validation; 0 = never")
    arithmetic: Arithmetic = Field("portable", description="the same on every processor, or as fast as this one can")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    shards: int = Field(2, ge=1, description="parts of each batch, one thread each; another number, other last digits")
    seed: int = 0
    overfit: int = Field(0, ge=0, description="train and validate on this many photos, always the same areas; 0 = off")
    loggers: tuple[Literal["dvclive", "tensorboard", "wandb"], ...] = Field((), description="to log to, beside logs/")

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, section: object) -> object:
        """`threads` was the name of `shards` until 0.2."""
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
                        f"{name}: {value} is not portable: set arithmetic: native, or {name}: {portable[-1]}"
                    )
        return self


def computed_by(settings: TrainSettings) -> tuple[str, Precision]:
    """The device and the precision that a training with these settings computes with on this machine."""
    if settings.arithmetic == "portable":
        return "cpu", "float32"
    device = best_device() if settings.device == "auto" else settings.device
    return device, best_precision(device) if settings.precision == "auto" else settings.precision


@dataclass
class Task:
    """What a run is to learn. With `train.overfit`, both sides become the first photos, and there is no teacher.

    Attributes:
        settings, pixelation: the sections of params.yaml.
        training, validation: the photos of each side.
        init: the model to start from, of the same network and of its width or narrower; None for random weights.
        teacher: the model whose predictions are learnt, in place of the photos' pixels; None to learn from these.
        device, precision: what it is computed with.

    Raises:
        DepixelError: the teacher was trained for other samples than those that it is to be asked about.
    """

    settings: TrainSettings
    pixelation: PixelationSettings
    training: Photos
    validation: Photos
    init: Predictor | None = None
    teacher: Predictor | None = None
    device: str = field(init=False)
    precision: Precision = field(init=False)

    def __post_init__(self) -> None:
        if self.settings.overfit:
            self.training = self.validation = self.training.first(self.settings.overfit)
            self.teacher = None  # it has learnt them better than anyone can teach it
        if self.teacher:
            _check_teacher(self.teacher.configuration, self.pixelation, self.size)
        self.device, self.precision = computed_by(self.settings)

    @classmethod
    def load(
        cls, settings: TrainSettings, pixelation: PixelationSettings, prepared: Path, splits: Path, pretrained: Path
    ) -> "Task":
        """Load the photos and the models that the settings name.

        Args:
            prepared: the folder of prepared photos. splits: the table of splits. pretrained: the folder of models.

        Raises:
            DepixelError: something is missing, or does not belong together.
        """
        training, validation = (Photos.load(prepared, splits, side) for side in ("train", "validation"))
        init = teacher = None
        if settings.init == "pretrained":
            init = Predictor.pretrained(settings.network, settings.width, pretrained)
        if settings.teacher:
            teacher = Predictor.of_name(settings.teacher, pretrained)
        return cls(settings, pixelation, training, validation, init, teacher)

    @property
    def size(self) -> int:
        """Side of the photos, pixels."""
        return self.training.images.shape[-1]

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps that show each photo for training once; the last of them may show fewer."""
        return -(-len(self.training) // self.settings.batch_size)

    @property
    def steps(self) -> int:
        """Number of steps of the whole run; its last epoch may be cut short."""
        return math.ceil(self.settings.epochs * self.steps_per_epoch)

    @property
    def validation_stream(self) -> str:
        """Where the areas of the validation photos come from, the same in every epoch (`dataset.samples`)."""
        return f"validation {self.settings.seed}"

    def training_stream(self, epoch: int) -> str:
        """Where the areas of the training photos come from in an epoch, which is counted from 0."""
        return self.validation_stream if self.settings.overfit else f"train {self.settings.seed} {epoch}"


def _check_teacher(teacher: ModelConfiguration, pixelation: PixelationSettings, size: int) -> None:
    """Raise `DepixelError` if the teacher was trained for other samples than those that it is to be asked about."""
    if teacher.size != size:
        raise DepixelError(
            f"train.teacher was trained on photos of {teacher.size} pixels, and these have {size}: set prepare.size: "
            f"{teacher.size}, or take another teacher"
        )
    for key in ("width", "height", "block_size"):
        here, known = getattr(pixelation, key), getattr(teacher, key if key == "block_size" else f"area_{key}")
        if here[0] < known[0] or here[1] > known[1]:
            raise DepixelError(
                f"pixelation.{key} = {list(here)}, and train.teacher was trained for {list(known)}: keep within that, "
                "or take another teacher"
            )
