"""params.yaml as typed settings: a misspelt key or a value out of range stops a run before it starts.

A pydantic model derived from `Settings` describes each section; it stands in the module that uses the section.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from depixel.base.errors import DepixelError
from depixel.base.spelling import suggestion

SECTIONS = ("prepare", "split", "analyze", "pixelation", "augment", "train", "predict", "evaluate", "export")
"""The sections of params.yaml, in its order; `depixel.params` has a model for each."""


class Settings(BaseModel):
    """A section of params.yaml. It accepts numbers such as `1e-3`, which YAML 1.1 reads as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Pair = TypeVar("Pair", tuple[int, int], tuple[float, float])


def ordered(value: Pair) -> Pair:
    """The pair itself. Raises `ValueError` if the smaller value does not come first."""
    if value[0] > value[1]:
        raise ValueError(f"the smaller value comes first: [{value[1]}, {value[0]}]")
    return value


Range = Annotated[tuple[int, int], AfterValidator(ordered)]
"""A setting of the form `[least, most]`, both included."""


def one_of(choices: Mapping[str, object]) -> AfterValidator:
    """Annotates a setting that holds the name of one of some choices."""

    def named(value: str) -> str:
        if value not in choices:
            raise ValueError(f"input should be one of {', '.join(choices)}.{suggestion(value, choices)}")
        return value

    return AfterValidator(named)


S = TypeVar("S", bound=Settings)


def read_section(path: str | Path, name: str, model: type[S]) -> S:
    """Read a section of a params.yaml.

    Args:
        path: the file.
        name: the section; if it is missing, the defaults apply.
        model: the class of the section.

    Raises:
        DepixelError: the file cannot be read, or a key or value in this section is not allowed. The text names the key,
            the value and the allowed ones.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise DepixelError(
            f"{path}: cannot be read ({error.strerror}). Run from the project's folder, or name the file: --params PATH"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DepixelError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    return parse_section(content, path, name, model)


def parse_section(content: dict[str, Any], path: str | Path, name: str, model: type[S]) -> S:
    """As `read_section`, from the content of the file; messages call the file `path`."""
    if not isinstance(content, dict):
        raise DepixelError(f"{path}: holds {content!r}; it must hold the sections {', '.join(SECTIONS)}")
    if unknown := [key for key in content if key not in SECTIONS]:
        raise DepixelError(
            f"{path}: unknown section {unknown[0]!r}; the sections are {', '.join(SECTIONS)}."
            f"{suggestion(str(unknown[0]), SECTIONS)}"
        )
    section = content.get(name)
    try:
        return model.model_validate({} if section is None else section)
    except ValidationError as error:
        raise DepixelError("\n".join(_explain(path, name, model, problem) for problem in error.errors())) from error


def _explain(path: str | Path, section: str, model: type[Settings], problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in (section, *problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known, name = model.model_fields, str(problem["loc"][-1])
        return f"{path}: unknown key {key}; {section} has {', '.join(known)}.{suggestion(name, known)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" and not problem["loc"]:  # about several keys; the message begins with one
        return f"{path}: {section}.{message}"
    value, expected = problem["input"], str(problem.get("ctx", {}).get("expected", ""))
    meant = suggestion(str(value), re.findall("'([^']+)'", expected)) if problem["type"] == "literal_error" else ""
    return f"{path}: {key} = {value!r}: {message[0].lower()}{message[1:]}{meant and f'.{meant}'}"
