"""Train the two networks of `depixel.detection`, `detector` and `screen`, and write their files and cards.

\b
    python recipes/detector.py detector --photos ../shared/photos --sources ../shared/photos/SOURCES.md
    python recipes/detector.py screen   --photos ../shared/photos --sources ../shared/photos/SOURCES.md
    dvc add models/pretrained
    python benchmarks/detection.py --photos ../shared/photos

\b
              steps of 512 pictures    trained in
    detector  17 400                   10 minutes of one NVIDIA H200, 16 000 pictures a second
    screen     1 800                   15 minutes of two cores

The training uses the photos of every second contributor, 15 900 of them; `benchmarks/detection.py` measures on the
others. It pixelates parts of the photos, and saves most as JPEG. The detector learns to classify each step between
neighbouring pixels: in a photo, within a block, or between two blocks. On two cores this takes many hours. The screen
learns which squares of 8 x 8 pixels have steps between two blocks. Run the same command to continue an interrupted
training. At the end, the command writes models/pretrained/NETWORK.onnx and its card, models/NETWORK.md. The shipped
screen was trained by earlier code, which drew pictures one at a time and saved them as JPEG by Pillow.
"""

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # the library beside this file, whatever is installed

from depixel.base.console import told_plainly  # noqa: E402
from depixel.base.files import hash_of, replacing  # noqa: E402
from depixel.base.layout import PRETRAINED  # noqa: E402
from depixel.detection.learned import INPUTS  # noqa: E402
from depixel.learning.checkpoints import Checkpoints  # noqa: E402
from depixel.learning.loop import fit  # noqa: E402
from depixel.learning.optimizers import Chosen, MuonAdam  # noqa: E402
from depixel.model.networks import parameter_count  # noqa: E402
from depixel.model.predictor import best_device, best_precision  # noqa: E402
from depixel.onnx.writing import store, translate  # noqa: E402
from recipes.detector_examples import Examples, collect_all  # noqa: E402
from recipes.detector_networks import NETWORKS  # noqa: E402
from recipes.terms import LICENSE  # noqa: E402

BATCH = 512  # pictures of 64 x 64 pixels; a quarter as many of 128 x 128
RATE, WARM_UP, CLIP, AVERAGE = 4e-3, 200, 2.0, 0.998
KEPT_EVERY = 200  # steps


def train(name: str, folder: Path, steps: int, shards: int) -> nn.Module:
    """Train a network by the library's loop; continue from its last checkpoint if there is one.

    Args:
        name: a key of `NETWORKS`.
        folder: folder of the photos, and of the checkpoints.
        steps: number of steps.
        shards: number of shards of a batch, one thread each.

    Returns:
        The network on the CPU, with averaged weights.

    Raises:
        click.ClickException: the checkpoint belongs to a training with another number of steps.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    device = best_device()
    low = best_precision(device) == "bfloat16"
    network = NETWORKS[name]().to(device, memory_format=torch.channels_last)
    weights = list(network.parameters())
    optimizer = MuonAdam(network, Chosen(RATE))
    average = [weight.detach().clone() for weight in weights]
    first, checkpoints = 0, checkpoints_of(name, folder)
    saved, unusable = checkpoints.load()
    for path in unusable:
        click.echo(f"{path}: truncated or damaged; removed it", err=True)
    if saved is not None:
        if saved["of"] != steps:
            raise click.ClickException(
                f"{checkpoints.folder}: belongs to a training of {saved['of']} steps. Delete it, or add --steps "
                f"{saved['of']}"
            )
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        average, first = [mean.to(device) for mean in saved["average"]], saved["step"]
    click.echo(f"{parameter_count(network) / 1e6:.2f} M parameters")

    def loss(shard: Sequence[Tensor]) -> Tensor:
        gray, noise, classes = shard  # (N, 1, H, W), (N,), (N, 2, H, W)
        with torch.autocast(device, torch.bfloat16, enabled=low):
            logits = network(gray, noise)
        return network.loss(logits, classes) * (len(gray) / BATCH)

    def rate(step: int) -> float:
        return RATE * min(1, step / WARM_UP) * (1 - step / steps)

    def batches() -> Iterator[list[Sequence[Tensor]]]:
        for batch in islice(Examples(folder, device, first + 1, BATCH), steps - first):
            yield list(zip(*(part.split(-(-BATCH // shards)) for part in batch), strict=True))

    begun, losses = time.perf_counter(), []
    for step in fit(network, optimizer, batches(), loss, rate, first, CLIP):
        losses.append(step.measured)  # reading it here would wait for the GPU
        keep = min(AVERAGE, (step.done - 1) / (step.done + 9))
        torch._foreach_lerp_(average, [weight.detach() for weight in weights], 1 - keep)
        if step.done % KEPT_EVERY == 0 or step.done == steps:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
            checkpoints.save(state | {"step": step.done, "of": steps})
            speed = (step.done - first) * BATCH / (time.perf_counter() - begun)
            click.echo(f"{step.done} of {steps} steps, loss {torch.cat(losses).mean():.4f}, {speed:.0f} samples/s")
            losses.clear()
    for weight, mean in zip(weights, average, strict=True):
        weight.data.copy_(mean)
    return network.cpu()


def checkpoints_of(name: str, folder: Path) -> Checkpoints:
    """The checkpoints of a network's training."""
    return Checkpoints(folder / "checkpoints", hashlib.sha256(name.encode()).hexdigest())


def write(network: nn.Module, path: Path, about: dict) -> None:
    """Write an ONNX file for `depixel.detection.learned`, with weights in 16 bits and `about` in its metadata."""
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

## Scores

See [docs/how-to/find-areas.md](../docs/how-to/find-areas.md#how-often-it-is-right), measured by
`benchmarks/detection.py` on photos of other contributors.

## Training

`recipes/detector.py` trained it for {steps} steps of {batch} pictures of 64 x 64 pixels, or a quarter as many of
128 x 128. They were cut from {photos} photos of every second contributor.

{sources}

{license}
## Limitations

- *It cannot prove that a picture is untouched*: it misses small areas and areas in strong compression.
- *It needs the grid of JPEG's blocks*: it fails for JPEGs that were cropped, resized or turned later.
- *It was trained on photos*: do not use it for drawings, screenshots, scans or medical images.
"""


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", type=click.Choice(list(NETWORKS)), metavar="NETWORK")
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="ZIPs or folders.")
@click.option(
    "--sources",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Markdown file on the photos' origin and terms, for the card.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help=f"Number of steps of {BATCH} pictures of 64 x 64 pixels; by default "
    + ", ".join(f"{network.STEPS} for the {name}" for name, network in NETWORKS.items()),
)
@click.option("--shards", default=2, show_default=True, help="Number of shards of a batch, one thread each.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=PROJECT / ".scratch/detector",
    help="Folder for prepared photos and checkpoints.",
)
@told_plainly
def main(name: str, photos: Path, sources: Path, steps: int | None, shards: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    collect_all(photos, folder)
    steps = steps or NETWORKS[name].STEPS
    network = train(name, folder, steps, shards)
    ship(name, network, steps, len(np.load(folder / "small.npy", mmap_mode="r")), sources)


def ship(name: str, network: nn.Module, steps: int, photos: int, sources: Path) -> None:
    """Write the ONNX file of a network and its card."""
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
        license=LICENSE,
        **about,
    )
    with replacing(PROJECT / f"models/{name}.md") as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
    click.echo(f"written: {path}, models/{name}.md")


if __name__ == "__main__":
    main()
