import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depixel.base.errors import DepixelError
from depixel.challenge import test_sets
from depixel.challenge.test_sets import (
    TestSet,
    areas,
    check,
    read_submission,
    read_targets,
    read_test_set,
    write_submission,
)


def samples(n=3, height=8, width=9, seed=0):
    """n samples in the challenge's format: (pixelated images, known arrays), each a list of (1, H, W)."""
    random = np.random.default_rng(seed)
    images = list(random.integers(0, 256, (n, 1, height, width), dtype=np.uint8))
    masks = list(np.ones((n, 1, height, width), dtype=bool))
    for i, mask in enumerate(masks):
        mask[0, 1 : 4 + i % 3, 2:6] = False
    return images, masks


def content(images, masks):
    return {"pixelated_images": tuple(images), "known_arrays": tuple(masks)}


def saved(path, data):
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A file to overwrite; for Hypothesis, which runs a test many times."""
    return tmp_path_factory.mktemp("challenge") / "file"


# Reading test sets


@given(
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    n=st.integers(1, 4),
    height=st.integers(6, 20),
    width=st.integers(6, 20),
    layout=st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=2)[:, :, ::2]]),
    container=st.sampled_from([tuple, list]),
    pickler=st.sampled_from([pickle.dumps, pickle._dumps]),
    writeable=st.booleans(),
)
def test_reads_what_pickle_writes(scratch, protocol, n, height, width, layout, container, pickler, writeable):
    images, masks = (list(map(layout, arrays)) for arrays in samples(n, height, width))
    for array in images + masks:
        array.flags.writeable = writeable  # protocol 5 writes others as bytes
    data = pickler({"pixelated_images": container(images), "known_arrays": container(masks)}, protocol)
    test_set = read_test_set(saved(scratch, data))
    assert test_set.pixelated.dtype == np.uint8 and test_set.known.dtype == bool
    np.testing.assert_array_equal(test_set.pixelated, np.concatenate(images))
    np.testing.assert_array_equal(test_set.known, np.concatenate(masks))


def test_reads_what_numpy_1_wrote(tmp_path):
    images, masks = samples()
    old = pickle.dumps(content(images, masks), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    np.testing.assert_array_equal(read_test_set(saved(tmp_path / "t.pkl", old)).known, np.concatenate(masks))


def test_a_mask_may_be_shared_by_all_samples(tmp_path):
    images, masks = samples()
    path = saved(tmp_path / "t.pkl", pickle.dumps(content(images, masks[:1] * 3)))
    np.testing.assert_array_equal(read_test_set(path).known, np.concatenate(masks[:1] * 3))


def test_reads_the_bench(shared):
    test_set = read_test_set(shared / "bench" / "test_set.pkl")
    _, rows = read_targets(shared / "bench")
    assert test_set.pixelated.shape == test_set.known.shape == (2000, 64, 64)
    np.testing.assert_array_equal(areas(test_set.known), rows[:, :4])


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_no_code_is_run(tmp_path):
    hostile = saved(tmp_path / "t.pkl", pickle.dumps(content([Calls(open, str(tmp_path / "run"), "w")], MASKS)))
    with pytest.raises(DepixelError, match=r"t\.pkl: not a test set: it would import '\w+\.open'"):
        read_test_set(hostile)
    assert not (tmp_path / "run").exists()
    pickle.loads(hostile.read_bytes())["pixelated_images"][0].close()
    assert (tmp_path / "run").exists()  # it was hostile


IMAGES, MASKS = samples()
NESTED = b")" + b"\x85" * 200_000  # a tuple in a tuple in a ...: its hash overflows the C stack
LAUGHS = b")\x94" + b"".join(b"h" + bytes([i]) + b"\x86\x94" for i in range(60))  # its hash takes for ever

REFUSED = {
    "empty": (b"", "the file is empty"),
    "no pickle": (b"\x02\x00\x00", "not a pickle"),
    "cut off": (pickle.dumps(content(IMAGES, MASKS))[:-9], "not a pickle"),
    "os.system": (pickle.dumps(Calls(os.system, "true"), 0), r"would import '\w+\.system'"),
    "eval": (pickle.dumps(content([Calls(eval, "1")], MASKS)), r"would import 'builtins\.eval'"),
    "another function of NumPy": (pickle.dumps(Calls(np.save, "x", 1)), r"would import 'numpy\.save'"),
    "a class": (pickle.dumps(SimpleNamespace()), r"would import 'types\.SimpleNamespace'"),
    "another codec": (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.", "not a pickle"),
    "control characters": (b"cx\x1b[2J\ny\n.", r"import 'x\\x1b\[2J\.y'"),
    "INST": (b"(ios\nsystem\n.", "operation INST"),
    "OBJ": (b"(cnumpy\nndarray\nJ\xff\xff\xff\x7fo.", "operation OBJ"),
    "NEWOBJ": (b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x81.", "operation NEWOBJ"),
    "EXT1": (b"\x82\x01.", "operation EXT1"),
    "EXT4": (b"\x84\x01\x00\x00\x00.", "operation EXT4"),
    "BINPERSID": (b"K\x01Q.", "operation BINPERSID"),
    "PERSID": (b"Pid\n.", "operation PERSID"),
    "NEXT_BUFFER": (b"\x97.", "operation NEXT_BUFFER"),
    "LONG4": (b"\x8b\x02\x00\x00\x00\xff\x7f.", "operation LONG4"),
    "a call of a class": (b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.", "not a pickle"),
    "huge memo index": (b"Nr\xff\xff\xff\x7f.", "holds a NoneType"),
    "huge frame": (b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "not a pickle"),
    "huge bytes": (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.", "not a pickle"),
    "deep nesting": (NESTED + b".", "holds a tuple"),
    "deep nesting as key": (b"}" + NESTED + b"Ns.", "not a pickle"),
    "billion laughs": (b"cnumpy\ndtype\n" + LAUGHS + b"NN\x87R.", "holds a tuple"),
    "billion laughs as key": (b"}" + LAUGHS + b"Ns.", "not a pickle"),
    "dict within itself": (b"}\x94X\x01\x00\x00\x00ah\x00s.", "pixelated_images is missing"),
    "one array over and over": (pickle.dumps(content(IMAGES[:1] * 9999, MASKS[:1] * 9999)), "repeats an array"),
    "huge shape": (
        pickle.dumps(content(IMAGES, MASKS), 4).replace(b"K\x01K\x08K\x09\x87", b"K\x01K\x08M\xff\x01\x87"),
        r"pixelated_images\[0\]",
    ),
    "text in place of bytes": (
        pickle.dumps(content([np.full((1, 8, 9), 200, np.uint8)], MASKS[:1]), 2).replace("È".encode(), "Ā".encode()),
        r"values of pixelated_images\[0\] are not bytes",
    ),
    "object array": (pickle.dumps(content([np.full((1, 8, 9), None)], MASKS[:1])), "not an array of uint8"),
    "object array of a function": (pickle.dumps(content([np.full((1, 8, 9), eval)], MASKS[:1])), r"builtins\.eval"),
    "lists of numbers": (
        pickle.dumps(content(np.array(IMAGES).tolist(), MASKS)),
        r"images\[0\] is not an array of uint8",
    ),
    "one big array": (pickle.dumps({"pixelated_images": np.array(IMAGES)}), "pixelated_images is missing, empty or no"),
    "no known_arrays": (pickle.dumps({"pixelated_images": tuple(IMAGES)}), "known_arrays is missing"),
    "no samples": (pickle.dumps(content([], [])), "pixelated_images is missing, empty"),
    "fewer masks": (pickle.dumps(content(IMAGES, MASKS[:2])), r"\(3, 8, 9\) for pixelated_images, \(2, 8, 9\) for"),
    "float images": (pickle.dumps(content([i / 255 for i in IMAGES], MASKS)), r"images\[0\] is not an array of uint8"),
    "uint8 masks": (pickle.dumps(content(IMAGES, IMAGES)), r"known_arrays\[0\] is not an array of bool"),
    "two channels": (pickle.dumps(content([np.zeros((2, 8, 9), np.uint8)], MASKS[:1])), r"is \(2, 8, 9\), not"),
    "no channel": (pickle.dumps(content([i[0] for i in IMAGES], MASKS)), r"shape of pixelated_images\[0\] is not"),
    "no pixel": (pickle.dumps(content([np.zeros((1, 0, 9), np.uint8)], MASKS[:1])), r"images\[0\] is not"),
    "two sizes": (pickle.dumps(content([*IMAGES[:2], IMAGES[2][:, :7]], MASKS)), r"images\[2\] is \(1, 7, 9\), not"),
    "all known": (pickle.dumps(content(IMAGES, [*MASKS[:2], np.ones((1, 8, 9), bool)])), "sample 2, the 0 pixels"),
    "a diagonal": (
        pickle.dumps(content(IMAGES, [*MASKS[:2], ~np.eye(8, 9, dtype=bool)[None]])),
        "sample 2, the 8 pixels",
    ),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_test_set_is_refused(tmp_path, data, message):
    with pytest.raises(DepixelError, match=message):
        read_test_set(saved(tmp_path / "t.pkl", data))


@given(
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    edits=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_a_damaged_test_set_never_crashes(scratch, protocol, edits):
    data = pickle.dumps(content(*samples(n=1)), protocol)
    for at, cut, instead in edits:
        at %= len(data)
        data = data[:at] + instead + data[at + cut :]
    try:
        test_set = read_test_set(saved(scratch, data))
    except DepixelError:
        return
    assert test_set.pixelated.dtype == np.uint8 and test_set.known.dtype == bool
    assert test_set.pixelated.shape == test_set.known.shape


@pytest.mark.parametrize(("limit", "most"), [("MOST_BYTES", 300), ("MOST_OPERATIONS", 50)])
def test_what_would_exhaust_memory_is_refused(tmp_path, monkeypatch, limit, most):
    path = saved(tmp_path / "t.pkl", pickle.dumps(content(IMAGES, MASKS)))
    read_test_set(path)
    monkeypatch.setattr(test_sets, limit, most)
    with pytest.raises(DepixelError, match=f"more than {most} "):
        read_test_set(path)


@pytest.mark.parametrize("read", [read_test_set, read_submission, read_targets])
def test_what_is_not_there_is_named(tmp_path, read):
    with pytest.raises(DepixelError, match=r"missing: there is no such file"):
        read(tmp_path / "missing")


# Areas


@given(
    rectangles=st.lists(st.tuples(*[st.integers(0, 11), st.integers(1, 12)] * 2), min_size=1, max_size=5),
)
def test_areas_finds_the_rectangles(rectangles):
    known = np.ones((len(rectangles), 12, 12), dtype=bool)
    for mask, (x, width, y, height) in zip(known, rectangles, strict=True):
        mask[y : y + height, x : x + width] = False
    expected = [(x, y, min(width, 12 - x), min(height, 12 - y)) for x, width, y, height in rectangles]
    assert areas(known).tolist() == [list(area) for area in expected]


@given(arrays(bool, (1, 4, 4)))
def test_areas_accepts_rectangles_only(known):
    rows, columns = np.nonzero(~known[0])
    full = len(rows) and (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == len(rows)
    if full:
        assert areas(known).tolist() == [[columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]]
    else:
        with pytest.raises(DepixelError, match="sample 0"):
            areas(known)


# Submissions


@pytest.mark.parametrize(
    ("lengths", "head"),
    [
        ([1], b"\x01\x00"),
        ([2, 1], b"\x01\x01"),
        ([256], b"\x01\xff"),
        ([257], b"\x02\x01\x00"),
        ([2**16], b"\x02\xff\xff"),
        ([2**16 + 1], b"\x03\x01\x00\x00"),
        ([1, 1024], b"\x02\x00\x00"),
    ],
)
def test_width_of_the_length_fields(tmp_path, lengths, head):
    write_submission(tmp_path / "s.bin", [np.zeros(n, np.uint8) for n in lengths])
    assert (tmp_path / "s.bin").read_bytes().startswith(head)


def test_submission_by_hand(tmp_path):
    write_submission(tmp_path / "s.bin", [np.array([7, 8, 9], np.uint8), np.array([255], np.uint8)])
    assert (tmp_path / "s.bin").read_bytes() == bytes([1, 2, 7, 8, 9, 0, 255])
    wide = saved(tmp_path / "wide.bin", bytes([2, 0, 1, 5, 6, 0, 0, 4]))
    assert [p.tolist() for p in read_submission(wide)] == [[5, 6], [4]]


@given(st.lists(st.integers(1, 600).flatmap(lambda n: arrays(np.uint8, n)), min_size=1, max_size=5))
def test_submissions_round_trip(scratch, predictions):
    write_submission(scratch, predictions)
    read = read_submission(scratch)
    assert [p.dtype for p in read] == [np.uint8] * len(predictions)
    assert [p.tolist() for p in read] == [p.tolist() for p in predictions]


@pytest.mark.parametrize(
    "predictions",
    [[], [np.zeros(4)], [np.zeros((2, 2), np.uint8)], [np.zeros(4, np.uint8), np.zeros(0, np.uint8)]],
)
def test_what_cannot_be_submitted_is_not_written(tmp_path, predictions):
    path = saved(tmp_path / "s.bin", b"earlier")
    with pytest.raises(DepixelError, match=r"s\.bin: not written"):
        write_submission(path, predictions)
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x00ab", "its first byte is 0"),
        (b"\x80\x04", "its first byte is 128"),
        (b"\x01\x01ab\x05abc", "prediction 1 starts at byte 4 and would end at 11, but the file ends at 8"),
        (b"\x02\x00", "prediction 0 starts at byte 1 and would end at 4, but the file ends at 2"),
    ],
)
def test_what_is_no_submission_is_refused(tmp_path, data, message):
    with pytest.raises(DepixelError, match=message):
        read_submission(saved(tmp_path / "s.bin", data))


def test_too_many_predictions_are_refused(tmp_path, monkeypatch):
    path = saved(tmp_path / "s.bin", b"\x01" + b"\0a" * 4)
    assert len(read_submission(path)) == 4
    monkeypatch.setattr(test_sets, "MOST_SAMPLES", 3)
    with pytest.raises(DepixelError, match="more than 3 predictions"):
        read_submission(path)


def test_check():
    images, masks = samples(n=9)
    test_set = TestSet(np.concatenate(images), np.concatenate(masks))
    identity = [image[~mask] for image, mask in zip(images, masks, strict=True)]  # 12, 16, 20, 12, ... pixels
    assert check(identity, test_set) == []
    assert "8 predictions for 9 samples" in check(identity[:-1], test_set)[0]
    assert check([*identity[:8], identity[8][1:]], test_set) == ["prediction 8 has 19 pixels, but 20 are unknown"]
    turned = check(identity[1:] + identity[:1], test_set)
    assert len(turned) == 7 and "and 4 more of 9" in turned[5] and "order of the test set" in turned[6]
    assert "image[~known]" in check([image.ravel() for image in images], test_set)[-1]


# Targets

PHOTOS = np.random.default_rng(1).integers(0, 256, (2, 8, 9), dtype=np.uint8)
ROWS = np.array([[0, 1, 4, 5, 2], [3, 0, 6, 8, 4], [1, 1, 2, 2, 16]])


def test_targets_are_read_from_file_or_folder(tmp_path):
    np.savez(tmp_path / "targets.npz", photos=PHOTOS, areas=ROWS.astype(np.int16))
    for path in (tmp_path, tmp_path / "targets.npz"):
        photos, rows = read_targets(path)
        np.testing.assert_array_equal(photos, PHOTOS)
        np.testing.assert_array_equal(rows, ROWS)
        assert rows.dtype == np.int64


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"photos": PHOTOS}, "areas"),
        ({"photos": PHOTOS / 255, "areas": ROWS}, "photos is float64"),
        ({"photos": PHOTOS[0], "areas": ROWS}, r"photos is uint8 of shape \(8, 9\)"),
        ({"photos": PHOTOS, "areas": ROWS.astype(float)}, "areas is float64"),
        ({"photos": PHOTOS, "areas": ROWS[:, :4]}, r"areas is int64 of shape \(3, 4\)"),
        ({"photos": PHOTOS, "areas": ROWS[:0]}, r"areas is int64 of shape \(0, 5\)"),
        ({"photos": PHOTOS, "areas": np.array([*ROWS, [8, 0, 2, 2, 2]])}, "row 3"),
        ({"photos": PHOTOS, "areas": np.array([[0, 0, 2, 2**63 - 1, 2]])}, "row 0"),
        ({"photos": PHOTOS, "areas": np.array([[-1, 0, 2, 2, 2]])}, "row 0"),
        ({"photos": PHOTOS, "areas": np.array([[0, 0, 2, 2, 1]])}, "row 0"),
        ({"photos": np.array([[[SimpleNamespace()]]]), "areas": ROWS}, "allow_pickle"),
    ],
)
def test_what_are_no_targets_is_refused(tmp_path, targets, message):
    np.savez(tmp_path / "targets.npz", **targets)
    with pytest.raises(DepixelError, match=r"targets\.npz: not the targets of a test set \(.*" + message):
        read_targets(tmp_path)


@pytest.mark.parametrize("data", [b"no zip", b"\x93NUMPY", pickle.dumps(Calls(os.system, "true"))])
def test_what_is_no_npz_is_refused(tmp_path, data):
    with pytest.raises(DepixelError, match="not the targets of a test set"):
        read_targets(saved(tmp_path / "targets.npz", data))


def test_targets_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "targets.npz", photos=np.zeros((1, 99, 99), np.uint8), areas=ROWS)
    monkeypatch.setattr(test_sets, "MOST_BYTES", 5000)
    with pytest.raises(DepixelError, match="bytes when unpacked"):
        read_targets(tmp_path)
