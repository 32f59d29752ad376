"""The names of models that --model takes."""

from typing import TypeVar

import click

from depixel.base import arithmetic
from depixel.base.errors import DepixelError
from depixel.model.locations import exported_path, folders, is_name, model_path

Names = TypeVar("Names", str, tuple[str, ...])


def known_models(context: click.Context, parameter: click.Parameter, value: Names) -> Names:
    """Check the models that an option names; compute portably if all of them were trained so, or if the environment
    says so.

    Raises:
        DepixelError: one is no pretrained model that is here; it tells the names there are.
    """
    models: tuple[str, ...] = (value,) if isinstance(value, str) else value
    for model in models:
        if is_name(model) and not model_path(model).is_file() and not exported_path(model):
            names = sorted({path.stem for folder in folders() for path in folder.glob("*.safetensors")})
            there = f"There are {', '.join(names)}" if names else "There are none: `dvc pull` fetches them"
            raise DepixelError(
                f"{model}: there is no model of this name. {there}; or name a file: FOLDER/NAME.safetensors"
            )
    if all(arithmetic.of_model(model_path(model)) == "portable" for model in models):
        arithmetic.begin()
    return value
