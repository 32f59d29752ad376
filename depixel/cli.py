"""The `depixel` command: what can be done without the pipeline. Each command imports what it needs when it runs."""

import json
from functools import partial
from pathlib import Path

import click

from depixel.command import progress, told_plainly
from depixel.errors import DepixelError


class PlainGroup(click.Group):
    """A group of commands which all tell their errors plainly."""

    invoke = told_plainly(click.Group.invoke)


def _path(**options) -> click.Path:
    return click.Path(path_type=Path, **options)


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="depixel")
def main() -> None:
    """Restore the pixelated areas of images.

    The pipeline that makes a model out of a folder of photos is run by `dvc repro`. The commands here use the model
    and the files of the Image Depixelation Challenge:

    \b
      depixel sample data/raw                        make photos to try everything out with
      depixel predict test_set.pkl -o answer.bin     restore a test set: the submission for it
      depixel check answer.bin test_set.pkl          would a server take the submission?
      depixel score answer.bin targets.npz           its error, where the true pixels are known

    `depixel COMMAND --help` says more about each.
    """


@main.command()
@click.argument("folder", type=_path(file_okay=False))
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same photos, byte for byte.")
@click.option("--contributors", default=12, show_default=True, help="How many ZIPs.")
@click.option("--photos", default=50, show_default=True, help="How many photos in each.")
@click.option("--test-set", type=_path(file_okay=False), help="Also write a test set of other photos to this folder.")
def sample(folder: Path, seed: int, contributors: int, photos: int, test_set: Path | None) -> None:
    """Make photos to try the pipeline with.

    Writes contributors' ZIPs of generated, photo-like JPEGs into FOLDER, which must be new or empty. A few files are
    invalid on purpose, so that the validation has something to say. --test-set writes 40 samples in the challenge's
    format, test_set.pkl, and what they hide, targets.npz.

    \b
    Example:
      depixel sample data/raw --contributors 3 --photos 10
    """
    from depixel import challenge
    from depixel.sample import unseen_photos, write_sample

    with progress(total=contributors, unit="contributor") as bar:
        write_sample(folder, seed=seed, contributors=contributors, photos=photos, on_done=bar.update)
    click.echo(f"{folder}: {contributors} contributors' ZIPs with {photos} photos each")
    if test_set:
        challenge.write_test_set(test_set, *unseen_photos(seed, count=40))
        click.echo(f"{test_set}: 40 samples of other photos")


@main.command()
@click.argument("test_set", type=_path())
@click.option("-o", "--output", "submission", type=_path(), required=True, help="The submission to write.")
@click.option(
    "--model",
    type=_path(),
    default="models/depixel.safetensors",
    show_default=True,
    help="The trained model; its configuration is beside it.",
)
@click.option(
    "--views",
    type=click.Choice([1, 2, 8]),
    default=8,
    show_default=True,
    help="How many turned views of each picture to average; 8 is best and slowest.",
)
@click.option("--force", is_flag=True, help="Overwrite an earlier submission.")
def predict(test_set: Path, submission: Path, model: Path, views: int, force: bool) -> None:
    """Restore a test set and write the submission for it.

    TEST_SET is a pickle in the challenge's format; no code in it is run. The block sizes, which it does not say, are
    found from the pixels.

    \b
    Example:
      depixel predict test_set.pkl -o answer.bin
    """
    if submission.exists() and not force:
        raise DepixelError(f"{submission}: exists already. Choose another name, or overwrite it: --force")
    from depixel.challenge import areas, read_test_set, write_submission
    from depixel.restoration import Restorer

    samples = read_test_set(test_set)
    restorer = Restorer.load(model)
    predictions = restorer.predict(
        samples.pixelated, areas(samples.known), views, progress=partial(progress, unit="batch")
    )
    write_submission(submission, predictions)
    click.echo(f"{submission}: {_amount(predictions)}")


@main.command()
@click.argument("submission", type=_path())
@click.argument("test_set", type=_path())
def check(submission: Path, test_set: Path) -> None:
    """Say whether a server would take a submission.

    Attempts there are few: this tells before one is spent whether SUBMISSION is intact and has as many predictions as
    TEST_SET has samples, and each as many pixels as are unknown. Exit code 0 if so, 1 if not.

    \b
    Example:
      depixel check answer.bin test_set.pkl
    """
    from depixel import challenge

    predictions = challenge.read_submission(submission)
    if problems := challenge.check(predictions, challenge.read_test_set(test_set)):
        raise DepixelError("\n  ".join([f"{submission}: a server would not take it for {test_set}:", *problems]))
    click.echo(f"{submission}: {_amount(predictions)}, as {test_set} asks for; a server would take it")


@main.command()
@click.argument("submission", type=_path())
@click.argument("targets", type=_path())
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def score(submission: Path, targets: Path, as_json: bool) -> None:
    """Score a submission where the true pixels are known.

    TARGETS is a targets.npz, or the folder that holds it: `photos`, uint8 (P, H, W), and `areas`, integers (N, 5): x,
    y, width, height, block size; sample i is photo i modulo P. The ratios compare to the identity, which leaves the
    pixelated areas as they are: 1 is useless, 0 is perfect.

    \b
    Example:
      depixel score answer.bin targets.npz
    """
    from depixel import challenge

    predictions = challenge.read_submission(submission)
    scores = {
        key: round(value, 4) for key, value in challenge.score(predictions, *challenge.read_targets(targets)).items()
    }
    if as_json:
        click.echo(json.dumps(scores))
        return
    click.echo(f"{'':20}{'all pixels pooled':>20}{'mean over images':>20}")
    click.echo(f"{'RMSE':20}{scores['rmse_pooled']:20.4f}{scores['rmse_mean']:20.4f}")
    click.echo(f"{'ratio to identity':20}{scores['ratio_pooled']:20.4f}{scores['ratio_mean']:20.4f}")


def _amount(predictions: list) -> str:
    return f"{len(predictions)} predictions, {sum(map(len, predictions))} pixels"


if __name__ == "__main__":
    main()
