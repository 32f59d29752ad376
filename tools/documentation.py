"""The documentation site: what MkDocs calls while `make docs` builds it.

The reference is written from the code: each function of `REFERENCE` returns a page in Markdown. Nothing of it is
committed, so a page says what the code does. README.md is the first page of the site, and a few other files of the
repository are pages, too; links between all of them lead to the right place both in the repository and on the site.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import click
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import ValidationError
from ruamel.yaml import YAML

import depixel
from depixel.base import layout
from depixel.base.settings import Settings
from depixel.cli import main
from depixel.params import MODELS
from tools import concepts

PROJECT = Path(__file__).parents[1]


# -- commands ----------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments and options."""
    parts = [
        "# Commands",
        "`depixel COMMAND --help` prints the same. The [stages](stages.md) are scripts of their own.",
    ]
    for command, context in _leaves(main, click.Context(main, info_name="depixel")):
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts += [f"## {context.command_path}", _code("text", usage), _laid_out(command.help or "")]
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record and record[1]:
                parts.append(f"`{record[0]}`\n:   {_plain(record[1])}")
    return "\n\n".join(parts)


def _leaves(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """The commands at and below `command` that do something, in their order."""
    if not isinstance(command, click.Group):
        yield command, context
        return
    for name, below in command.commands.items():
        yield from _leaves(below, click.Context(below, info_name=name, parent=context))


def _laid_out(text: str) -> str:
    """A help text of click as Markdown. A paragraph after a line of \\b keeps its lines; titles in it are not
    indented."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = paragraph.removeprefix("\b\n")
        titled = re.findall(r"(?m)^(\S.*)\n((?:[ ]+.*(?:\n|\Z))+)", lines)
        if lines == paragraph:
            parts.append(_plain(paragraph))
        elif titled and lines.startswith(titled[0]):
            parts += [part for title, below in titled for part in (_plain(title), _code("text", dedent(below)))]
        else:
            parts.append(_code("text", dedent(lines)))
    return "\n\n".join(parts)


# -- settings ----------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting of params.yaml, and the presets."""
    parts = [
        "# Settings",
        "All settings are in `params.yaml`. The default counts if that file does not name the setting. A wrong key or "
        "value stops a run before it starts; the message says what is allowed.",
    ]
    written = YAML().load((PROJECT / layout.PARAMS).read_text(encoding="utf-8"))
    for section, model in MODELS.items():
        doc = inspect.getdoc(model) or ""
        told = _attributes(doc)
        about = doc.split("\n\n")[0]
        parts += [f"## {section}", "" if re.fullmatch(r"The section `\w+` of params\.yaml\.", about) else _plain(about)]
        schemas = model.model_json_schema()["properties"]
        for name, field in model.model_fields.items():
            if field.exclude:  # an old name, still read
                continue
            schema = schemas[name]
            what = told.get(name) or _comment(written[section], name) or field.description or ""
            allowed = _choices(model, name) if schema.get("type") == "string" else ""
            values = [
                f"Allowed: {allowed or _allowed(schema)}.",
                f"In `params.yaml`: {_value(written[section].get(name))}.",
                f"Default: {_value(schema['default'])}." if "default" in schema else "It must be named.",
            ]
            lines = [_plain(what), " ".join(values)] if what else [" ".join(values)]
            parts.append(f"`{section}.{name}`\n:   " + "\n\n    ".join(lines))
    presets = (PROJECT / layout.PRESETS).read_text(encoding="utf-8")
    return "\n\n".join([*parts, "## Presets", _code("yaml", presets)])


def _value(value: Any) -> str:
    """A value as params.yaml has it."""
    is_json = isinstance(value, (bool, list, tuple)) or value is None
    return f"`{json.dumps(value) if is_json else str(value) or repr('')}`"


def _choices(model: type[Settings], name: str) -> str:
    """The names that a setting may have, as its refusal of another lists them; "" if it takes any text."""
    try:
        model.model_validate({name: "?"})
    except ValidationError as error:
        found = re.search(r"(?:one of|are) ([\w, ]+)", next(e["msg"] for e in error.errors() if e["loc"] == (name,)))
        return ", ".join(f"`{one}`" for one in found[1].split(", ")) if found else ""
    return ""


def _allowed(schema: dict[str, Any]) -> str:
    """Which values a JSON schema lets pass, in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"])
    if "items" in schema:
        return f"list, each {_allowed(schema['items'])}"
    if "enum" in schema:
        return ", ".join(f"`{name}`" for name in schema["enum"])
    kinds = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
    kinds["null"] = "`null`"
    words = "least and most" if "prefixItems" in schema else kinds.get(schema.get("type", ""), "")
    limits = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join([words, *(f"{word} {schema[key]:g}" for key, word in limits.items() if key in schema)]).strip()


def _comment(section: Any, name: str) -> str:
    """What params.yaml says beside a setting."""
    tokens = section.ca.items.get(name)
    return tokens[2].value.split("\n")[0].strip("# ") if tokens and tokens[2] else ""


# -- stages ------------------------------------------------------------------------------------------------------------


def stages() -> str:
    """What each stage does, reads and writes, as dvc.yaml has it."""
    parts = [
        "# Stages",
        "`dvc repro` runs the stages whose inputs changed. Each is a script: `python stages/NAME.py --help` lists its "
        "options. A stage also reads its own code, which `dvc.yaml` names, and the versions in `requirements.lock`.",
    ]
    pipeline = yaml.safe_load((PROJECT / layout.PIPELINE).read_text(encoding="utf-8"))["stages"]
    for name, stage in pipeline.items():
        tree = ast.parse((PROJECT / f"stages/{name}.py").read_text(encoding="utf-8"))
        (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
        inputs = [path for path in stage["deps"] if not path.startswith(("depixel/", "stages/", "requirements"))]
        outputs = [next(iter(one)) for key in ("outs", "metrics", "plots") for one in stage.get(key, [])]
        sections = [f"[{section}](settings.md#{section})" for section in stage.get("params", [])]
        parts += [f"## {name}", f"{stage['desc'].capitalize()}.", _laid_out(ast.get_docstring(function) or "")]
        for title, items in (("Dependencies", inputs), ("Settings", sections), ("Outputs", outputs)):
            shown = items if items is sections else [f"`{item}`" for item in items]
            parts += [f"{title} in `dvc.yaml`\n:   {', '.join(shown)}"] if items else []
    return "\n\n".join(parts)


# -- Python ------------------------------------------------------------------------------------------------------------

BESIDE = ("depixel.areas.area.ResolvedArea", "depixel.detection.search.Found")
"""What the public names return."""


def python() -> str:
    """The public names of the package: signatures and docstrings."""
    parts = [
        "# Python",
        f"`from depixel import {', '.join(depixel.__all__)}`. Other modules may change between versions.",
    ]
    for name in sorted(depixel.__all__):
        parts += _described(getattr(depixel, name), f"depixel.{name}")
    parts += ["## What they return"]
    for path in BESIDE:
        module, _, name = path.rpartition(".")
        parts += _described(getattr(importlib.import_module(module), name), path, level=3)
    return "\n\n".join(parts)


def _described(thing: Any, name: str, level: int = 2) -> list[str]:
    parts = [f"{'#' * level} {name}"]
    if not (inspect.isclass(thing) and issubclass(thing, Exception)):
        parts.append(_code("python", _signature(thing, name.rpartition(".")[2])))
    parts.append(_google(inspect.getdoc(thing) or ""))
    for key, member in vars(thing).items() if inspect.isclass(thing) else ():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if key.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        signature = _signature(function, key)
        signature = signature.replace("(self) ->", ":") if isinstance(member, property) else signature
        parts += [f"{'#' * (level + 1)} {thing.__name__}.{key}", _code("python", signature)]
        parts.append(_google(inspect.getdoc(function) or ""))
    return parts


def _signature(thing: Any, name: str) -> str:
    """As it stands in the code, without modules; a long one has a line for each parameter."""
    signature = inspect.signature(thing)
    back = "" if inspect.isclass(thing) or signature.return_annotation is signature.empty else " -> "
    back += inspect.formatannotation(signature.return_annotation) if back else ""
    parameters = [str(parameter) for parameter in signature.parameters.values()]
    line = f"{name}({', '.join(parameters)}){back}"
    if len(line) > 90:
        line = f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){back}"
    return re.sub(r"\b(fractions|typing|pathlib|collections\.abc|numpy|depixel(\.\w+)*)\.(?=[a-zA-Z])|'", "", line)


def _sections(doc: str) -> list[tuple[str, str]]:
    """A docstring in Google's style as titles and texts; the first has no title."""
    found = re.split(r"(?m)^(Args|Attributes|Returns|Yields|Raises|Example):$\n", doc)
    return [("", found[0]), *zip(found[1::2], map(dedent, found[2::2]), strict=True)]


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """The names and texts of a section of parameters, attributes or errors; a line may name more than one."""
    for entry in re.findall(r"(?m)^\S.*(?:\n[ \t]+.*)*", text):
        names, separator, what = " ".join(entry.split()).partition(": ")
        yield (names, what) if separator else ("", names)


def _attributes(doc: str) -> dict[str, str]:
    """Attribute -> what the docstring of its class says of it."""
    entries = [entry for title, text in _sections(doc) if title == "Attributes" for entry in _entries(text)]
    return {name: what for names, what in entries for name in names.split(", ")}


def _google(doc: str) -> str:
    parts = []
    for title, text in _sections(doc):
        parts += [f"**{title}**"] if title else []
        if title == "Example":
            parts.append(_code("pycon", text))
        elif title in ("Args", "Attributes", "Raises"):
            parts += [f"`{names}`\n:   {_plain(what)}" if names else _plain(what) for names, what in _entries(text)]
        else:
            parts.append(_plain(text))
    return "\n\n".join(parts)


# -- HTTP --------------------------------------------------------------------------------------------------------------


def http() -> str:
    """The HTTP API of `depixel serve`, from its OpenAPI description."""
    from depixel.web.app import create_app
    from depixel.web.models import Models

    told = cast(Any, create_app(Models(["laptop"]))).app.openapi()
    address = "`http://127.0.0.1:8000`, where `depixel serve` answers. `/openapi.json` is the same for programs."
    parts = ["# HTTP API", _plain(told["info"]["description"]), f"All paths are below {address}"]
    for path, methods in told["paths"].items():
        for method, route in methods.items():
            parts += [f"## {method.upper()} {path}", _plain(route["description"])]
            if body := route.get("requestBody"):
                parts.append(f"body\n:   {_plain(body['description'])}")
            for parameter in route.get("parameters", []):
                must = "" if parameter.get("required") else "optional; "
                allowed = _allowed(parameter["schema"]).removesuffix(" or `null`")
                shown = f"{must}{allowed}".strip("; ")
                what = _plain(parameter.get("description", ""))
                parts.append(f"`{parameter['name']}`{f' ({shown})' if shown else ''}\n:   {what or 'a number'}")
            parts += [_answer(code, answer) for code, answer in route["responses"].items()]
    parts += ["## Answers in JSON", *_schemas(told["components"]["schemas"])]
    return "\n\n".join(parts)


def _answer(code: str, answer: dict[str, Any]) -> str:
    kinds = ", ".join(map("`{}`".format, answer.get("content", {})))
    lines = [_plain(answer.get("description") or "")]
    for name, header in answer.get("headers", {}).items():
        lines.append(f"Header `{name}`: {_plain(header['description'])}")
    return f"answer {code}{f' ({kinds})' if kinds else ''}\n:   " + "\n\n    ".join(lines)


def _schemas(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f"### {name}"
        yield _google(schema.get("description", ""))
        for key, field in schema.get("properties", {}).items():
            yield f"`{key}`\n:   {_plain(field.get('description', field.get('title', '')))}"


# -- files -------------------------------------------------------------------------------------------------------------

TABLES = {
    "data/validated/manifest.csv": "depixel.photos.rules.Verdict",
    "data/split.csv": "depixel.dataset.splits.Assigned",
    "data/copies.csv": "depixel.photos.near_duplicates.Copy",
    "data/snapshots.csv": "depixel.curation.snapshots.Snapshot",
    "models/depixel.json": "depixel.model.predictor.ModelConfiguration",
}
"""File -> the class of a row, or of the whole."""


def files() -> str:
    """The columns of the tables that people read."""
    parts = ["# Files and tables", "The [rules of photos, submissions and test sets](formats.md) are another page."]
    for path, named in TABLES.items():
        module, _, name = named.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        doc = inspect.getdoc(kind) or ""
        fields = ", ".join(f"`{field}`" for field in getattr(kind, "_fields", None) or kind.model_fields)
        what = "Columns" if path.endswith(".csv") else "Keys"
        parts += [f"## {path}", f"{what}: {fields}.", _google(doc)]
    return "\n\n".join(parts)


# -- Markdown ----------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Text as Markdown that shows it as it is; what is in backticks stays code."""
    parts = " ".join(text.replace("\b", "").split()).split("`")
    parts[::2] = [re.sub(r"([\\*_<>\[\]|{}])", r"\\\1", part).replace(r"\<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```"


# -- the site ----------------------------------------------------------------------------------------------------------

REFERENCE: dict[str, Callable[[], str]] = {
    "concepts.md": concepts.concepts,
    "choices.md": concepts.choices,
    "reference/commands.md": commands,
    "reference/settings.md": settings,
    "reference/stages.md": stages,
    "reference/python.md": python,
    "reference/http.md": http,
    "reference/files.md": files,
}
"""Page of the site -> what writes it."""

OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"models/{name}.md": f"models/{name}.md" for name in ("best", "laptop", "depixel", "detector", "screen")},
}
"""File of the repository -> page of the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/; MkDocs calls it."""
    for page, write in REFERENCE.items():
        files.append(File.generated(config, page, content=write()))
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(PROJECT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages; MkDocs calls it."""
    uri = page.file.src_uri
    source = next((path for path, made in OUTSIDE.items() if made == uri), f"docs/{uri}")

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        target = OUTSIDE.get(path, path.removeprefix("docs/"))
        if not files.get_file_from_path(target):
            return link[0]
        return f"]({posixpath.relpath(target, posixpath.dirname(uri) or '.')}{link[2] or ''})"

    return re.sub(r"\]\(([\w./-]+)(#[\w-]+)?\)", lambda link: moved(link) if ":" not in link[0] else link[0], markdown)
