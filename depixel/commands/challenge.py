"""Commands for the files of the Image Depixelation Challenge."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from depixel.base.console import progress
from depixel.base.errors import DepixelError
from depixel.commands import options
from depixel.commands.models import known_models

if TYPE_CHECKING:
    import numpy as np


@click.command()
@click.argument("test_set", type=options.path())
@click.option("-o", "--output", "submission", type=options.path(), required=True, help="The submission file to write.")
@options.model(
    [options.PIPELINE_MODEL],
    "models",
    multiple=True,
    callback=known_models,
    help="The name of a pretrained model, or the path of any other. Repeat the option to average the predictions of "
    "several models.",
)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=8,
    show_default=True,
    help="Number of turned views of each picture to average; 8 is best and slowest.",
)
@click.option(
    "--projection",
    type=click.Choice(["interval", "center"]),
    default="interval",
    show_default=True,
    help="The mean that a restored block gets: the nearest one that is possible, or the center of the possible ones.",
)
@options.force
def predict(
    test_set: Path,
    submission: Path,
    models: tuple[str, ...],
    views: Literal[1, 2, 8],
    projection: Literal["interval", "center"],
    force: bool,
) -> None:
    """Restore a test set and write its submission file.

    TEST_SET is a pickle in the challenge's format, compressed or not. The command runs no code in it. It finds the
    block sizes from the pixels.

    \b
    Example:
      depixel predict test_set.pkl -o answer.bin
      depixel predict test_set.pkl -o answer.bin --model laptop      pretrained; `dvc pull` fetches it
      depixel predict test_set.pkl -o answer.bin --model best        the lowest errors; five times as slow

    The pretrained models are under the MIT license, like this program. Their cards, models/best.md and
    models/laptop.md, list the photos they were trained on and the terms of these photos.
    """
    options.refuse_existing(submission, force)
    from depixel.challenge.test_sets import areas, read_test_set, write_submission
    from depixel.model.predictor import Predictor

    samples = read_test_set(test_set)
    restorer = Predictor.averaging([Predictor.load(model) for model in models])
    predictions = restorer.predict(
        samples.pixelated, areas(samples.known), views, progress=_counting_pictures, projection=projection
    )
    write_submission(submission, predictions)
    click.echo(f"{submission}: {_amount(predictions)}")


@click.command()
@click.argument("submission", type=options.path())
@click.argument("test_set", type=options.path())
def check(submission: Path, test_set: Path) -> None:
    """Check whether a server would accept a submission.

    Servers allow few attempts, so check first. SUBMISSION must be intact, have one prediction for each sample of
    TEST_SET, and each prediction must have as many pixels as are unknown. The exit code is 0 if so, otherwise 1. Both
    files may be compressed by bz2, gzip, xz or zip, whatever their names. The course's scoring script compresses a
    submission in place.

    \b
    Example:
      depixel check answer.bin test_set.pkl
    """
    from depixel.challenge import test_sets

    predictions = test_sets.read_submission(submission)
    if packer := test_sets.packer_of(submission):
        click.echo(
            f"{submission}: is compressed by {packer}, which a server accepts. The course's scoring script compresses "
            "the file that it scores in place, by bz2: keep a copy of your file.",
            err=True,
        )
    if problems := test_sets.check(predictions, test_sets.read_test_set(test_set)):
        raise DepixelError("\n  ".join([f"{submission}: a server would not accept it for {test_set}:", *problems]))
    click.echo(f"{submission}: {_amount(predictions)}, as {test_set} requires. A server would accept it.")


@click.command()
@click.argument("submission", type=options.path())
@click.argument("targets", type=options.path())
@click.option(
    "--test-set",
    type=options.path(),
    help="Needed for the ratios to the identity if TARGETS holds only the true pixels.",
)
@options.as_json
def score(submission: Path, targets: Path, test_set: Path | None, as_json: bool) -> None:
    """Score a submission whose true pixels are known.

    TARGETS is a targets.npz or the folder that holds it. The file has `photos`, uint8 (P, H, W), and `areas`, integers
    (N, 5): x, y, width, height, block size. Sample i is photo i modulo P. TARGETS may also be the course's target.data,
    which holds the true pixels in the format of a submission, or a pickle of a list of them. All may be compressed by
    bz2, gzip, xz or zip.

    The course's score is the mean RMSE over the images. The ratios compare with the identity, which leaves the
    pixelated areas as they are: 1 is useless, 0 is perfect.

    \b
    Example:
      depixel score answer.bin targets.npz
      depixel score answer.bin target.data --test-set test_set.pkl
    """
    from depixel.challenge import test_sets, truth

    predictions = test_sets.read_submission(submission)
    known = truth.read(targets, test_sets.read_test_set(test_set) if test_set else None)
    scores = {key: round(value, 4) for key, value in truth.score(predictions, known).items()}
    if as_json:
        click.echo(json.dumps(scores))
        return
    click.echo(f"{'':20}{'all pixels pooled':>20}{'mean over images':>20}")
    click.echo(f"{'RMSE':20}{scores['rmse_pooled']:20.4f}{scores['rmse_mean']:20.4f}")
    if known.identities is None:
        click.echo(f"{targets} holds no pixelated pictures. For the ratios to the identity, add --test-set TEST_SET")
    else:
        click.echo(f"{'ratio to identity':20}{scores['ratio_pooled']:20.4f}{scores['ratio_mean']:20.4f}")


def _counting_pictures(batches: "Iterable[np.ndarray]") -> "Iterator[np.ndarray]":
    """Show the number of pictures done and the time left."""
    batches = list(batches)
    with progress(total=sum(map(len, batches)), unit=" pictures") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def _amount(predictions: "list[np.ndarray]") -> str:
    return f"{len(predictions)} predictions, {sum(map(len, predictions))} pixels"
