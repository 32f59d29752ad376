"""The report: one HTML file that shows what a run did, to somebody who was not there. It needs nothing but itself."""

import base64
import io
import json
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
import pandas as pd
import torch
import yaml
from markupsafe import Markup
from PIL import Image

from depixel.base.environment import versions
from depixel.base.errors import DepixelError
from depixel.base.files import read_json
from depixel.base.settings import read_section
from depixel.base.tables import path_of
from depixel.curation import snapshots
from depixel.dataset.prepared import load_images, load_index
from depixel.dataset.samples import Photos
from depixel.experiments import records
from depixel.experiments.comparison import WORKSPACE, compare, read_samples
from depixel.model.blocks import Blocks
from depixel.model.networks import parameter_count
from depixel.model.predictor import Predictor, PredictSettings
from depixel.photos.near_duplicates import SHOWN as SHOWN_COPIES
from depixel.reports import inspection, plots
from depixel.scoring import scores as evaluation
from depixel.sheets import cut_around, fill, surroundings
from depixel.versioning import DATA, inputs_changed, run_git

METRICS = Path("metrics")
COMPARISON = METRICS / "comparison.csv"
MODEL = Path("models/depixel.safetensors")
PREPARED = Path("data/prepared")
SPLIT = Path("data/split.csv")
LOG = Path("logs/training.json")

SHOWN = 3  # restorations of each kind
PHOTOS = 24  # of the training side, to see what the data looks like
RUNS = 12  # earlier ones
CONTRIBUTORS = 80  # in the plot of these
CELLS = 4  # of the map of positions, along each side
FILTERS = 4  # of the first layer


def report(progress: Callable[[str], object] = lambda part: None) -> str:
    """The report on the run whose results lie in the current folder, as HTML.

    Args:
        progress: called with the name of each part before it is made.

    Raises:
        DepixelError: results are missing, or do not belong together.
    """
    samples = read_samples(WORKSPACE)
    comparison = _table(COMPARISON)
    chosen = _chosen(samples)
    recorded = records.read_table()
    page = {}
    parts = {
        "head": lambda: _head(samples, comparison),
        "score": lambda: _score(comparison, recorded),
        "runs": lambda: _runs(comparison, recorded),
        "changes": lambda: _changes(samples),
        "classes": lambda: _classes(samples),
        "restorations": lambda: _restorations(samples, chosen),
        "inside": lambda: _inside(chosen),
        "training": _training,
        "data": _data,
        "again": _again,
    }
    for name, make in parts.items():
        progress(name)
        page[name] = make()
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(page)


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DepixelError(f"{path.as_posix()}: cannot be read ({error}). Make it with `dvc repro`") from error


def _head(samples: pd.DataFrame, comparison: pd.DataFrame) -> dict:
    model = _row(comparison, "model")
    return {
        "ratio_mean": _told(model, "ratio_mean"),
        "ratio_pooled": _told(model, "ratio_pooled"),
        "rmse_mean": f"{model['rmse_mean']:.2f}",
        "rmse_pooled": f"{model['rmse_pooled']:.2f}",
        "samples": len(samples),
        "photos": len(samples[evaluation.PHOTO].drop_duplicates()),
        "verdict": _verdict(comparison),
        "revision": _revision(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def _verdict(comparison: pd.DataFrame) -> str:
    """The run in a sentence: beside the best of what needs no training."""
    model = _row(comparison, "model")
    others = comparison[~comparison["model"].isin(["model", "identity"])]
    told = f"Of the error that the blocks leave, {model['ratio_mean']:.0%} is left after restoration"
    if others.empty:
        return f"{told}."
    best = others.loc[others["ratio_mean"].idxmin()]
    return f"{told}; the best of what needs no training, {best['model']}, leaves {best['ratio_mean']:.0%}."


def _row(comparison: pd.DataFrame, model: str) -> pd.Series:
    found = comparison[comparison["model"] == model]
    if found.empty:
        raise DepixelError(f"{COMPARISON.as_posix()}: has no row {model!r}. Make it anew with `dvc repro evaluate`")
    return found.iloc[0]


def _told(row: pd.Series, ratio: str) -> dict:
    return {"value": f"{row[ratio]:.3f}", "low": f"{row[f'{ratio}_low']:.3f}", "high": f"{row[f'{ratio}_high']:.3f}"}


def _revision() -> dict:
    """The commit, and whether files differ from it."""
    shown = run_git("log", "-1", "--format=%h %cs %s")
    if shown.returncode:
        return {"commit": "", "changed": []}
    changed = run_git("status", "--porcelain", "--untracked-files=no").stdout.decode(errors="replace")
    return {
        "commit": shown.stdout.decode(errors="replace").strip(),
        "changed": [line[3:] for line in changed.splitlines()],
    }


# -- scores ------------------------------------------------------------------------------------------------------------


def _score(comparison: pd.DataFrame, recorded: pd.DataFrame) -> dict:
    beside = pd.concat([comparison, _on_the_same_pixels(recorded)], ignore_index=True)
    beside = beside.sort_values("ratio_mean", ignore_index=True)
    marked = (beside["model"] == "model").tolist()
    table = beside.copy()
    for score in ("rmse_mean", "rmse_pooled"):
        table[score] = [f"{value:.2f}" if value == value else "" for value in table[score]]  # recorded ones have none
    return {
        "plots": [
            Markup(plots.ranges(beside["model"].tolist(), beside, ratio, ratio, marked))  # noqa: S704
            for ratio in ("ratio_mean", "ratio_pooled")
        ],
        "table": evaluation.readable(table).to_dict("records"),
    }


_OF_THE_PIXELS = ("prepare.size", "split.", "pixelation.", "evaluate.")


def _on_the_same_pixels(recorded: pd.DataFrame) -> pd.DataFrame:
    """The recorded experiments that were scored on the test pixels of this run, as rows of the comparison."""
    here = {
        key: value for key, value in _flat(Path("params.yaml").read_bytes()).items() if key.startswith(_OF_THE_PIXELS)
    }
    try:
        here["data"] = _snapshot(snapshots.current())
    except DepixelError:  # photos that DVC does not know
        return recorded.iloc[:0]
    if not set(here) <= set(recorded):
        return recorded.iloc[:0]
    same = recorded[(recorded[list(here)] == pd.Series(here)).all(axis=1)]
    return same.assign(model=same["name"] + ", recorded")[["model", *records.SCORES[2:]]]


def _runs(comparison: pd.DataFrame, recorded: pd.DataFrame) -> dict:
    """Earlier runs in this branch's history that were scored on the same pixels, and the present one."""
    now = _row(comparison, "model")
    runs = [{"label": "this run", "commit": "", "date": "", "subject": "", **now}]
    for commit, date, subject, table in _history():
        same = np.allclose(
            _row(table, "identity")[["rmse_pooled", "rmse_mean"]].astype(float),
            _row(comparison, "identity")[["rmse_pooled", "rmse_mean"]].astype(float),
            rtol=1e-12,
        )
        row = _row(table, "model")
        if same and row["rmse_mean"] != runs[-1]["rmse_mean"]:
            runs.append({"label": f"{commit} {date}", "commit": commit, "date": date, "subject": subject, **row})
    runs = runs[:RUNS]
    table = pd.DataFrame(runs)
    return {
        "recorded": records.readable(recorded, by="ratio_mean").to_dict("records"),
        "plot": Markup(  # noqa: S704
            plots.ranges(table["label"].tolist(), table, "ratio_mean", "runs", [True] + [False] * (len(table) - 1))
        ),
        "table": [run | {key: _told(run, key) for key in evaluation.RATIOS} for run in runs],
    }


def _history() -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Commits that changed the scores, the latest first: hash, date, subject, and the table of scores."""
    log = run_git("log", "-n", "60", "--format=%h%x09%cs%x09%s", "--", COMPARISON.as_posix())
    for line in log.stdout.decode(errors="replace").splitlines():
        commit, date, subject = line.split("\t", 2)
        shown = run_git("show", f"{commit}:./{COMPARISON.as_posix()}")
        try:
            table = pd.read_csv(io.BytesIO(shown.stdout))
            if {"model", "identity"} <= set(table["model"]) and f"{evaluation.RATIOS[0]}_low" in table:
                yield commit, date, subject, table
        except (ValueError, KeyError):  # deleted there, or of another form
            continue


def _changes(samples: pd.DataFrame) -> dict | None:
    """What differs from the last tagged run, or, without tags, from the last commit with other scores."""
    base, kind = _base()
    if not base:
        return None
    before, after = _flat(_at(base, "params.yaml")), _flat(Path("params.yaml").read_bytes())
    settings = [
        {"key": key, "before": before[key], "after": after[key]}
        for key in sorted(before.keys() | after.keys())
        if key in after and before.get(key) not in (None, after[key])
    ]
    new, gone = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    try:
        was, is_now = snapshots.resolve(base), snapshots.current()
        photos = [_snapshot(was), _snapshot(is_now)] if was != is_now else []
    except DepixelError:  # photos that DVC does not know
        photos = ["not known to DVC"] * 2
    scores = json.loads(_at(base, "metrics/evaluation.json"))
    here = read_json(METRICS / "evaluation.json")
    try:
        comparison = compare(read_samples(base), samples)
        verdict = comparison.verdict()
        last = comparison.ratios.iloc[-1]
        difference = {
            ratio: f"{last[ratio]:+.4f} [{last[f'{ratio}_low']:+.4f}, {last[f'{ratio}_high']:+.4f}]"
            for ratio in evaluation.RATIOS
        }
    except DepixelError:  # other test photos, or not in the cache
        verdict, difference = "", {}
    return {
        "base": base,
        "kind": kind,
        "settings": settings,
        "new": new,
        "gone": gone,
        "photos": photos,
        "code": [path for path in inputs_changed(base) if path not in DATA],
        "scores": [
            {"key": key, "before": f"{scores[key]:.4f}", "after": f"{here[key]:.4f}"}
            for key in here
            if key in scores and scores[key] != here[key]
        ],
        "verdict": verdict,
        "difference": difference,
    }


def _base() -> tuple[str, str]:
    tags = run_git("tag", "--merged", "HEAD", "--sort=-creatordate").stdout.decode().split()
    changed = run_git("status", "--porcelain", "--untracked-files=no").stdout
    here = run_git("rev-parse", "HEAD").stdout
    for tag in tags:
        is_this_run = not changed and run_git("rev-parse", f"{tag}^{{commit}}").stdout == here
        if _at(tag, "metrics/evaluation.json") and not is_this_run:
            return tag, "the last tagged run"
    now = json.dumps(read_json(METRICS / "evaluation.json"))
    for commit, *_ in _history():
        content = _at(commit, "metrics/evaluation.json")
        if content and json.dumps(json.loads(content)) != now:
            return commit, "the last commit with other scores, as no run is tagged"
    return "", ""


def _at(revision: str, path: str) -> bytes:
    return run_git("show", f"{revision}:./{path}").stdout


def _snapshot(md5: str) -> str:
    """The name of a snapshot, or the beginning of its hash."""
    return next((snapshot.name for snapshot in snapshots.read_snapshots() if snapshot.md5 == md5), md5[:8])


def _flat(content: bytes) -> dict[str, str]:
    try:
        sections = yaml.safe_load(content) or {}
    except yaml.YAMLError:
        return {}
    return {
        f"{section}.{key}": str(value)
        for section, values in sections.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


# -- errors by class ---------------------------------------------------------------------------------------------------


def _classes(samples: pd.DataFrame) -> dict:
    areas = samples[["x", "y", "width", "height"]].to_numpy()
    ends = evaluation.area_class(areas)
    names = {end: f"to {end}" for end in evaluation.AREA_BINS} | {evaluation.AREA_BINS[-1] + 1: "more"}
    side = int((areas[:, :2] + areas[:, 2:]).max())
    cells = ((areas[:, :2] + areas[:, 2:] / 2) / side * CELLS).astype(int).clip(max=CELLS - 1)
    places = pd.DataFrame(
        {
            "row": row,
            "column": column,
            "value": found["rmse_mean"],
            "ratio": found["ratio_mean"],
            "samples": len(members),
        }
        for (column, row), members in samples.groupby([cells[:, 0], cells[:, 1]])
        for found in [evaluation.score(members)]
    )
    contributors = _with_intervals(samples, samples["contributor"])
    if len(contributors) > CONTRIBUTORS:
        contributors = contributors.nlargest(CONTRIBUTORS, "samples")
    worst = contributors.sort_values("rmse_mean", ascending=False).head(5)
    drawn = {
        "block_size": plots.by_class(
            _with_intervals(samples, samples["block_size"]), "class", "block size, pixels", "block_size"
        ),
        "area": plots.by_class(
            _with_intervals(samples, pd.Series(ends, samples.index)).assign(class_=lambda t: t["class"].map(names)),
            "class_",
            "area, pixels",
            "area",
        ),
        "position": plots.heat(places, "where the middle of the area lies: rmse_mean, ratio_mean, samples", "position"),
        "contributor": plots.spread(contributors, "class", "contributors of the test side", "contributor"),
    }
    return {name: Markup(svg) for name, svg in drawn.items()} | {  # noqa: S704
        "worst": [{"name": row["class"] or ".", "rmse": f"{row.rmse_mean:.1f}"} for _, row in worst.iterrows()]
        if len(contributors) > 1
        else []
    }


def _with_intervals(samples: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Columns class, samples, rmse_mean with its interval (that of the ratio, in gray levels), identity, ratio_mean."""
    rows = []
    for value, members in samples.groupby(classes):
        found = evaluation.score(members)
        pixels = members["width"] * members["height"]
        identity = float(np.sqrt(members["identity_squared_error"] / pixels).mean())
        try:
            ratio = evaluation.intervals({"model": members}, ("model", "model")).iloc[0]
        except DepixelError:  # nothing to restore in this class
            continue
        ends = {end: ratio[f"ratio_mean{end}"] for end in ("", "_low", "_high")}
        rows.append(
            {"class": value, "samples": len(members), "identity": identity}
            | {f"ratio_mean{end}": ratio_end for end, ratio_end in ends.items()}
            | {f"rmse_mean{end}": ratio_end * identity for end, ratio_end in ends.items()}
            | {"rmse_mean": found["rmse_mean"]}
        )
    return pd.DataFrame(rows)


# -- pictures ----------------------------------------------------------------------------------------------------------


class _Chosen(NamedTuple):
    """Test samples to look at: best, median or worst; the numbers of their rows; pixelated pictures, areas, truths."""

    kinds: list[str]
    rows: np.ndarray
    pixelated: np.ndarray
    areas: np.ndarray
    truths: np.ndarray


def _chosen(samples: pd.DataFrame) -> _Chosen:
    """The best, the median and the worst test samples by their ratio: of those with much to restore."""
    index = load_index(PREPARED / "index.csv")
    images = load_images(PREPARED / "images.npy", len(index))
    rows = {path_of(photo.contributor, photo.name): number for number, photo in enumerate(index)}
    restored, left = _rmse(samples, "squared_error"), _rmse(samples, "identity_squared_error")
    hard = np.flatnonzero((left >= np.median(left)) & (left > 0))
    order = hard[np.argsort(restored[hard] / left[hard], kind="stable")]
    middle = max(len(order) // 2 - SHOWN // 2, 0)
    kinds = {"best": order[:SHOWN], "median": order[middle : middle + SHOWN], "worst": order[::-1][:SHOWN]}
    chosen = np.concatenate(list(kinds.values()))
    table = samples.iloc[chosen]
    areas = table[["x", "y", "width", "height", "block_size"]].to_numpy(np.int64)
    try:
        truths = np.stack([images[rows[path_of(*photo)]] for photo in table[evaluation.PHOTO].to_numpy()])
    except (KeyError, ValueError):
        raise DepixelError(f"{PREPARED.as_posix()}: not the photos that were scored. Run `dvc repro`") from None
    blocks = Blocks(torch.from_numpy(areas), *truths.shape[1:])
    pixelated = blocks.pixelate(torch.from_numpy(truths).float()[:, None])[:, 0].byte().numpy()
    named = [kind for kind, numbers in kinds.items() for _ in numbers]
    return _Chosen(named, chosen, pixelated, areas, truths)


def _rmse(samples: pd.DataFrame, column: str) -> np.ndarray:
    return np.sqrt(samples[column].to_numpy() / (samples["width"] * samples["height"]).to_numpy())


def _restorations(samples: pd.DataFrame, chosen: _Chosen) -> list[dict]:
    """The chosen samples, restored anew."""
    how = read_section("params.yaml", "predict", PredictSettings)
    predictions, expected = Predictor.load(MODEL).predict_with_errors(
        chosen.pixelated, chosen.areas, how.views, projection=how.projection
    )
    unknown = Blocks(torch.from_numpy(chosen.areas), *chosen.truths.shape[1:]).unknown[:, 0].numpy()
    targets = [truth[here] for truth, here in zip(chosen.truths, unknown, strict=True)]
    table = samples.iloc[chosen.rows]
    errors, known = evaluation.squared_errors(predictions, targets), table["squared_error"].to_numpy()
    # another machine's arithmetic may move single pixels by a gray level
    if (np.abs(errors - known) > 0.05 * known + chosen.areas[:, 2] * chosen.areas[:, 3]).any():
        raise DepixelError(f"{METRICS.as_posix()}/samples.csv: not of {MODEL.as_posix()}. Run `dvc repro`")
    restored, left = _rmse(table, "squared_error"), _rmse(table, "identity_squared_error")
    shown = []
    for i, (pixelated, area) in enumerate(zip(chosen.pixelated, chosen.areas, strict=True)):
        panels = {
            "pixelated": pixelated,
            "restored": fill(pixelated, area, predictions[i]),
            "what was there": chosen.truths[i],
        }
        if expected[i].size:  # brighter where it expects to be further off
            panels["expected error"] = fill(
                np.zeros_like(pixelated), area, (8 * expected[i]).clip(0, 255).astype(np.uint8)
            )
        shown.append({name: _png(surroundings(panel, area)) for name, panel in panels.items()})
    return [
        {
            "kind": kind,
            "panels": shown[i],
            "box": [f"{100 * length:.2f}%" for length in _within(area, chosen.truths.shape[1:])],
            "block_size": int(area[4]),
            "rmse": f"{restored[i]:.1f}",
            "expected": f"{np.sqrt(np.square(expected[i]).mean()):.1f}" if expected[i].size else "",
            "identity": f"{left[i]:.1f}",
        }
        for i, (kind, area) in enumerate(zip(chosen.kinds, chosen.areas, strict=True))
    ]


def _within(area: np.ndarray, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Where the area lies in its `surroundings`: left, top, width, height; shares of the side."""
    left, top, extent = cut_around(area, shape)
    x, y, width, height = area[:4]
    return (x - left) / extent, (y - top) / extent, width / extent, height / extent


def _inside(chosen: _Chosen) -> dict:
    """Which pixels the first of the best and of the median restorations came from, if Captum is there; the filters."""
    restorer = Predictor.load(MODEL, "cpu")
    panels = []
    for kind in ("best", "median"):
        i = chosen.kinds.index(kind)
        sample = inspection.Sample(chosen.pixelated[i], chosen.areas[i], chosen.truths[i], kind)
        try:
            values = inspection.attribution(restorer, sample)
        except DepixelError:
            break
        panels.append({"kind": kind, "picture": _png(inspection.attribution_panel(sample, values))})
    filters = inspection.filters_picture(inspection.first_filters(restorer.network)[:FILTERS], restorer.network.PLANES)
    return {"panels": panels, "filters": _png(np.asarray(filters))}


def _png(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _file(path: Path) -> str:
    """A PNG file as an address within the page; nothing where there is none."""
    try:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""


# -- training, data, how to make it again ------------------------------------------------------------------------------


def _training() -> dict:
    table = _table(METRICS / "training.csv")
    best = read_json(METRICS / "training.json")
    lines = {
        "train_rmse": "training, pooled",
        "validation_rmse_pooled": "validation, pooled",
        "validation_rmse_mean": "validation, mean",
    }
    model = Predictor.load(MODEL, "cpu")
    log = json.loads(LOG.read_text(encoding="utf-8")) if LOG.is_file() else {}
    configuration = model.configuration
    facts = {
        "network": f"{configuration.network} of width {configuration.width}, "
        f"{parameter_count(model.network) / 1e6:.2f} M parameters",
        "best epoch": f"{best['best_epoch']} of {len(table)}, RMSE {best['validation_rmse']:.3f} in validation",
        "trained on": f"{configuration.hardware}, {configuration.precision}",
    }
    if log.get("validation_rmse") == best["validation_rmse"]:  # else it is of a later experiment
        facts["speed here"] = f"{log['samples_per_second']:.0f} samples/s, {log['memory_bytes'] / 1e9:.2f} GB"
    calibration = METRICS / "calibration.csv"
    sure = _table(calibration) if calibration.is_file() else pd.DataFrame()
    return {
        "plot": Markup(plots.curves(table, lines, "training")),  # noqa: S704
        "others": [
            Markup(plots.curve(table, column, label, column))  # noqa: S704
            for column, label in (("learning_rate", "learning rate"), ("gradient_norm", "norm of the gradient"))
        ],
        "facts": facts,
        "calibration": _calibration(sure) if len(sure) else None,
    }


def _calibration(table: pd.DataFrame) -> dict:
    """How well the network knows how far off it is: a sentence, and a plot of the classes of pixels."""
    classes, whole = table[table["class"] != "all"], table[table["class"] == "all"].iloc[0]
    expected, observed = whole["expected_rmse"], whole["observed_rmse"]
    ratio = observed / expected
    verdict = "too sure" if ratio > 1.05 else "too cautious" if ratio < 0.95 else "about right"
    return {
        "told": f"Over all pixels it expected an RMSE of {expected:.2f}, and {observed:.2f} was observed: {verdict}. "
        f"{whole['within_1']:.0%} of the pixels are off by no more than expected, {whole['within_2']:.0%} by no more "
        "than twice that (68 % and 95 % if errors are normal).",
        "plot": Markup(plots.calibration(classes, "calibration")),  # noqa: S704
    }


def _data() -> dict:
    counts, sides = read_json(METRICS / "validation.json"), read_json(METRICS / "split.json")
    training = Photos.load(PREPARED, SPLIT, "train")
    chosen = training.rows[np.unique(np.linspace(0, len(training) - 1, PHOTOS).astype(int))]
    analysis, copies = METRICS / "analysis.json", SPLIT.with_name("copies.csv")
    found = read_json(analysis) if analysis.is_file() else {}
    pairs = len(_table(copies)) if copies.is_file() else 0
    try:
        snapshot = _snapshot(snapshots.current())
    except DepixelError:  # photos that DVC does not know
        snapshot = ""
    return {
        "counts": counts,
        "sides": {side: count for side, count in sides.items() if count["photos"]},
        "snapshot": snapshot,
        "photos": [_png(np.asarray(training.images[row])) for row in chosen],
        "copies": _file(METRICS / "copies.png") if pairs else "",
        "pairs": pairs,
        "pairs_shown": min(pairs, SHOWN_COPIES),
        "measures": Markup(plots.quantiles(found["sides"], found["quantiles"], "measures")) if found else "",  # noqa: S704
        "findings": found.get("findings", []),
        "clusters": _file(METRICS / "clusters.png"),
        "odd": _file(METRICS / "findings.png"),
    }


def _again() -> dict:
    revision = run_git("rev-parse", "--verify", "--quiet", "HEAD").stdout.decode().strip()
    settings = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    before, now = _flat(_at("HEAD", "params.yaml")), _flat(Path("params.yaml").read_bytes())
    return {
        "commit": revision,
        "changed": ["-S " + shlex.quote(f"{key}={now[key]}") for key in now if before.get(key, now[key]) != now[key]],
        "uncommitted": inputs_changed("HEAD") if revision else [],
        "versions": versions(),
        "settings": yaml.safe_dump(settings, sort_keys=False),
    }
