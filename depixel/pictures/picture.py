"""A picture with the metadata of its file; hiding its pixels also removes metadata that could reveal them."""

import io
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from depixel.photos.tiff import BrokenTiffError, Tiff

XMP, PHOTOSHOP = 700, 34377
"""Tags of TIFF and EXIF with metadata of other kinds."""
_MAKER_NOTE = 37500
_XMP_PREVIEW = b"GImg:image"


@dataclass(frozen=True)
class Picture:
    """A picture with the metadata of its file.

    Attributes:
        pixels: upright; (H, W) gray, (H, W, 2) gray with alpha, (H, W, 3) RGB or (H, W, 4) RGBA; uint8 or uint16.
        format: Pillow's name of the format, a key of `kinds.FORMATS`.
        orientation: EXIF orientation of the pixels in the file, 1..8.
        options: keyword arguments for Pillow's `save`, including the metadata.
        notes: sentences on content that a written file will lack, and on damage.
    """

    pixels: np.ndarray
    format: str
    orientation: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def showing(self, pixels: np.ndarray) -> "Picture":
        """The same picture with other pixels, of the same shape and dtype."""
        return replace(self, pixels=pixels)

    def hiding(self, pixels: np.ndarray) -> "Picture":
        """The same picture with other pixels, without metadata that may contain small pictures of the old ones.

        It removes thumbnails, previews, Photoshop's data, the maker notes of cameras, and XMP of several segments.
        """
        options = self.options.copy()
        if isinstance(options.get("exif"), bytes):
            options["exif"] = _without_previews(options["exif"])
        elif "exif" in options:
            options["exif"] = tags = deepcopy(options["exif"])
            tags.pop(PHOTOSHOP, None)
            if _XMP_PREVIEW in bytes(tags.get(XMP, b"")):
                del tags[XMP]
            tags.get_ifd(Base.ExifOffset).pop(_MAKER_NOTE, None)
        if _XMP_PREVIEW in options.get("xmp", b""):
            del options["xmp"]
        options.pop("extra", None)  # Photoshop's, long XMP
        if "pnginfo" in options:
            options["pnginfo"] = kept = PngInfo()
            for kind, data, *_ in self.options["pnginfo"].chunks:
                if _XMP_PREVIEW not in data and not data.startswith(b"Raw profile type"):
                    kept.add(kind, data)
        if self.orientation > 1 and not options.get("exif"):  # the removed EXIF had it
            tags = Image.Exif()
            tags[Base.Orientation] = self.orientation
            options["exif"] = tags.tobytes()
        return replace(self, pixels=pixels, options=options)

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.ndim == 3 and self.pixels.shape[2] != 3

    def clear(self) -> np.ndarray:
        """(H, W) bool: the invisible pixels, with alpha 0."""
        return self.pixels[:, :, -1] == 0 if self.has_alpha else np.zeros(self.pixels.shape[:2], bool)

    def searchable(self) -> np.ndarray:
        """Like `seen`, with noise in invisible pixels, so that no area is found there."""
        seen, clear = self.seen(), self.clear()
        if clear.any():
            seen = seen.copy()
            seen[clear] = np.random.default_rng(0).integers(0, 256, seen[clear].shape, np.uint8)
        return seen

    def seen(self) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8: the pixels without alpha, their upper 8 bits."""
        pixels = self.pixels if self.pixels.dtype == np.uint8 else (self.pixels >> 8).astype(np.uint8)
        if pixels.ndim == 2:
            return pixels
        return np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 2 else pixels[:, :, :3])


def _without_previews(exif: bytes) -> bytes:
    """An Exif block without its second directory, which is that of the thumbnail.

    Zeros replace the thumbnail, the maker note, XMP and Photoshop's data, which may contain previews.
    """
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    found, block = bytearray(exif), exif[start:]
    try:
        tiff = Tiff(io.BytesIO(block))

        def values(directory: int) -> dict[int, tuple[int, int]]:
            """Count and value of each tag."""
            return {one.tag: (one.count, tiff.number(one.place)) for one in tiff.fields(directory)}

        def clear(at: int, size: int) -> None:
            if not at or at + size > len(block):
                raise BrokenTiffError("values behind the end")
            found[start + at : start + at + size] = bytes(size)

        first, after = values(tiff.first), tiff.end_of(tiff.first)
        own = values(first[Base.ExifOffset][1]) if Base.ExifOffset in first else {}
        for size, at in (own.get(_MAKER_NOTE, (0, 0)), first.get(XMP, (0, 0)), first.get(PHOTOSHOP, (0, 0))):
            if size > 4:  # else the value is in the entry itself
                clear(at, size)
        if second := tiff.number(after):
            preview = values(second)
            clear(preview.get(513, (0, 0))[1], preview.get(514, (0, 0))[1])  # nearly all are JPEGs
            found[start + after : start + after + 4] = bytes(4)
    except BrokenTiffError:
        return b""  # it is broken, and nobody knows what it contains
    return bytes(found)
