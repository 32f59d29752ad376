"""Where models are: which file a name means."""

from pathlib import Path

from depixel.base.layout import PRETRAINED

_PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = _PACKAGE / "pretrained"
"""The folder of those that a wheel carries (`make wheel`)."""


def folders() -> tuple[Path, ...]:
    """Where pretrained models are looked for: in the project in the current folder, then in the clone that this code
    is in, then in the package."""
    return PRETRAINED, _PACKAGE.parent / PRETRAINED, CARRIED


def is_name(model: str | Path) -> bool:
    """Whether `--model` names a pretrained model, not a path: it has neither a folder nor a suffix."""
    return Path(model).name == str(model) and not Path(model).suffix


def model_path(model: str | Path) -> Path:
    """The weights that `--model` names: a pretrained model by its bare name, any other by its path.

    Of a name that is in none of the `folders`, the path in the first of them.
    """
    if not is_name(model):
        return Path(model)
    return shipped(f"{model}.safetensors")


def exported_path(model: str | Path) -> Path | None:
    """The ONNX file that a pretrained model's bare name stands for as well; None if there is none."""
    path = shipped(f"{model}.onnx") if is_name(model) else None
    return path if path and path.is_file() else None


def shipped(file: str) -> Path:
    """The file of this name in the first of the `folders` that has it; if none has, where it should be in the first."""
    paths = [folder / file for folder in folders()]
    return next(filter(Path.is_file, paths), paths[0])
