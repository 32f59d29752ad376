"""The challenge's files: reads test sets and targets, reads and writes submissions.

All files come from outside and may be packed (`packed`). A test set is a pickle; it is read without running its code
(`safe_pickle`), and its content is checked before it becomes an array.
"""

import io
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from depixel.base.errors import DepixelError
from depixel.base.files import replacing
from depixel.base.settings import Settings
from depixel.challenge import packed
from depixel.challenge.safe_pickle import ClaimedArray, bytes_of, evaluate
from depixel.model.pixelation import LEAST_AREA, LEAST_BLOCK, prepare_image

# Larger files are refused as hostile. The test set of 2023 has 54 MB and 6 635 samples.
MOST_BYTES = 2**29
"""The maximum size of a file, packed or unpacked, bytes."""

MOST_SAMPLES = 100_000
"""The maximum number of samples of a test set or submission."""

MOST_OPERATIONS = 50 * MOST_SAMPLES
"""The maximum number of operations of a pickle. NumPy writes about 25 for an array, and a sample has two arrays."""


class ExportSettings(Settings):
    """The section `export` of params.yaml.

    Attributes:
        test_set: path of a test set.
        pictures: number of samples to draw.
    """

    test_set: str = Field(min_length=1, description="path of a test set")
    pictures: int = Field(100, ge=0, description="number of samples to draw")


@dataclass(frozen=True)
class TestSet:
    """Samples to restore, all of the same size.

    Attributes:
        pixelated: (N, H, W) uint8, gray levels 0..255.
        known: (N, H, W) bool, False in the pixelated area, which is one rectangle in each sample.
    """

    __test__ = False  # pytest would collect it because of its name

    pixelated: np.ndarray
    known: np.ndarray


def read_test_set(path: str | Path) -> TestSet:
    """Read a test set: a pickle of {"pixelated_images": tuple of N uint8 (1, H, W), "known_arrays": the same of bool}.

    No code of the pickle is run. All images must have the same size, which may be any.

    Raises:
        DepixelError: the file cannot be read, is not such a pickle, or would import something; the text names it.
    """
    data = content_of(path)
    try:
        content = evaluate(data, MOST_OPERATIONS)
        if not isinstance(content, dict):
            raise DepixelError(f"the pickle holds a {type(content).__name__}, not a dict")
        pixelated = _stack(content, "pixelated_images", "u1", len(data))
        known = _stack(content, "known_arrays", "b1", len(data))
        if pixelated.shape != known.shape:
            raise DepixelError(f"(N, H, W) is {pixelated.shape} for pixelated_images, {known.shape} for known_arrays")
        areas(known)
    except DepixelError as error:
        raise DepixelError(
            f"{path}: not a test set: {error}.\nA test set is a pickle of "
            '{"pixelated_images": tuple of N uint8 arrays (1, H, W), "known_arrays": tuple of N bool arrays (1, H, W)}.'
        ) from error
    return TestSet(pixelated, known)


def areas(known: np.ndarray) -> np.ndarray:
    """Find the unknown rectangle in each mask.

    Args:
        known: (N, H, W) bool, False where unknown.

    Returns:
        (N, 4) int64: x, y, width, height, pixels.

    Raises:
        DepixelError: the unknown pixels of a sample are not one rectangle, or there are none; the text names the
            sample.
    """
    unknown = ~known
    columns, rows = (np.asarray(unknown.any(axis=axis)) for axis in (1, 2))  # (N, W), (N, H)
    x, y = columns.argmax(axis=1), rows.argmax(axis=1)
    width = columns.shape[1] - columns[:, ::-1].argmax(axis=1) - x
    height = rows.shape[1] - rows[:, ::-1].argmax(axis=1) - y
    count = unknown.sum(axis=(1, 2))
    for i in np.flatnonzero(count != width * height):
        raise DepixelError(f"in sample {i}, the {count[i]} pixels where known is False are not one rectangle")
    return np.stack([x, y, width, height], axis=1)


def write_test_set(folder: str | Path, photos: np.ndarray, areas: np.ndarray) -> None:
    """Write a test set and its targets: `folder`/test_set.pkl in the course's format, and `folder`/targets.npz.

    Args:
        folder: the output folder, which is replaced.
        photos: (N, H, W) uint8.
        areas: (N, 5) integers: x, y, width, height, block size, pixels.

    Raises:
        ValueError: an area is not inside its photo (`prepare_image`).
        DepixelError: the folder cannot be written.
    """
    pairs = [prepare_image(photo[None], *map(int, area))[:2] for photo, area in zip(photos, areas, strict=True)]
    pixelated, known = zip(*pairs, strict=True)
    with replacing(folder) as beside:
        beside.mkdir()
        with (beside / "test_set.pkl").open("wb") as file:
            pickle.dump({"pixelated_images": pixelated, "known_arrays": known}, file, protocol=4)
        np.savez_compressed(beside / "targets.npz", photos=photos, areas=areas.astype(np.int16))


def write_submission(path: str | Path, predictions: Sequence[np.ndarray]) -> None:
    """Write a submission: B in one byte; then for each prediction (length - 1) in B bytes, big-endian, and its values.

    B = ceil(log2(longest length) / 8), but at least 1: with 0 the course's reader finds no predictions.

    Args:
        path: the file, which is replaced.
        predictions: 1-D uint8 arrays in the order of the test set: the unknown pixels of a sample in row-major order.

    Raises:
        DepixelError: there are no predictions, one is not 1-D uint8 or is empty, or the file cannot be written.
    """
    if not predictions:
        raise DepixelError(f"{path}: not written, there are no predictions")
    for i, prediction in enumerate(predictions):
        if prediction.dtype != np.uint8 or prediction.ndim != 1 or not prediction.size:
            raise DepixelError(
                f"{path}: not written, prediction {i} is {prediction.dtype} of shape {prediction.shape}; "
                "it must be the unknown pixels as flat uint8: image[~known]"
            )
    longest = max(len(prediction) for prediction in predictions)
    width = max(1, -(-(longest - 1).bit_length() // 8))  # the formula in integers, rounded up
    with replacing(path) as beside, beside.open("wb") as file:
        file.write(bytes([width]))
        for prediction in predictions:
            file.write((len(prediction) - 1).to_bytes(width, "big") + prediction.tobytes())


def read_submission(path: str | Path) -> list[np.ndarray]:
    """Read a submission, in the format of `write_submission`.

    Returns:
        1-D uint8 arrays, in the order of the file; read-only.

    Raises:
        DepixelError: the file cannot be read or is no submission; the text names the wrong prediction and its byte.
    """
    return predictions_of(content_of(path), path)


def predictions_of(data: bytes, path: str | Path) -> list[np.ndarray]:
    """The predictions in the content of a submission, as `read_submission` returns them.

    Args:
        data: the content, unpacked, not empty.
        path: what messages call the file.
    """
    width = data[0]
    if not 1 <= width <= 4:
        raise DepixelError(
            f"{path}: not a submission: its first byte is {width}, but must be 1 to 4, the bytes of a length. Write a "
            "submission with `depixel predict TEST_SET -o SUBMISSION`"
        )
    predictions: list[np.ndarray] = []
    at = 1
    while at < len(data):
        start = at + width
        end = start + int.from_bytes(data[at:start], "big") + 1
        if end > len(data):
            raise DepixelError(
                f"{path}: damaged: prediction {len(predictions)} starts at byte {at} and would end at {end}, "
                f"but the file ends at {len(data)}. Write it again with `depixel predict TEST_SET -o SUBMISSION`"
            )
        if len(predictions) == MOST_SAMPLES:
            raise DepixelError(f"{path}: not a submission: more than {MOST_SAMPLES} predictions")
        predictions.append(np.frombuffer(data[start:end], np.uint8))
        at = end
    return predictions


def check(predictions: Sequence[np.ndarray], test_set: TestSet) -> list[str]:
    """Compare a submission with its test set, as a server does before scoring.

    Args:
        predictions: 1-D uint8 arrays, as `read_submission` returns them.
        test_set: the test set.

    Returns:
        The reasons for which a server would refuse it, one line each, with likely causes; empty if it is acceptable.
    """
    wanted = np.count_nonzero(~test_set.known, axis=(1, 2))  # (N,)
    lengths = np.array([len(prediction) for prediction in predictions], dtype=np.int64)
    if len(lengths) != len(wanted):
        return [f"{len(lengths)} predictions for {len(wanted)} samples: is this submission for another test set?"]
    wrong = np.flatnonzero(lengths != wanted)
    problems = [f"prediction {i} has {lengths[i]} pixels, but {wanted[i]} are unknown" for i in wrong[:5]]
    if len(wrong) > 5:
        problems.append(f"... and {len(wrong) - 5} more of {len(wanted)} predictions have a wrong length")
    if len(wrong) and np.array_equal(np.sort(lengths), np.sort(wanted)):
        problems.append("the lengths are right in another order: predictions must be in the order of the test set")
    if len(wrong) and (lengths[wrong] == test_set.known[0].size).all():
        problems.append("those are whole images: a prediction must have only the unknown pixels, image[~known]")
    return problems


def read_targets(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the targets of a test set.

    Args:
        path: a targets.npz, or the folder that holds it.

    Returns:
        photos (P, H, W) uint8, gray levels 0..255; areas (N, 5) int64: x, y, width, height, block_size, pixels. Sample
        i is photo i % P pixelated in area i.

    Raises:
        DepixelError: the file cannot be read or holds something else.
    """
    path = Path(path) / "targets.npz" if Path(path).is_dir() else Path(path)
    data = _read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"{size} bytes when unpacked")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            photos, areas = file["photos"], file["areas"]
        if photos.dtype != np.uint8 or photos.ndim != 3 or not photos.size:
            raise ValueError(f"photos is {photos.dtype} of shape {photos.shape}")
        if areas.dtype.kind not in "iu" or areas.ndim != 2 or areas.shape[1] != 5 or not len(areas):
            raise ValueError(f"areas is {areas.dtype} of shape {areas.shape}")
        areas = areas.astype(np.int64)
        x, y, width, height, block_size = areas.T
        inside = (x >= 0) & (y >= 0) & (width <= photos.shape[2] - x) & (height <= photos.shape[1] - y)
        right = inside & (np.minimum(width, height) >= LEAST_AREA) & (block_size >= LEAST_BLOCK)
        if len(areas) > MOST_SAMPLES or (right.all() and int((width * height).sum()) > MOST_BYTES):
            raise ValueError("too many pixels")
        for i in np.flatnonzero(~right):
            raise ValueError(f"row {i} of areas, {areas[i].tolist()}, does not fit into photos of {photos.shape[1:]}")
    except Exception as error:  # NumPy and zipfile raise many kinds of errors on damaged files
        raise DepixelError(
            f"{path}: not the targets of a test set ({error}). "
            "They are an .npz of photos, uint8 (P, H, W), and areas, integers (N, 5): x, y, width, height, block_size."
        ) from error
    return photos, areas


def is_npz(path: Path) -> bool:
    """Whether a file is a zip of NumPy arrays, the format of `read_targets`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def packer_of(path: str | Path) -> str:
    """The packer of a file: "bz2", "gzip", "xz" or "zip"; "" if it is plain or cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return packed.packer(file.read(8))
    except OSError:
        return ""


def content_of(path: str | Path) -> bytes:
    """The content of a file of the challenge, unpacked.

    Raises:
        DepixelError: the file is missing, unreadable, empty, damaged or too large.
    """
    try:
        return packed.unpacked(_read(path), MOST_BYTES)
    except DepixelError as error:
        raise error if str(error).startswith(f"{path}: ") else DepixelError(f"{path}: {error}") from error


def _read(path: str | Path) -> bytes:
    """The content of a file, after a check that it is neither empty nor too large."""
    path = Path(path)
    try:
        if not path.is_file():
            raise DepixelError(f"{path}: there is no such file")
        if path.stat().st_size > MOST_BYTES:
            raise DepixelError(f"{path}: has more than {MOST_BYTES} bytes, too many for a file of the challenge")
        data = path.read_bytes()
    except OSError as error:
        raise DepixelError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not data:
        raise DepixelError(f"{path}: the file is empty")
    return data


def _stack(content: dict[str, object], key: str, dtype: str, most: int) -> np.ndarray:
    """Turn one of a test set's two tuples into one array, (N, H, W): uint8 for dtype "u1", bool for "b1".

    `most` is the maximum number of pixels, the size of the file: a pickle that repeats an array has more pixels.
    """
    arrays = content.get(key)
    if not isinstance(arrays, tuple | list) or not arrays:
        raise DepixelError(f"{key} is missing, empty or not a tuple")
    for i, array in enumerate(arrays):
        if not isinstance(array, ClaimedArray) or array.dtype != dtype:
            raise DepixelError(f"{key}[{i}] is not an array of {np.dtype(dtype)}")
        shape = array.shape
        if not (isinstance(shape, tuple) and len(shape) == 3 and all(type(n) is int and 0 < n <= most for n in shape)):
            raise DepixelError(f"the shape of {key}[{i}] is not (1, H, W)")
        if shape[0] != 1 or shape != arrays[0].shape:
            raise DepixelError(f"the shape of {key}[{i}] is {shape}, not (1, H, W) with the same H and W in all")
        if not isinstance(array.data, bytes | bytearray | str) or len(array.data) != shape[1] * shape[2]:
            raise DepixelError(f"the number of values of {key}[{i}] does not fit its shape")
    _, height, width = arrays[0].shape
    if len(arrays) * height * width > most:
        raise DepixelError(f"{key} repeats an array, so it has more pixels than the file has bytes")
    stacked = np.empty((len(arrays), height, width), dtype)
    for i, array in enumerate(arrays):
        data = bytes_of(array, f"{key}[{i}]")
        stacked[i] = np.frombuffer(data, np.uint8).reshape(height, width, order="F" if array.fortran else "C")
    return stacked
