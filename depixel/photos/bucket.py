"""Photos in a bucket of S3, or of any server that speaks its protocol: lists objects, and opens one as a file.

An object is never copied whole: each read of a file is a request for a range of bytes. Each request names the version
that was listed (its ETag), so an object that changes meanwhile is an error, not a mixture of two. Addresses, regions
and keys come from the environment variables and profiles of AWS, as botocore reads them.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from depixel.base.errors import DepixelError
from depixel.photos.tracked import printable

URL = "s3://"
"""The beginning of the address of a bucket."""

_PIECE = 1 << 20  # bytes of a request: some photos
_KEPT = 3  # pieces of an open object that stay in memory: whoever inflates goes back a little
_ATTEMPTS = 3  # at one range; botocore itself repeats a request only until the answer begins
_PATIENCE = 10  # seconds until a server answers a connection

_DENIED = {
    *("403", "AccessDenied", "ExpiredToken", "Forbidden", "InvalidAccessKeyId", "InvalidToken"),
    "SignatureDoesNotMatch",
}
_CHANGED = {"404", "412", "NoSuchKey", "PreconditionFailed"}


class File(NamedTuple):
    """A file in a folder, or an object in a bucket.

    Attributes:
        source: the path or the URL.
        name: the path from the top folder or the prefix, with `/`.
        size: bytes.
        version: the ETag of an object; "" for a file.
    """

    source: str
    name: str
    size: int
    version: str = ""


@dataclass(frozen=True)
class Bucket:
    """All objects below a prefix of a bucket.

    Attributes:
        url: s3://BUCKET or s3://BUCKET/PREFIX.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def as_posix(self) -> str:
        """The URL, under the name that it has for a path."""
        return self.url

    def walk(self, folder: str = "") -> Iterator[File]:
        """Yield the objects below the prefix, or below a folder there. Raises `DepixelError` if that fails."""
        bucket, top = _parts(f"{self.url}/")
        with _told(self.url):
            pages = _client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=f"{top}{folder}/" if folder else top):
                for found in page.get("Contents", ()):
                    name = found["Key"].removeprefix(top)
                    if name and not name.endswith("/"):  # what stands for a folder
                        yield File(f"{URL}{bucket}/{found['Key']}", name, found["Size"], found["ETag"])

    def state(self) -> bytes:
        """A hash of the names, sizes and ETags of all objects."""
        digest = sha256()
        for file in self.walk():
            digest.update(repr(file).encode())
        return digest.digest()


def place(path: str | Path | Bucket) -> Path | Bucket:
    """A folder, or a bucket if the text begins with s3://."""
    if isinstance(path, str) and path.startswith(URL):
        return Bucket(URL + path.removeprefix(URL).rstrip("/"))
    return path if isinstance(path, Bucket) else Path(path)


def opened(source: str, version: str = "") -> BinaryIO:
    """Open a file, or an object by its URL and its ETag, to read and seek.

    Raises:
        OSError: the file cannot be opened.
        DepixelError: also while reading: the object cannot be read, or is no longer the one with this ETag.
    """
    return io.BufferedReader(_Object(source, version)) if source.startswith(URL) else Path(source).open("rb")


class _Object(io.RawIOBase):
    """An object; each piece of it that is not in memory is one request."""

    def __init__(self, url: str, version: str):
        self._url, (bucket, key) = url, _parts(url)
        self._named = {"Bucket": bucket, "Key": key, "IfMatch": version}
        self._place, self._known = 0, -1
        self._pieces: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}
        self._place = offset + (start[whence] if whence in start else self._size())
        if self._place < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # as a file does
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        number, start = divmod(self._place, _PIECE)
        if number not in self._pieces:
            piece = self._range(number * _PIECE, (number + 1) * _PIECE)
            self._pieces = dict([*self._pieces.items(), (number, piece)][-_KEPT:])
        data = self._pieces[number][start : start + len(view)]
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _range(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, or to the end of the object."""
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

        for attempt in range(1, _ATTEMPTS + 1):
            with _told(self._url):
                try:
                    answer = _client().get_object(**self._named, Range=f"bytes={start}-{end - 1}")
                    self._known = int(answer["ContentRange"].rpartition("/")[2])
                    return answer["Body"].read()
                except ClientError as error:
                    if error.response["Error"]["Code"] != "InvalidRange":
                        raise
                    return b""
                except (HTTPClientError, IncompleteReadError):  # the connection was lost within the answer
                    if attempt == _ATTEMPTS:
                        raise
        raise AssertionError

    def _size(self) -> int:
        if self._known < 0:
            with _told(self._url):
                self._known = _client().head_object(**self._named)["ContentLength"]
        return self._known


def _parts(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix(URL).partition("/")
    return bucket, key


@lru_cache(maxsize=1)
def _client() -> Any:
    """One for each process; it takes half a second."""
    import botocore.session
    from botocore.config import Config

    return botocore.session.get_session().create_client("s3", config=Config(connect_timeout=_PATIENCE))


def _without_connections() -> None:
    if _client.cache_info().currsize:
        _client().close()


if hasattr(os, "register_at_fork"):  # a connection that the parent opened serves one process
    os.register_at_fork(after_in_child=_without_connections)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn the errors of botocore within the block into a `DepixelError`."""
    here = printable(url)
    try:
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
    except ImportError as error:
        raise DepixelError(
            f'{here}: photos in S3 need the package botocore, which is not installed: pip install "depixel[s3]"'
        ) from error
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchBucket":
            raise DepixelError(f"{here}: there is no such bucket") from error
        if code in _DENIED:
            raise DepixelError(
                f"{here}: access denied ({code}). Check your credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            ) from error
        if code in _CHANGED:
            raise DepixelError(
                f"{here}: was changed or deleted after it was listed. Earlier results stay. Run the command again"
            ) from error
        raise DepixelError(f"{here}: cannot be read ({_one_line(error)})") from error
    except ParamValidationError as error:
        raise DepixelError(f"{here}: names no bucket; write s3://BUCKET/PREFIX") from error
    except BotoCoreError as error:
        raise DepixelError(f"{here}: cannot be read ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return printable(" ".join(str(error).split()))
