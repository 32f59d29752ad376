"""What a training tells while it runs, read back."""

import csv
import importlib.util
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.learning.logs import LOGGERS, Log
from depixel.learning.state import Epoch
from depixel.learning.task import Task, TrainSettings
from depixel.learning.training import Run
from tests.learning.conftest import PIXELATION, TINY, differing, photos, state

pytestmark = pytest.mark.usefixtures("one_thread")
EPOCHS = 3


def start(folder: Path, *loggers: str, **settings) -> Run:
    settings = TrainSettings(**TINY | {"epochs": EPOCHS, "loggers": loggers} | settings)
    task = Task(settings, PIXELATION, photos(10), photos(5, side="validation"))
    return Run(task, folder / "checkpoints", checkpoint_every=0)


def train(run: Run, folder: Path, epochs: int = EPOCHS) -> Log:
    """Train until so many epochs are done, with a log."""
    log = Log(folder / "logs/wide", run)
    for row in run.epochs():
        log.epoch(row)
        if row.epoch == epochs:
            break
    log.close()
    return log


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "logs/wide/training.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def known(run: Run) -> dict[str, list[float]]:
    """What each logger must show of the training table: a list by epoch for each of its scalars."""
    return {name: [getattr(row, name) for row in run.table] for name in Epoch._fields if name != "epoch"}


def logged(*names: str) -> list:
    """Those of these packages' loggers that can be tested here; the others are skipped, with the reason."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"the package {name} is not installed"),
        )
        for name in names
    ]


def test_the_folder_holds_the_table_with_speed_and_load_and_pictures(tmp_path):
    run = start(tmp_path)
    train(run, tmp_path)
    rows = table(tmp_path)
    for name, values in known(run).items():
        assert [float(row[name]) for row in rows] == values
    assert all(0 < float(row["samples_per_second"]) < 1e6 for row in rows)
    assert all(1e7 < float(row["memory_bytes"]) < 1e11 for row in rows)
    for name in ("cpu_percent", "ram_percent", "disk_percent"):
        assert all(0 <= float(row[name]) <= 100 for row in rows), name
    assert any(float(row["cpu_percent"]) > 0 for row in rows) and all(float(row["ram_percent"]) > 0 for row in rows)
    assert all(row["gpu_percent"] == row["gpu_memory_percent"] == "" for row in rows)  # it trains on the CPU
    pictures = sorted((tmp_path / "logs/wide/restorations").iterdir())
    assert [path.name for path in pictures] == ["epoch_001.png", "epoch_002.png", "epoch_003.png"]
    with Image.open(pictures[-1]) as sheet:
        pixels = np.asarray(sheet)
    # of the first sample, enlarged twice: pixelated, restored, truth
    shown = [pixels[26 : 26 + 48 : 2, left : left + 48 : 2] for left in (8, 58, 108)]
    assert (shown[0] == run.samples.pixelated[0]).all() and (shown[2] == run.samples.images[0]).all()
    x, y, width, height, _ = run.samples.areas[0]
    assert (shown[1][y : y + height, x : x + width].ravel() == run.predictions[0]).all()


def test_pictures_of_a_long_run_are_few(tmp_path):
    train(start(tmp_path, epochs=25), tmp_path, epochs=25)
    pictures = sorted(path.stem for path in (tmp_path / "logs/wide/restorations").iterdir())
    assert pictures == [f"epoch_{epoch:03}" for epoch in (1, 3, 6, 9, 12, 15, 18, 21, 24, 25)]


def test_gradient_norm_is_that_before_clipping(tmp_path):
    clipped, free = (
        start(tmp_path / "1", gradient_clip=1e-3, epochs=0.1),
        start(tmp_path / "2", gradient_clip=0, epochs=0.1),
    )
    (first,), (second,) = clipped.epochs(), free.epochs()
    assert first.gradient_norm == second.gradient_norm > 1e-2
    gradients = torch.cat([p.grad.ravel() for p in free.network.parameters()])
    assert second.gradient_norm == pytest.approx(float(gradients.norm()), rel=1e-5)


def test_interrupted_it_keeps_what_the_run_has_behind_it(tmp_path):
    train(start(tmp_path), tmp_path, epochs=2)
    before = table(tmp_path)
    (tmp_path / "logs/wide/restorations/epoch_003.png").write_bytes(b"of a longer run")
    run = start(tmp_path)
    run.resume()
    log = Log(tmp_path / "logs/wide", run)
    assert table(tmp_path) == before and len(log.rows) == 2
    assert not (tmp_path / "logs/wide/restorations/epoch_003.png").exists()
    for row in run.epochs():
        log.epoch(row)
    assert table(tmp_path)[:2] == before and len(table(tmp_path)) == 3

    other = start(tmp_path, seed=1)  # another run takes the place of this one
    assert Log(tmp_path / "logs/wide", other).rows == [] and table(tmp_path) == []
    assert list((tmp_path / "logs/wide/restorations").iterdir()) == []
    again = start(tmp_path)
    again.resume()  # finished elsewhere: what this log does not know of it stays empty
    Log(tmp_path / "logs/wide", again)
    for name in ("samples_per_second", "memory_bytes", "cpu_percent"):
        assert [row[name] for row in table(tmp_path)] == ["", "", ""]
    assert [float(row["train_rmse"]) for row in table(tmp_path)] == known(run)["train_rmse"]


def dvclive(folder: Path) -> tuple[dict[str, list[float]], list[np.ndarray]]:
    scalars = {}
    for path in (folder / "plots/metrics").glob("*.tsv"):
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        assert [int(row["step"]) for row in rows] == [1, 2, 3]
        scalars[path.stem] = [float(row[path.stem]) for row in rows]
    images = sorted((folder / "plots/images/restorations").iterdir())
    return scalars, [np.asarray(Image.open(image)) for image in images]


def tensorboard(folder: Path) -> tuple[dict[str, list[float]], list[np.ndarray]]:
    import io

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {"images": 0})
    events.Reload()
    scalars = {}
    for name in events.Tags()["scalars"]:
        assert [event.step for event in events.Scalars(name)] == [1, 2, 3]
        scalars[name] = [event.value for event in events.Scalars(name)]
    images = [event.encoded_image_string for event in events.Images("restorations")]
    return scalars, [np.asarray(Image.open(io.BytesIO(image)).convert("L")) for image in images]


def wandb(folder: Path) -> tuple[dict[str, list[float]], list[np.ndarray]]:
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    rows = []
    for content in leveldb_records(path.read_bytes()[7:], offset=7):
        record = Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items})
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    scalars = {name: [row[name] for row in rows] for name in rows[0] if isinstance(rows[0][name], float | int)}
    images = [path.parent / "files" / row["restorations.path"] for row in rows]
    return scalars, [np.asarray(Image.open(image)) for image in images]


def leveldb_records(content: bytes, offset: int):
    """The records of a log in LevelDB's format: blocks of 32 KiB, chunks with checksum, length and type in them."""
    record = b""
    while len(content) >= 7:
        left = 32768 - offset % 32768
        if left < 7:  # padding
            content, offset = content[left:], offset + left
            continue
        _, length, kind = struct.unpack("<IHB", content[:7])
        record += content[7 : 7 + length]
        content, offset = content[7 + length :], offset + 7 + length
        if kind in (1, 4):  # full, last
            yield record
            record = b""


@pytest.mark.parametrize("logger", logged("dvclive", "tensorboard", "wandb"))
def test_a_logger_holds_the_curves_and_pictures_also_after_an_interruption(logger, tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    train(start(tmp_path, logger), tmp_path, epochs=2)
    run = start(tmp_path, logger)
    run.resume()
    train(run, tmp_path)
    scalars, images = globals()[logger](tmp_path / "logs/wide" / logger)
    for name, values in known(run).items():
        assert scalars[name] == pytest.approx(values, rel=1e-6), name
    rows = table(tmp_path)
    for name in ("samples_per_second", "memory_bytes", "cpu_percent", "ram_percent", "disk_percent"):
        assert scalars[name] == pytest.approx([float(row[name]) for row in rows], rel=1e-6)
    pictures = sorted((tmp_path / "logs/wide/restorations").iterdir())
    assert len(images) == len(pictures) == 3
    assert all((np.asarray(Image.open(path)) == image).all() for path, image in zip(pictures, images, strict=True))

    without = start(tmp_path / "without")
    train(without, tmp_path / "without")
    assert not differing(state(run), state(without))
    assert run.table == without.table and run.fingerprint == without.fingerprint


def test_loggers_are_imported_only_when_asked_for(tmp_path):
    from tests.conftest import run

    code = (
        "import sys, depixel.learning.logs; print([m for m in ('dvclive', 'tensorboard', 'wandb') if m in sys.modules])"
    )
    assert run(sys.executable, "-c", code, cwd=tmp_path).stdout == "[]\n"


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_missing_package_is_told_before_training(logger, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, {"tensorboard": "torch.utils.tensorboard"}.get(logger, logger), None)
    with pytest.raises(DepixelError, match=f"train.loggers: the package of {logger} .*`pip install {logger}`"):
        Log(tmp_path / "logs/wide", start(tmp_path, logger))
    assert not (tmp_path / "logs").exists()


def test_the_setting_names_the_loggers():
    with pytest.raises(ValueError, match="'dvclive', 'tensorboard' or 'wandb'"):
        TrainSettings(loggers=["mlflow"])
    assert TrainSettings(loggers=list(LOGGERS)).loggers == tuple(LOGGERS)
