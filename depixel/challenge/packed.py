"""Unpacks files that the course's scoring accepts: plain, or packed by bz2, gzip, xz (or old lzma) or zip.

The content of a file, not its name, determines the packer. Only the first file of a zip is read.
"""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

from depixel.base.errors import DepixelError

_MOST_MEMORY = 2**28  # bytes for unpacking xz, which can require much more


def packer(data: bytes) -> str:
    """The packer of a file that begins with `data`: "bz2", "gzip", "xz" or "zip"; "" for a plain file."""
    return next((name for name, (begins, _) in _PACKERS.items() if data.startswith(begins)), "")


def unpacked(data: bytes, most: int) -> bytes:
    """The content of a packed file; for a plain file, `data` itself.

    Args:
        data: the bytes of the file.
        most: maximum size of the content, bytes.

    Raises:
        DepixelError: the file is damaged or needs a password, or its content is empty or has more than `most` bytes.
    """
    name = packer(data)
    if not name:
        return data
    try:
        content = _PACKERS[name][1](data, most + 1)
    except MemoryError:
        raise
    except Exception as error:  # the libraries raise many kinds of errors on damaged files
        raise DepixelError(f"damaged: it is packed by {name}, but cannot be unpacked ({error})") from error
    if len(content) > most:
        raise DepixelError(f"has more than {most} bytes when unpacked, too many for a file of the challenge")
    if not content:
        raise DepixelError("the file is empty when unpacked")
    return content


def _by_bz2(data: bytes, most: int) -> bytes:
    with bz2.open(io.BytesIO(data)) as file:
        return file.read(most)


def _by_gzip(data: bytes, most: int) -> bytes:
    with gzip.open(io.BytesIO(data)) as file:
        return file.read(most)


def _by_xz(data: bytes, most: int) -> bytes:
    decoder = lzma.LZMADecompressor(memlimit=_MOST_MEMORY)
    content = decoder.decompress(data, most)
    if not decoder.eof and len(content) < most:
        raise EOFError("it is cut off")
    return content


def _by_zip(data: bytes, most: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
        if not files:
            raise ValueError("it contains no file")
        with archive.open(files[0]) as file:
            return file.read(most)


_PACKERS: dict[str, tuple[tuple[bytes, ...], Callable[[bytes, int], bytes]]] = {
    "bz2": ((b"BZh",), _by_bz2),
    "gzip": ((b"\x1f\x8b",), _by_gzip),
    "xz": ((b"\xfd7zXZ\0", b"\x5d\0\0"), _by_xz),
    "zip": ((b"PK\x03\x04", b"PK\x05\x06"), _by_zip),
}
"""Packer -> the first bytes of its files, and a function that unpacks at most a given number of bytes."""
