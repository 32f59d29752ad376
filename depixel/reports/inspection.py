"""Inspection of a model: attribution of a restoration to pixels, feature maps of its layers, its first filters.

The functions return arrays; those at the end draw them. Only `attribution` needs Captum, in the extra `inspect`.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from depixel import sheets
from depixel.base.errors import DepixelError
from depixel.base.spelling import suggestion
from depixel.base.tables import path_of
from depixel.challenge import test_sets
from depixel.dataset.augmentation import Augmentation, AugmentSettings
from depixel.dataset.prepared import load_index
from depixel.dataset.samples import Photos, fixed_batch, training_batch
from depixel.model.blocks import Blocks, cut_windows
from depixel.model.networks import Network
from depixel.model.pixelation import PixelationSettings, infer_block_sizes
from depixel.model.predictor import Predictor, restore
from depixel.model.windows import window_side
from depixel.scoring import scores

STEPS = 64
"""Number of steps of the integral. With twice as many, a pixel's share changes by less than 1 % of the largest."""


class Sample(NamedTuple):
    """A pixelated picture to inspect.

    Attributes:
        pixelated: (H, W) uint8.
        area: (5,) int64, x, y, width, height, block_size; pixels.
        truth: (H, W) uint8; None: unknown.
        title: its description for people.
    """

    pixelated: np.ndarray
    area: np.ndarray
    truth: np.ndarray | None
    title: str


def of_test_photo(
    name: str,
    number: int,
    prepared: str | Path,
    splits: str | Path,
    settings: scores.EvaluateSettings,
    pixelation: PixelationSettings,
) -> Sample:
    """A photo of the test side, pixelated as in the evaluation.

    Args:
        name: `contributor/name`.
        number: number of its area, from 0.
        prepared: the folder of prepared photos.
        splits: the table of splits.
        settings: the settings of the evaluation.
        pixelation: how the areas are drawn.

    Raises:
        DepixelError: there is no such test photo or area; the message names existing ones.
    """
    photos, index = Photos.load(prepared, splits, "test"), load_index(Path(prepared) / "index.csv")
    names = [path_of(index[row].contributor, index[row].name) for row in photos.rows]
    if name not in names:
        like = difflib.get_close_matches(name, names, 3, cutoff=0) or names[:3]
        raise DepixelError(
            f"{name}: not a photo of the test side. That has {len(names)} photos, such as {', '.join(like)}"
        )
    streams = scores.test_streams(settings)
    _check_number(number, len(streams), f"{name} has", "areas (evaluate.areas_per_photo)")
    image, area = fixed_batch(photos, np.array([names.index(name)]), pixelation, streams[number])
    pixelated = Blocks(area, *image.shape[2:]).pixelate(image)
    return Sample(pixelated[0, 0].byte().numpy(), area[0].numpy(), image[0, 0].byte().numpy(), f"{name}, area {number}")


def of_test_set(path: str | Path, number: int, block_size: tuple[int, int]) -> Sample:
    """A sample of a test set.

    Args:
        path: path of the test set, a pickle.
        number: number of the sample, from 0.
        block_size: smallest and largest block size, pixels. The test set does not state the sample's block size; it is
            detected within this range.

    Raises:
        DepixelError: there is no such test set or sample.
    """
    samples = test_sets.read_test_set(path)
    _check_number(number, len(samples.pixelated), f"{path} has", "samples")
    one = slice(number, number + 1)
    areas = test_sets.areas(samples.known[one])
    sizes = infer_block_sizes(samples.pixelated[one], areas, block_size)
    return Sample(samples.pixelated[number], np.append(areas[0], sizes), None, f"{path}, sample {number}")


def _check_number(number: int, count: int, whose: str, what: str) -> None:
    if not 0 <= number < count:
        raise DepixelError(f"--number {number}: {whose} only {count} {what}, counted from 0")


# -- attribution -----------------------------------------------------------------------------------------------------


def attribution(
    predictor: Predictor, sample: Sample, block: tuple[int, int] | None = None, steps: int = STEPS
) -> np.ndarray:
    """Attribute the detail that the model restored in the blocks to the pixels of the picture.

    The method is integrated gradients (Sundararajan et al. 2017, "Axiomatic attribution for deep networks"; Captum) of
    d . restored(picture) / |d|, where the detail d is the restoration minus the flat blocks. The path is a straight
    line to the picture from a uniform one of its mean brightness, which has no detail. The attributions of all pixels
    add up to the detail's size |d|, apart from detail that the network adds to the uniform picture.

    Args:
        predictor: the model.
        sample: the picture.
        block: column and row, from 0, of the block whose detail is attributed; None: the whole area.
        steps: number of steps of the integral.

    Returns:
        (H, W) float32, gray levels: above 0 where a pixel supports the detail, below 0 where it opposes it. The model
        receives a single value for each block, so the pixels of a block share its attribution evenly.

    Raises:
        DepixelError: Captum is not installed, or there is no such block.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise DepixelError("attribution needs Captum: `pip install captum`") from error
    window, area, blocks = _window(predictor, sample)
    level = window.mean().expand_as(window)

    def restored(windows: Tensor) -> Tensor:
        return restore(predictor.network, windows, Blocks(area.expand(len(windows), -1), *windows.shape[2:]), "float32")

    with torch.no_grad():
        detail = (restored(window) - window)[:, :1] * _mask(blocks, area[0], block)
    size = detail.norm()
    if not size:
        return np.zeros(sample.pixelated.shape, np.float32)
    method = IntegratedGradients(lambda windows: (restored(windows)[:, :1] * detail).sum(dim=(1, 2, 3)) / size)
    found = method.attribute(window, baselines=level, n_steps=steps, internal_batch_size=16).detach().float()
    found = torch.where(blocks.unknown, blocks.sums(found) / blocks.count, found)
    return _in_picture(found[0], sample, area[0])[0]


def _mask(blocks: Blocks, area: Tensor, block: tuple[int, int] | None) -> Tensor:
    """(1, 1, H, W) bool: the pixels of one block, or of all."""
    if block is None:
        return blocks.unknown
    x, y, width, height, size = area.tolist()
    columns, rows = -(-width // size), -(-height // size)
    if not (0 <= block[0] < columns and 0 <= block[1] < rows):
        raise DepixelError(
            f"block {block[0]},{block[1]}: the area has {columns} columns and {rows} rows of blocks, counted from 0"
        )
    mask = torch.zeros_like(blocks.unknown)
    left, top = x + block[0] * size, y + block[1] * size
    mask[..., top : top + size, left : left + size] = True
    return mask & blocks.unknown


# -- layers ----------------------------------------------------------------------------------------------------------


def layers(network: nn.Module) -> list[str]:
    """The names of the layers that have feature maps, in the order of the network's definition."""
    return [
        name
        for name, module in network.named_modules()
        if name and name.count(".") < 2 and not isinstance(module, (nn.ModuleList, nn.Dropout2d))
    ]


def feature_maps(predictor: Predictor, sample: Sample, layer: str) -> np.ndarray:
    """The output of a layer for a picture.

    Args:
        predictor: the model.
        sample: the picture.
        layer: one of `layers`.

    Returns:
        (C, H, W) float32, for the window around the area that the network processes, at the layer's resolution.

    Raises:
        DepixelError: there is no such layer; the message lists the layers.
    """
    known = layers(predictor.network)
    if layer not in known:
        raise DepixelError(
            f"{layer!r}: no layer of this network; its layers are {', '.join(known)}.{suggestion(layer, known)}"
        )
    window, _, blocks = _window(predictor, sample)
    kept: list[Tensor] = []
    # a copy, because later layers may work in place
    hook = predictor.network.get_submodule(layer).register_forward_hook(lambda *call: kept.append(call[2].clone()))
    try:
        with torch.inference_mode():
            predictor.network(window, blocks)
    finally:
        hook.remove()
    return kept[0][0].float().cpu().numpy()


def first_filters(network: Network) -> np.ndarray:
    """The weights of the first convolution, (F, P, K, K) float32; P: the network's `PLANES`."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return first.weight.detach().float().cpu().numpy()


def _window(predictor: Predictor, sample: Sample) -> tuple[Tensor, Tensor, Blocks]:
    """The window of a picture that the network processes, (1, 1, H, W); the area within it, (1, 5); its blocks."""
    image = torch.from_numpy(sample.pixelated).float()[None, None].to(predictor.device)
    area = torch.from_numpy(sample.area)[None].to(predictor.device)
    window, within = cut_windows(image, area, *(int(window_side(side)) for side in sample.area[2:4]))
    return window, within, Blocks(within, *window.shape[2:])


def _in_picture(window: Tensor, sample: Sample, within: Tensor) -> np.ndarray:
    """Put values (C, h, w) of the window into the picture, (C, H, W), with 0 elsewhere."""
    left, top = (sample.area[:2] - within[:2].cpu().numpy()).tolist()
    height, width = (min(n, side) for n, side in zip(window.shape[1:], sample.pixelated.shape, strict=True))
    whole = np.zeros((len(window), *sample.pixelated.shape), np.float32)
    whole[:, top : top + height, left : left + width] = window[:, :height, :width].cpu().numpy()
    return whole


# -- pictures --------------------------------------------------------------------------------------------------------


def attribution_panel(sample: Sample, values: np.ndarray, scale: int = 4) -> np.ndarray:
    """Draw `values` in color over the pale picture, with a line around the area.

    Args:
        sample: the picture.
        values: (H, W) float32, an `attribution` of the sample.
        scale: screen pixels per pixel.

    Returns:
        (H * scale, W * scale, 3) uint8. Red pixels support the detail, blue ones oppose it; 1 % of the pixels have the
        strongest colors.
    """
    seen = np.abs(values[values != 0])
    color = sheets.diverging(values, np.quantile(seen, 0.99) if len(seen) else None)
    pale = 0.6 + 0.4 * sample.pixelated[:, :, None] / 255
    panel = (color * pale).round().astype(np.uint8)
    return sheets.framed(panel.repeat(scale, axis=0).repeat(scale, axis=1), sample.area[:4] * scale)


def attribution_picture(predictor: Predictor, sample: Sample, values: np.ndarray, scale: int = 4) -> Image.Image:
    """Draw the picture, its restoration, the truth if it is known, and the `attribution_panel`, side by side.

    Args:
        predictor: the model.
        sample, values, scale: as for `attribution_panel`.
    """
    (prediction,) = predictor.predict(sample.pixelated[None], sample.area[None])
    panels = {"pixelated": sample.pixelated, "prediction": sheets.fill(sample.pixelated, sample.area, prediction)}
    if sample.truth is not None:
        panels["truth"] = sample.truth
    enlarged = [panel.repeat(scale, axis=0).repeat(scale, axis=1) for panel in panels.values()]
    x, y, width, height = sample.area[:4]
    share = np.abs(values[y : y + height, x : x + width]).sum() / max(np.abs(values).sum(), 1e-9)
    caption = f"{sample.title}: red supports the detail, blue opposes it; {share:.0%} from blocks, the rest from around"
    titles = [*panels, "attribution"]
    return sheets.contact_sheet(
        [[*enlarged, attribution_panel(sample, values, scale)]], titles, [caption], across=1, scale=1
    )


def maps_picture(maps: np.ndarray) -> Image.Image:
    """Draw feature maps (C, H, W) in color, each on its own scale: red above 0, blue below, white 0."""
    panels = [[sheets.diverging(values)] for values in maps]
    return sheets.contact_sheet(
        panels, [""], [str(i) for i in range(len(maps))], across=8, scale=max(1, 128 // maps.shape[2])
    )


def filters_picture(filters: np.ndarray, planes: Sequence[str]) -> Image.Image:
    """Draw first filters (F, P, K, K) in color, a row for each: its weights in each plane; each on its own scale."""
    panels = [[sheets.diverging(kernel, np.abs(one).max()) for kernel in one] for one in filters]
    captions = [f"filter {i}" for i in range(len(filters))]
    return sheets.contact_sheet(panels, list(planes), captions, across=2, scale=max(1, 57 // filters.shape[3]))


# -- augmentation ----------------------------------------------------------------------------------------------------

EXAMPLES = {
    "rotate": (-30.0, 30.0),
    "zoom": (0.7, 1.5),
    "crop": (0.5, 0.9),
    "shift": (-16.0, 16.0),
    "blur": (0.5, 2.0),
    "gamma": (0.5, 2.0),
    "contrast": (0.5, 1.5),
    "brightness": (-60.0, 60.0),
    "noise": (5.0, 20.0),
    "jpeg": (10.0, 50.0),
}
"""The range that is drawn of a change that is switched off."""


def augmentation_picture(
    photos: Photos, pixelation: PixelationSettings, settings: AugmentSettings, count: int = 6
) -> Image.Image:
    """The first photos of the training side under each change alone, with their areas framed.

    Args:
        photos: the photos. pixelation, settings: the sections of params.yaml; a change that is off is drawn with its
            range of `EXAMPLES`. count: number of photos.
    """
    shown = photos.first(count)
    off = dict.fromkeys(EXAMPLES)
    rows = {"as they are": (False, off), "flip": (True, off)}
    for name, example in EXAMPLES.items():
        span = getattr(settings, name)
        low, high = span or example
        rows[f"{name} [{low:g}, {high:g}]{'' if span else ', which is off'}"] = (False, off | {name: (low, high)})
    panels = []
    for flip, change in rows.values():
        augmentation = Augmentation(AugmentSettings.model_validate({"flip": flip} | change))
        images, areas = training_batch(
            shown, np.arange(len(shown)), pixelation, "examples", flip, augmentation=augmentation
        )
        colored = images[:, 0].byte().numpy()[..., None].repeat(3, axis=-1)
        panels.append([sheets.framed(*pair) for pair in zip(colored, areas.numpy(), strict=True)])
    return sheets.contact_sheet(panels, [""] * len(shown), list(rows), across=2)
