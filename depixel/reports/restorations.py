"""The sections of the report with pictures: restorations of test samples, and a look inside the network."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import torch

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.base.settings import read_section
from depixel.base.tables import path_of
from depixel.dataset.prepared import load_images, load_index
from depixel.model.blocks import Blocks
from depixel.model.networks import Network
from depixel.model.predictor import Predictor, PredictSettings
from depixel.reports import inspection, parts
from depixel.reports.parts import Section
from depixel.scoring import scores
from depixel.sheets import cut_around, fill, surroundings

SHOWN = 3
"""Number of restorations of each kind: best, median, worst."""
FILTERS = 4
"""Number of filters of the first layer in the report."""


class Chosen(NamedTuple):
    """N test samples for the report, of pictures (H, W).

    Attributes:
        kinds: the kind of each: best, median or worst.
        rows: (N,) int64, their rows in the table of samples.
        pixelated, truths: (N, H, W) uint8.
        areas: (N, 5) int64: x, y, width, height, block_size; pixels.
    """

    kinds: list[str]
    rows: np.ndarray
    pixelated: np.ndarray
    areas: np.ndarray
    truths: np.ndarray


def choose(samples: pd.DataFrame) -> Chosen:
    """Choose the best, the median and the worst test samples by their ratio.

    Only samples with much to restore are considered: the half with the larger errors of the blocks.

    Args:
        samples: the `scores.sample_table` of the run.

    Raises:
        DepixelError: the prepared photos are missing, or are not those that were scored.
    """
    index = load_index(layout.INDEX)
    images = load_images(layout.IMAGES, len(index))
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
        truths = np.stack([images[rows[path_of(*photo)]] for photo in table[scores.PHOTO].to_numpy()])
    except (KeyError, ValueError):
        raise DepixelError(
            f"{layout.PREPARED.as_posix()}: these are not the photos that were scored. Run `dvc repro`"
        ) from None
    blocks = Blocks(torch.from_numpy(areas), *truths.shape[1:])
    pixelated = blocks.pixelate(torch.from_numpy(truths).float()[:, None])[:, 0].byte().numpy()
    named = [kind for kind, numbers in kinds.items() for _ in numbers]
    return Chosen(named, chosen, pixelated, areas, truths)


def _rmse(samples: pd.DataFrame, column: str) -> np.ndarray:
    return np.sqrt(samples[column].to_numpy() / (samples["width"] * samples["height"]).to_numpy())


def restorations(samples: pd.DataFrame, chosen: Chosen) -> list[Section]:
    """Restore the chosen samples again.

    Args:
        samples: the `scores.sample_table` of the run.
        chosen: the samples.

    Raises:
        DepixelError: the model is missing, or is not the one that was scored.
    """
    how = read_section(layout.PARAMS, "predict", PredictSettings)
    predictions, expected = Predictor.load(layout.MODEL).predict_with_errors(
        chosen.pixelated, chosen.areas, how.views, projection=how.projection
    )
    table = samples.iloc[chosen.rows]
    _check_scores(table, chosen, predictions)
    restored, left = _rmse(table, "squared_error"), _rmse(table, "identity_squared_error")
    return [
        {
            "kind": kind,
            "panels": _panels(chosen, i, predictions[i], expected[i]),
            "box": [f"{100 * length:.2f}%" for length in _within(area, chosen.truths.shape[1:])],
            "block_size": int(area[4]),
            "rmse": f"{restored[i]:.1f}",
            "expected": f"{np.sqrt(np.square(expected[i]).mean()):.1f}" if expected[i].size else "",
            "identity": f"{left[i]:.1f}",
        }
        for i, (kind, area) in enumerate(zip(chosen.kinds, chosen.areas, strict=True))
    ]


def _check_scores(table: pd.DataFrame, chosen: Chosen, predictions: Sequence[np.ndarray]) -> None:
    """Raise `DepixelError` if the errors of predictions (N flat arrays) are not those in the table."""
    unknown = Blocks(torch.from_numpy(chosen.areas), *chosen.truths.shape[1:]).unknown[:, 0].numpy()
    targets = [truth[here] for truth, here in zip(chosen.truths, unknown, strict=True)]
    errors, known = scores.squared_errors(predictions, targets), table["squared_error"].to_numpy()
    # another machine's arithmetic may move single pixels by a gray level
    if (np.abs(errors - known) > 0.05 * known + chosen.areas[:, 2] * chosen.areas[:, 3]).any():
        raise DepixelError(
            f"{layout.SAMPLES.as_posix()}: these are not scores of {layout.MODEL.as_posix()}. Run `dvc repro`"
        )


def _panels(chosen: Chosen, i: int, prediction: np.ndarray, expected: np.ndarray) -> dict[str, str]:
    """The pictures of sample `i` by title. prediction, expected: flat arrays; expected is empty if there is none."""
    pixelated, area = chosen.pixelated[i], chosen.areas[i]
    panels = {
        "pixelated": pixelated,
        "restored": fill(pixelated, area, prediction),
        "truth": chosen.truths[i],
    }
    if expected.size:  # brighter where the model expects larger errors
        panels["expected error"] = fill(np.zeros_like(pixelated), area, (8 * expected).clip(0, 255).astype(np.uint8))
    return {title: parts.png(surroundings(panel, area)) for title, panel in panels.items()}


def _within(area: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """The area within its `surroundings`: left, top, width, height, as shares of the side, 0..1."""
    left, top, extent = cut_around(area.tolist(), shape)
    x, y, width, height = area[:4]
    return (x - left) / extent, (y - top) / extent, width / extent, height / extent


def inside(chosen: Chosen) -> Section:
    """Attribution of the first best and the first median restoration, if Captum is installed; and the first filters."""
    predictor = Predictor.load(layout.MODEL, "cpu")
    panels = []
    for kind in ("best", "median"):
        i = chosen.kinds.index(kind)
        sample = inspection.Sample(chosen.pixelated[i], chosen.areas[i], chosen.truths[i], kind)
        try:
            values = inspection.attribution(predictor, sample)
        except DepixelError:
            break
        panels.append({"kind": kind, "picture": parts.png(inspection.attribution_panel(sample, values))})
    network = cast(Network, predictor.network)  # true of every loaded model
    picture = inspection.filters_picture(inspection.first_filters(network)[:FILTERS], network.PLANES)
    return {"panels": panels, "filters": parts.png(np.asarray(picture))}
