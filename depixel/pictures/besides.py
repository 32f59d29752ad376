"""Notes for people on further content of a picture file, and on damage.

Only the picture and its metadata are written. A note tells the user what else the file has, so that nothing gets lost
unnoticed.
"""

import re
from collections.abc import Iterator

from PIL import Image

from depixel.photos.jpeg import end_of_image, lacks_data
from depixel.pictures.kinds import png_chunks

_GAIN_MAPS = (b"hdrgm:", b"hdrgainmap", b"urn:iso:std:iso:ts:21496")  # Ultra HDR (Adobe), Apple, ISO
_DEPTH = (b"GDepth:", b'Semantic="Depth', b"Semantic>Depth", b"auxiliary:depth", b"aux:depth", b"aux:disparity")
_SUBDIRECTORIES = 330  # tag of a TIFF
_PPM = re.compile(rb"P[36](?:(?:\s|#[^\n]*\n)+\d+){2}(?:\s|#[^\n]*\n)+(\d+)")  # width, height, largest value
_PADDING = 16  # fewer bytes behind a picture are not reported


def notes(image: Image.Image, data: bytes) -> tuple[str, ...]:
    """A sentence on the content that a written file will lack, and one on damage that decoders ignore; perhaps none.

    Args:
        image: the picture, opened from `data`.
        data: the bytes of the file.
    """
    if image.format in ("JPEG", "MPO"):
        held, cut_off = list(_of_jpeg(image, data)), lacks_data(data)
    else:
        held, cut_off = list(_of_others(image, data)), False
    found = [f"the file also holds {_listed(held)}, which the output does not"] if held else []
    if cut_off:
        found.append("the file is damaged: data is missing before its end, and the gray part there is padding")
    return tuple(found)


def _listed(things: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))


def _of_jpeg(image: Image.Image, data: bytes) -> Iterator[str]:
    end = end_of_image(data)
    behind = b"" if end is None else data[end + 2 :]
    if len(behind.strip(b"\0")) < _PADDING:
        return
    pictures = behind.count(b"\xff\xd8\xff")
    gain = bool(pictures) and any(mark in data for mark in _GAIN_MAPS)
    depth = pictures > gain and any(mark in data for mark in _DEPTH)
    video = b"ftyp" in behind
    more = 0 if video else max(getattr(image, "n_frames", 1) - 1, min(pictures, 1)) - gain - depth
    if gain:
        yield "an HDR gain map"
    if depth:
        yield "a depth map"
    if video:
        yield "a video"
    if more > 0:
        yield _pictures(more)
    if not (pictures or video):
        yield f"{len(behind)} bytes behind the picture"


def _of_others(image: Image.Image, data: bytes) -> Iterator[str]:
    info = image.info
    more = getattr(image, "n_frames", 1) - 1 if image.format == "HEIF" else 0
    if more > 0:
        yield _pictures(more)
    if image.format in ("HEIF", "AVIF"):
        head = data[: data.find(b"mdat")]
        if any(mark in head for mark in (b"tmap", *_GAIN_MAPS)):
            yield "an HDR gain map"
        if info.get("depth_images") or any(mark in head for mark in _DEPTH):
            yield "a depth map"
    if image.format == "PNG":
        ends = [end for kind, _, end in png_chunks(data) if kind == b"IEND"]
        if ends and len(behind := data[ends[0] + 4 :].strip(b"\0")) >= _PADDING:
            yield f"{len(behind)} bytes behind the picture"
    if image.format == "TIFF" and _SUBDIRECTORIES in image.getexif():
        yield "smaller pictures (previews)"
    bits = _bits(image, data)
    if bits > 8:
        yield f"the lower bits of its {bits} bits a channel"
    if image.format == "BMP" and data[14:18] == b"\x7c\0\0\0" and any(data[130:134]):  # BITMAPV5HEADER: bV5ProfileSize
        yield "a color profile"
    if image.format == "TGA" and data[-18:-2] == b"TRUEVISION-XFILE" and any(data[-26:-18]):
        yield "an extension or a developer's part of TGA"


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel of the file if Pillow keeps only 8 of them; else 8."""
    if image.mode.startswith("I"):
        return 8
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if image.format == "AVIF" and (at := data.find(b"av1C")) >= 0:
        flags = data[at + 6]  # seq_tier_0, high_bitdepth, twelve_bit, ...
        return 12 if flags & 0x60 == 0x60 else 10 if flags & 0x40 else 8
    if image.format == "JPEG2000" and (at := data.find(b"\xff\x4f\xff\x51")) >= 0:
        return (data[at + 42] & 0x7F) + 1  # Ssiz of the first component
    if image.format == "PPM" and (header := _PPM.match(data)):
        return int(header[1]).bit_length()
    return 8


def _pictures(count: int) -> str:
    return "another picture" if count == 1 else f"{count} more pictures"
