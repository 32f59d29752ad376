"""How the two networks were made that find pixelated areas in JPEGs, and the way to make them again.

    python benchmarks/detector.py detector --photos ../shared/photos --sources ../shared/photos/SOURCES.md
    python benchmarks/detector.py screen --photos ../shared/photos --sources ../shared/photos/SOURCES.md

Takes the photos of every second contributor (`detection.py` reports on the others), pixelates parts of them, and saves
most as JPEG. The detector learns to tell of each step between neighbouring pixels whether it is one of the photo,
within a block or between two; minutes on a GPU with ten cores beside it, many hours on two cores. The screen learns
in which squares of 8 x 8 pixels there are steps between two blocks; a quarter of an hour of two cores. What was
interrupted goes on. Then it writes models/pretrained/NETWORK.onnx and its card, models/NETWORK.md; `dvc add
models/pretrained` is left to do, and `python benchmarks/detection.py`. The shipped detector was trained on an NVIDIA
H200 in two parts, the second from the weights of the first: 6 534 and 7 860 steps, each ended by the clock, with the
rate falling to 0 by then.
"""

import io
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]  # the library beside this file, whatever is installed

from detection import entries_of, loaded  # noqa: E402

from depixel import workers  # noqa: E402
from depixel.command import progress  # noqa: E402
from depixel.detection.jpeg import standard_table  # noqa: E402
from depixel.detection.learned import CELL, INPUTS  # noqa: E402
from depixel.exporting import store, translate  # noqa: E402
from depixel.files import hash_of, replacing  # noqa: E402
from depixel.models import PRETRAINED  # noqa: E402
from depixel.networks import ResidualBlock, parameter_count  # noqa: E402
from depixel.optimizers import MuonAdam  # noqa: E402
from depixel.pixelation import block_means, spread  # noqa: E402
from depixel.restoration import best_device, best_precision  # noqa: E402
from depixel.sources import Entry  # noqa: E402

WIDTH = 32
BATCH = 512  # pictures of 64 x 64 pixels; a quarter as many of 128 x 128
RATE, WARM_UP, AVERAGE = 4e-3, 200, 0.998
KEPT_EVERY = 200  # steps
SIDES = (64, 128)
PHOTO, WITHIN, BETWEEN, UNKNOWN = 0, 1, 2, -1


class Detector(nn.Module):
    """A U-Net (Ronneberger et al. 2015) that is shown the picture, how large its steps are and where JPEG's blocks are.

    forward: gray and noise as `depixel.detection.learned` has them; returns its logits.
    """

    STEPS = 14_400
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
            nn.Sequential(*(ResidualBlock(n, 0.0) for _ in range(depth)))
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
        classes = classes.long()
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

Area = tuple[int, int, int, int, int, int, int]
"""x, y, width, height, block size and the offsets of `depixel.detection.Found`."""


def drawn_area(rng: np.random.Generator, side: int) -> Area:
    """Sizes as the project draws them, and larger ones; one grid of eight does not begin at the area's corner."""
    kind = rng.random()
    if kind < 0.6:
        width, height = rng.integers(4, 33, 2)
    else:
        width, height = np.exp(rng.uniform(np.log(6 if kind < 0.9 else 16), np.log(side + 1), 2)).astype(int)
    width, height = min(width, side), min(height, side)
    if rng.random() < 0.6:
        size = int(rng.integers(4, 17))
    else:
        size = int(np.exp(rng.uniform(np.log(3), np.log(32 * side / 64 + 1))))
    x, y = rng.integers(0, side - width + 1), rng.integers(0, side - height + 1)
    offsets = rng.integers(0, size, 2) if rng.random() < 0.12 else (0, 0)
    return tuple(map(int, (x, y, width, height, size, *offsets)))


def pixelate(gray: np.ndarray, area: Area, value: int) -> tuple[np.ndarray, np.ndarray]:
    """In place; blocks get their mean rounded (0) or cut off (1), or the pixel in their middle (2). Returns where they
    begin in the area, along x and y."""
    x, y, width, height, size, offset_x, offset_y = area
    columns = np.append(0, np.arange(size - offset_x, width, size))
    rows = np.append(0, np.arange(size - offset_y, height, size))
    part = gray[y : y + height, x : x + width]
    if value == 2:
        blocks = part[np.minimum(rows + size // 2, height - 1)][:, np.minimum(columns + size // 2, width - 1)]
    else:
        means = block_means(part[:, :, None], size, (offset_y, offset_x))[:, :, 0]
        blocks = np.floor(means + (0.5 if value == 0 else 0))
    part[:] = spread(blocks, size, part.shape, (offset_y, offset_x))
    return columns, rows


def cut(rng: np.random.Generator, photos: dict[str, np.ndarray], side: int) -> np.ndarray:
    """A part of a photo, (side, side) uint8: as the challenge makes them small, as they were saved, or in between."""
    kind = rng.random() if side == SIDES[0] else rng.uniform(0.4, 1)
    name = "small" if kind < 0.4 else "own" if kind < 0.7 else "large"
    image = photos[name][rng.integers(len(photos[name]))]
    if name == "own":
        y, x = rng.integers(0, (len(image) - side) // 8 + 1, 2) * 8  # the JPEG's blocks stay where they were
        image = image[y : y + side, x : x + side]
    elif name == "large":
        part = int(rng.integers(side, len(image) + 1))
        image = resized(
            rng, image, part, side, Image.Resampling.BOX if rng.random() < 0.3 else Image.Resampling.BICUBIC
        )
    if rng.random() < 0.08:  # as large photos are: smooth from pixel to pixel, with noise
        image = resized(rng, image, int(side / rng.uniform(1.3, 4)), side, Image.Resampling.BICUBIC)
        if rng.random() < 0.7:
            image = np.clip(image + rng.normal(0, rng.uniform(0.3, 4), image.shape) + 0.5, 0, 255).astype(np.uint8)
    if name != "own" and rng.random() < 0.5:
        image = image[:, ::-1]
    return np.array(image)


def resized(rng: np.random.Generator, image: np.ndarray, part: int, side: int, way: Image.Resampling) -> np.ndarray:
    y, x = rng.integers(0, len(image) - part + 1, 2)
    image = np.ascontiguousarray(image[y : y + part, x : x + part])
    return image if part == side else np.asarray(Image.fromarray(image).resize((side, side), way))


def example(rng: np.random.Generator, photos: dict[str, np.ndarray], side: int) -> tuple[np.ndarray, float, np.ndarray]:
    """A picture (side, side) uint8, the noise that is told of it, and the classes (2, side, side) of its steps."""
    gray = cut(rng, photos, side)
    classes, taken = np.full((2, side, side), PHOTO, np.int8), np.zeros((side, side), bool)
    value = rng.choice(3, p=[0.45, 0.45, 0.1])
    for _ in range(rng.choice(3, p=[0.15, 0.65, 0.2])):
        area = drawn_area(rng, side)
        x, y, width, height = area[:4]
        rows, columns = slice(y, y + height), slice(x, x + width)
        if taken[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1].any():
            continue
        taken[rows, columns] = True
        across, down = pixelate(gray, area, value)
        classes[:, rows, columns] = WITHIN
        classes[0, rows, x + np.append(across, width if x + width < side else 0)] = BETWEEN
        classes[1, y + np.append(down, height if y + height < side else 0), columns] = BETWEEN
    classes[0, :, 0] = classes[1, 0] = UNKNOWN
    noise, kind = 0.0, rng.random()
    if kind > 0.1:  # nearly half of high quality, where it can be learned best
        quality = int(rng.integers(84 if kind < 0.55 else 58, 99))
        file = io.BytesIO()
        Image.fromarray(gray).save(file, "JPEG", quality=quality)
        gray = np.asarray(Image.open(file))
        if rng.random() < 0.93:  # else as where it cannot be told
            noise = float(np.sqrt(np.mean(standard_table(quality) ** 2 / 12)))
    return gray, noise, classes


class Examples(IterableDataset):
    """Endless batches of examples: gray (B, 1, H, W) uint8, noise (B,) float32, classes (B, 2, H, W) int8."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed

    def __iter__(self):
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, get_worker_info().id])
        photos = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in ("small", "large", "own")}
        while True:
            side, count = (SIDES[1], BATCH // 4) if rng.random() < 0.25 else (SIDES[0], BATCH)
            gray, noise, classes = zip(*(example(rng, photos, side) for _ in range(count)), strict=True)
            yield (
                torch.from_numpy(np.stack(gray))[:, None],
                torch.tensor(noise),
                torch.from_numpy(np.stack(classes)),
            )


def collect(entry: Entry) -> list[np.ndarray | None]:
    """A photo at 64 and at 128 pixels, and the middle 128 pixels of it as it is."""
    images = [loaded(entry, size) for size in (*SIDES, 0)]
    if images[2] is not None:
        whole = images[2]
        y, x = ((n - SIDES[1]) // 2 // 8 * 8 for n in whole.shape)
        images[2] = whole[y : y + SIDES[1], x : x + SIDES[1]] if min(whole.shape) >= SIDES[1] else None
    return images


def collect_all(photos: Path, folder: Path) -> None:
    """Write small.npy, large.npy and own.npy, (N, side, side) uint8, unless they are there, of the same photos."""
    origin = folder / "photos.txt"
    if origin.is_file():
        if origin.read_text(encoding="utf-8") != str(photos.resolve()):
            raise click.ClickException(f"{folder} is of other photos, {origin.read_text(encoding='utf-8')}: delete it")
        return
    entries = entries_of(photos, 0)
    rows = list(progress(workers.each(collect, entries), total=len(entries)))
    for name, images in zip(("small", "large", "own"), zip(*rows, strict=True), strict=True):
        with replacing(folder / f"{name}.npy") as beside, beside.open("wb") as file:
            np.save(file, np.stack([image for image in images if image is not None]))
    origin.write_text(str(photos.resolve()), encoding="utf-8")


# Training


def train(name: str, folder: Path, steps: int, threads: int, processes: int) -> nn.Module:
    """The network with the average of its weights after so many steps; goes on from folder/NAME.pt."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    device = best_device()
    low = best_precision(device) == "bfloat16"
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
    examples = Examples(folder, first + 1)
    batches = iter(DataLoader(examples, batch_size=None, num_workers=processes, prefetch_factor=8))
    begun, losses = time.perf_counter(), []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / WARM_UP) * (1 - step / steps)
        gray, noise, classes = (part.to(device) for part in next(batches))
        with torch.autocast(device, torch.bfloat16, enabled=low):
            logits = network(gray.float(), noise)
        loss = network.loss(logits, classes)
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(AVERAGE, step / (step + 10))
            torch._foreach_lerp_(average, [parameter.detach() for parameter in network.parameters()], 1 - keep)
        losses.append(loss.detach())  # to read it here would wait for a GPU
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
@click.option("--processes", default=1, show_default=True, help="That draw the pictures; for a GPU, ten or more.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=PROJECT / ".scratch/detector",
    help="For what is made on the way.",
)
def main(name: str, photos: Path, sources: Path, steps: int | None, threads: int, processes: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    collect_all(photos, folder)
    steps = steps or NETWORKS[name].STEPS
    network = train(name, folder, steps, threads, processes)
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
