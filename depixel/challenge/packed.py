"""Files as the course's scoring takes them: plain, or packed by bz2, gzip, xz (or old lzma) or zip.

What packs a file is seen from its content, not from its name. Of a zip the first file counts.
"""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

from depixel.base.errors import DepixelError

_MOST_MEMORY = 2**28  # bytes; of xz, whose packers may ask for more


def packer(data: bytes) -> str:
    """What packed a file that begins with `data`: bz2, gzip, xz or zip; "" if nothing did."""
    return next((name for name, (begins, _) in _PACKERS.items() if data.startswith(begins)), "")


def unpacked(data: bytes, most: int) -> bytes:
    """The content of a packed file; of a plain one, `data` itself.

    Args:
        data: the bytes of the file.
        most: number of bytes that the content may have.

    Raises:
        DepixelError: the file is damaged, its content has more than `most` bytes, or it needs a password.
    """
    name = packer(data)
    if not name:
        return data
    try:
        content = _PACKERS[name][1](data, most + 1)
    except MemoryError:
        raise
    except Exception as error:  # the libraries have a dozen kinds for what is wrong with a file
        raise DepixelError(f"damaged: it is packed by {name}, but cannot be unpacked ({error})") from error
    if len(content) > most:
        raise DepixelError(f"has more than {most} bytes when unpacked, too much for a file of the challenge")
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
        raise EOFError("the end is missing")
    return content


def _by_zip(data: bytes, most: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
        if not files:
            raise ValueError("no file is in it")
        with archive.open(files[0]) as file:
            return file.read(most)


_PACKERS: dict[str, tuple[tuple[bytes, ...], Callable[[bytes, int], bytes]]] = {
    "bz2": ((b"BZh",), _by_bz2),
    "gzip": ((b"\x1f\x8b",), _by_gzip),
    "xz": ((b"\xfd7zXZ\0", b"\x5d\0\0"), _by_xz),
    "zip": ((b"PK\x03\x04", b"PK\x05\x06"), _by_zip),
}
"""How files begin that a program packed, and what unpacks at most so many bytes of them."""
