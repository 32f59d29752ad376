"""All sections of params.yaml together: checked, and set to a preset."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from depixel.analysis.photo_table import AnalyzeSettings
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.layout import PARAMS, PRESETS
from depixel.base.settings import SECTIONS, Settings, parse_section
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
"""Section of params.yaml -> what it may hold."""


def check(content: dict[str, Any], name: str | Path = PARAMS) -> None:
    """Raise `DepixelError` if a key or value in what params.yaml holds is not allowed; `name` is what it is called."""
    for section, model in MODELS.items():
        parse_section(content, name, section, model)


def read(path: Path) -> dict[str, Any]:
    """The content of a YAML file of sections; numbers as DVC reads them, `1e-3` too.

    Raises:
        DepixelError: it cannot be read, or is not YAML.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror}). Run from the project's folder") from error
    except Exception as error:  # ruamel's errors and those of the encoding
        raise DepixelError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise DepixelError(f"{path}: sections with settings are expected, it holds {content!r}")
    return content


def with_values(content: dict[str, Any], values: dict[str, object], name: str) -> dict[str, Any]:
    """A checked copy of `content` with other values: `section.key` -> value. Raises `DepixelError` as `check`."""
    changed = {section: dict(keys or {}) for section, keys in content.items()}
    for key, value in values.items():
        section, _, rest = key.partition(".")
        if not rest or "." in rest:
            raise DepixelError(f"{name}: {key}: a setting is called section.key, such as train.width")
        changed.setdefault(section, {})[rest] = value
    check(changed, name)
    return changed


def presets() -> dict[str, Any]:
    """Name -> sections of presets.yaml."""
    return read(PRESETS)


def use_preset(name: str) -> dict[str, object]:
    """Write the values of a preset into params.yaml; comments and all other settings stay.

    Returns:
        What it set: `section.key` -> value.

    Raises:
        DepixelError: there is no such preset, or a file is not as it should be; params.yaml stays as it is.
    """
    known = presets()
    if name not in known:
        raise DepixelError(f"{name}: no preset; {PRESETS} has {', '.join(known)}")
    if not isinstance(known[name], dict) or not all(isinstance(keys, dict) for keys in known[name].values()):
        raise DepixelError(f"{PRESETS}, {name}: sections with settings are expected, it holds {known[name]!r}")
    values = {f"{section}.{key}": value for section, keys in known[name].items() for key, value in keys.items()}
    with_values(read(PARAMS), values, f"{PRESETS}, {name}")
    yaml_file = YAML()
    yaml_file.width = 4096  # lines stay as they are
    yaml_file.preserve_quotes = True
    content = yaml_file.load(PARAMS.read_text(encoding="utf-8"))
    for key, value in values.items():
        section, _, rest = key.partition(".")
        content[section][rest] = value
    with replacing(PARAMS) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        yaml_file.dump(content, file)
    return values
