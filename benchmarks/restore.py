"""Measure quality, speed and memory of the restoration of whole pictures.

    python benchmarks/restore.py --photos ../shared/photos

\b
Quality, as the ratio of the RMSE to that of the pixelated picture, on photos of at least 400 pixels a side:
- for blocks of 2 to 64 pixels, gray and in color;
- for blocks made in another way than `--trust` says;
- for areas whose first blocks are cut off;
- near the cuts between tiles, and elsewhere.

\b
Speed and memory, on enlarged photos:
- the time of a picture of 64 x 64 pixels;
- the time of a photo of 12 megapixels with an area of 400 x 300, also as a JPEG whose area must be found;
- the time to start the command;
- the memory for 50 megapixels.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import click
import numpy as np
from PIL import Image

from depixel.areas.area import Area, ResolvedArea
from depixel.areas.grid import Grid, block_means, spread
from depixel.base.errors import DepixelError
from depixel.photos import archives
from depixel.photos.decoding import decode, from_linear, grayscale, opened, to_linear
from depixel.pictures import formats, tiles
from depixel.pictures.pixels import pixelate
from depixel.pictures.restorer import Restorer

LEAST_SIDE = 400
CASES = ((2, 96), (3, 96), (4, 96), (8, 128), (16, 192), (32, 256), (64, 320), (16, 32))  # block, side of the area
MEMORY = """
import resource, sys
from pathlib import Path
from depixel.cli import main
try:
    main([*sys.argv[1:]], standalone_mode=False)
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def large_photos(raw: Path, count: int) -> list[np.ndarray]:
    """Photos (H, W, 3) with at least `LEAST_SIDE` pixels a side, from as many contributors as possible."""
    found: dict[str, list[np.ndarray]] = {}
    each = count
    for entry in archives.Entries(raw):
        if len(of := found.setdefault(entry.contributor, [])) >= each:
            continue
        try:
            data = archives.read(entry, 5_000_000)
            with opened(data) as image:
                large = min(image.size) >= LEAST_SIDE and image.mode == "RGB"
            if large:
                of.append(np.asarray(decode(data)))
        except DepixelError:
            continue
    photos = [photo for turn in zip_longest(found.values()) for photo in turn]
    if not photos:
        raise click.ClickException(f"{raw}: no photo has {LEAST_SIDE} pixels a side. Name a folder with larger photos")
    return photos[:count]


def zip_longest(lists) -> Iterator[list]:
    for i in range(max(map(len, lists), default=0)):
        yield [of[i] for of in lists if i < len(of)]


def pixelated(photo: np.ndarray, area: tuple[int, ...], how: str) -> np.ndarray:
    """A copy with an area pixelated in one of the ways of tools.

    how: "rounded", "exact" (truncated), "linear" (in linear light), "nearest" (the middle pixel of each block),
    "corner" (its corner pixel), or "JPEG90" and the like (rounded, then saved as JPEG).
    """
    x, y, width, height, size = area[:5]
    made = photo.copy()
    part = made[y : y + height, x : x + width]
    flat, grid = part.reshape(height, width, -1), Grid.square(size)
    if how in ("nearest", "corner"):
        first = size // 2 if how == "nearest" else 0
        values = flat[first::size, first::size]
    elif how == "linear":
        values = (255 * from_linear(block_means(to_linear(flat / 255), grid))).round()
    else:
        values = np.floor(block_means(flat, grid) + (0 if how == "exact" else 0.5))
    part[:] = spread(values, grid, (height, width)).reshape(part.shape)
    if not how.startswith("JPEG"):
        return made
    file = io.BytesIO()
    Image.fromarray(made).save(file, "JPEG", quality=int(how[4:]))
    return np.asarray(Image.open(file))


def areas(photos: list[np.ndarray], block: int, side: int) -> Iterator[tuple[np.ndarray, tuple[int, ...]]]:
    random = np.random.default_rng(block)
    for photo in photos:
        y, x = (int(random.integers(0, n - side + 1)) for n in photo.shape[:2])
        yield photo, (x, y, side, side, block)


def ratios(restorer: Restorer, photos: list[np.ndarray], block: int, side: int, how="rounded", trust="rounded"):
    """The ratio of the RMSE to that of the pixelated picture: mean over photos, pooled; and the number of photos."""
    errors = []
    for photo, area in areas(photos, block, side):
        shown = pixelated(photo, area, how)
        try:
            restored = restorer.restore(shown, [area], trust=trust)
        except DepixelError:  # JPEG's noise hides the blocks of an area with little contrast
            continue
        part = np.s_[area[1] : area[1] + side, area[0] : area[0] + side]
        errors.append([np.mean((a[part].astype(float) - photo[part]) ** 2) for a in (restored, shown)])
    ours, theirs = np.array(errors).T
    return np.mean(np.sqrt(ours / np.maximum(theirs, 1e-9))), np.sqrt(ours.sum() / theirs.sum()), len(errors)


def cut_off(restorer: Restorer, photos: list[np.ndarray], block: int, side: int) -> list[float]:
    """Mean ratios of areas whose first blocks lack 3/8 of their columns and 5/8 of their rows.

    They are restored with this offset, and as four areas that each begin with a block.
    """
    offset_x, offset_y = 3 * block // 8, 5 * block // 8
    found = []
    for photo, (x, y, *_) in areas(photos, block, side):
        whole = Area(x, y, side, side, block, offset_x=offset_x, offset_y=offset_y)
        left, top = block - offset_x, block - offset_y
        strips = [
            (x + dx, y + dy, width, height, block)
            for dx, width in ((0, left), (left, side - left))
            for dy, height in ((0, top), (top, side - top))
        ]
        shown, part = pixelate(photo, [whole]), np.s_[y : y + side, x : x + side]
        error, *errors = (
            np.sqrt(np.mean((a[part].astype(float) - photo[part]) ** 2))
            for a in (shown, restorer.restore(shown, [whole]), restorer.restore(shown, strips))
        )
        found.append([e / max(error, 1e-9) for e in errors])
    return list(np.mean(found, axis=0))


def at_cuts(restorer: Restorer, photos: list[np.ndarray]) -> tuple[float, float, float, float]:
    """Measure the effect of the cuts between tiles.

    The whole photos are pixelated in blocks of 8, so that all pixels are within 4 pixels of an edge between blocks.

    Returns:
        The RMSE within 4 pixels of the cuts; the RMSE of the same pixels restored in one window; and the ratios to the
        RMSE of the pixelated picture there and elsewhere, because some places have more detail than others.
    """
    squares, block, tile = [], 8, tiles.TILE
    for photo in photos:
        height, width = (n // block * block for n in photo.shape[:2])
        area = ResolvedArea(0, 0, width, height, block)
        shown = pixelated(photo, area.columns(), "rounded")
        beside = np.zeros(photo.shape[:2], bool)
        for part in tiles.tiles_of(tiles.Shown(area, "rounded"), photo.shape):
            beside[:, max(part.across.begin - 4, 0) : part.across.begin + 4] |= part.across.begin > 0
            beside[max(part.down.begin - 4, 0) : part.down.begin + 4] |= part.down.begin > 0
        tiled = (restorer.restore(shown, [area]).astype(float) - photo) ** 2
        try:
            tiles.TILE = 8 * max(photo.shape)
            whole = (restorer.restore(shown, [area]).astype(float) - photo) ** 2
        finally:
            tiles.TILE = tile
        pixels = (shown.astype(float) - photo) ** 2
        elsewhere = ~beside
        elsewhere[height:] = elsewhere[:, width:] = False
        of = (tiled[beside], whole[beside], pixels[beside], tiled[elsewhere], pixels[elsewhere])
        squares.append([part.mean() for part in of])
    tiled, whole, pixels, there, pixels_there = np.sqrt(np.mean(squares, axis=0))
    return tiled, whole, tiled / pixels, there / pixels_there


def seconds(work: Callable[[], object], times: int) -> float:
    """The shortest time of several runs, because other load only makes a run longer."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", "raw", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option("--model", default="laptop", show_default=True, help="The model.")
@click.option("--count", default=40, show_default=True, help="Number of photos.")
@click.option("--only", type=click.Choice(["quality", "speed"]), help="Measure only this.")
def main(raw: Path, model: str, count: int, only: str | None) -> None:
    restorer, photos = Restorer.load(model), large_photos(raw, count)
    if only != "speed":
        quality(restorer, photos)
    if only != "quality":
        speed(restorer, photos[0], model)


def quality(restorer: Restorer, photos: list[np.ndarray]) -> None:
    """Print the ratios."""
    click.echo(
        f"{len(photos)} photos with sides of at least {LEAST_SIDE}; ratio to the pixelated picture, mean, pooled"
    )
    gray = [grayscale(photo) for photo in photos]
    for block, side in CASES:
        of_gray, of_color = ratios(restorer, gray, block, side), ratios(restorer, photos, block, side)
        click.echo(
            "blocks of {:2} px, areas of {:3}: gray {:.3f} {:.3f}   color {:.3f} {:.3f}".format(
                block, side, *of_gray[:2], *of_color[:2]
            )
        )
    click.echo("mean ratio, blocks of 8 px in color; rows: how the blocks were made, columns: --trust")
    trusts = get_args(tiles.Trust)
    click.echo(" " * 9 + "".join(f"{trust:>9}" for trust in trusts))
    for how in (*trusts[:3], "nearest", "corner", "JPEG90", "JPEG60"):
        found = [ratios(restorer, photos, 8, 128, how, trust) for trust in trusts]
        click.echo(f"{how:9}" + "".join(f"{ratio:9.3f}" for ratio, _, _ in found) + f"   of {found[0][2]} photos")
    click.echo("mean ratio, gray, first blocks cut off: restored with the offset, and as four areas")
    for block, side in CASES[2:5]:
        click.echo("blocks of {:2} px: {:.3f} {:.3f}".format(block, *cut_off(restorer, gray, block, side)))
    found = at_cuts(restorer, photos)
    click.echo(
        "RMSE within 4 px of cuts between tiles {:.3f}, same pixels without cuts {:.3f}; ratio to the pixelated "
        "picture there {:.3f}, elsewhere {:.3f}".format(*found)
    )


def speed(restorer: Restorer, photo: np.ndarray, model: str) -> None:
    """Print times and memory."""
    small = pixelate(grayscale(photo)[:64, :64], [(16, 16, 32, 32, 8)])
    took = seconds(lambda: restorer.restore(small, [(16, 16, 32, 32, 8)]), 20)
    click.echo(f"a gray picture of 64 x 64 pixels, area of 32 x 32: {took * 1e3:.1f} ms")
    many = seconds(lambda: restorer.restore_many([small] * 64, [[(16, 16, 32, 32, 8)]] * 64), 5) / 64
    click.echo(f"64 such pictures by restore_many: {many * 1e3:.1f} ms each, {took / many:.1f} times as fast")
    for block in (8, 16):
        area = (1500, 1200, 400, 300, block)
        large = pixelate(np.asarray(Image.fromarray(photo).resize((4000, 3000))), [area])
        took = seconds(lambda area=area, large=large: restorer.restore(large, [area]), 5)
        click.echo(f"12 megapixels in color, area of 400 x 300, blocks of {block}: {took:.2f} s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        formats.write(folder / "small.png", formats.Picture(small, "PNG"))
        formats.write(folder / "large.jpg", formats.Picture(large, "JPEG"))
        command = [sys.executable, "-m", "depixel.cli", "restore", "--model", model, "--force", "-o", f"{folder}/out"]
        for file, options in (
            ("small.png", ["--area", "16,16,32,32"]),
            ("large.jpg", ["--area", "1500,1200,400,300"]),
            ("large.jpg", ["--auto"]),
        ):
            started = [*command, str(folder / file), *options]
            took = seconds(lambda started=started: subprocess.run(started, check=True, capture_output=True), 3)
            click.echo(f"depixel restore {file} {' '.join(options)}, from start to end: {took:.2f} s")
        took = seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True), 3)
        click.echo(f"for comparison, importing PyTorch: {took:.2f} s")
        small_area, whole = (2000, 2000, 400, 300, 16), (0, 0, 8160, 6112, 16)
        for kind, deep, auto, area in (
            ("PNG", False, False, small_area),
            ("PNG", False, False, whole),
            ("WEBP", False, False, small_area),
            ("TIFF", True, False, small_area),
            ("TIFF", True, False, whole),
            ("PNG", False, True, small_area),
            ("JPEG", False, True, small_area),
        ):
            pixels = pixelate(np.asarray(Image.fromarray(photo).resize((8164, 6124))), [area])
            if deep:
                pixels = pixels * np.uint16(257)
            formats.write(folder / f"huge.{kind.lower()}", formats.Picture(pixels, kind))
            del pixels
            started = [sys.executable, "-c", MEMORY, *command[3:], str(folder / f"huge.{kind.lower()}")]
            started += ["--auto"] if auto else ["--area", ",".join(map(str, area[:4])), "--block", str(area[4])]
            start = time.perf_counter()
            done = subprocess.run(started, check=True, capture_output=True, text=True)
            took, memory = time.perf_counter() - start, int(done.stdout.split()[-1])
            how = (" of 16 bits" if deep else "") + (", --auto" if auto else "")
            click.echo(
                f"50 megapixels, {kind}{how}, area of {area[2]} x {area[3]}: {memory / 1e6:.2f} GB, {took:.0f} s"
            )


if __name__ == "__main__":
    main()
