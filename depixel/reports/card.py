"""The model card: what a model is, what it was made from and with, and what it is not good for; for people."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from depixel.base.files import hash_of
from depixel.base.settings import Settings
from depixel.dataset.splits import COPY, SIDES
from depixel.model.networks import parameter_count
from depixel.model.predictor import Predictor

FEW_PHOTOS = 5000
"""The card says that photos are few if fewer than this many are there to train on."""

INTRODUCTION = """\
# {name}

A network that predicts the pixels of a pixelated rectangle in a grayscale photo, from the means of its blocks and from
what is around it.

| | |
|---|---|
| network | {network} of width {width}, {parameters:.2f} M parameters, stored as float16 |
| trained for | areas {area_width} px wide and {area_height} px high, blocks of {block_size} px, photos of {size} px |
| weights | `{name}.safetensors`, md5 {md5} |

"""
TEMPLATE = """\
## How good it is

RMSE in gray levels on photos of the test side, which it was neither trained nor chosen on: as the mean over areas of
each one's, and over all predicted pixels (pooled). The ratio is to the identity, which leaves the blocks as they are;
brackets are 95 % confidence intervals over photos.

{scores}

## What it was made from

| | |
|---|---|
| photos | {valid} valid ones of {files} files from {contributors} contributors |
| snapshot | {snapshot} |
| split | by {split.by}, seed {split.seed}: {sides} |
| start | {start} |
| teacher | {teacher} |
| training | seed {train.seed}, best epoch {best_epoch} of {train.epochs:g}, {validation_rmse:.3f} in validation |

All settings:

```yaml
{settings}```

## What it was made with

| | |
|---|---|
| code | depixel {version}; sources of the training: sha256 {sources} |
| environment | {environment} |
| arithmetic | {arithmetic} {precision}, shards of a batch: {train.shards}{hardware} |

## How to make it again

```
git log --oneline -S {md5} -- dvc.lock    # the last line is the commit that recorded this model
git checkout COMMIT
pip install -r requirements.lock
dvc pull data/raw.dvc data/test_set.dvc models/pretrained.dvc
dvc repro
```

{repeats}

"""
REPEATS = {
    "portable": "On every processor of this kind (x86-64 with AVX2) the result is the same, byte for byte, with this "
    "version of Python. On other kinds the last digits of the weights differ.",
    "native": "On the same kind of hardware the result is the same, byte for byte. On others the last digits of the "
    "weights differ.",
}
LIMITS = """\
## What it is not good for

- *Finding out what was hidden.* It fills in what is likely. A face, a number plate or a text that it shows was never
  in the picture; it is evidence of nothing.
- *By itself, other areas and blocks than those above, color, and areas that were pixelated in another way*: by the
  nearest pixel, in linear light, or saved as JPEG afterwards. It knows gray only, and relies on every block being the
  mean of its pixels, rounded down. `depixel restore` works around this by scaling, tiles, interpolated colors and
  `--trust`, at a loss that `benchmarks/restore.py` measures.
- *Pictures unlike the photos it was trained on*: drawings, screenshots, scans, medical images.
"""
FEW = (
    "- *The lowest errors.* {count} photos to train on are few; with tens of thousands the same network gets further.\n"
)


def card(
    weights: Path,
    model: Predictor,
    sections: dict[str, Settings],
    counts: dict[str, dict[str, Any]],
    comparison: pd.DataFrame,
    snapshot: str,
) -> str:
    """The card as Markdown.

    Args:
        weights: the model's safetensors file.
        model: the same, loaded.
        sections: the sections of params.yaml that made it.
        counts: "validation", "split", "training": what the stages of that name counted.
        comparison: as `scores.comparison` gives it, with the intervals.
        snapshot: DVC's hash of the photos, "" if unknown.
    """
    configuration, split = model.configuration.model_dump(), counts["split"]
    sides = [
        f"{split[side]['photos']} photos of {split[side]['contributors']} contributors for {side}" for side in SIDES
    ]
    sides.append(f"{split[COPY]['photos']} left out of training, as copies of photos on the other sides")
    text = introduction(weights, model) + TEMPLATE.format(
        **counts["validation"] | counts["training"],
        precision=configuration["precision"],
        sources=configuration["sources"],
        arithmetic=model.configuration.arithmetic,
        hardware=f", on {model.configuration.hardware}" if model.configuration.hardware else "",
        repeats=REPEATS[model.configuration.arithmetic],
        md5=hash_of(weights, "md5"),
        scores=_table(comparison),
        snapshot=f"`data/raw` of md5 {snapshot} in DVC" if snapshot else "not known to DVC",
        split=sections["split"],
        sides=", ".join(sides),
        train=sections["train"],
        start=f"weights of sha256 {configuration['init']}…" if configuration["init"] else "random weights",
        teacher=f"model of sha256 {configuration['teacher']}…" if configuration.get("teacher") else "none",
        settings=yaml.safe_dump({name: s.model_dump(mode="json") for name, s in sections.items()}, sort_keys=False),
        version=metadata.version("depixel"),
        environment=", ".join(f"{name} {version}" for name, version in configuration["versions"].items()),
    )
    count = split["train"]["photos"]
    return text + LIMITS + (FEW.format(count=count) if count < FEW_PHOTOS else "")


def introduction(weights: Path, model: Predictor) -> str:
    """The head of a card as Markdown: what the model is.

    Args:
        weights: the model's safetensors file. model: the same, loaded.
    """
    configuration = model.configuration.model_dump()
    return INTRODUCTION.format(
        **configuration | {key: _range(configuration[key]) for key in ("area_width", "area_height", "block_size")},
        name=weights.stem,
        parameters=parameter_count(model.network) / 1e6,
        md5=hash_of(weights, "md5"),
    )


def snapshot(lock: Path, manifest: Path, raw: str) -> str:
    """DVC's hash of the photos in `raw` which `manifest` was made of, as dvc.lock says; "" if it does not."""
    try:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        recorded = {dep["path"]: dep["md5"] for name in ("validate", "prepare") for dep in stages[name]["deps"]}
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return ""
    return recorded.get(raw, "") if recorded.get(manifest.as_posix()) == hash_of(manifest, "md5") else ""


def _range(least_and_most: list[int]) -> str:
    least, most = least_and_most
    return f"{least} to {most}" if least < most else f"{least}"


def _table(comparison: pd.DataFrame) -> str:
    lines = ["| | ratio_mean | ratio_pooled | rmse_mean | rmse_pooled |", "|---|---|---|---|---|"]
    for row in comparison.to_dict("records"):
        ratios = [
            f"{row[key]:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}]"
            for key in ("ratio_mean", "ratio_pooled")
        ]
        lines.append(f"| {row['model']} | {' | '.join(ratios)} | {row['rmse_mean']:.2f} | {row['rmse_pooled']:.2f} |")
    return "\n".join(lines)
