"""Public photo collections: the list of known ones, and fetching one into data/raw with checksum and origin."""

import gzip
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from depixel.base.errors import DepixelError
from depixel.base.files import hash_of, read_json, replacing, told_of, write_json
from depixel.base.layout import DOWNLOADS, DVC, ORIGINS
from depixel.base.spelling import suggestion
from depixel.base.tables import read_table, write_table
from depixel.photos.archives import ARCHIVES

ATTEMPTS = 5
"""Number of attempts at a download if the connection breaks."""

_WAIT = (10, 60)  # timeouts in seconds: to connect, and between two chunks
_PIECE = 1 << 16  # bytes of a chunk


Progress: TypeAlias = Callable[..., Any]
"""A function that makes a progress bar: it takes tqdm's options and returns a context manager with tqdm's `update`."""


class Dataset(NamedTuple):
    """A collection that can be fetched.

    Attributes:
        name: its name in `depixel fetch`.
        url: address of the archive.
        size: size of the archive, bytes; 0 if unknown.
        checksum: `md5:` or `sha256:` and the hash that its publisher or users state; or `commit:` and the git commit
            that a GitHub archive contains.
        photos: number of photos; 0 if unknown.
        licence: the terms as stated by the publisher.
        source: the page that describes it.
        content: description of the photos.
    """

    name: str
    url: str
    size: int
    checksum: str
    photos: int
    licence: str
    source: str
    content: str


DATASETS = (
    Dataset(
        name="imagenette",
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
        size=99_003_388,
        checksum="md5:e793b78cc4c9e9a4ccc0c1155377a412",
        photos=13_394,
        licence="Apache 2.0 (the collection); of the photos, see ImageNet's terms",
        source="https://github.com/fastai/imagenette",
        content="ten easy classes of ImageNet, short side 160 px",
    ),
    Dataset(
        name="bsds500",
        url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
        size=70_763_455,
        checksum="sha256:97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e",
        photos=500,
        licence="non-commercial research and education",
        source="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
        content="500 natural scenes, 481 x 321 px, sharp",
    ),
    Dataset(
        name="clothing",
        url="https://github.com/alexeygrigorev/clothing-dataset-small/archive/11961516512414bf9f6c150a832cfd21b54a6b54.tar.gz",
        size=0,
        checksum="commit:11961516512414bf9f6c150a832cfd21b54a6b54",
        photos=3_781,
        licence="CC0 1.0",
        source="https://github.com/alexeygrigorev/clothing-dataset-small",
        content="phone photos of clothes",
    ),
)


class Origin(NamedTuple):
    """A row of the table of origins, text: where a file in data/raw was fetched from.

    Attributes:
        file: name of the file.
        url, bytes, sha256, licence: its address, size in bytes, hash and terms.
        date: day of the fetch, UTC, YYYY-MM-DD.
    """

    file: str
    url: str
    bytes: str
    sha256: str
    licence: str
    date: str


def known(name: str) -> Dataset:
    """The known collection of this name. Raises `DepixelError` if there is none; the message lists the known names."""
    found = {dataset.name: dataset for dataset in DATASETS}
    if name not in found:
        raise DepixelError(
            f"{name}: neither a known collection ({', '.join(found)}) nor a URL.{suggestion(name, found)} To fetch any "
            "other archive of photos: `depixel fetch https://... --sha256 HASH`"
        )
    return found[name]


def other(url: str, sha256: str) -> Dataset:
    """Describe an archive at any address as a collection.

    Args:
        url: the address, http or https, ending in the name of the archive.
        sha256: the hash of the archive, 64 hexadecimal digits.

    Raises:
        DepixelError: the address is not http(s) or does not end in the name of an archive, or the hash is malformed.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DepixelError(
            f"--sha256 {sha256}: must be the 64 hexadecimal digits that the publisher states, to check the file. "
            "`sha256sum FILE` prints those of a file that you trust"
        )
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise DepixelError(
            f"{url}: must begin with http:// or https://. If the file is on this machine, copy it to data/raw"
        )
    return Dataset(_file_name(url), url, 0, f"sha256:{sha256}", 0, "", url, "")


def _file_name(url: str) -> str:
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    if not re.fullmatch(r"[\w][\w .+-]*", name) or not name.lower().endswith(ARCHIVES):
        raise DepixelError(f"{url}: must end in the name of an archive, with the ending {', '.join(ARCHIVES)}")
    return name


def fetch(dataset: Dataset, raw: Path, progress: Progress) -> Path:
    """Download a collection into a folder, unless it is already there, and note its origin in data/origins.csv.

    If a download breaks off, the received bytes are kept, and the next call continues from there. The file appears in
    the folder only when it is complete and its checksum is right.

    Args:
        dataset: the collection.
        raw: the folder.
        progress: makes a progress bar of the bytes, as `console.progress` does.

    Returns:
        The path of the archive.

    Raises:
        DepixelError: the server cannot be reached or has no such file, the checksum is wrong, the disk is full, or the
            folder has another file of this name.
    """
    name = _file_name(dataset.url)
    if dataset.checksum.startswith("commit:"):  # GitHub names its archives after commits
        name = f"{dataset.name}.tar.gz"
    path, part = raw / name, DOWNLOADS / f"{name}.part"
    if path.exists():
        if wrong := _wrong(path, dataset):
            raise DepixelError(f"{path.as_posix()}: already there, but not this archive ({wrong}). Move it away first")
        _note(dataset, path)
        return path
    if not DVC.is_dir():
        raise DepixelError(f"{Path.cwd()}: not a DVC project. Run from the project's folder")
    with told_of(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            _download(dataset, part, progress)
            break
        except (requests.RequestException, HTTPError) as error:
            if attempt + 1 == ATTEMPTS or not isinstance(error, _BROKEN):
                there = part.stat().st_size if part.exists() else 0
                kept = f". {there / 1e6:.1f} MB have arrived; run the same command to continue" if there else ""
                raise DepixelError(f"{dataset.url}: {_reason(error)}{kept}") from error
    part.with_suffix(".json").unlink(missing_ok=True)
    if wrong := _wrong(part, dataset):
        part.unlink()
        raise DepixelError(
            f"{dataset.url}: the downloaded file is not the expected one ({wrong}) and was deleted. Check the hash "
            "that you gave, then try again. If the file is wrong again, its publisher has changed it: see "
            f"{dataset.source}"
        )
    with replacing(path) as beside:  # it may be on another file system
        shutil.move(part, beside)
    _note(dataset, path)
    return path


_BROKEN = (requests.ConnectionError, requests.Timeout, HTTPError)


def _download(dataset: Dataset, part: Path, progress: Progress) -> None:
    """Download into `part`; continue an earlier download if the server still has the same file."""
    tag_file = part.with_suffix(".json")
    there = part.stat().st_size if part.exists() else 0
    tag = ""
    with suppress(DepixelError, KeyError):
        tag = str(read_json(tag_file)["tag"])
    headers = {"Range": f"bytes={there}-", "If-Range": tag} if there and tag else {}
    headers["Accept-Encoding"] = "identity"  # no compression in transit, so that byte ranges count the file's bytes
    with requests.Session() as session:
        retry = Retry(3, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False)
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        with session.get(dataset.url, headers=headers, stream=True, timeout=_WAIT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:  # the download is complete
                return
            response.raise_for_status()
            goes_on = response.status_code == requests.codes.partial_content
            there = there if goes_on else 0
            length = int(response.headers.get("Content-Length", 0))
            # a weak ETag does not guarantee the same bytes
            tag = response.headers.get("ETag", "")
            tag = response.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
            write_json(tag_file, {"tag": tag})
            with told_of(part):
                file = part.open("ab" if goes_on else "wb")
            with file, progress(total=there + length or None, initial=there, unit="B", unit_scale=True) as bar:
                for piece in response.raw.stream(_PIECE, decode_content=False):  # the file as it is
                    with told_of(part):
                        file.write(piece)
                    bar.update(len(piece))
                with told_of(part):
                    file.flush()
                arrived = file.tell()
    if length and arrived < there + length:
        raise requests.ConnectionError("the connection ended early")


def _reason(error: requests.RequestException | HTTPError) -> str:
    if isinstance(error, requests.RequestException) and error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, _BROKEN):
        return "the connection failed or broke off repeatedly"
    return str(error)


def _wrong(path: Path, dataset: Dataset) -> str:
    """Describe what is wrong with a file; "" if it matches its checksum and the hash of an earlier fetch, if any."""
    kind, expected = dataset.checksum.split(":")
    if kind == "commit":
        found = _commit(path)
        noted = [origin.sha256 for origin in _origins() if origin.url == dataset.url]
        if found == expected and noted and noted[0] != (hash_ := hash_of(path, "sha256")):
            return f"its sha256 is {hash_}, but was {noted[0]} at the first fetch"
    else:
        found = hash_of(path, kind)
    return "" if found == expected else f"its {kind} is {found}, must be {expected}"


def _commit(path: Path) -> str:
    """The commit that `git archive` wrote into the header of a .tar.gz; "none" if the archive is damaged or has none.

    A hash of the file would not do, because the bytes depend on the version of git. The whole file is read, so that
    gzip's checksum and length are checked.
    """
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
        with tarfile.open(path, "r:gz") as archive:
            return str(archive.pax_headers.get("comment", "none"))
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error):
        return "none"


def _origins() -> list[Origin]:
    return list(read_table(ORIGINS, Origin, f"git checkout {ORIGINS.as_posix()}")) if ORIGINS.is_file() else []


def _note(dataset: Dataset, path: Path) -> None:
    """Write the origin of a file into the table, unless the table already has it."""
    rows = {origin.file: origin for origin in _origins()}
    sha256 = hash_of(path, "sha256")
    if path.name in rows and rows[path.name][1:4] == (dataset.url, str(path.stat().st_size), sha256):
        return
    today = datetime.now(timezone.utc).date().isoformat()
    rows[path.name] = Origin(path.name, dataset.url, str(path.stat().st_size), sha256, dataset.licence, today)
    write_table(ORIGINS, Origin, rows.values())
