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
@click.option("-o", "--output", "submission", type=options.path(), required=True, help="The submission to write.")
@options.model(
    [options.PIPELINE_MODEL],
    "models",
    multiple=True,
    callback=known_models,
    help="The model: the pipeline's, a pretrained one by its name, or any other by its path. Given more than once, the "
    "predictions of all are averaged.",
)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=8,
    show_default=True,
    help="How many turned views of each picture to average; 8 is best and slowest.",
)
@click.option(
    "--projection",
    type=click.Choice(["interval", "center"]),
    default="interval",
    show_default=True,
    help="What the mean of each block is moved onto: what the truth can be, or the middle of that.",
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
    """Restore a test set and write the submission for it.

    TEST_SET is a pickle in the challenge's format, packed or not; no code in it is run. The block sizes, which it does
    not say, are found from the pixels.

    \b
    Example:
      depixel predict test_set.pkl -o answer.bin
      depixel predict test_set.pkl -o answer.bin --model laptop      pretrained, from `dvc pull`
      depixel predict test_set.pkl -o answer.bin --model best        the lowest errors; five times as slow

    The pretrained models are under the MIT license, as this program is. Their cards, models/best.md and
    models/laptop.md, list the photos that they were trained on, and the terms that these are under.
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
    """Say whether a server would take a submission.

    Attempts there are few: this tells before one is spent whether SUBMISSION is intact and has as many predictions as
    TEST_SET has samples, and each as many pixels as are unknown. Exit code 0 if so, 1 if not. Either may be packed by
    bz2, gzip, xz or zip, whatever its name. The course's scoring script packs a submission in place.

    \b
    Example:
      depixel check answer.bin test_set.pkl
    """
    from depixel.challenge import test_sets

    predictions = test_sets.read_submission(submission)
    if packer := test_sets.packer_of(submission):
        click.echo(
            f"{submission}: is packed by {packer}, and a server takes it so. The course's scoring script packs the "
            "file that it scores in place, by bz2: keep a copy of what you wrote.",
            err=True,
        )
    if problems := test_sets.check(predictions, test_sets.read_test_set(test_set)):
        raise DepixelError("\n  ".join([f"{submission}: a server would not take it for {test_set}:", *problems]))
    click.echo(f"{submission}: {_amount(predictions)}, as {test_set} asks for; a server would take it")


@click.command()
@click.argument("submission", type=options.path())
@click.argument("targets", type=options.path())
@click.option(
    "--test-set", type=options.path(), help="For the ratios to the identity, where TARGETS holds the true pixels alone."
)
@options.as_json
def score(submission: Path, targets: Path, test_set: Path | None, as_json: bool) -> None:
    """Score a submission where the true pixels are known.

    TARGETS is a targets.npz, or the folder that holds it: `photos`, uint8 (P, H, W), and `areas`, integers (N, 5): x,
    y, width, height, block size; sample i is photo i modulo P. Or it is the course's target.data, a file like a
    submission that holds the true pixels; or a pickle of a list of them. All may be packed by bz2, gzip, xz or zip. The
    course's score is the RMSE's mean over images. The ratios compare to the identity, which leaves the pixelated areas
    as they are: 1 is useless, 0 is perfect.

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
        click.echo(f"{targets} does not say what was pixelated. For the ratios to the identity: --test-set TEST_SET")
    else:
        click.echo(f"{'ratio to identity':20}{scores['ratio_pooled']:20.4f}{scores['ratio_mean']:20.4f}")


def _counting_pictures(batches: "Iterable[np.ndarray]") -> "Iterator[np.ndarray]":
    """Show how many pictures of the batches are done, and the time left."""
    batches = list(batches)
    with progress(total=sum(map(len, batches)), unit=" pictures") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def _amount(predictions: "list[np.ndarray]") -> str:
    return f"{len(predictions)} predictions, {sum(map(len, predictions))} pixels"
