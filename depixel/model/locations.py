"""The files of models, found by name."""

from pathlib import Path

from depixel.base.layout import PRETRAINED

_PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = _PACKAGE / "pretrained"
"""The folder of the pretrained models that a wheel contains (`make wheel`)."""


def folders() -> tuple[Path, ...]:
    """The folders to search for pretrained models: the current project's, that of this code's clone, the package's."""
    return PRETRAINED, _PACKAGE.parent / PRETRAINED, CARRIED


def is_name(model: str | Path) -> bool:
    """Whether `--model` is the name of a pretrained model, not a path: it has neither a folder nor a suffix."""
    return Path(model).name == str(model) and not Path(model).suffix


def model_path(model: str | Path) -> Path:
    """The weights that `--model` names: by bare name for a pretrained model, by path for any other.

    If none of the `folders` has the name, it returns the path that it would have in the first one.
    """
    if not is_name(model):
        return Path(model)
    return shipped(f"{model}.safetensors")


def exported_path(model: str | Path) -> Path | None:
    """The ONNX file of a pretrained model, by its bare name; None if there is none."""
    path = shipped(f"{model}.onnx") if is_name(model) else None
    return path if path and path.is_file() else None


def shipped(file: str) -> Path:
    """The path of a file in the first of the `folders` that has it; if none has it, its path in the first one."""
    paths = [folder / file for folder in folders()]
    return next(filter(Path.is_file, paths), paths[0])
