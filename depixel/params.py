"""Checks all sections of params.yaml, and sets them to a preset."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from depixel.analysis.photo_table import AnalyzeSettings
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.layout import PARAMS, PRESETS
from depixel.base.settings import SECTIONS, Settings, parse_section
from depixel.base.spelling import suggestion
from depixel.challenge.test_sets import ExportSettings
from depixel.dataset.augmentation import AugmentSettings
from depixel.dataset.splits import SplitSettings
from depixel.learning.task import TrainSettings
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import PredictSettings
from depixel.photos.preparation import PrepareSettings
from depixel.scoring.scores import EvaluateSettings

_IN_ORDER: tuple[type[Settings], ...] = (
    PrepareSettings,
    SplitSettings,
    AnalyzeSettings,
    PixelationSettings,
    AugmentSettings,
    TrainSettings,
    PredictSettings,
    EvaluateSettings,
    ExportSettings,
)
MODELS = dict(zip(SECTIONS, _IN_ORDER, strict=True))
"""Section of params.yaml -> the class that describes it."""


def check(content: dict[str, Any], name: str | Path = PARAMS) -> None:
    """Raise `DepixelError` if a key or value in the content of params.yaml is not allowed; messages call it `name`."""
    for section, model in MODELS.items():
        parse_section(content, name, section, model)


def read(path: Path) -> dict[str, Any]:
    """The content of a YAML file of sections. Numbers are read as DVC does, including `1e-3`.

    Raises:
        DepixelError: the file cannot be read, is not YAML, or does not hold sections.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror}). Run from the project's folder") from error
    except Exception as error:  # errors of ruamel and of the encoding
        raise DepixelError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise DepixelError(f"{path}: holds {content!r}; it must hold sections with settings")
    return content


def with_values(content: dict[str, Any], values: dict[str, object], name: str) -> dict[str, Any]:
    """A checked copy of `content` with other values.

    Args:
        content: the content of params.yaml.
        values: `section.key` -> new value.
        name: the name of the source in messages.

    Raises:
        DepixelError: a key or value is not allowed.
    """
    changed = {section: dict(keys or {}) for section, keys in content.items()}
    for key, value in values.items():
        section, _, rest = key.partition(".")
        if not rest or "." in rest:
            raise DepixelError(f"{name}: {key}: not a setting; write section.key, such as train.width")
        changed.setdefault(section, {})[rest] = value
    check(changed, name)
    return changed


def presets() -> dict[str, Any]:
    """Name of a preset -> its sections, from presets.yaml. Raises `DepixelError` as `read`."""
    return read(PRESETS)


def use_preset(name: str) -> dict[str, object]:
    """Write the values of a preset into params.yaml; comments and all other settings stay.

    Returns:
        `section.key` -> value, for each setting of the preset.

    Raises:
        DepixelError: there is no such preset, or one of the files is invalid; params.yaml stays unchanged.
    """
    known = presets()
    if name not in known:
        raise DepixelError(f"{name}: no such preset; {PRESETS} has {', '.join(known)}.{suggestion(name, known)}")
    if not isinstance(known[name], dict) or not all(isinstance(keys, dict) for keys in known[name].values()):
        raise DepixelError(f"{PRESETS}, {name}: holds {known[name]!r}; it must hold sections with settings")
    values = {f"{section}.{key}": value for section, keys in known[name].items() for key, value in keys.items()}
    with_values(read(PARAMS), values, f"{PRESETS}, {name}")
    yaml_file = YAML()
    yaml_file.width = 4096  # do not wrap lines
    yaml_file.preserve_quotes = True
    content = yaml_file.load(PARAMS.read_text(encoding="utf-8"))
    for key, value in values.items():
        section, _, rest = key.partition(".")
        content[section][rest] = value
    with replacing(PARAMS) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        yaml_file.dump(content, file)
    return values
