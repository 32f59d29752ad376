"""A picture in another format: the pixels and the metadata that this format can hold, and notes on the rest."""

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from depixel.base.errors import DepixelError
from depixel.pictures import kinds
from depixel.pictures.picture import PHOTOSHOP, XMP, Picture

_ENCODED: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
"""How formats are encoded that leave a choice."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG
_BY_TAG = (XMP, PHOTOSHOP)  # in EXIF of a TIFF; elsewhere they stand beside it


def as_format(picture: Picture, form: str) -> Picture:
    """The same picture in another format. JPEGs are encoded with quality 95, all other formats without loss.

    Args:
        form: Pillow's name of the format, a key of `kinds.FORMATS`.

    Raises:
        DepixelError: pictures are not written in this format, or not with alpha.
    """
    if picture.format == form:
        return picture
    kind = kinds.FORMATS[form]
    if kind.written and not kinds.is_written(form, picture.has_alpha):
        raise DepixelError(f"has alpha, which is not written in {kind.name}. Write it as PNG, TIFF or WebP")
    kinds.check_written(form, picture.has_alpha)
    pixels, notes = picture.pixels, list(picture.notes)
    if pixels.dtype == np.uint16 and not kind.deep:
        pixels = (pixels >> 8).astype(np.uint8)
        notes.append(f"the {kind.name} has 8 bits a channel and leaves out the lower 8 of 16")
    if form == "TIFF" and pixels.dtype == np.uint16 and pixels.ndim == 3 and pixels.shape[2] == 2:
        pixels = pixels[:, :, [0, 0, 0, 1]]  # gray with alpha of 16 bits, which Pillow does not read again
    options, orientation = dict(_ENCODED.get(form, {})), 1
    tags, xmp, left_out = _metadata(picture)
    if kind.metadata:
        orientation = picture.orientation
        options |= {key: picture.options[key] for key in {"icc_profile", "dpi"} & picture.options.keys()}
        options |= _written_as(form, tags, xmp, picture.options.get("comment"))
    elif len(tags) or xmp or {"icc_profile", "comment"} & picture.options.keys():
        notes.append(f"the {kind.name} leaves out all metadata")
        left_out = False
    if left_out:
        notes.append(
            f"the {kind.name} leaves out metadata for Photoshop (IPTC), long XMP, texts of a PNG, or broken EXIF, "
            "which the file holds"
        )
    return replace(picture, pixels=pixels, format=form, orientation=orientation, options=options, notes=tuple(notes))


def _metadata(picture: Picture) -> tuple[Image.Exif, bytes, bool]:
    """The EXIF of a picture, without `_BY_TAG`; its XMP; and whether it has metadata that no other format gets."""
    known = picture.options.get("exif")
    xmp, left_out = bytes(picture.options.get("xmp", b"")), "extra" in picture.options
    if isinstance(known, Image.Exif):
        xmp = bytes(known.get(XMP, xmp))
        left_out = left_out or PHOTOSHOP in known
    if texts := picture.options.get("pnginfo"):
        left_out = left_out or any(kind in _TEXTS for kind, *_ in texts.chunks)
    tags = Image.Exif()
    try:
        tags.load(known.tobytes() if isinstance(known, Image.Exif) else known or b"")
        tags.tobytes()
    except Exception:  # whatever broken metadata makes Pillow raise: the picture is not lost for it
        tags, left_out = Image.Exif(), True
    for tag in _BY_TAG:
        tags.pop(tag, None)
    if picture.orientation != tags.get(Base.Orientation, 1):
        tags[Base.Orientation] = picture.orientation
    return tags, xmp, left_out


def _written_as(form: str, tags: Image.Exif, xmp: bytes, comment: bytes | str | None) -> dict[str, Any]:
    """The options of Pillow's `save` that write metadata in a format."""
    options: dict[str, Any] = {}
    if form == "PNG":
        options["pnginfo"] = texts = PngInfo()
        if comment:
            texts.add_itxt(
                "Comment", comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
            )
        if xmp:
            texts.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif form == "TIFF":
        if xmp:
            tags[XMP] = xmp
    else:
        options |= {"xmp": xmp} if xmp else {}
        options |= {"comment": comment} if comment and form == "JPEG" else {}
    if len(tags):
        options["exif"] = tags if form == "TIFF" else tags.tobytes()
    return options
