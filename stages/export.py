"""Stage 7: write submission files and pictures of the predictions."""

from depixel.base import arithmetic

arithmetic.begin()  # before NumPy and PyTorch are imported

from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image

from depixel import sheets
from depixel.base import layout
from depixel.base.console import params_option, path_option, progress
from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.reuse import RECORD
from depixel.base.stage import Inputs, stage
from depixel.challenge.test_sets import ExportSettings, areas, read_test_set, write_submission
from depixel.dataset.samples import Photos, fixed_samples
from depixel.model.pixelation import PixelationSettings
from depixel.model.predictor import Predictor, PredictSettings
from depixel.scoring import scores

SHEET = 50
"""The maximum number of samples on a contact sheet."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@path_option("--prepared", default=layout.PREPARED, help="Folder of prepared photos.")
@path_option("--split", "splits", default=layout.SPLIT, help="Table of splits.")
@path_option("--model", default=layout.MODEL, help="The trained model.")
@path_option("--out", default=layout.PREDICTIONS, help="Output: the predictions; replaced.")
@stage("prepared/images.npy", "prepared/index.csv", "splits", "model")
def main(inputs: Inputs, prepared: Path, splits: Path, model: Path, out: Path) -> None:
    """Write submission files and pictures of the predictions.

    It predicts two sets: the test set in `export.test_set`, a pickle in the challenge's format (read without running
    its code), and the photos of your own that the evaluation scores, each with its first area. A test set does not
    contain the block sizes, so they are inferred from its pixels. `export.pictures` is the number of samples of each
    set to draw (0: none).

    \b
    Reads
      the file named by export.test_set
      data/prepared, data/split.csv    from stages/prepare.py and stages/split.py
      models/depixel.safetensors       from stages/train.py
    Writes
      predictions/submission.bin       predictions of the test set, to upload
      predictions/test_split.bin       predictions of the test side, in the same format
      predictions/*.png                samples: pixelated, prediction, and the truth if it is known
      predictions/made_by.json         record of code, model and samples, so that nothing is predicted twice

    \b
    Example
      python stages/export.py
    """
    if others := sorted(path.name for path in out.glob("[!.]*") if not _own(path)):
        raise DepixelError(f"{out}: this folder is overwritten, and it holds {others[0]}; choose an empty one")
    settings = inputs.section("export", ExportSettings)
    pixelation = inputs.section("pixelation", PixelationSettings)
    seed = inputs.section("evaluate", scores.EvaluateSettings)
    how = inputs.section("predict", PredictSettings)
    inputs.watch(model.with_suffix(".json"))
    arithmetic.use(arithmetic.of_model(model), __file__)
    inputs.watch(settings.test_set)
    if inputs.reusable(out / RECORD):
        click.echo(f"{out.as_posix()}: up to date (same code, model and samples).")
        return
    predictor = Predictor.load(model)
    own = fixed_samples(Photos.load(prepared, splits, "test").scored(), pixelation, scores.test_streams(seed)[:1])
    test_set = read_test_set(settings.test_set)
    parts = {
        "submission": (test_set.pixelated, areas(test_set.known), []),
        "test_split": (own.pixelated, own.areas, [own.images]),
    }
    with replacing(out) as folder:
        folder.mkdir()
        for name, (pixelated, where, truth) in parts.items():
            shown = partial(progress, desc=name, unit="batch")
            predictions = predictor.predict(pixelated, where, how.views, progress=shown, projection=how.projection)
            write_submission(folder / f"{name}.bin", predictions)
            for start in range(0, min(settings.pictures, len(predictions)), SHEET):
                some = range(start, min(start + SHEET, settings.pictures, len(predictions)))
                _sheet(pixelated, where, predictions, truth, some).save(folder / f"{name}_{start:05}.png")
            click.echo(f"{(out / name).as_posix()}.bin: {len(predictions)} predictions")
    inputs.made(*sorted(path for path in out.iterdir()))


def _own(path: Path) -> bool:
    return path.suffix in (".bin", ".png") or path.name == RECORD


def _sheet(
    pixelated: np.ndarray, where: np.ndarray, predictions: list[np.ndarray], truth: list[np.ndarray], some: range
) -> Image.Image:
    """A contact sheet of the samples with the numbers `some`; `truth` holds one array (N, S, S) or none."""
    panels = [
        [pixelated[i], sheets.fill(pixelated[i], where[i], predictions[i]), *(images[i] for images in truth)]
        for i in some
    ]
    titles = ["pixelated", "prediction", "truth"][: 2 + len(truth)]
    return sheets.contact_sheet(panels, titles, [f"sample {i}" for i in some], across=5, scale=1)


if __name__ == "__main__":
    main()
