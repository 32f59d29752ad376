"""The model card for people: the model, its scores, its training, how to reproduce it, and its limitations."""

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
from depixel.photos.bucket import URL

FEW_PHOTOS = 5000
"""The card lists few photos as a limitation if training had fewer than this."""

INTRODUCTION = """\
# {name}

A network that predicts the pixels of a pixelated rectangle in a grayscale photo, from the means of its blocks and the
pixels around it.

| | |
|---|---|
| network | {network} of width {width}, {parameters:.2f} M parameters, stored as float16 |
| trained for | areas {area_width} px wide and {area_height} px high, blocks of {block_size} px, photos of {size} px |
| weights | `{name}.safetensors`, md5 {md5} |

"""
TEMPLATE = """\
## Scores

RMSE in gray levels on the photos of the test side, which were not used for training or model selection: `rmse_mean` is
the mean over areas, `rmse_pooled` is over all predicted pixels. A ratio divides the RMSE by that of the identity, which
leaves the blocks as they are. Brackets are 95 % confidence intervals over photos.

{scores}

## Training

| | |
|---|---|
| photos | {valid} valid photos in {files} files from {contributors} contributors |
| snapshot | {snapshot} |
| split | by {split.by}, seed {split.seed}: {sides} |
| initial weights | {start} |
| teacher | {teacher} |
| best epoch | {best_epoch} of {train.epochs:g}, validation RMSE {validation_rmse:.3f}; seed {train.seed} |

All settings:

```yaml
{settings}```

## Software

| | |
|---|---|
| code | depixel {version}; code of the training: sha256 {sources} |
| environment | {environment} |
| arithmetic | {arithmetic} {precision}, shards of a batch: {train.shards}{hardware} |

## How to reproduce it

```
git log --oneline -S {md5} -- dvc.lock    # the last line is the commit that recorded this model
git checkout COMMIT                       # that commit
pip install -r requirements.lock
dvc pull {pulled}data/test_set.dvc models/pretrained.dvc
dvc repro
```

{repeats}

"""
REPEATS = {
    "portable": "The result is the same, byte for byte, on every x86-64 processor with AVX2 and with this version of "
    "Python. On other processors the last digits of the weights differ.",
    "native": "The result is the same, byte for byte, on the same kind of hardware. On other hardware the last digits "
    "of the weights differ.",
}
LIMITS = """\
## Limitations

- *It does not reveal what was hidden.* It fills in likely pixels. A face, a number plate or a text in a restoration
  was never in the picture, so a restoration is no evidence.
- *It is made for gray photos, and for areas and blocks of the sizes above.* Every block must be the mean of its pixels,
  rounded down: not the nearest pixel, not a mean in linear light, and not saved as JPEG afterwards. `depixel restore`
  works around these limits by scaling, tiles, interpolated colors and `--trust`, at a loss that `benchmarks/restore.py`
  measures.
- *It restores other pictures than photos badly*: drawings, screenshots, scans, medical images.
"""
FEW = "- *It had few photos.* It was trained on {count}; with tens of thousands, the same network has lower errors.\n"


def card(
    weights: Path,
    model: Predictor,
    sections: dict[str, Settings],
    counts: dict[str, dict[str, Any]],
    comparison: pd.DataFrame,
    snapshot: str,
    raw: str,
) -> str:
    """The card as Markdown.

    Args:
        weights: the model's safetensors file.
        model: the loaded model.
        sections: the sections of params.yaml that made it.
        counts: the metrics of validation, split and training, by these names.
        comparison: the scores with intervals, as `scores.comparison` returns them.
        snapshot: DVC's hash of the photos; "" if unknown.
        raw: the folder of the photos, or the URL of their bucket.
    """
    configuration, split = model.configuration.model_dump(), counts["split"]
    sides = [
        f"{split[side]['photos']} photos of {split[side]['contributors']} contributors for {side}" for side in SIDES
    ]
    sides.append(f"{split[COPY]['photos']} left out of training as copies of photos on other sides")
    text = introduction(weights, model) + TEMPLATE.format(
        **counts["validation"] | counts["training"],
        precision=configuration["precision"],
        sources=configuration["sources"],
        arithmetic=model.configuration.arithmetic,
        hardware=f", on {model.configuration.hardware}" if model.configuration.hardware else "",
        repeats=REPEATS[model.configuration.arithmetic],
        md5=hash_of(weights, "md5"),
        scores=_table(comparison),
        pulled="" if raw.startswith(URL) else "data/raw.dvc ",
        snapshot=f"`{raw}` with the DVC hash {snapshot}" if snapshot else "not tracked by DVC",
        split=sections["split"],
        sides=", ".join(sides),
        train=sections["train"],
        start=f"those with sha256 {configuration['init']}…" if configuration["init"] else "random",
        teacher=f"the model with sha256 {configuration['teacher']}…" if configuration.get("teacher") else "none",
        settings=yaml.safe_dump({name: s.model_dump(mode="json") for name, s in sections.items()}, sort_keys=False),
        version=metadata.version("depixel"),
        environment=", ".join(f"{name} {version}" for name, version in configuration["versions"].items()),
    )
    count = split["train"]["photos"]
    return text + LIMITS + (FEW.format(count=count) if count < FEW_PHOTOS else "")


def introduction(weights: Path, model: Predictor) -> str:
    """The head of a card as Markdown: a description of the model.

    Args:
        weights: the model's safetensors file.
        model: the loaded model.
    """
    configuration = model.configuration.model_dump()
    return INTRODUCTION.format(
        **configuration | {key: _range(configuration[key]) for key in ("area_width", "area_height", "block_size")},
        name=weights.stem,
        parameters=parameter_count(model.network) / 1e6,
        md5=hash_of(weights, "md5"),
    )


def snapshot(lock: Path, manifest: Path, raw: str) -> str:
    """DVC's hash of the photos in `raw` from which `manifest` was made, according to dvc.lock; "" if unknown."""
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
