"""Commands for experiments: run many, compare them, keep and show what they reached."""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from depixel.base import layout
from depixel.base.console import progress
from depixel.commands import options

if TYPE_CHECKING:
    import pandas as pd

    from depixel.experiments.sweep import Outcome


@click.command()
@click.argument("a")
@click.argument("b", nargs=-1, metavar="[B]...")
@options.as_json
def compare(a: str, b: tuple[str, ...], as_json: bool) -> None:
    """Say whether one model is better than another, or whether it was luck.

    A and B are each a git revision, the name of a DVC experiment, or the path of a samples.csv, as an evaluation writes
    it; `workspace`, and B if it is not given, is the metrics/samples.csv here. They are compared on the samples that
    all were scored on. Several B are each compared with A, by intervals that hold together: of twenty variants that are
    alike, one looks best by luck.

    The brackets are 95 % confidence intervals over the choice of test photos: how far other photos could move the
    ratios to the identity, and their difference. If the interval of the difference holds 0, other photos might reverse
    it. The seed of the training is luck, too, which these intervals do not show: `depixel seeds`.

    \b
    Example:
      depixel compare main                    that of main and the one here
      depixel compare narrow wide             two experiments of `dvc exp run --name`
      depixel compare main one two three      which of them differ from main?
    """
    from depixel.experiments import comparison
    from depixel.scoring import scores

    first, *others = sources = (a, *(b or (comparison.WORKSPACE,)))
    tables = [comparison.read_samples(source) for source in sources]
    if len(others) > 1:
        models = comparison.common(dict(zip(sources, tables, strict=True)))
        table = comparison.compare_many(models)
        if as_json:
            click.echo(json.dumps(table.set_index("model").round(6).replace({math.nan: None}).to_dict("index")))
            return
        click.echo(_differences(table).to_string(index=False))
        click.echo(
            f"\nOn {len(models[first])} samples, which all have. Beside: the difference to {first}, with simultaneous "
            "95 % confidence intervals over the choice of test photos; * where they exclude 0."
        )
        return
    result = comparison.compare(*tables)
    if as_json:
        rows = result.ratios.set_index("model").to_dict("index")
        counts = {"samples": result.samples, "photos": result.photos}
        click.echo(json.dumps({**rows, **counts, "verdict": result.verdict()}))
        return
    click.echo(f"A: {first}\nB: {others[0]}\n")
    click.echo(scores.readable(result.ratios)[["model", "ratio_mean", "ratio_pooled"]].to_string(index=False))
    of = "" if result.samples == max(map(len, tables)) else f", of {len(tables[0])} of A and {len(tables[1])} of B"
    click.echo(f"\n{result.verdict()}\nOn {result.samples} samples of {result.photos} photos, which both have{of}.")
    click.echo("In brackets: 95 % confidence intervals over the choice of test photos.")


def _differences(table: "pd.DataFrame") -> "pd.DataFrame":
    """A row of text a model, such as 0.712   -0.006 [-0.010, -0.002] *"""
    told = table[["model"]].copy()
    for ratio in ("ratio_mean", "ratio_pooled"):
        told[ratio] = table[ratio].map("{:.3f}".format)
        columns = (table[f"{ratio}_{end}"] for end in ("difference", "low", "high"))
        told[f"{ratio} less the first's"] = [
            "" if low != low else f"{value:+.4f} [{low:+.4f}, {high:+.4f}] {'*' if low > 0 or high < 0 else ' '}"
            for value, low, high in zip(*columns, strict=True)
        ]
    return told


@click.command()
@click.argument("count", metavar="N", type=click.IntRange(min=2))
@options.as_json
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
    from depixel.experiments.seeds import run_seeds

    table = run_seeds(count, tell=partial(click.echo, err=True))
    if as_json:
        click.echo(json.dumps(table.to_dict("index")))
        return
    click.echo(table.to_string(float_format="{:.4f}".format))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options.as_json
@click.option(
    "-o",
    "--out",
    type=options.path(dir_okay=False),
    help="Write the JSON to a file, too; the report shows it in metrics/baselines.json.",
)
def baselines(names: tuple[str, ...], as_json: bool, out: Path | None) -> None:
    """Compare the model with classical methods, on the same test photos.

    \b
    These learn nothing:
      identity                     leaves the blocks as they are
      bilinear, bicubic, lanczos   interpolate the means of the blocks
      interpolation                a smooth picture with these means that continues the known pixels
      kriging                      the most likely picture of a Gaussian process
    These learn from the photos for training (scikit-learn) what kriging lacks:
      least_squares, ridge, nearest_neighbours, decision_tree, random_forest, gradient_boosting,
      svm_linear, svm_rbf, mlp

    Trains and scores those named, or all, and the model of the last `dvc repro`, lowest ratio_mean first. The ratios
    are those of the stage evaluate, with 95 % confidence intervals over the choice of test photos. The seconds of
    training include drawing the pixels to learn from; they and pictures/s are of all cores of this machine. Large
    collections are sampled, so that all of it takes some minutes; it says what it left out. The same photos and
    settings give the same scores on the same machine.

    \b
    Example:
      depixel baselines
      depixel baselines kriging ridge mlp
      depixel baselines -o metrics/baselines.json     and the next `depixel report` shows it
    """
    from depixel.base import arithmetic
    from depixel.base.files import write_json

    if arithmetic.of_model(layout.MODEL) == "portable":  # as the stage evaluate, before NumPy is imported
        arithmetic.begin()
    from depixel.scoring import ranking

    with progress(total=None, bar_format="{desc}") as line:
        found = ranking.rank(names, line.set_description_str, partial(progress, leave=False))
    content = ranking.as_json(found)
    if out:
        write_json(out, content)
    if as_json:
        click.echo(json.dumps(content))
        return
    click.echo(ranking.readable(found.table).to_string(index=False))
    for told in ranking.told(found):
        click.echo(told)


@click.command()
@click.argument("folds", metavar="K", type=click.IntRange(min=3))
@click.option("--name", help="What the names of the experiments begin with; cvK by default.")
@click.option("-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUE", help="As of `dvc exp run`.")
@options.as_json
def crossvalidate(folds: int, name: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Train K times, so that each photo is tested once.

    Sorts the contributors (or photos, as `split.by` says) into K folds by a hash of their names. Each fold is the test
    side of one experiment; the next fold is its validation side, and it trains on the others. Then prints the test
    scores of each fold, their mean, their standard deviation, and a 95 % confidence interval of the mean.

    Folds share their training photos, so their scores are more alike than those on new photos. The interval is wider
    for that: it is the one of the corrected resampled t-test (Nadeau & Bengio 2003).

    The experiments are of DVC, called NAME-fold=0 and so on, from the last commit; -S changes a setting in all of them.
    After a kill or Ctrl-C the same command goes on: finished folds are not trained again. Everything until then is in
    sweeps/NAME/. Needs Optuna: `pip install optuna`.

    \b
    Example:
      depixel crossvalidate 5
      depixel crossvalidate 5 --name narrow -S train.width=8
    """
    from depixel.experiments import crossvalidation

    tell = partial(click.echo, err=True)
    table = crossvalidation.crossvalidate(folds, name or f"cv{folds}", settings, tell)
    if as_json:
        click.echo(json.dumps(table.to_dict("index")))
        return
    click.echo(table.rename_axis("fold").to_string(float_format="{:.4f}".format))


@click.command()
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Set params.yaml to settings that have a name.

    Writes the values of a preset into params.yaml and leaves comments and all other settings as they are. They stand in
    presets.yaml; without NAME, prints that. `dvc repro` or `dvc exp run` then runs with them; `git checkout
    params.yaml` takes them back.

    \b
    Example:
      depixel preset debug
    """
    from depixel import params

    if name is None:
        click.echo(layout.PRESETS.read_text(encoding="utf-8"), nl=False)
        return
    for key, value in params.use_preset(name).items():
        click.echo(f"{key}: {value}")


@click.command()
@click.argument("name")
@click.option(
    "-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUES", help="As of `dvc exp run`; see above."
)
@click.option("--list", "variants", type=click.File(encoding="utf-8"), help="A file of experiments, a line each.")
@click.option("--trials", type=click.IntRange(min=1), help="Search with N experiments instead of running all.")
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of experiments that run at the same time.",
)
@click.option("--no-prune", is_flag=True, help="Train all to their end, those that fall behind, too.")
@options.as_json
def sweep(
    name: str, settings: tuple[str, ...], variants: TextIO, trials: int, jobs: int, no_prune: bool, as_json: bool
) -> None:
    """Run an experiment for each of many settings.

    Each becomes an experiment of DVC, called NAME and what it differs in, from the last commit. The table at the end is
    sorted by the validation RMSE, lowest first; the scores beside it are of the test photos. Needs Optuna: `pip install
    optuna`.

    \b
    Values, in the grammar of `dvc exp run`:
      -S train.epochs=20                            the same for all
      -S train.width=16,32,48                       each of them
      -S "train.width=range(16,65,16)"              from 16 in steps of 16 to below 65
      -S "train.learning_rate=interval(1e-4,1e-2)"  anything between; with --trials only

    Several -S are multiplied out: all combinations. In the file of --list each line is an experiment, its settings
    separated by spaces. With --trials a Bayesian search (Optuna, TPE) chooses so many of the combinations, each with
    what it has learned from those before; over an interval whose ends are a factor of 10 apart it looks by factors.

    Once four have finished, one whose validation RMSE is above the median that others had after the same epoch is
    ended, but not in the first quarter of its epochs. None is where that says nothing: where the number of epochs
    varies, or the samples do (prepare, split, pixelation).

    After a kill or Ctrl-C the same command goes on: what has finished is not run again, and trainings go on from their
    checkpoints. Everything until then is in sweeps/NAME/. With --jobs 2 two trainings share the cores, at half of the
    speed each.

    \b
    Example:
      depixel sweep width -S train.width=16,32,48
      depixel sweep grid -S train.width=16,32 -S train.dropout=0,0.1 --jobs 2
      depixel sweep rate -S "train.learning_rate=interval(1e-4,1e-2)" --trials 20
      depixel sweep week --list variants.txt
    """
    from depixel.experiments import sweep
    from depixel.experiments.plan import Plan

    lines = [line.split("#")[0].strip() for line in variants or ()]
    plan = Plan(name, settings, [line for line in lines if line], trials)
    outcome = sweep.run(plan, jobs, not no_prune, tell=partial(click.echo, err=True))
    if as_json:
        told = {"finished": outcome.finished.to_dict("records"), "others": outcome.others, "mattered": outcome.mattered}
        click.echo(json.dumps(told))
    else:
        _show(outcome, plan.alike)
    if outcome.failed:
        raise SystemExit(1)


def _show(outcome: "Outcome", alike: bool) -> None:
    """Print what came of a sweep; `alike` as of its plan."""
    from depixel.experiments import records

    if len(outcome.finished):
        click.echo(records.readable(outcome.finished, by="validation_rmse").to_string(index=False))
    if len(outcome.finished) > 1 and not alike:
        click.echo("They are validated on different samples: neither RMSEs nor ratios say which is better.")
    elif len(outcome.finished) > 1:
        best = outcome.finished.sort_values("validation_rmse")["name"][:3]
        click.echo(f"Is the first better than the next, or is it luck?  depixel compare {' '.join(best)}")
    if outcome.mattered:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in outcome.mattered.items())
        click.echo(f"Share of each setting in the differences in validation RMSE: {shares}")
    for experiment, why in outcome.others.items():
        click.echo(f"{experiment}: {why}")


_SHOWN = 10
"""Number of experiments that a table shows without --all."""
_all = click.option("--all", "everything", is_flag=True, help="Show all, not only the best.")


def _show_best(table: "pd.DataFrame", by: str, also: Sequence[str], everything: bool) -> None:
    """Print the experiments with the lowest score `by` and those named `also`, and how many others there are."""
    from depixel.experiments import records

    table = table.sort_values(by, ignore_index=True)
    shown = table if everything else table[(table.index < _SHOWN) | table["name"].isin(also)]
    click.echo(records.readable(shown, by=by).to_string(index=False))
    if more := len(table) - len(shown):
        click.echo(f"and {more} more, which --all shows")


@click.command("experiments")
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print all settings and scores as CSV.")
@_all
def list_experiments(as_json: bool, as_csv: bool, everything: bool) -> None:
    """List the experiments that are here, whatever commit they started from, and the last commit, HEAD.

    Shows the ten with the lowest validation RMSE, and HEAD; --all, --csv and --json show all. To choose by the test
    scores beside it would make them too good. Of the settings, those that differ. `dvc exp show` lists the experiments
    of the last commit, and with -A those of all.

    \b
    Example:
      depixel experiments
      depixel experiments --csv > experiments.csv
    """
    from depixel.experiments import records

    table, lacking = records.all_experiments()
    for why in lacking:
        click.echo(f"Not listed: {why}", err=True)
    if as_csv:
        click.echo(table.to_csv(index=False), nl=False)
    elif as_json:
        click.echo(json.dumps(table.to_dict("records")))
    elif set(table["name"]) - {"HEAD"}:
        _show_best(table, "validation_rmse", ["HEAD"], everything)
    else:
        with_results = " with results" if lacking else ""
        click.echo(f"No experiment{with_results} here so far. `dvc exp run --name NAME -S train.width=48` makes one")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-m", "--note", default="", help="Why they matter.")
@options.as_json
@_all
def record(names: tuple[str, ...], note: str, as_json: bool, everything: bool) -> None:
    """Keep experiments in a tracked table.

    DVC's experiments do not travel with a clone; metrics/experiments.csv does, and so do the errors of each sample in
    metrics/recorded, by which `depixel compare NAME` works there, too. Adds the experiments, or git revisions,
    NAME with all their settings, scores with 95 % confidence intervals over the test photos, the commit of the code (+
    if the experiment changed it), the snapshot of the photos, date and note. Then, or without NAME, prints the ten with
    the lowest ratio_mean, and NAME, with the settings that differ; --all and --json print all.

    \b
    Example:
      depixel record width-width=48 --note "wider is better"
      depixel record
    """
    from depixel.experiments import records

    if names:
        for why in records.record(names, note):
            click.echo(
                f"Kept without the errors of its samples, so that `depixel compare` lacks it in a clone: {why}",
                err=True,
            )
    table = records.read_table()
    if as_json:
        click.echo(json.dumps(table.sort_values("ratio_mean").to_dict("records")))
    elif len(table):
        _show_best(table, "ratio_mean", names, everything)
    else:
        click.echo(f"{layout.EXPERIMENTS.as_posix()}: no experiment so far. `depixel record NAME` adds one")


@click.command()
@click.option(
    "-o", "--out", default=layout.REPORT, show_default=True, type=options.path(dir_okay=False), help="The page."
)
def report(out: Path) -> None:
    """Write what the last run reached as one HTML page.

    Scores beside the baselines and earlier runs, what changed since the last tagged run, errors by class, restorations,
    curves, photos, how to make it again. The page needs no network and no other file; it can be mailed and printed.

    \b
    Example:
      depixel report -o report.html
    """
    from depixel.base.files import replacing
    from depixel.reports.report import report as written

    with progress(total=None, bar_format="{desc}") as bar:
        page = written(bar.set_description_str)
    with replacing(out) as beside:
        beside.write_text(page, encoding="utf-8", newline="\n")
    click.echo(f"{out.as_posix()}: open it in a browser")
