"""Commands for experiments: run many, compare them, record and show their scores."""

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
    """Compare models: is one better, or was it luck?

    A and B are each a git revision, the name of a DVC experiment, or the path of a samples.csv that an evaluation
    wrote. `workspace` means metrics/samples.csv in this folder; it is also the default of B. The command compares the
    models on the samples that all were scored on. With several B, it compares each with A and prints simultaneous
    intervals, because the best of twenty equal variants looks better by luck.

    The brackets hold 95 % confidence intervals over the choice of test photos, for the ratios to the identity and for
    their difference. If the interval of the difference includes 0, other photos might reverse it. The intervals do not
    cover the luck of the training's seed; for that, see `depixel seeds`.

    \b
    Example:
      depixel compare main                    the model of main with the one here
      depixel compare narrow wide             two experiments of `dvc exp run --name`
      depixel compare main one two three      three experiments, each with main
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
            f"\nScored on the {len(models[first])} samples that all models have. The brackets hold the difference from "
            f"{first} with simultaneous 95 % confidence intervals over the choice of test photos; * marks those that "
            "exclude 0."
        )
        return
    result = comparison.compare(*tables)
    if as_json:
        rows = result.ratios.set_index("model").to_dict("index")
        counts = {"samples": result.samples, "photos": result.photos}
        click.echo(json.dumps({**rows, **counts, "verdict": result.verdict()}))
        return
    click.echo(f"A: {first}\nB: {others[0]}\n")
    told = scores.readable(result.ratios, places=4)
    click.echo(told[["model", "ratio_mean", "ratio_pooled"]].to_string(index=False))
    of = (
        ""
        if result.samples == max(map(len, tables))
        else f", out of {len(tables[0])} samples of A and {len(tables[1])} of B"
    )
    click.echo(f"\n{result.verdict()}\nBoth have {result.samples} samples of {result.photos} photos{of}.")
    click.echo("The brackets hold 95 % confidence intervals over the choice of test photos.")


def _differences(table: "pd.DataFrame") -> "pd.DataFrame":
    """A row of text per model, such as 0.712   -0.006 [-0.010, -0.002] *"""
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
    """Train with N seeds and show how much the scores differ.

    Trains and scores the current settings and photos with `train.seed` of params.yaml and the next N - 1 seeds, on the
    same test photos. Prints the scores of each seed, their mean, their standard deviation, and the 95 % confidence
    interval of the mean. If two settings differ by less than this spread, the difference may be luck.

    The command writes to seeds/: a folder for each seed, and seeds.csv. The project's own model and metrics stay as
    they are. After an interruption, the same command continues.

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
    click.echo(_INTERVAL)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options.as_json
@click.option(
    "-o",
    "--output",
    "out",
    type=options.path(dir_okay=False),
    help="Write the JSON to a file, too; the report shows it in metrics/baselines.json.",
)
def baselines(names: tuple[str, ...], as_json: bool, out: Path | None) -> None:
    """Compare the model with classical methods.

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
    from depixel.experiments import comparison
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
    if found.difference is not None:
        click.echo(comparison.verdict(found.difference, *found.difference["model"].split(" - ")))


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
    click.echo(_INTERVAL)


@click.command()
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Write the settings of a preset into params.yaml.

    Comments and all other settings stay as they are. Without NAME, the command prints presets.yaml, which holds the
    presets. `dvc repro` or `dvc exp run` then uses the settings. `git checkout params.yaml` discards them.

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
    "-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUES", help="A setting and its values, see above."
)
@click.option("--list", "variants", type=click.File(encoding="utf-8"), help="A file with one experiment per line.")
@click.option(
    "--trials", type=click.IntRange(min=1), metavar="N", help="Search with N experiments instead of running all."
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of experiments that run at the same time.",
)
@click.option("--no-prune", is_flag=True, help="Train all experiments to the end, even those that fall behind.")
@options.as_json
def sweep(
    name: str, settings: tuple[str, ...], variants: TextIO, trials: int, jobs: int, no_prune: bool, as_json: bool
) -> None:
    """Run one experiment for each of many settings.

    Each is a DVC experiment that starts from the last commit. Its name is NAME and the settings in which it differs.
    The table at the end is sorted by validation RMSE, lowest first; the other scores are on the test photos. Needs
    Optuna: `pip install optuna`.

    \b
    Values, in the grammar of `dvc exp run`:
      -S train.epochs=20                            the same value for all
      -S train.width=16,32,48                       each of these values
      -S "train.width=range(16,65,16)"              16, 32, 48 and 64
      -S "train.learning_rate=interval(1e-4,1e-2)"  any value between; needs --trials

    Several -S make a grid of all combinations. In the file of --list, each line holds the settings of one experiment,
    separated by spaces. With --trials N, a Bayesian search (Optuna, TPE) chooses N combinations, each from the results
    of those before it. It searches an interval on a logarithmic scale if its ends are a factor of 10 or more apart.

    Once four experiments have finished, the sweep stops those whose validation RMSE is above the median of the others
    after the same epoch, but none in the first quarter of its epochs. It stops none if the number of epochs varies, or
    the samples do (prepare, split, pixelation), because the RMSEs are not comparable then.

    After a kill or Ctrl-C, the same command continues: finished experiments are not run again, and trainings continue
    from their checkpoints. sweeps/NAME/ holds the state until the end. With --jobs 2, two trainings share the cores,
    each at half the speed.

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
    """Print the result of a sweep; `alike` as in its plan."""
    from depixel.experiments import records

    if len(outcome.finished):
        click.echo(records.readable(outcome.finished).to_string(index=False))
    if len(outcome.finished) > 1 and not alike:
        click.echo("They were validated on different samples, so neither RMSEs nor ratios tell which is better.")
    elif len(outcome.finished) > 1:
        best = outcome.finished.sort_values("validation_rmse")["name"][:3]
        click.echo(f"Is the first better than the next, or was it luck? Type: depixel compare {' '.join(best)}")
    if outcome.mattered:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in outcome.mattered.items())
        click.echo(f"Share of each setting in the differences in validation RMSE: {shares}")
    for experiment, why in outcome.others.items():
        click.echo(f"{experiment}: {why}")


_INTERVAL = "mean_low to mean_high is the 95 % confidence interval of the mean."
_SHOWN = 10
"""Number of experiments that a table shows without --all."""
_all = click.option("--all", "everything", is_flag=True, help="Show all instead of the best ten.")


def _show_best(table: "pd.DataFrame", also: Sequence[str], everything: bool, first: bool = False) -> None:
    """Print the experiments with the lowest validation RMSE and those named `also`, and how many others there are.

    `first`: whether those named come first.
    """
    from depixel.experiments import records

    table = table.sort_values("validation_rmse", ignore_index=True)
    shown = table if everything else table[(table.index < _SHOWN) | table["name"].isin(also)]
    told = records.compact(shown, base := records.committed_settings(), also if first else ())
    click.echo(told.to_string(index=False))
    if more := len(table) - len(shown):
        click.echo(f"and {more} more; --all shows them")
    click.echo(f"settings: those that differ from {'the last commit' if base else 'most rows'}.")
    if "photos" in told:
        click.echo("Rows with other photos may have other test photos: do not compare their scores.")


@click.command("experiments")
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print all settings and scores as CSV.")
@_all
def list_experiments(as_json: bool, as_csv: bool, everything: bool) -> None:
    """List all local experiments, best validation score first.

    Shows HEAD and the ten experiments with the lowest validation RMSE, whatever commit they started from, with the
    settings that differ from HEAD's. --all, --csv and --json show all experiments. Choose by validation RMSE: if you
    choose by test score, that score becomes too optimistic. `dvc exp show` lists only the experiments of the last
    commit.

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
        _show_best(table, ["HEAD"], everything)
    else:
        with_results = " with results" if lacking else ""
        click.echo(f"There is no experiment{with_results} yet. `dvc exp run --name NAME -S train.width=48` makes one.")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-m", "--note", default="", help="Why the experiments matter.")
@options.as_json
@_all
def record(names: tuple[str, ...], note: str, as_json: bool, everything: bool) -> None:
    """Record experiments in a table that git tracks.

    A clone does not get DVC's experiments. It does get metrics/experiments.csv and, for `depixel compare NAME`, the
    errors of each sample in metrics/recorded. The command adds the experiments or git revisions NAME: all settings, the
    scores with 95 % confidence intervals over the test photos, the commit of the code (+ if the experiment changed it),
    the snapshot of the photos, the date and the note. Then it prints NAME, then the ten experiments with the lowest
    validation RMSE, with the settings that differ from the last commit. Without NAME it only prints. --all prints all
    experiments; --json also prints their commits, snapshots and dates.

    \b
    Example:
      depixel record width-width=48 --note "wider is better"
      depixel record
    """
    from depixel.experiments import records

    if names:
        for why in records.record(names, note):
            click.echo(
                f"Recorded without the errors of its samples, so `depixel compare` cannot use it in a clone: {why}",
                err=True,
            )
    table = records.read_table()
    if as_json:
        click.echo(json.dumps(table.sort_values("validation_rmse").to_dict("records")))
    elif len(table):
        _show_best(table, names, everything, first=True)
    else:
        click.echo(f"{layout.EXPERIMENTS.as_posix()}: no experiment yet. `depixel record NAME` adds one.")


@click.command()
@click.option(
    "-o",
    "--output",
    "out",
    default=layout.REPORT,
    show_default=True,
    type=options.path(dir_okay=False),
    help="The page to write.",
)
def report(out: Path) -> None:
    """Write a report on the last run, as one HTML page.

    The page shows the scores beside baselines and earlier runs, the changes since the last tagged run, errors by class,
    restorations, curves, photos, and the commands that repeat the run. It needs no network and no other file, so you
    can mail and print it.

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
    click.echo(f"{out.as_posix()}: open it in a browser.")
