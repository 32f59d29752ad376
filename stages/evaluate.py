"""Stage 5: score the trained model on the test side, beside the baselines."""

from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd

from depixel import sheets
from depixel.base.console import params_option, progress
from depixel.base.files import replacing, write_json
from depixel.base.reuse import RECORD
from depixel.base.stage import Inputs, stage
from depixel.dataset.prepared import load_index
from depixel.dataset.samples import Photos, fixed_samples
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor, PredictSettings
from depixel.scoring import scores
from depixel.scoring.baselines import BASELINES

PATH = click.Path(path_type=Path)
SHOWN = 12
BESIDE = ("kriging", "interpolation", "bicubic", "identity")  # of the baselines; all in benchmarks/baselines.py


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@click.option("--prepared", default="data/prepared", show_default=True, type=PATH, help="The prepared photos.")
@click.option("--split", "splits", default="data/split.csv", show_default=True, type=PATH, help="Their sides.")
@click.option("--model", default="models/depixel.safetensors", show_default=True, type=PATH, help="The trained model.")
@click.option("--metrics", default="metrics", show_default=True, type=PATH, help="For the tables and the picture.")
@stage("prepared/images.npy", "prepared/index.csv", "splits", "model")
def main(inputs: Inputs, prepared: Path, splits: Path, model: Path, metrics: Path) -> None:
    """Score the trained model on the test side, beside the baselines.

    Each test photo gets `evaluate.areas_per_photo` areas that follow from its name and `evaluate.seed`, so that two
    models are always scored on the same pixels. RMSE is in gray levels (0..255): over all pixels pooled, and the mean
    over images of each one's. Ratios are to the identity, which leaves the area as it is: 1 is useless, 0 perfect. In
    brackets are 95 % confidence intervals over the choice of test photos.

    \b
    Reads
      data/prepared, data/split.csv    from stages/prepare.py and stages/split.py
      models/depixel.safetensors       from stages/train.py
    Writes
      metrics/evaluation.json          the model's scores
      metrics/comparison.csv           the same for the model, kriging, two interpolations of the block means and the
                                       identity; with intervals
      metrics/samples.csv              the model's squared error and the identity's in each area: what
                                       `depixel compare` reads
      metrics/by_block_size.csv        the model's scores by block size
      metrics/by_area.csv              and by area, in classes up to so many pixels
      metrics/calibration.csv          how well the model knows how far off it is, pixels in classes from the surest
                                       on; only the header unless it was trained with `train.uncertainty`
      metrics/contact_sheet.png        samples from the best to the worst: pixelated, prediction, truth, error, and
                                       the error that the model expects if it was trained to
      metrics/evaluation.made_by.json  by which code, model and photos, so that nothing is scored twice

    \b
    Example
      python stages/evaluate.py
    """
    settings = inputs.section("evaluate", scores.EvaluateSettings)
    pixelation = inputs.section("pixelation", PixelationSettings)
    how = inputs.section("predict", PredictSettings)
    inputs.watch(model.with_suffix(".json"))
    if inputs.reusable(metrics / f"evaluation.{RECORD}"):
        click.echo(f"{metrics.as_posix()}/evaluation.json: is of this very code, model and photos; it stays as it is.")
        return
    restorer = Predictor.load(model)
    photos = Photos.load(prepared, splits, "test")
    samples = fixed_samples(photos, pixelation, scores.test_streams(settings))
    restorers = {"model": restorer} | {name: Predictor(BASELINES[name](), restorer.configuration) for name in BESIDE}
    found = {
        name: one.predict_with_errors(
            samples.pixelated,
            samples.areas,
            how.views if one is restorer else 1,  # the baselines are the same in every view
            progress=partial(progress, desc=name, unit="batch"),
            projection=how.projection,
        )
        for name, one in restorers.items()
    }
    predictions, expected = {name: both[0] for name, both in found.items()}, found["model"][1]
    index = load_index(prepared / "index.csv")
    names = [(index[row].contributor, index[row].name) for row in photos.rows]
    errors = {name: scores.squared_errors(p, samples.targets) for name, p in predictions.items()}
    models = {
        name: scores.sample_table(names, samples.areas, error, errors["identity"]) for name, error in errors.items()
    }
    spread = scores.intervals(models, difference=("model", "kriging"))
    ours = models["model"]
    tables = {
        "samples": ours,
        "comparison": scores.comparison(models, spread),
        "by_block_size": scores.breakdown("block_size", ours["block_size"], ours),
        "by_area": scores.breakdown("area_up_to", scores.area_class(samples.areas), ours),
        "calibration": pd.DataFrame(columns=scores.CALIBRATION_COLUMNS),
    }
    if restorer.configuration.uncertainty:
        off = np.concatenate(predictions["model"]).astype(np.int64) - np.concatenate(samples.targets)
        tables["calibration"] = scores.calibration(off, np.concatenate(expected))
    for name, table in tables.items():
        with replacing(metrics / f"{name}.csv") as beside:
            table.to_csv(beside, index=False, lineterminator="\n")
    with replacing(metrics / "contact_sheet.png") as beside:
        _sheet(samples, predictions["model"], errors["model"], expected).save(beside, "PNG")
    write_json(metrics / "evaluation.json", scores.score(ours))
    written = (*(f"{name}.csv" for name in tables), "contact_sheet.png", "evaluation.json")
    inputs.made(*(metrics / name for name in written))
    click.echo(scores.readable(tables["comparison"]).to_string(index=False, float_format="{:.3f}".format))
    difference = scores.readable(spread).iloc[-1]
    click.echo(f"{difference.model}: ratio_pooled {difference.ratio_pooled}, ratio_mean {difference.ratio_mean}")
    click.echo(f"On {len(ours)} areas of {len(names)} test photos.")
    click.echo("In brackets: 95 % confidence intervals over the choice of test photos.")
    for row in tables["calibration"].tail(1).itertuples():
        click.echo(
            f"Expected RMSE {row.expected_rmse:.2f}, observed {row.observed_rmse:.2f}; off by at most once what is "
            f"expected {row.within_1:.1%} of the pixels, at most twice {row.within_2:.1%}; correlation "
            f"{row.correlation:.2f}"
        )
    click.echo(f"Pictures: {(metrics / 'contact_sheet.png').as_posix()}")


def _sheet(samples, predictions: list[np.ndarray], squared_errors: np.ndarray, expected: list[np.ndarray]):
    """Samples at even steps from the lowest RMSE to the highest."""
    rmse = np.sqrt(squared_errors / samples.areas[:, 2:4].prod(axis=1))
    chosen = np.argsort(rmse, kind="stable")[np.linspace(0, len(rmse) - 1, SHOWN).astype(int)]
    panels = []
    for i in chosen:
        restored = sheets.fill(samples.pixelated[i], samples.areas[i], predictions[i])
        truth = samples.images[i]
        panels.append([samples.pixelated[i], restored, truth, sheets.error_picture(restored, truth)])
        if len(expected[i]):  # bright where it is unsure
            bright = (4 * expected[i]).clip(0, 255).astype(np.uint8)
            panels[-1].append(sheets.fill(np.zeros_like(truth), samples.areas[i], bright))
    captions = [f"RMSE {rmse[i]:.1f}, blocks of {samples.areas[i, 4]} px" for i in chosen]
    titles = ["pixelated", "prediction", "truth", "error", "expected error"][: len(panels[0])]
    return sheets.contact_sheet(panels, titles, captions, across=2)


if __name__ == "__main__":
    main()
