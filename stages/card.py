"""Stage 6: write the model card."""

from pathlib import Path

import click
import pandas as pd

from depixel.base import layout
from depixel.base.console import params_option, path_option
from depixel.base.errors import DepixelError
from depixel.base.files import read_json, replacing
from depixel.base.stage import Inputs, stage
from depixel.dataset.augmentation import AugmentSettings
from depixel.dataset.splits import SplitSettings
from depixel.learning.task import TrainSettings
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor, PredictSettings
from depixel.photos.bucket import Bucket, place
from depixel.photos.preparation import PrepareSettings
from depixel.reports.card import card, snapshot
from depixel.scoring.scores import EvaluateSettings


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--raw", default=layout.RAW, place=place, help="Folder of the photos, or s3://BUCKET/PREFIX.")
@path_option("--manifest", default=layout.MANIFEST, help="Table of valid files.")
@path_option("--model", default=layout.MODEL, help="The trained model.")
@path_option("--metrics", default=layout.METRICS, help="Folder of counts and scores.")
@stage("manifest", "model")
def main(inputs: Inputs, raw: Path | Bucket, manifest: Path, model: Path, metrics: Path) -> None:
    """Write the model card.

    It describes the model: its scores, the photos, settings, code, environment and hardware that made it, the commands
    that make it again, and its limits.

    \b
    Reads
      models/depixel.safetensors, .json   from stages/train.py
      metrics/*.json, comparison.csv      from all stages
      data/validated/manifest.csv         from stages/validate.py
    Writes
      models/depixel.md                   the model card

    \b
    Example
      python stages/card.py
    """
    sections = {
        "prepare": inputs.section("prepare", PrepareSettings),
        "split": inputs.section("split", SplitSettings),
        "pixelation": inputs.section("pixelation", PixelationSettings),
        "augment": inputs.section("augment", AugmentSettings),
        "train": inputs.section("train", TrainSettings),
        "predict": inputs.section("predict", PredictSettings),
        "evaluate": inputs.section("evaluate", EvaluateSettings),
    }
    inputs.watch(model.with_suffix(".json"))
    counts = {name: read_json(inputs.watch(metrics / f"{name}.json")) for name in ("validation", "split", "training")}
    try:
        comparison = pd.read_csv(inputs.watch(metrics / "comparison.csv"))
    except (OSError, ValueError) as error:
        raise DepixelError(f"{metrics}/comparison.csv: cannot be read ({error}). Make it with `dvc repro`") from error
    photos = snapshot(layout.LOCKED_RESULTS, manifest, raw.as_posix())
    text = card(model, Predictor.load(model), sections, counts, comparison, photos, raw.as_posix())
    with replacing(model.with_suffix(".md")) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
    click.echo(f"{model.with_suffix('.md').as_posix()}: the model card")


if __name__ == "__main__":
    main()
