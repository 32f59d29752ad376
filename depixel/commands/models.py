"""The models that --model takes: their names, and the check of what somebody typed."""

from importlib.util import find_spec
from typing import TypeVar

import click

from depixel.base import arithmetic
from depixel.base.errors import DepixelError
from depixel.base.layout import MODEL
from depixel.base.spelling import suggestion
from depixel.model.locations import exported_path, folders, is_name, model_path

Names = TypeVar("Names", str, tuple[str, ...])

PUBLISHED = ("best", "laptop")
"""The names of the models that the project publishes: `models/NAME.md` is the card of each."""

_FIND_AREAS = ("detector", "screen")  # networks in the same folders that restore nothing


def model_names() -> list[str]:
    """The names of the pretrained models that are here, in alphabetical order."""
    files = (path for folder in folders() for suffix in ("safetensors", "onnx") for path in folder.glob(f"*.{suffix}"))
    return sorted({path.stem for path in files}.difference(_FIND_AREAS))


def own_models() -> list[str]:
    """What --model takes for the models here that the project does not publish: names, and the pipeline's path."""
    pipelines = [MODEL.as_posix()] if MODEL.is_file() else []
    return pipelines + [name for name in model_names() if name not in PUBLISHED]


def offered_models(first: str) -> list[str]:
    """The models for people to choose from, `first` first; without PyTorch those that were exported."""
    names = dict.fromkeys([first, *sorted(model_names(), key=lambda name: name != "laptop"), *own_models()])
    has_torch = find_spec("torch") is not None
    return [name for name in names if name == first or has_torch or exported_path(name)]


def known_models(context: click.Context, parameter: click.Parameter, value: Names) -> Names:
    """Check the models that an option names; compute portably if all of them were trained so, or if the environment
    says so.

    Raises:
        DepixelError: one is no pretrained model that is here; lists the names there are.
    """
    models: tuple[str, ...] = (value,) if isinstance(value, str) else value
    for model in models:
        if is_name(model) and not model_path(model).is_file() and not exported_path(model):
            names = model_names()
            there = f"There are {', '.join(names)}" if names else "There are none: `dvc pull` fetches them"
            raise DepixelError(
                f"{model}: there is no model of this name. {there}; or name a file: FOLDER/NAME.safetensors."
                f"{suggestion(model, names)}"
            )
    if all(arithmetic.of_model(model_path(model)) == "portable" for model in models):
        arithmetic.begin()
    return value
