"""Stage 5: score the trained model and the baselines on the test side."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

from pathlib import Path

import click

from depixel.base import layout
from depixel.base.console import params_option, path_option, progress
from depixel.base.files import replacing, write_json
from depixel.base.reuse import RECORD
from depixel.base.stage import Inputs, stage
from depixel.dataset.prepared import load_index
from depixel.dataset.samples import Photos, fixed_samples
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor, PredictSettings
from depixel.scoring import evaluation, scores


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--prepared", default=layout.PREPARED, help="Folder of prepared photos.")
@path_option("--split", "splits", default=layout.SPLIT, help="Table of splits.")
@path_option("--model", default=layout.MODEL, help="The trained model.")
@path_option("--metrics", default=layout.METRICS, help="Output: tables and contact sheet.")
@stage("prepared/images.npy", "prepared/index.csv", "splits", "model")
def main(inputs: Inputs, prepared: Path, splits: Path, model: Path, metrics: Path) -> None:
    """Score the trained model and the baselines on the test side.

    Each test photo gets `evaluate.areas_per_photo` areas, which depend only on its name and `evaluate.seed`. So two
    models are always scored on the same pixels. Of more than 10 000 test photos (fewer above 128 pixels a side), it
    scores 10 000, drawn by their names. The RMSEs are in gray levels (0..255): rmse_pooled over all pixels, and
    rmse_mean, the mean of the images' RMSEs. A ratio is the RMSE divided by that of the identity, which leaves the area
    unchanged: 1 is useless, 0 is perfect. Brackets show 95 % confidence intervals over the choice of test photos.

    \b
    Reads
      data/prepared, data/split.csv    from stages/prepare.py and stages/split.py
      models/depixel.safetensors       from stages/train.py
    Writes
      metrics/evaluation.json          the model's scores; rmse_worst_kind is the highest rmse_mean in by_kind.csv
      metrics/comparison.csv           scores of the model, kriging, two interpolations of the block means and the
                                       identity, with confidence intervals
      metrics/samples.csv              the squared errors of the model and the identity in each area; `depixel
                                       compare` reads it
      metrics/by_block_size.csv        the model's scores by block size
      metrics/by_area.csv              the model's scores by number of pixels in the area, in classes
      metrics/by_kind.csv              the model's scores by kind of photo: each third of the test photos by brightness,
                                       contrast and detail
      metrics/calibration.csv          expected and observed error, in classes of pixels from the lowest expected
                                       error on; only the header unless trained with `train.uncertainty`
      metrics/contact_sheet.png        samples from the best to the worst: pixelated, prediction, truth, error, and
                                       with `train.uncertainty` the expected error
      metrics/evaluation.made_by.json  record of code, model and photos, so that nothing is scored twice

    \b
    Example
      python stages/evaluate.py
    """
    settings = inputs.section("evaluate", scores.EvaluateSettings)
    pixelation = inputs.section("pixelation", PixelationSettings)
    how = inputs.section("predict", PredictSettings)
    inputs.watch(model.with_suffix(".json"))
    arithmetic.use(arithmetic.of_model(model), __file__)
    if inputs.reusable(metrics / f"evaluation.{RECORD}"):
        click.echo(f"{metrics.as_posix()}/evaluation.json: up to date (same code, model and photos).")
        return
    predictor = Predictor.load(model)
    test = Photos.load(prepared, splits, "test")
    photos = test.scored()
    samples = fixed_samples(photos, pixelation, scores.test_streams(settings))
    index = load_index(prepared / "index.csv")
    names = [(index[row].contributor, index[row].name) for row in photos.rows]
    found = evaluation.evaluate(predictor, samples, names, how, progress)
    for name, table in found.tables.items():
        with replacing(metrics / f"{name}.csv") as beside:
            table.to_csv(beside, index=False, lineterminator="\n")
    with replacing(metrics / "contact_sheet.png") as beside:
        found.sheet.save(beside, "PNG")
    write_json(metrics / "evaluation.json", found.score)
    written = (*(f"{name}.csv" for name in found.tables), "contact_sheet.png", "evaluation.json")
    inputs.made(*(metrics / name for name in written))
    for line in evaluation.readable(found):
        click.echo(line)
    if len(photos) < len(test):
        click.echo(f"They are drawn by their names from the {len(test)} test photos, as training does with validation.")
    click.echo(f"Pictures: {(metrics / 'contact_sheet.png').as_posix()}")


if __name__ == "__main__":
    main()
