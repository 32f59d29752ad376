"""The `depixel` command: what can be done without the pipeline. Each command imports what it needs when it runs."""

import json
from functools import partial
from pathlib import Path

import click

from depixel.command import PlainGroup, progress
from depixel.errors import DepixelError


def _path(**options) -> click.Path:
    return click.Path(path_type=Path, **options)


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="depixel")
def main() -> None:
    """Restore the pixelated areas of images.

    The pipeline that makes a model out of a folder of photos is run by `dvc repro`. The commands here use the model
    and the files of the Image Depixelation Challenge, and tell differences between models from luck:

    \b
      depixel sample data/raw                        make photos to try everything out with
      depixel predict test_set.pkl -o answer.bin     restore a test set: the submission for it
      depixel check answer.bin test_set.pkl          would a server take the submission?
      depixel score answer.bin targets.npz           its error, where the true pixels are known
      depixel compare main                           is the model here better than that of main?
      depixel seeds 5                                how much do scores differ from seed to seed?
      depixel mend                                   DVC was killed and says that its files are corrupted

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
    "models",
    multiple=True,
    metavar="NAME|PATH",
    default=["models/depixel.safetensors"],
    show_default=True,
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
@click.option("--force", is_flag=True, help="Overwrite an earlier submission.")
def predict(
    test_set: Path, submission: Path, models: tuple[str, ...], views: int, projection: str, force: bool
) -> None:
    """Restore a test set and write the submission for it.

    TEST_SET is a pickle in the challenge's format; no code in it is run. The block sizes, which it does not say, are
    found from the pixels.

    \b
    Example:
      depixel predict test_set.pkl -o answer.bin
      depixel predict test_set.pkl -o answer.bin --model laptop      pretrained, from `dvc pull`
    """
    if submission.exists() and not force:
        raise DepixelError(f"{submission}: exists already. Choose another name, or overwrite it: --force")
    from depixel.challenge import areas, read_test_set, write_submission
    from depixel.restoration import Restorer, model_path

    samples = read_test_set(test_set)
    restorer = Restorer.averaging([Restorer.load(model_path(model)) for model in models])
    predictions = restorer.predict(
        samples.pixelated, areas(samples.known), views, progress=partial(progress, unit="batch"), projection=projection
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


@main.command()
@click.argument("a")
@click.argument("b", default="workspace")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def compare(a: str, b: str, as_json: bool) -> None:
    """Say whether one model is better than another, or whether it was luck.

    A and B are each a git revision, the name of a DVC experiment, or the path of a samples.csv, as an evaluation writes
    it; `workspace`, and B if it is not given, is the metrics/samples.csv here. Both are compared on the samples that
    both were scored on.

    The brackets are 95 % confidence intervals over the choice of test photos: how far other photos could move the
    ratios to the identity, and their difference. If the interval of the difference holds 0, other photos might reverse
    it. The seed of the training is luck, too, which these intervals do not show: `depixel seeds`.

    \b
    Example:
      depixel compare main                    that of main and the one here
      depixel compare narrow wide             two experiments of `dvc exp run --name`
    """
    from depixel import comparison, evaluation

    tables = [comparison.read_samples(source) for source in (a, b)]
    result = comparison.compare(*tables)
    if as_json:
        rows = result.ratios.set_index("model").to_dict("index")
        counts = {"samples": result.samples, "photos": result.photos}
        click.echo(json.dumps({**rows, **counts, "verdict": result.verdict()}))
        return
    click.echo(f"A: {a}\nB: {b}\n")
    click.echo(evaluation.readable(result.ratios).to_string(index=False))
    of = "" if result.samples == max(map(len, tables)) else f", of {len(tables[0])} of A and {len(tables[1])} of B"
    click.echo(f"\n{result.verdict()}\nOn {result.samples} samples of {result.photos} photos, which both have{of}.")
    click.echo("In brackets: 95 % confidence intervals over the choice of test photos.")


@main.command()
@click.argument("count", metavar="N", type=click.IntRange(min=2))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def seeds(count: int, as_json: bool) -> None:
    """Train with N seeds and say how much the scores differ.

    Trains and scores the present settings and photos with `train.seed` of params.yaml and the N - 1 seeds after it, on
    the same test photos. Prints the scores of each, their mean, their standard deviation, and the 95 % confidence
    interval of the mean. A difference between two settings that is not larger than this spread can be luck.

    Everything is written to seeds/: a folder for each seed, and seeds.csv. The project's own model and metrics stay.
    After an interruption the same command goes on where it was.

    \b
    Example:
      depixel seeds 5
    """
    from depixel.seeds import run_seeds

    table = run_seeds(count, tell=partial(click.echo, err=True))
    if as_json:
        click.echo(json.dumps(table.to_dict("index")))
        return
    click.echo(table.to_string(float_format="{:.4f}".format))


@main.command()
def mend() -> None:
    """Put right what a kill or a power cut did to DVC's own files.

    The stages never leave anything half-written, but DVC itself can be cut off while it writes dvc.lock or
    .dvc/tmp/rwlock, and then refuses to work. Restores the one from the last commit and removes the other; whole files
    stay as they are. Then run `dvc repro` again.

    \b
    Example:
      depixel mend                            then `dvc repro`
    """
    from depixel.mend import mend

    for sentence in mend(Path()) or ["Nothing to mend: dvc.lock and .dvc/tmp/rwlock are whole."]:
        click.echo(sentence)


def _amount(predictions: list) -> str:
    return f"{len(predictions)} predictions, {sum(map(len, predictions))} pixels"


if __name__ == "__main__":
    main()
