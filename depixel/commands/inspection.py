"""Commands that look inside a model or its training."""

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from depixel.base import layout
from depixel.base.console import PlainGroup
from depixel.base.errors import DepixelError
from depixel.commands import options
from depixel.commands.models import known_models

if TYPE_CHECKING:
    from PIL import Image

    from depixel.model.networks import Network
    from depixel.reports.inspection import Sample

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@click.group(cls=PlainGroup)
def inspect() -> None:
    """Draw what happens inside a model or its training.

    \b
    Example:
      depixel inspect attribution k01/IMG_1.jpg -o why.png       the pixels that mattered for an area
      depixel inspect features k01/IMG_1.jpg -o maps.png         the feature maps of a layer
      depixel inspect filters -o filters.png                     the filters of the first layer
      depixel inspect augmentation -o augmentation.png           how training changes its photos
    """


_LOOKED_AT = (
    click.argument("photo", required=False),
    click.option(
        "--test-set", type=options.path(dir_okay=False), help="Use a sample of this test set instead of a photo."
    ),
    click.option(
        "--number",
        default=0,
        show_default=True,
        help="Number of the photo's area, or of the test set's sample, from 0.",
    ),
)


_DRAWN = (
    click.option(
        "-o", "--output", type=options.path(dir_okay=False), required=True, help="The picture to write, a PNG."
    ),
    options.model(options.PIPELINE_MODEL, callback=known_models),
    options.force,
)


def _with(*options: Decorator) -> Decorator:
    """Decorate a command with shared options."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def _looked_at(photo: str | None, test_set: Path | None, number: int, block_size: tuple[int, int]) -> "Sample":
    """The sample that a command looks at."""
    from depixel.base.settings import read_section
    from depixel.model.pixelation import PixelationSettings
    from depixel.reports import inspection
    from depixel.scoring import scores

    if photo is None and test_set is not None:
        return inspection.of_test_set(test_set, number, block_size)
    if photo is None or test_set is not None:
        raise DepixelError(
            "name either a test photo, CONTRIBUTOR/NAME as in data/split.csv, or a test set: --test-set FILE"
        )
    evaluate = read_section(layout.PARAMS, "evaluate", scores.EvaluateSettings)
    pixelation = read_section(layout.PARAMS, "pixelation", PixelationSettings)
    return inspection.of_test_photo(photo, number, layout.PREPARED, layout.SPLIT, evaluate, pixelation)


def _save(picture: "Image.Image", output: Path) -> None:
    from depixel.base.files import replacing

    with replacing(output) as beside:
        picture.save(beside, "PNG")
    click.echo(f"Picture: {output}")


@inspect.command()
@_with(*_LOOKED_AT, *_DRAWN)
@click.option("--block", metavar="COLUMN,ROW", help="Only this block of the area, counted from 0.")
def attribution(
    photo: str | None,
    test_set: Path | None,
    number: int,
    output: Path,
    model: str,
    force: bool,
    block: str | None,
) -> None:
    """Draw how much each pixel contributed to a restoration.

    Integrated gradients attribute the detail that the model added to the blocks to the pixels around the area and to
    the blocks. Red pixels speak for that detail, blue ones against it. PHOTO is a test photo of the pipeline,
    CONTRIBUTOR/NAME as in data/split.csv.

    Needs Captum: pip install captum.

    \b
    Example:
      depixel inspect attribution k01/IMG_1.jpg -o why.png --number 2 --block 0,1
      depixel inspect attribution --test-set test_set.pkl --number 7 -o why.png --model laptop
    """
    options.refuse_existing(output, force)
    from depixel.model.predictor import Predictor
    from depixel.reports import inspection

    numbers = re.fullmatch(r"(\d+),(\d+)", block) if block is not None else None
    if block is not None and not numbers:
        raise DepixelError(f"--block {block}: name a column and a row, such as 0,1")
    restorer = Predictor.load(model)
    sample = _looked_at(photo, test_set, number, restorer.configuration.block_size)
    chosen = (int(numbers[1]), int(numbers[2])) if numbers else None
    values = inspection.attribution(restorer, sample, chosen)
    _save(inspection.attribution_picture(restorer, sample, values), output)


@inspect.command()
@_with(*_LOOKED_AT, *_DRAWN)
@click.option("--layer", help="The name of the layer; by default the first. An error about an unknown name lists all.")
def features(
    photo: str | None, test_set: Path | None, number: int, output: Path, model: str, force: bool, layer: str | None
) -> None:
    """Draw the feature maps of a layer.

    Draws one map per channel, each on its own scale: red is above 0, blue below, white is 0. PHOTO is a test photo of
    the pipeline, CONTRIBUTOR/NAME as in data/split.csv.

    \b
    Example:
      depixel inspect features k01/IMG_1.jpg -o maps.png --layer stages.3
    """
    options.refuse_existing(output, force)
    from depixel.model.predictor import Predictor
    from depixel.reports import inspection

    restorer = Predictor.load(model)
    sample = _looked_at(photo, test_set, number, restorer.configuration.block_size)
    maps = inspection.feature_maps(restorer, sample, layer or inspection.layers(restorer.network)[0])
    _save(inspection.maps_picture(maps), output)


@inspect.command()
@_with(*_DRAWN)
def filters(output: Path, model: str, force: bool) -> None:
    """Draw the filters of the first layer.

    Each row is a filter: its weights in each input plane of the network, on its own scale. Red is above 0, blue below,
    white is 0.

    \b
    Example:
      depixel inspect filters -o filters.png --model laptop
    """
    options.refuse_existing(output, force)
    from depixel.model.predictor import Predictor
    from depixel.reports import inspection

    network = cast("Network", Predictor.load(model).network)  # one network, as a file holds no average of several
    _save(inspection.filters_picture(inspection.first_filters(network), network.PLANES), output)


@inspect.command()
@click.option("-o", "--output", type=options.path(dir_okay=False), required=True, help="The picture to write, a PNG.")
@options.force
def augmentation(output: Path, force: bool) -> None:
    """Draw what each change of the section `augment` does to photos.

    A row for each change alone, on the first photos of the training side, with their areas framed. A change that is
    switched off is drawn with an example range.

    \b
    Example:
      depixel inspect augmentation -o augmentation.png
    """
    options.refuse_existing(output, force)
    from depixel.base.settings import read_section
    from depixel.dataset.augmentation import AugmentSettings
    from depixel.dataset.samples import Photos
    from depixel.model.pixelation import PixelationSettings
    from depixel.reports import inspection

    pixelation = read_section(layout.PARAMS, "pixelation", PixelationSettings)
    settings = read_section(layout.PARAMS, "augment", AugmentSettings)
    photos = Photos.load(layout.PREPARED, layout.SPLIT, "train")
    _save(inspection.augmentation_picture(photos, pixelation, settings), output)
