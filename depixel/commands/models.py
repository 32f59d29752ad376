"""The names of models that --model takes."""

from typing import TypeVar

import click

from depixel.base.errors import DepixelError
from depixel.model.locations import exported_path, folders, is_name, model_path

Names = TypeVar("Names", str, tuple[str, ...])


def known_models(context: click.Context, parameter: click.Parameter, value: Names) -> Names:
    """Raise `DepixelError`, with the names there are, if an option names a pretrained model that is not here."""
    for model in (value,) if isinstance(value, str) else value:
        if is_name(model) and not model_path(model).is_file() and not exported_path(model):
            names = sorted({path.stem for folder in folders() for path in folder.glob("*.safetensors")})
            there = f"There are {', '.join(names)}" if names else "There are none: `dvc pull` fetches them"
            raise DepixelError(
                f"{model}: there is no model of this name. {there}; or name a file: FOLDER/NAME.safetensors"
            )
    return value
