import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from depixel.base.errors import DepixelError
from depixel.pictures import formats

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def pixels(channels: int | None, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    shape = (23, 17) if channels is None else (23, 17, channels)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[274], made[271] = orientation, "Maker"
    return made


WITHOUT_METADATA = [
    *(("BMP", channels, np.uint8) for channels in (None, 3)),
    *(("TGA", channels, np.uint8) for channels in (None, 2, 3, 4)),
    *(("PPM", channels, dtype) for channels, dtype in ((None, np.uint8), (None, np.uint16), (3, np.uint8))),
]
LOSSLESS = [
    *(("PNG", channels, dtype) for channels in (None, 2, 3, 4) for dtype in (np.uint8, np.uint16)),
    *(("TIFF", channels, dtype) for channels in (None, 3, 4) for dtype in (np.uint8, np.uint16)),
    ("TIFF", 2, np.uint8),
    ("WEBP", 3, np.uint8),
    ("WEBP", 4, np.uint8),
]


@pytest.mark.parametrize(("form", "channels", "dtype"), LOSSLESS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_lossless_pictures_come_back_as_they_were(tmp_path, form, channels, dtype, orientation):
    """Every pixel upright, written and read twice, with EXIF, its orientation, and ICC."""
    path, upright = tmp_path / "picture", pixels(channels, dtype)
    options = {"exif": exif(orientation), "icc_profile": PROFILE}
    options |= {"lossless": True, "exact": True} if form == "WEBP" else {}
    formats.write(path, formats.Picture(upright, form, orientation, options))
    read = formats.read(path)
    np.testing.assert_array_equal(read.pixels, upright)
    assert (read.format, read.orientation, read.pixels.dtype) == (form, orientation, dtype)
    changed = upright.copy()
    changed[5, 3] ^= 1
    formats.write(path, read.showing(changed))
    again = formats.read(path)
    np.testing.assert_array_equal(again.pixels, changed)
    with Image.open(path) as image:
        assert image.getexif()[271] == "Maker"
        assert image.getexif()[274] == orientation
        assert image.info["icc_profile"] == PROFILE
        assert image.size == ((17, 23) if orientation < 5 or form == "TIFF" else (23, 17))


@pytest.mark.parametrize(("form", "channels", "dtype"), WITHOUT_METADATA)
def test_pictures_without_metadata_come_back_as_they_were(tmp_path, form, channels, dtype):
    path, colors = tmp_path / "picture", pixels(channels, dtype)
    Image.fromarray(colors).save(path, form)
    read = formats.read(path)
    np.testing.assert_array_equal(read.pixels, colors)
    assert read.format == form and not read.notes
    changed = colors.copy()
    changed[5, 3] ^= 1
    formats.write(path, read.showing(changed))
    np.testing.assert_array_equal(formats.read(path).pixels, changed)
    with Image.open(path) as image:
        assert image.format == form


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000", "GIF"])
def test_what_is_read_but_not_written_says_what_to_type(tmp_path, form):
    Image.fromarray(pixels(3)).save(tmp_path / "picture", form)
    picture = formats.read(tmp_path / "picture")
    with Image.open(tmp_path / "picture") as image:
        np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    with pytest.raises(DepixelError, match=r"is read, but not written\. .*--format png"):
        formats.write(tmp_path / "other", picture)
    assert not (tmp_path / "other").exists()
    formats.write(tmp_path / "other", formats.as_format(picture, "PNG"))
    np.testing.assert_array_equal(formats.read(tmp_path / "other").pixels, picture.pixels)


def test_a_bmp_with_alpha_is_not_written(tmp_path):
    """Pillow writes its alpha, but not that it is one."""
    pixel = struct.pack("<4B", 30, 20, 10, 128)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0) + masks + b"BGRs" + bytes(48)
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 126, 0, 0, 122) + header + pixel)
    picture = formats.read(tmp_path / "a.bmp")
    assert picture.pixels.tolist() == [[[10, 20, 30, 128]]]
    with pytest.raises(DepixelError, match="BMP with alpha is read, but not written"):
        formats.encoded(picture)


def test_the_avif_of_the_field_is_read(shared):
    with Image.open(shared / "field/13_photo.avif") as image:
        np.testing.assert_array_equal(formats.read(shared / "field/13_photo.avif").pixels, np.asarray(image))


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_as_png_a_picture_keeps_pixels_and_metadata(tmp_path, form, orientation):
    path = tmp_path / "picture"
    options = {} if form == "TIFF" else {"xmp": XMP}
    tags = exif(orientation)
    if form == "TIFF":
        tags[700] = XMP
    Image.fromarray(pixels(3)).save(path, form, exif=tags, icc_profile=PROFILE, **options)
    picture = formats.read(path)
    formats.write(path, formats.as_format(picture, "PNG"))
    again = formats.read(path)
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    assert (again.format, again.orientation) == ("PNG", orientation)
    with Image.open(path) as image:
        assert image.getexif()[271] == "Maker" and image.getexif().get(274, 1) == orientation
        assert image.info["icc_profile"] == PROFILE and image.text["XML:com.adobe.xmp"].encode() == XMP
    assert formats.as_format(again, "PNG") is again


def test_what_is_upright_is_what_pillow_shows_upright(tmp_path):
    from PIL import ImageOps

    for orientation in range(1, 9):
        stored = Image.fromarray(pixels(3))
        stored.save(tmp_path / "a.png", exif=exif(orientation))
        with Image.open(tmp_path / "a.png") as image:
            shown = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(formats.read(tmp_path / "a.png").pixels, shown)


def deep_png(values: np.ndarray) -> bytes:
    """A 16-bit PNG by the specification, with no help of what is tested."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_all_16_bits_of_a_foreign_png_are_read(tmp_path, channels):
    values = pixels(channels, np.uint16)
    (tmp_path / "deep.png").write_bytes(deep_png(values))
    np.testing.assert_array_equal(formats.read(tmp_path / "deep.png").pixels, values)


def test_palettes_and_bits_become_colors_and_gray(tmp_path):
    for mode, expected in (("P", "RGB"), ("1", "L")):
        image = Image.fromarray(pixels(3)).convert(mode)
        image.save(tmp_path / "a.png")
        np.testing.assert_array_equal(formats.read(tmp_path / "a.png").pixels, np.asarray(image.convert(expected)))
    image = Image.fromarray(pixels(3)).convert("P")
    image.save(tmp_path / "a.png", transparency=7)
    found = formats.read(tmp_path / "a.png").pixels
    np.testing.assert_array_equal(found[:, :, 3] == 0, np.asarray(image) == 7)


def test_texts_of_a_png_and_xmp_are_kept(tmp_path, jpeg):
    texts = PngInfo()
    texts.add_text("Title", "a title")
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.fromarray(pixels(3)).save(tmp_path / "a.png", pnginfo=texts)
    (tmp_path / "a.jpg").write_bytes(jpeg(0, xmp=XMP))
    Image.fromarray(pixels(3)).save(tmp_path / "a.webp", xmp=XMP, lossless=True)
    for name in ("a.png", "a.jpg", "a.webp"):
        formats.write(tmp_path / f"b{name}", formats.read(tmp_path / name))
        with Image.open(tmp_path / f"b{name}") as image:
            assert (image.info.get("xmp") or image.text["XML:com.adobe.xmp"].encode()) == XMP, name
            if name == "a.png":
                assert image.text["Title"] == "a title"


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_encoded_with_its_own_tables(tmp_path, jpeg, mode):
    (tmp_path / "a.jpg").write_bytes(jpeg(3, mode=mode, quality=71, subsampling=1))
    read = formats.read(tmp_path / "a.jpg")
    formats.write(tmp_path / "b.jpg", read)
    with Image.open(tmp_path / "a.jpg") as one, Image.open(tmp_path / "b.jpg") as other:
        assert one.quantization == other.quantization
        assert mode == "L" or one.layer == other.layer
    assert np.abs(formats.read(tmp_path / "b.jpg").pixels.astype(int) - read.pixels).mean() < 1


def made(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


BAD = {
    "text": (b"no picture", "is text, not a picture; PNG, JPEG, WebP, TIFF, BMP,"),
    "empty": (b"", "bad.png: is empty"),
    "cut off": (made(Image.effect_noise((200, 200), 50), "JPEG")[:3000], "the file is damaged"),
    "bomb": (made(Image.new("1", (20000, 20000)), "PNG"), "more than 50 million pixels"),
    "cmyk": (made(Image.new("CMYK", (9, 9)), "JPEG"), "has the color mode CMYK"),
    "float": (made(Image.new("F", (9, 9)), "TIFF"), "has the color mode F"),
    "animated": (
        made(Image.new("L", (9, 9)), "WEBP", save_all=True, append_images=[Image.new("L", (9, 9), 200)]),
        "is animated, or has several pages",
    ),
    "pages": (
        made(Image.new("L", (9, 9)), "TIFF", save_all=True, append_images=[Image.new("L", (9, 9))]),
        "several pages",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_picture_to_restore_is_told(tmp_path, kind):
    content, problem = BAD[kind]
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DepixelError, match=r"bad\.png: ") as caught:
        formats.read(tmp_path / "bad.png")
    assert problem in str(caught.value)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(DepixelError, match=r"no\.png: cannot be read"):
        formats.read(tmp_path / "no.png")
    with pytest.raises(DepixelError, match="cannot be read"):
        formats.read(tmp_path)


def test_nothing_is_left_of_a_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DepixelError, match="cannot be written"):
        formats.write(tmp_path / "file" / "a.png", formats.Picture(pixels(3), "PNG"))
    with pytest.raises(DepixelError, match="cannot be written as JPEG with its metadata"):
        formats.write(tmp_path / "a.jpg", formats.Picture(pixels(3), "JPEG", 1, {"subsampling": "no option"}))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_messy_pictures(shared):
    """Each of the odd files is read, or told in one line."""
    told = {}
    for path in sorted(path for path in (shared / "messy/loose").rglob("*") if path.is_file()):
        try:
            told[path.name] = formats.read(path).pixels.shape[:2]
        except DepixelError as error:
            told[path.name] = str(error)
            assert "\n" not in str(error)
    assert told["h_turned.jpg"] == (160, 120) and told["zb_palette.jpg"] == (120, 160)
    assert "truncated" in told["u_truncated.jpg"] and "50 million" in told["x_bomb.jpg"]


def thumbnail(orientation: int = 1) -> tuple[bytes, bytes]:
    """An Exif block with a thumbnail, as cameras write it, and the JPEG of the thumbnail."""
    file = io.BytesIO()
    Image.fromarray(pixels(3, seed=1)).save(file, "JPEG")
    small = file.getvalue()
    maker = b"Maker\0\0\0"
    first = struct.pack("<H", 2) + struct.pack("<HHII", 271, 2, 6, 100) + struct.pack("<HHII", 274, 3, 1, orientation)
    second = struct.pack("<H", 2) + struct.pack("<HHII", 513, 4, 1, 150) + struct.pack("<HHII", 514, 4, 1, len(small))
    tiff = b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<I", 38) + second + bytes(4)
    return b"Exif\0\0" + tiff.ljust(100, b"\0") + maker.ljust(50, b"\0") + small, small


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_what_hides_pixels_hides_them_in_thumbnails_too(tmp_path, form):
    exif_block, small = thumbnail()
    preview = XMP.replace(b"/>", b"><xmpGImg:image>AAAA</xmpGImg:image></x:xmpmeta>")
    options = {"exif": exif_block} | ({"xmp": preview} if form != "PNG" else {})
    if form == "PNG":
        options["pnginfo"] = texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", preview.decode())
        texts.add_text("Author", "somebody")
    path = tmp_path / "picture"
    Image.fromarray(pixels(3)).save(path, form, **options)
    picture = formats.read(path)
    formats.write(path, picture.showing(picture.pixels))
    assert small in path.read_bytes() and b"GImg" in path.read_bytes()
    formats.write(path, picture.hiding(picture.pixels))
    content = path.read_bytes()
    assert small not in content and small[-60:] not in content and b"GImg" not in content
    with Image.open(path) as image:
        assert image.getexif()[271] == "Maker" and (form != "PNG" or image.text["Author"] == "somebody")
    broken = formats.Picture(picture.pixels, form, 1, {"exif": exif_block[:80]})
    assert broken.hiding(picture.pixels).options["exif"] == b""  # rather none than one that nobody can look into


def test_what_a_png_says_of_its_colors_and_a_jpeg_to_photoshop_stays(tmp_path):
    info, path = PngInfo(), tmp_path / "a.png"
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    info.add(b"cICP", bytes([9, 16, 0, 1]))  # Rec. 2100 PQ
    for dtype in (np.uint8, np.uint16):
        formats.write(path, formats.Picture(pixels(3, dtype), "PNG", 1, {"pnginfo": info}))
        formats.write(path, formats.read(path))
        assert path.read_bytes().count(b"cICP" + bytes([9, 16, 0, 1])) == 1
        with Image.open(path) as image:
            assert image.info["gamma"] == 0.45455 and image.info["chromaticity"][2:4] == (0.64, 0.33)
    iptc, path = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x50\0\x03Ann", tmp_path / "a.jpg"
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 4, 0) + b"<a/>"
    extra = b"".join(
        struct.pack(">BBH", 255, kind, len(data) + 2) + data for kind, data in ((0xE1, more), (0xED, iptc))
    )
    first = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    extra = struct.pack(">BBH", 255, 0xE1, len(first) + 2) + first + extra
    Image.fromarray(pixels(3)).save(path, extra=extra)
    formats.write(path, formats.read(path))
    assert path.read_bytes().count(extra) == 1 and path.read_bytes().count(XMP) == 1
    formats.write(path, formats.read(path).hiding(pixels(3)))
    assert more not in path.read_bytes() and iptc not in path.read_bytes()
    info = PngInfo()
    info.add(b"cICP", b"more than a color space")
    formats.write(path, formats.Picture(pixels(3), "PNG", 1, {"pnginfo": info}))
    formats.write(path, formats.read(path))
    assert b"cICP" not in path.read_bytes()


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    options = {"exif": b"Exif\0\0" + bytes(70_000)}
    with pytest.raises(DepixelError, match="cannot be written as JPEG with its metadata"):
        formats.write(path, formats.Picture(pixels(3), "JPEG", 1, options))
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_no_picture(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DepixelError, match=r"a\.png: is not a regular file"):
        formats.read(tmp_path / "a.png")


def test_a_transparent_value_of_16_bits_becomes_alpha(tmp_path):
    path, gray = tmp_path / "a.png", pixels(None, np.uint16)
    Image.fromarray(gray).save(path)
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    chunk = b"tRNS" + struct.pack(">H", gray[2, 3])
    path.write_bytes(data[:at] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[at:])
    picture = formats.read(path)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], gray)
    np.testing.assert_array_equal(picture.pixels[:, :, 1], np.where(gray == gray[2, 3], 0, 65535))
    formats.write(path, picture)
    np.testing.assert_array_equal(formats.read(path).pixels, picture.pixels)


def foreign_tiff(pixels: np.ndarray, compressed: bool) -> bytes:
    """A TIFF with a directory of EXIF, as programs for raw photos write it."""
    bits = 8 * pixels.dtype.itemsize
    data = pixels.astype(f"<u{bits // 8}").tobytes()
    data = zlib.compress(data) if compressed else data
    out = bytearray(b"II*\0" + bytes(4) + data + bytes(len(data) % 2))
    places = []
    date = struct.pack("<HHHII", 1, 36867, 2, 20, 0)
    for part in (struct.pack("<3H", bits, bits, bits), b"2020:01:01 00:00:00\0", date + bytes(4)):
        places.append(len(out))
        out += part
    struct.pack_into("<I", out, places[2] + 10, places[1])
    height, width = pixels.shape[:2]
    entries = [
        *((256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, places[0]), (259, 3, 1, 8 if compressed else 1)),
        *((262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data))),
        (34665, 4, 1, places[2]),
    ]
    struct.pack_into("<I", out, 4, len(out))
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return bytes(out + struct.pack("<H", len(entries)) + packed + bytes(4))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_with_exif_keeps_it(tmp_path, dtype, compressed):
    path, colors = tmp_path / "a.tif", pixels(3, dtype)
    path.write_bytes(foreign_tiff(colors, compressed))
    picture = formats.read(path)
    np.testing.assert_array_equal(picture.pixels, colors)
    for made in (picture.showing(colors), picture.hiding(colors)):
        formats.write(path, made)
        np.testing.assert_array_equal(formats.read(path).pixels, colors)
        with Image.open(path) as image:
            assert image.getexif().get_ifd(34665)[36867] == "2020:01:01 00:00:00"
            assert not {282, 283, 296} & image.getexif().keys()  # no resolution is made up


def test_what_hides_pixels_hides_them_in_previews_of_tiff_and_notes_of_cameras(tmp_path):
    preview, path = XMP.replace(b"/>", b"><xmpGImg:image>AAAA</xmpGImg:image>"), tmp_path / "a.tif"
    tags = Image.Exif()
    tags[700], tags[34377], tags[271] = preview, b"8BIM small picture", "Maker"
    tags.get_ifd(34665)[37500] = b"note with a small picture"
    tags[34665] = tags.get_ifd(34665)
    for form, compression in (("TIFF", "raw"), ("JPEG", None)):
        options = {"exif": tags} | ({"compression": compression} if compression else {})
        Image.fromarray(pixels(3)).save(path, form, **options)
        picture = formats.read(path)
        formats.write(path, picture.showing(picture.pixels))
        assert b"note with a small picture" in path.read_bytes()
        formats.write(path, picture.hiding(picture.pixels))
        content = path.read_bytes()
        assert not any(part in content for part in (b"GImg", b"small picture"))
        with Image.open(path) as image:
            assert image.getexif()[271] == "Maker"
        formats.write(path, picture.showing(picture.pixels))  # hiding has changed nothing of it
        assert b"note with a small picture" in path.read_bytes()
    info = PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n       4\n01020304\n", zip=True)
    Image.fromarray(pixels(3)).save(path, "PNG", pnginfo=info)
    picture = formats.read(path)
    formats.write(path, picture.hiding(picture.pixels))
    assert b"Raw profile" not in path.read_bytes()


def test_what_hides_pixels_keeps_how_they_are_turned(tmp_path):
    path, upright = tmp_path / "a.png", pixels(3)
    made = Image.Exif()
    made[274] = 6
    block = made.tobytes().removeprefix(b"Exif\0\0")
    text = "\nexif\n" + f"{len(block):8d}\n" + block.hex() + "\n"
    info = PngInfo()
    info.add_text("Raw profile type exif", text, zip=True)
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(path, pnginfo=info)
    picture = formats.read(path)
    assert picture.orientation == 6
    formats.write(path, picture.hiding(picture.pixels))
    np.testing.assert_array_equal(formats.read(path).pixels, upright)


def test_a_transparent_color_of_16_bits_becomes_alpha(tmp_path):
    path, colors = tmp_path / "a.png", pixels(3, np.uint16)
    formats.write(path, formats.Picture(colors, "PNG"))
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    chunk = b"tRNS" + struct.pack(">3H", *colors[2, 3])
    path.write_bytes(data[:at] + struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[at:])
    picture = formats.read(path)
    np.testing.assert_array_equal(picture.pixels[:, :, :3], colors)
    clear = picture.pixels[:, :, 3] == 0
    assert clear[2, 3] and clear.sum() == 1 and (picture.pixels[~clear][:, 3] == 65535).all()


def test_pages_are_not_counted_to_the_last(tmp_path):
    path = tmp_path / "a.tif"
    small = Image.new("L", (8, 8))
    small.save(path, save_all=True, append_images=[small] * 2)
    with pytest.raises(DepixelError, match="has several pages"):
        formats.read(path)
