"""Commands that look inside a model or its training."""

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from depixel.base import layout
from depixel.base.errors import DepixelError
from depixel.commands import options
from depixel.commands.models import known_models

if TYPE_CHECKING:
    from PIL import Image

    from depixel.model.networks import Network
    from depixel.reports.inspection import Sample

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@click.group()
def inspect() -> None:
    """Look inside a model or its training; each command draws a picture.

    \b
    Example:
      depixel inspect attribution k01/IMG_1.jpg -o why.png       which pixels around an area mattered
      depixel inspect features k01/IMG_1.jpg -o maps.png         what a layer makes of it
      depixel inspect filters -o filters.png                     what the first layer looks for
      depixel inspect augmentation -o augmentation.png           how training changes its photos
    """


_LOOKED_AT = (
    click.argument("photo", required=False),
    click.option(
        "--test-set", type=options.path(dir_okay=False), help="Look at a sample of this test set, not at a photo."
    ),
    click.option(
        "--number", default=0, show_default=True, help="Which of the photo's areas, or of the test set's samples."
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
    """Decorate a command with options that other commands have, too."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def _looked_at(photo: str | None, test_set: Path | None, number: int, block_size: tuple[int, int]) -> "Sample":
    """The sample that a command is to look at."""
    from depixel.base.settings import read_section
    from depixel.model.pixelation import PixelationSettings
    from depixel.reports import inspection
    from depixel.scoring import scores

    if photo is None and test_set is not None:
        return inspection.of_test_set(test_set, number, block_size)
    if photo is None or test_set is not None:
        raise DepixelError("name a test photo, CONTRIBUTOR/NAME as in data/split.csv, or a test set: --test-set FILE")
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
@click.option("--block", metavar="COLUMN,ROW", help="Only of this block of the area, counted from 0.")
def attribution(
    photo: str | None,
    test_set: Path | None,
    number: int,
    output: Path,
    model: str,
    force: bool,
    block: str | None,
) -> None:
    """Draw which pixels a restoration came from.

    By integrated gradients: how much each pixel around the area, and each block, had to do with the detail that the
    model put into the blocks. Red speaks for that detail, blue against it. PHOTO is a test photo of the pipeline,
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
        raise DepixelError(f"--block {block}: must be column and row, such as 0,1")
    restorer = Predictor.load(model)
    sample = _looked_at(photo, test_set, number, restorer.configuration.block_size)
    chosen = (int(numbers[1]), int(numbers[2])) if numbers else None
    values = inspection.attribution(restorer, sample, chosen)
    _save(inspection.attribution_picture(restorer, sample, values), output)


@inspect.command()
@_with(*_LOOKED_AT, *_DRAWN)
@click.option("--layer", help="Its name; by default the first. A wrong one is answered with all names.")
def features(
    photo: str | None, test_set: Path | None, number: int, output: Path, model: str, force: bool, layer: str | None
) -> None:
    """Draw what a layer makes of a picture.

    One map for each channel, each on its own scale: red above 0, blue below, white 0. PHOTO is a test photo of the
    pipeline, CONTRIBUTOR/NAME as in data/split.csv.

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

    Each is a row: what it weighs in each of the planes that the network sees, on its own scale: red above 0, blue
    below, white 0.

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
