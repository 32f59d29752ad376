"""How the two networks were made that find pixelated areas in JPEGs, and the way to make them again.

    python benchmarks/detector.py detector --photos ../shared/photos --sources ../shared/photos/SOURCES.md
    python benchmarks/detector.py screen --photos ../shared/photos --sources ../shared/photos/SOURCES.md

Takes the photos of every second contributor (`detection.py` reports on the others), pixelates parts of them, and saves
most as JPEG. The detector learns to tell of each step between neighbouring pixels whether it is one of the photo,
within a block or between two; ten minutes on a GPU, many hours on two cores. The screen learns in which squares of
8 x 8 pixels there are steps between two blocks; a quarter of an hour of two cores. What was interrupted goes on. Then
it writes models/pretrained/NETWORK.onnx and its card, models/NETWORK.md; `dvc add models/pretrained` is left to do, and
`python benchmarks/detection.py`. The shipped detector was trained so on an NVIDIA H200, 16 000 pictures of 64 x 64
pixels a second; the shipped screen while pictures were still drawn one by one, and saved as JPEG by Pillow.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]  # the library beside this file, whatever is installed

from detection import entries_of, loaded  # noqa: E402

from depixel.base.console import progress  # noqa: E402
from depixel.base.files import hash_of, replacing  # noqa: E402
from depixel.base.layout import PRETRAINED  # noqa: E402
from depixel.detection.jpeg import BASIS, standard_table  # noqa: E402
from depixel.detection.learned import CELL, INPUTS  # noqa: E402
from depixel.learning.muon import MuonAdam  # noqa: E402
from depixel.model.blocks import Blocks  # noqa: E402
from depixel.model.networks import ResidualBlock, parameter_count  # noqa: E402
from depixel.model.predictor import best_device, best_precision  # noqa: E402
from depixel.onnx.writing import store, translate  # noqa: E402
from depixel.photos import processes  # noqa: E402
from depixel.photos.archives import Entry  # noqa: E402

WIDTH = 32
BATCH = 512  # pictures of 64 x 64 pixels; a quarter as many of 128 x 128
RATE, WARM_UP, AVERAGE = 4e-3, 200, 0.998
KEPT_EVERY = 200  # steps
SIDES = (64, 128)
PHOTO, WITHIN, BETWEEN, UNKNOWN = 0, 1, 2, -1
VALUES = 0.45, 0.45, 0.1  # how often blocks get their mean rounded, cut off, or the pixel in their middle


class Lines(nn.Module):
    """x + what its surroundings along rows and along columns say: the sides of areas and blocks are such lines."""

    LONG = 9

    def __init__(self, channels: int):
        super().__init__()
        self.across = nn.Conv2d(channels, channels // 2, (1, self.LONG), padding=(0, self.LONG // 2))
        self.down = nn.Conv2d(channels, channels // 2, (self.LONG, 1), padding=(self.LONG // 2, 0))
        self.both = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.both.weight)
        nn.init.zeros_(self.both.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.both(F.relu(torch.cat([self.across(x), self.down(x)], dim=1)))


class Detector(nn.Module):
    """A U-Net (Ronneberger et al. 2015) that is shown the picture, how large its steps are and where JPEG's blocks are,
    and that looks further along rows and columns.

    forward: gray and noise as `depixel.detection.learned` has them; returns its logits.
    """

    STEPS = 17_400
    KIND = f"a U-Net of width {WIDTH}"
    ABOUT = """\
A network that tells of each step between neighbouring pixels whether it is one of a photo, one within a block of a
pixelated area, or one between two blocks. By it, `depixel restore --auto` finds areas in pictures that were saved as
JPEG after they were pixelated; `depixel/detection/` says how."""
    PLANES = 8
    BLOCKS = (1, 1, 2, 4, 2, 1, 1)

    def __init__(self, width: int = WIDTH):
        super().__init__()
        channels = [width, width * 3 // 2, width * 2, width * 4]
        levels = [*channels, *channels[-2::-1]]
        self.stem = nn.Conv2d(self.PLANES, width, 5, padding=2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in reversed(list(pairwise(channels))))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(n, 0.0) for _ in range(depth)), *([Lines(n)] if n < channels[-1] else []))
            for n, depth in zip(levels, self.BLOCKS, strict=True)
        )
        self.out = nn.Conv2d(width, 6, 3, padding=1)

    def planes(self, gray: Tensor, noise: Tensor) -> Tensor:
        count, _, high, wide = gray.shape
        level, contrast = gray.mean((2, 3), keepdim=True), gray.std((2, 3), keepdim=True) + 8
        x, y = (torch.arange(n, device=gray.device) * (2 * np.pi / 8) for n in (wide, high))
        phases = [wave(x).expand(high, wide) for wave in (torch.cos, torch.sin)]
        phases += [wave(y)[:, None].expand(high, wide) for wave in (torch.cos, torch.sin)]
        planes = [
            (gray - level) / contrast,
            *_steps(gray),
            torch.stack(phases)[None].expand(count, 4, high, wide),
            torch.log1p(noise)[:, None, None, None].expand(count, 1, high, wide),
        ]
        return torch.cat(planes, dim=1).contiguous(memory_format=torch.channels_last)

    def forward(self, gray: Tensor, noise: Tensor) -> Tensor:
        x, finer = self.stages[0](self.stem(self.planes(gray, noise))), []
        for down, stage in zip(self.down, self.stages[1:4], strict=True):
            finer.append(x)
            x = stage(down(x))
        for up, stage in zip(self.up, self.stages[4:], strict=True):
            x = stage(finer.pop() + F.pixel_shuffle(up(x), 2))
        return self.out(x).float()

    @staticmethod
    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        return sum(F.cross_entropy(logits[:, 3 * i : 3 * i + 3], classes[:, i], ignore_index=UNKNOWN) for i in (0, 1))


class Screen(nn.Module):
    """A small network for large pictures, that works at an eighth of their resolution.

    forward: gray and noise as `depixel.detection.learned` has them; returns the logits of the cells.
    """

    STEPS = 1_800
    KIND = "seven convolutions"
    ABOUT = """\
A small network that tells in which squares of 8 x 8 pixels there are steps between two blocks of a pixelated area. In
large pictures, `depixel restore --auto` looks with the [detector](detector.md) only around these."""
    WIDTHS = (24, 32)
    DEPTH = 4

    def __init__(self):
        super().__init__()
        first, width = self.WIDTHS
        self.stem = nn.Conv2d(4, first, 8, stride=4, padding=2)
        self.down = nn.Conv2d(first, width, 3, stride=2, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(self.DEPTH))
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, gray: Tensor, noise: Tensor) -> Tensor:
        across, down = _steps(gray)
        noise = torch.log1p(noise)[:, None, None, None].expand_as(gray)
        planes = torch.cat([(gray - 128) / 64, across, down, noise], dim=1)
        x = F.relu(self.down(F.relu(self.stem(planes))))
        for layer in self.body:
            x = x + F.relu(layer(x))
        return self.out(x).float()

    @staticmethod
    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        there = F.max_pool2d((classes == BETWEEN).any(dim=1, keepdim=True).float(), CELL)
        return F.binary_cross_entropy_with_logits(logits, there)


def _steps(gray: Tensor) -> tuple[Tensor, Tensor]:
    """How large the steps across and down are, (B, 1, H, W) each, on a scale of about -1 to 3."""
    across = F.pad((gray[..., 1:] - gray[..., :-1]).abs(), (1, 0))
    down = F.pad((gray[..., 1:, :] - gray[..., :-1, :]).abs(), (0, 0, 1, 0))
    return torch.log(across + 0.25) / 2, torch.log(down + 0.25) / 2


NETWORKS = {"detector": Detector, "screen": Screen}


# Examples

NAMES = ("small", "own", "large")
"""Photos at 64 pixels, 128 pixels of photos as they are, and photos at 128 pixels."""


class Areas(NamedTuple):
    """Of a batch, (B,) each: as in `depixel.detection.Found`; whether they are there."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    size: Tensor
    offset_x: Tensor
    offset_y: Tensor
    there: Tensor


class Examples:
    """Batches of examples, all of a batch made at once, where the network is."""

    def __init__(self, folder: Path, device: str, seed: int):
        photos = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES]
        grown = [np.pad(of, [(0, 0), *[(0, SIDES[1] - n) for n in of.shape[1:]]]) for of in photos]
        self.photos = torch.from_numpy(np.concatenate(grown)).to(device)
        self.numbers = np.array([len(of) for of in photos])
        self.device = device
        self.rng = np.random.default_rng(seed)
        self.noise = torch.Generator(device).manual_seed(seed)
        self.tables = torch.from_numpy(np.stack([standard_table(max(quality, 1)) for quality in range(101)]))
        self.tables = self.tables.float().to(device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            large = self.rng.random() < 0.25
            yield self.batch(SIDES[large], BATCH // 4 if large else BATCH)

    def batch(self, side: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """gray (B, 1, side, side) float32 of whole numbers, noise (B,) float32 as it is told, and the classes
        (B, 2, side, side) int64 of their steps."""
        gray = self.cuts(side, count)
        gray, classes = pixelated(gray, self.areas(side, count), *self.to(self.rng.choice(3, count, p=VALUES)))
        quality, told = self.qualities(count)
        quality, told, lossless = self.to(quality, told & (quality > 0), quality == 0)
        tables = self.tables[quality]
        noise = (tables.square().mean((1, 2)) / 12).sqrt() * told
        gray = torch.where(lossless[:, None, None], gray, compressed(gray, tables))
        return gray[:, None], noise, classes

    def to(self, *values: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(of)).to(self.device, non_blocking=True) for of in values]

    def cuts(self, side: int, count: int) -> Tensor:
        """Parts of photos (B, side, side): as the challenge makes them small, as they were saved, or in between."""
        rng, most = self.rng, SIDES[1]
        kind = rng.random(count) if side == SIDES[0] else rng.uniform(0.4, 1, count)
        kind = np.searchsorted([0.4, 0.7], kind, side="right")  # of NAMES
        number = (rng.random(count) * self.numbers[kind]).astype(int)
        first = np.append(0, np.cumsum(self.numbers))[kind]
        length = np.where(kind == 2, rng.integers(side, most + 1, count), side)
        starts = rng.random((2, count))
        starts = np.where(
            kind == 1,
            (starts * ((most - side) // 8 + 1)).astype(int) * 8,  # the JPEG's blocks stay where they were
            np.where(kind == 2, (starts * (most - length + 1)).astype(int), 0),
        )
        mirrored = (kind != 1) & (rng.random(count) < 0.5)
        enlarged = rng.random(count) < 0.08  # as large photos are: smooth from pixel to pixel, with noise
        part = np.where(enlarged, (side / rng.uniform(1.3, 4, count)).astype(int), side)
        begins = (rng.random((2, count)) * (side - part + 1)).astype(int)
        noise = np.where(enlarged & (rng.random(count) < 0.7), rng.uniform(0.3, 4, count), 0).astype(np.float32)

        rows, columns, length, box = self.to(*starts, length, (kind == 2) & (rng.random(count) < 0.3))
        index, mirrored, top, left, part, noise = self.to(first + number, mirrored, *begins, part, noise)
        gray = self.photos[index].float()
        gray = resized(gray, *(resampling(start, length, side, most, box) for start in (rows, columns)))
        gray = torch.where(mirrored[:, None, None], gray.flip(2), gray)
        gray = resized(gray, *(resampling(start, part, side, side, torch.zeros_like(box)) for start in (top, left)))
        drawn = torch.randn(gray.shape, generator=self.noise, device=self.device)
        return (gray + noise[:, None, None] * drawn).round_().clip_(0, 255)

    def areas(self, side: int, count: int) -> list[Areas]:
        """Two for each example, of which none, one or both are there. Sizes as the project draws them, and larger ones;
        one grid of eight does not begin at the area's corner."""
        rng = self.rng
        both = []
        for _ in range(2):
            kind = rng.random(count)
            least = np.where(kind < 0.9, 6, 16)
            large = np.exp(rng.uniform(np.log(least), np.log(side + 1), (2, count))).astype(int)
            width, height = np.minimum(np.where(kind < 0.6, rng.integers(4, 33, (2, count)), large), side)
            sizes = np.exp(rng.uniform(np.log(3), np.log(32 * side / 64 + 1), count)).astype(int)
            size = np.where(rng.random(count) < 0.6, rng.integers(4, 17, count), sizes)
            x, y = ((rng.random(count) * (side - n + 1)).astype(int) for n in (width, height))
            offsets = (rng.random((2, count)) * size).astype(int) * (rng.random(count) < 0.12)
            both.append([x, y, width, height, size, *offsets])
        many = rng.choice(3, count, p=[0.15, 0.65, 0.2])
        (x0, y0, w0, h0), (x1, y1, w1, h1) = (of[:4] for of in both)
        apart = (x0 > x1 + w1) | (x1 > x0 + w0) | (y0 > y1 + h1) | (y1 > y0 + h0)
        return [Areas(*self.to(*of, there)) for of, there in zip(both, (many >= 1, (many == 2) & apart), strict=True)]

    def qualities(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Of JPEG, nearly half of them high, where it can be learned best; 0: lossless. And whether they are told."""
        kind, rng = self.rng.random(count), self.rng
        quality = rng.integers(np.where(kind < 0.55, 84, 58), 99)
        return np.where(kind > 0.1, quality, 0), rng.random(count) < 0.93


def resampling(start: Tensor, length: Tensor, side: int, most: int, box: Tensor) -> Tensor:
    """(B, side, most): the matrices that resize `length` of `most` pixels from `start` on to `side`, as Pillow's BOX,
    else BICUBIC."""
    start, length, box = (of[:, None, None] for of in (start, length, box))
    pixels = torch.arange(most, device=start.device)
    scale = length / side
    centers = start + (torch.arange(side, device=start.device)[:, None] + 0.5) * scale
    off = (pixels + 0.5 - centers) / scale.clip(min=1)
    x = off.abs()
    inner, outer = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    cubic = torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))
    weights = torch.where(box, ((off > -0.5) & (off <= 0.5)).float(), cubic)
    weights = weights * ((pixels >= start) & (pixels < start + length))
    return weights / weights.sum(dim=2, keepdim=True)


def resized(gray: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return (rows @ gray @ columns.mT).round_().clip_(0, 255)


def pixelated(gray: Tensor, areas: list[Areas], value: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures (B, H, W) with areas pixelated, and the classes (B, 2, H, W) of their steps.

    value: (B,): blocks get their mean rounded (0) or cut off (1), or the pixel in their middle (2).
    """
    classes = torch.full((len(gray), 2, *gray.shape[1:]), PHOTO, device=gray.device)
    value, example = value[:, None, None], torch.arange(len(gray), device=gray.device)[:, None, None]
    for area in areas:
        blocks = Blocks(torch.stack(area[:7], dim=1), *gray.shape[1:])
        means = (blocks.sums(gray[:, None]) / blocks.count)[:, 0]
        columns, x = _lines(area.x, area.width, area.size, area.offset_x, gray.shape[2])
        rows, y = _lines(area.y, area.height, area.size, area.offset_y, gray.shape[1])
        middles = gray[example, y[:, :, None], x[:, None]]
        shown = torch.where(value == 2, middles, (means + torch.where(value == 0, 0.5, 0.0)).floor())
        within = blocks.unknown[:, 0] & area.there[:, None, None]
        gray = torch.where(within, shown, gray)
        high, wide = within.any(dim=2), within.any(dim=1)
        for of, line in enumerate((high[:, :, None] & columns[:, None], wide[:, None] & rows[:, :, None])):
            classes[:, of] = torch.where(line, BETWEEN, torch.where(within, WITHIN, classes[:, of]))
    classes[:, 0, :, 0] = classes[:, 1, 0] = UNKNOWN
    return gray, classes


def _lines(start: Tensor, length: Tensor, size: Tensor, lacks: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Along one axis, (B, most): whether there is a side or a line, and the pixel in the middle of each pixel's block,
    of those within the area."""
    start, size, lacks = (of[:, None] for of in (start, size, lacks))
    end = start + length[:, None]
    pixels = torch.arange(most, device=start.device)
    begins = torch.maximum(start, (pixels - start + lacks) // size * size - lacks + start)
    lines = (begins == pixels) & (pixels < end) | (pixels == end)
    return lines, torch.minimum(begins + size // 2, end - 1)


def compressed(gray: Tensor, tables: Tensor) -> Tensor:
    """(B, H, W) after JPEG with these (B, 8, 8) quantization steps."""
    basis = torch.from_numpy(BASIS).float().to(gray.device, non_blocking=True)
    count, high, wide = gray.shape
    blocks = gray.view(count, high // 8, 8, wide // 8, 8).transpose(2, 3) - 128
    steps = 8 * tables[:, None, None]  # libjpeg has eighths of a coefficient, and rounds halves up
    eighths = (8 * (basis @ blocks @ basis.T)).round_()
    blocks = basis.T @ (eighths.sign() * ((eighths.abs() + steps / 2) / steps).floor_() * steps / 8) @ basis
    return (blocks + 128).transpose(2, 3).reshape(gray.shape).round_().clip_(0, 255)


def collect(entry: Entry) -> list[np.ndarray | None]:
    """Of a photo, the pictures of NAMES; None where it is none, or too small."""
    small, large, own = (loaded(entry, size) for size in (*SIDES, 0))
    if own is not None:
        y, x = ((n - SIDES[1]) // 2 // 8 * 8 for n in own.shape)
        own = own[y : y + SIDES[1], x : x + SIDES[1]] if min(own.shape) >= SIDES[1] else None
    return [small, own, large]


def collect_all(photos: Path, folder: Path) -> None:
    """Write small.npy, large.npy and own.npy, (N, side, side) uint8, unless they are there, of the same photos."""
    origin = folder / "photos.txt"
    if origin.is_file():
        if origin.read_text(encoding="utf-8") != str(photos.resolve()):
            raise click.ClickException(f"{folder} is of other photos, {origin.read_text(encoding='utf-8')}: delete it")
        return
    entries = entries_of(photos, 0)
    rows = list(progress(processes.each(collect, entries), total=len(entries)))
    for name, images in zip(NAMES, zip(*rows, strict=True), strict=True):
        with replacing(folder / f"{name}.npy") as beside, beside.open("wb") as file:
            np.save(file, np.stack([image for image in images if image is not None]))
    origin.write_text(str(photos.resolve()), encoding="utf-8")


# Training


def train(name: str, folder: Path, steps: int, threads: int) -> nn.Module:
    """The network with the average of its weights after so many steps; goes on from folder/NAME.pt."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    device = best_device()
    low = best_precision(device) == "bfloat16"
    torch.backends.cudnn.benchmark = True
    network = NETWORKS[name]().to(device, memory_format=torch.channels_last)
    optimizer = MuonAdam(network, RATE)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    first, checkpoint = 0, folder / f"{name}.pt"
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        if saved["of"] != steps:
            raise click.ClickException(f"{checkpoint} is of a training of {saved['of']} steps: delete it, or go on so")
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        average, first = saved["average"], saved["step"]
    click.echo(f"{parameter_count(network) / 1e6:.2f} M parameters")
    batches = iter(Examples(folder, device, first + 1))
    begun, losses = time.perf_counter(), []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / WARM_UP) * (1 - step / steps)
        gray, noise, classes = next(batches)
        with torch.autocast(device, torch.bfloat16, enabled=low):
            logits = network(gray, noise)
        loss = network.loss(logits, classes)
        losses.append(loss.detach())  # to read it here would wait for a GPU
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(AVERAGE, step / (step + 10))
            torch._foreach_lerp_(average, [parameter.detach() for parameter in network.parameters()], 1 - keep)
        if (step + 1) % KEPT_EVERY == 0 or step + 1 == steps:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            with replacing(checkpoint) as beside:
                torch.save(state | {"average": average, "step": step + 1, "of": steps}, beside)
            speed = (step + 1 - first) * BATCH / (time.perf_counter() - begun)
            click.echo(f"{step + 1} of {steps} steps, loss {torch.stack(losses).mean():.4f}, {speed:.0f} samples/s")
            losses.clear()
    for parameter, mean in zip(network.parameters(), average, strict=True):
        parameter.data.copy_(mean)
    return network.cpu()


def write(network: nn.Module, path: Path, about: dict) -> None:
    """An ONNX file of `depixel.detection.learned`, weights in 16 bits."""
    for parameter in network.parameters():
        parameter.data.copy_(parameter.data.half())
    batch, rows, columns = (torch.export.Dim(name, min=1) for name in ("batch", "rows", "columns"))
    shapes = ({0: batch, 2: 8 * rows, 3: 8 * columns}, {0: batch})
    sample = (torch.rand(2, 1, 64, 80) * 255, torch.rand(2))
    with tempfile.TemporaryDirectory() as name, replacing(path) as beside:
        translate(network.eval(), sample, INPUTS, "logits", shapes, Path(name) / "made.onnx")
        store(Path(name) / "made.onnx", {"made of": json.dumps(about)}, beside)


CARD = """\
# {name}

{text}

| | |
|---|---|
| network | {network}, {parameters:.2f} M parameters, stored as float16 |
| trained for | gray pictures of 64 and 128 px, blocks of 3 to 64 px, lossless or as JPEG of quality 58 to 98 |
| file | `{name}.onnx`, sha256 {digest} |

## How good it is

[docs/pictures.md](../docs/pictures.md#areas-found-by-themselves), by `benchmarks/detection.py`, on photos of other
contributors.

## What it was made from

{steps} steps of {batch} pictures of 64 x 64 pixels, or of a quarter as many of 128 x 128, cut from {photos} photos of
every second contributor; by `benchmarks/detector.py`.

{sources}

## What it is not good for

- *Deciding that a picture is untouched*: small areas and strong compression escape it.
- *JPEGs that were cut, resized or turned after they were saved*: it must know where JPEG's blocks begin.
- *Pictures unlike photos*: drawings, screenshots, scans, medical images.
"""


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", type=click.Choice(list(NETWORKS)), metavar="NETWORK")
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option(
    "--sources", type=click.Path(exists=True, path_type=Path), required=True, help="Whose photos, what terms."
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help=f"Of {BATCH} pictures of 64 x 64 pixels; by default "
    + ", ".join(f"{made.STEPS} for the {name}" for name, made in NETWORKS.items()),
)
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=PROJECT / ".scratch/detector",
    help="For what is made on the way.",
)
def main(name: str, photos: Path, sources: Path, steps: int | None, threads: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    collect_all(photos, folder)
    steps = steps or NETWORKS[name].STEPS
    network = train(name, folder, steps, threads)
    ship(name, network, steps, len(np.load(folder / "small.npy", mmap_mode="r")), sources)


def ship(name: str, network: nn.Module, steps: int, photos: int, sources: Path) -> None:
    """Write the file and its card."""
    path, about = PROJECT / PRETRAINED / f"{name}.onnx", {"steps": steps, "batch": BATCH, "photos": photos}
    write(network, path, about)
    _, _, terms = sources.read_text(encoding="utf-8").partition("\n")  # without its title
    text = CARD.format(
        name=name,
        text=network.ABOUT,
        network=network.KIND,
        parameters=parameter_count(network) / 1e6,
        digest=hash_of(path, "sha256"),
        sources=terms.strip(),
        **about,
    )
    with replacing(PROJECT / f"models/{name}.md") as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
    click.echo(f"written: {path}, models/{name}.md")


if __name__ == "__main__":
    main()
