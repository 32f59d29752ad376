"""What the tests share: inputs made on the spot, and the real ones beside the repository where they are."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]

hypothesis.settings.register_profile("untimed", deadline=None)  # how long an example takes says more of the machine
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="module")
def one_thread():
    """PyTorch on one thread: faster on tiny tensors, and no slower where all cores are busy."""
    import torch  # only the tests that use it wait for it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the real inputs are not there: {folder}")
    return folder


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., bytes]:
    """Make the bytes of a photo-like picture: `jpeg(seed, size=(width, height), mode="RGB", **options of save)`."""

    def make(seed: int, size: tuple[int, int] = (140, 110), mode: str = "RGB", **options) -> bytes:
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
        file = io.BytesIO()
        image.save(file, **{"format": "JPEG", "quality": 90} | options)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def write_zip() -> Callable[[Path, dict[str, bytes]], Path]:
    """Write a ZIP with these members: `write_zip(path, {name: content})`."""

    def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture
def raw(tmp_path: Path, jpeg, write_zip) -> Path:
    """A folder of 62 files: 10 contributors' ZIPs of 6 photos each, and a loose folder of one photo and one text."""
    folder = tmp_path / "raw"
    for c in range(10):
        write_zip(folder / f"k{c:08}.zip", {f"IMG_{i}.jpg": jpeg(100 * c + i) for i in range(6)})
    (folder / "loose" / "deep").mkdir(parents=True)
    (folder / "loose" / "deep" / "photo.jpeg").write_bytes(jpeg(7, (110, 260), exif=_turned(6)))
    (folder / "loose" / "notes.txt").write_text("no photo", encoding="utf-8")
    return folder


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif
