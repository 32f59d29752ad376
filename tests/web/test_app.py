"""The API of `depixel serve`, through a real server on loopback."""

import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.pictures import formats
from depixel.pictures import restorer as fullsize
from tests.conftest import REPOSITORY, run, tiny_model
from tests.model import test_predictor as test_restoration
from tests.pictures.test_restorer import photo

server = pytest.importorskip("depixel.web.app", reason="FastAPI and uvicorn are not installed: pip install -e .[serve]")
pytestmark = pytest.mark.usefixtures("one_thread")

AREA = (24, 16, 64, 48, 8)


@contextmanager
def running(restorer, host="127.0.0.1"):
    """The address of a server in a thread of this process."""
    with server.listen("127.0.0.1", 0) as listening:
        web = server.make_server(restorer, host)
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
        thread.start()
        yield server.address(listening, "127.0.0.1")
        web.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def restorer(one_thread):
    return fullsize.Restorer(test_restoration.predictor())


@pytest.fixture(scope="module")
def url(restorer):
    with running(restorer) as address:
        yield address


def told(area=AREA) -> str:
    return ",".join(map(str, area))


def file_of(pixels: np.ndarray, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def pixelated(kind="PNG", area=AREA, **options) -> bytes:
    return file_of(fullsize.pixelate(photo(120, 140), [area]), kind, **options)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "a camera"
    return tags


PICTURES = {
    "PNG": lambda: pixelated(),
    "gray": lambda: file_of(fullsize.pixelate(photo(120, 140, None), [AREA])),
    "alpha": lambda: file_of(fullsize.pixelate(photo(120, 140, 4), [AREA])),
    "16 bits": lambda: file_of(fullsize.pixelate(photo(120, 140, None, np.uint16), [AREA])),
    "deep color TIFF": lambda: formats.encoded(
        formats.Picture(fullsize.pixelate(photo(120, 140, 3, np.uint16), [AREA]), "TIFF")
    ),
    "JPEG": lambda: pixelated("JPEG", quality=95, subsampling=0, exif=exif(1)),
    "WebP": lambda: pixelated("WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_what_comes_back_is_byte_for_byte_what_the_library_makes(url, restorer, kind, tmp_path):
    data = PICTURES[kind]()
    answer = requests.post(f"{url}api/restore?area={told()}&views=2&trust=exact", data, timeout=60)
    assert answer.status_code == 200, answer.text
    (tmp_path / "in").write_bytes(data)
    picture = formats.read(tmp_path / "in")
    formats.write(tmp_path / "out", picture.showing(restorer.restore(picture.pixels, [AREA], 2, "exact")))
    assert answer.content == (tmp_path / "out").read_bytes()
    assert answer.headers["Content-Type"] == server._TYPES[picture.format]
    ending = server._ENDINGS[picture.format]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="restored.{ending}"'


def test_a_block_size_that_is_not_given_is_found_and_told(url):
    answer = requests.post(f"{url}api/restore?area={told(AREA[:4])}&area=100,80,16,16,4", pixelated(), timeout=60)
    assert answer.status_code == 422  # the second area is not pixelated
    assert "100,80,16,16" in answer.json()["problem"] and "pixelated" in answer.json()["problem"]
    answer = requests.post(f"{url}api/restore?area={told(AREA[:4])}", pixelated(), timeout=60)
    assert answer.headers["Areas"] == told()


def test_a_photo_is_pixelated_and_found_again(url):
    clean = file_of(photo(120, 140))
    answer = requests.post(
        f"{url}api/pixelate?area=20,30,40,50&block=10&area={told((80, 8, 32, 24, 4))}", clean, timeout=60
    )
    expected = fullsize.pixelate(photo(120, 140), [(20, 30, 40, 50, 10), (80, 8, 32, 24, 4)])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    found = requests.post(f"{url}api/find", answer.content, timeout=60).json()
    assert (found["width"], found["height"]) == (140, 120)
    areas = {tuple(a[key] for key in ("x", "y", "width", "height", "block_size")) for a in found["areas"]}
    assert {(20, 30, 40, 50, 10), (80, 8, 32, 24, 4)} <= areas
    near = requests.post(f"{url}api/find?near=17,33,40,50", answer.content, timeout=60).json()["areas"]
    assert (near[0]["x"], near[0]["y"], near[0]["block_size"], near[0]["certain"]) == (20, 30, 10, True)


def test_areas_whose_first_blocks_are_cut_off_are_found_and_restored(url, restorer):
    image = fullsize.pixelate(photo(200, 200), [(20, 30, 80, 80, 16)])
    image = image[35:, 27:]  # the first blocks keep 9 columns and 11 rows
    (found, *_) = requests.post(f"{url}api/find", file_of(image), timeout=60).json()["areas"]
    assert found.pop("certain")
    area = {"x": 0, "y": 0, "width": 73, "height": 75, "block_size": 16, "offset_x": 7, "offset_y": 5}
    assert found == area
    answer = requests.post(f"{url}api/restore?area={told(area.values())}", file_of(image), timeout=60)
    assert answer.headers["Areas"] == told(area.values())
    expected = restorer.restore(image, [tuple(area.values())])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    answer = requests.post(f"{url}api/restore?area=0,0,73,75,16,16,5", file_of(image), timeout=60)
    assert answer.status_code == 422 and "first blocks lack 0 to 16 - 1" in answer.json()["problem"]


@pytest.mark.usefixtures("detector")
def test_what_is_drawn_roughly_is_found_in_a_jpeg(url):
    image = fullsize.pixelate(photo(200, 220), [(60, 50, 90, 80, 9)])
    data = file_of(image, "JPEG", quality=90)
    for near in ("63,55,80,70", "50,41,110,100", "57,52,91,75"):
        (found, *_) = requests.post(f"{url}api/find?near={near}", data, timeout=60).json()["areas"]
        assert [found[key] for key in ("x", "y", "width", "height", "block_size")] == [60, 50, 90, 80, 9]
        assert found["certain"]


def test_where_the_views_disagree_is_told_in_sixteenths_of_a_gray_level(url, restorer):
    answer = requests.post(f"{url}api/doubt?area={told()}", pixelated(), timeout=60)
    expected = fullsize.disagreement(restorer, fullsize.pixelate(photo(120, 140), [AREA]), [AREA])
    levels = np.asarray(Image.open(io.BytesIO(answer.content))).astype(float)
    np.testing.assert_allclose(levels, (16 * expected).clip(0, 255), atol=0.5001)
    assert levels.max() > 8


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_every_picture_is_shown_upright_in_eight_bits(url, orientation):
    data = file_of(photo(120, 140), "JPEG", quality=95, exif=exif(orientation))
    shown = Image.open(io.BytesIO(requests.post(f"{url}api/show", data, timeout=60).content))
    np.testing.assert_array_equal(np.asarray(shown), formats.decoded(data).pixels)
    assert shown.format == "PNG" and not shown.getexif()
    deep = requests.post(f"{url}api/show", PICTURES["deep color TIFF"](), timeout=60).content
    assert np.asarray(Image.open(io.BytesIO(deep))).dtype == np.uint8


def test_samples_are_photos(url):
    pictures = [requests.get(f"{url}api/samples/{i}", timeout=60).content for i in range(len(server.SAMPLES))]
    assert len(set(pictures)) == len(server.SAMPLES)
    assert all(min(Image.open(io.BytesIO(picture)).size) >= 100 for picture in pictures)
    assert requests.get(f"{url}api/samples/99", timeout=60).status_code == 422


# -- bad input -------------------------------------------------------------------------------------------------------


def bomb() -> bytes:
    """A PNG of 400 megapixels in half a megabyte."""
    side = 20_000
    coder = zlib.compressobj(9)
    rows = b"".join(coder.compress(bytes(side + 1)) for _ in range(side)) + coder.flush()
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(formats._chunk(*chunk) for chunk in chunks)


WRONG = {
    "no picture": (lambda: b"no picture at all", told(), "not an image; PNG, JPEG, WebP and TIFF are read"),
    "nothing": (lambda: b"", told(), "not an image"),
    "a page": (lambda: b"<html><script>alert(1)</script></html>", told(), "not an image"),
    "a GIF": (lambda: file_of(photo(120, 140), "GIF"), told(), "is a GIF; save it as PNG"),
    "cut off": (lambda: pixelated()[:3000], told(), "broken image"),
    "a bomb": (bomb, told(), "more than 50 million pixels; cut out the part"),
    "outside": (pixelated, "100,16,64,48", "not inside the picture, which is 140 pixels wide and 120 high"),
    "other blocks": (pixelated, told((*AREA[:4], 7)), "it shows blocks of 8 pixels, not of 7"),
    "twice": (pixelated, f"{told()}&area={told()}", "overlap"),
    "no numbers": (pixelated, "a,b,c,d", "area"),
    "too few": (pixelated, "1,2,3", "area"),
    "negative": (pixelated, "-1,2,30,30", "area"),
    "a huge number": (pixelated, "99999999999999999999,2,30,30", "area"),
    "huge blocks": (pixelated, told((*AREA[:4], 900)), "blocks have 2 to 200 pixels"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("asked", ["restore", "doubt"])
def test_what_is_wrong_is_said(url, what, asked):
    data, area, problem = WRONG[what]
    answer = requests.post(f"{url}api/{asked}?area={area}", data(), timeout=60)
    assert answer.status_code == 422
    assert problem in answer.json()["problem"]


def test_settings_that_there_are_not_are_refused(url):
    for query in ("views=3", "trust=none", "block=1", "block=201"):
        answer = requests.post(f"{url}api/restore?area=24,16,64,48&{query}", pixelated(), timeout=60)
        assert answer.status_code == 422
        assert query.split("=")[0] in answer.json()["problem"]
    assert "area" in requests.post(f"{url}api/restore", pixelated(), timeout=60).json()["problem"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_that_is_too_large_is_refused_and_told_why(url, declared):
    data = bytes(server.MOST_BYTES + 1)
    pieces = data if declared else (data[i : i + 2**20] for i in range(0, len(data), 2**20))
    answer = requests.post(f"{url}api/show", pieces, timeout=60)
    assert answer.status_code == 413
    assert "more than 30 MB" in answer.json()["problem"]


def test_a_large_picture_is_searched_in_parts_only(url):
    data = file_of(np.zeros((4100, 4100), np.uint8))
    answer = requests.post(f"{url}api/find", data, timeout=60)
    assert answer.status_code == 422 and "draw them roughly" in answer.json()["problem"]
    assert requests.post(f"{url}api/find?near=10,10,100,100", data, timeout=60).status_code == 200
    assert requests.post(f"{url}api/find?near=9000,10,100,100", data, timeout=60).status_code == 422


def test_a_slow_upload_is_given_up(restorer, monkeypatch):
    monkeypatch.setattr(server, "UPLOAD_SECONDS", 0.5)
    with running(restorer) as url, socket.create_connection(("127.0.0.1", int(url.split(":")[2][:-1]))) as client:
        client.sendall(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        client.settimeout(20)
        assert b"408" in client.recv(1000)


# -- limits ----------------------------------------------------------------------------------------------------------


class Slow:
    """A model that waits for `go`, and says that it was asked."""

    def __init__(self, model):
        self.model, self.asked, self.go, self.count = model, threading.Event(), threading.Event(), 0

    def predict_windows(self, *arguments):
        self.count += 1
        self.asked.set()
        assert self.go.wait(30)
        return self.model.predict_windows(*arguments)


def slow(restorer):
    return fullsize.Restorer(Slow(restorer.model))


def test_too_many_at_once_are_told_to_come_again(restorer, monkeypatch):
    monkeypatch.setattr(server, "MOST_INSIDE", 2)
    one, data = slow(restorer), pixelated()
    with running(one) as url, ThreadPoolExecutor(2) as pool:
        first = [pool.submit(requests.post, f"{url}api/restore?area={told()}", data, timeout=60) for _ in range(2)]
        deadline = time.monotonic() + 25
        while one.model.count < 2:  # both are inside
            assert time.monotonic() < deadline
            time.sleep(0.02)
        answer = requests.post(f"{url}api/show", data, timeout=60)
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert "Too many" in answer.json()["problem"]
        assert requests.get(url, timeout=60).status_code == 200  # the page is there all the same
        one.model.go.set()
        assert [f.result().status_code for f in first] == [200, 200]
        assert requests.post(f"{url}api/show", data, timeout=60).status_code == 200


def test_work_that_takes_too_long_is_given_up(restorer, monkeypatch):
    monkeypatch.setattr(server, "WORK_SECONDS", 0)
    one, other = slow(restorer), (100, 72, 32, 32, 200)
    data = file_of(fullsize.pixelate(photo(120, 140), [AREA, other]))
    threading.Timer(2, one.model.go.set).start()
    with running(one) as url:
        answer = requests.post(f"{url}api/restore?area={told()}&area={told(other)}&views=8", data, timeout=60)
        assert answer.status_code == 413
        assert "longer than 0 s" in answer.json()["problem"]
        assert one.model.count == 1


def test_nothing_is_worked_on_for_a_client_that_went(restorer):
    one = slow(restorer)
    with running(one) as url:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(f"{url}api/restore?area={told()}&views=8", pixelated(), timeout=1)
        time.sleep(1.5)
        one.model.go.set()
        assert requests.post(f"{url}api/show", pixelated(), timeout=60).status_code == 200
        assert one.model.count == 1


# -- who is let in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8000"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.1.2"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:1234", "Origin": "http://localhost:1234"}, 200),
        ({"Host": "localhost:1234", "Origin": "http://localhost:99"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_only_its_own_page_and_programs_of_this_machine_are_let_in(url, headers, status):
    answer = requests.post(f"{url}api/show", pixelated(), headers=headers, timeout=60)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["problem"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_link_from_another_site_opens_the_page(url):
    assert requests.get(url, headers={"Sec-Fetch-Site": "cross-site"}, timeout=60).status_code == 200


def test_a_name_that_it_was_started_with_is_known_and_all_addresses_if_it_listens_on_all(restorer):
    for host, names in {
        "pictures.lan": {"pictures.lan:8000": 200, "localhost": 200, "10.0.0.7": 403, "evil.example": 403},
        "0.0.0.0": {"10.0.0.7:8000": 200, "[fe80::1]": 200, socket.gethostname(): 200, "evil.example": 403},
    }.items():
        with running(restorer, host) as url:
            seen = {n: requests.get(url, headers={"Host": n}, timeout=60).status_code for n in names}
            assert seen == names


def test_no_file_is_served_by_its_name(url):
    for path in ("app.py", "page.html", "..%2fpyproject.toml", "../pyproject.toml", "params.yaml", "%2e%2e/x",
                 "api/samples/..%2f..%2fparams.yaml", "docs", "redoc", "report/../params.yaml"):  # fmt: skip
        answer = requests.Session().send(_raw(url, path), timeout=60)
        assert answer.status_code in (404, 422), path
        assert answer.json()["problem"]


def _raw(url: str, path: str) -> requests.PreparedRequest:
    request = requests.Request("GET", url).prepare()
    request.url = url + path  # as it is, without tidying up
    return request


def test_the_page_may_load_nothing_from_elsewhere_and_needs_nothing(url):
    answer = requests.get(url, timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    for name in ("page.html", "page.css", "page.js"):
        text = (REPOSITORY / "depixel/web" / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|\beval\b|innerHTML", text), name
    assert not re.search(r"<style|<script(?! type=\"module\" src)| style=| on[a-z]+=", answer.text)


# -- runs ------------------------------------------------------------------------------------------------------------


def test_runs_and_report_are_those_of_the_current_folder(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = requests.get(f"{url}api/runs", timeout=60).json()
    assert answer["tables"] == [] and not answer["report"]
    assert "dvc repro" in answer["problems"][0] and "not inside of a DVC repository" in answer["problems"][1]
    assert requests.get(f"{url}report", timeout=60).status_code == 404
    (tmp_path / "metrics").mkdir()
    shutil.copy(REPOSITORY / "metrics/comparison.csv", tmp_path / "metrics")
    (tmp_path / "report.html").write_text("<h1>a report</h1>", encoding="utf-8")
    answer = requests.get(f"{url}api/runs", timeout=60).json()
    assert answer["report"] and answer["tables"][0]["title"] == "The last run"
    assert answer["tables"][0]["rows"][0][0] == "model"
    report = requests.get(f"{url}report", timeout=60)
    assert report.text == "<h1>a report</h1>"
    assert "sandbox" in report.headers["Content-Security-Policy"]


def test_experiments_are_listed_best_first(url, tmp_path, monkeypatch):
    made = "d = json.load(open('params.json')); json.dump({'ratio_mean': d['a'], 'rmse_mean': 20}, open('m.json', 'w'))"
    stage = {"cmd": f'python -c "import json; {made}"', "params": [{"params.json": ["a"]}]}
    stage["metrics"] = [{"m.json": {"cache": False}}]
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"one": stage}}), encoding="utf-8")
    (tmp_path / "params.json").write_text('{"a": 0.9}', encoding="utf-8")
    for command in ("git init --quiet", "dvc init --quiet", "dvc repro", "git add --all", "git commit --quiet -m x"):
        run(*command.split(), cwd=tmp_path)
    for name, value in (("worse", 0.8), ("better", 0.58432)):
        run("dvc", "exp", "run", "--name", name, "-S", f"params.json:a={value}", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    (table,) = requests.get(f"{url}api/runs", timeout=60).json()["tables"]
    assert table["title"] == "Experiments of DVC"
    assert [row[0] for row in table["rows"]] == ["better", "worse"]
    assert dict(zip(table["columns"], table["rows"][0], strict=True))["ratio_mean"] == "0.5843"
    assert not {"rmse_mean", "rev", "typ", "State"} & set(table["columns"])


# -- the schema ------------------------------------------------------------------------------------------------------


def test_every_operation_is_described(url):
    described = requests.get(f"{url}openapi.json", timeout=60).json()
    assert set(described["paths"]) == {
        f"/api/{name}" for name in ("restore", "pixelate", "find", "doubt", "show", "samples/{number}", "runs")
    }
    for operations in described["paths"].values():
        for operation in operations.values():
            assert operation["description"] and "200" in operation["responses"]
            for status in {"403", "413", "422", "503"} & set(operation["responses"]):
                assert "Problem" in json.dumps(operation["responses"][status])


@pytest.mark.skipif(not shutil.which("schemathesis", path=Path(sys.executable).parent), reason="no schemathesis here")
def test_it_answers_as_its_schema_says_whatever_it_is_asked(url, tmp_path, monkeypatch):
    """With pictures among what it is sent (schemathesis_pictures.py)."""
    worked = dict.fromkeys(("restore", "pixelate", "find", "doubt", "show"), 0)
    for name in worked:
        monkeypatch.setattr(server, name, partial(_counted, worked, name, getattr(server, name)))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = ("schemathesis", "run", f"{url}openapi.json", "--max-examples=20", f"--checks={checks}", "--seed=1",
               "--exclude-path=/api/runs")  # it asks DVC each time  # fmt: skip
    monkeypatch.setenv("SCHEMATHESIS_HOOKS", "tests.schemathesis_pictures")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert "passed" in run(*command, cwd=tmp_path).stdout
    assert all(worked.values()), worked


def _counted(worked: dict[str, int], name: str, work: Callable, *arguments):
    done = work(*arguments)
    worked[name] += 1
    return done


# -- the command -----------------------------------------------------------------------------------------------------


@contextmanager
def started(model: str | Path):
    """`depixel serve` as a process, and the address that it tells."""
    command = [sys.executable, "-m", "depixel.cli", "serve", "--no-browser", "--port=0", f"--model={model}"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, re.match(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.kill()
        process.communicate()


def test_the_command_tells_its_address_and_ends_quietly(tmp_path):
    tiny_model().save(tmp_path / "model.safetensors")
    with started(tmp_path / "model.safetensors") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert "depixel" in requests.get(url, timeout=60).text
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "\nEnded.\n", "")


ASKED = ("restore?area={}", "pixelate?area={}", "find", "doubt?area={}", "show")


@pytest.mark.parametrize(
    ("model", "asked", "side", "times"),
    [("tiny", ASKED[:1], 200, 2), ("laptop", ASKED, 100, 1)],
    ids=["tiny", "laptop"],
)
def test_memory_does_not_grow_under_fifty_clients_at_once(tmp_path, model, asked, side, times):
    """Many restorations by a small model; all that can be asked for by the shipped one."""
    if model == "tiny":
        model = tmp_path / "model.safetensors"
        tiny_model().save(model)
    elif not (REPOSITORY / "models/pretrained/laptop.onnx").is_file():
        pytest.skip("models/pretrained is not there: dvc pull models/pretrained.dvc")

    def client(number: int) -> int:
        area, operation = (number, number // 2, 40, 32, 8), asked[number % len(asked)]
        data, sent_away = file_of(fullsize.pixelate(photo(side, side, seed=number), [area])), 0
        to = f"{url}api/{operation.format(told(area))}"
        for _ in range(times):
            while (answer := requests.post(to, data, timeout=60)).status_code == 503:
                sent_away += 1
                time.sleep(0.05 * int(answer.headers["Retry-After"]))
            assert answer.status_code == 200, answer.text
            if operation == "find":
                assert list(answer.json()["areas"][0].values())[:5] == list(area)
            else:
                assert np.asarray(Image.open(io.BytesIO(answer.content))).shape[:2] == (side, side)
        return sent_away

    with started(model) as (process, url), ThreadPoolExecutor(50) as pool:
        memory = psutil.Process(process.pid).memory_info
        sent_away = sum(pool.map(client, range(50)))  # what is allocated once is allocated now
        before = memory().rss
        for _ in range(2):
            sent_away += sum(pool.map(client, range(50)))
        assert sent_away > 0  # there was a crowd
        assert memory().rss - before < 40e6


def _serve(*options: str) -> subprocess.CompletedProcess:
    return run(sys.executable, "-m", "depixel.cli", "serve", "--no-browser", *options, cwd=REPOSITORY, code=1)


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _serve("--port", str(port), "--model=none.pt")
    assert f"port {port}: Address already in use" in done.stderr and "--port 0" in done.stderr


def test_a_host_that_is_not_here_is_told():
    with pytest.raises(DepixelError, match=r"--host no\.such\.invalid: no name or address of this machine"):
        server.listen("no.such.invalid", 0)


def test_without_fastapi_it_says_what_to_install():
    code = "import sys; sys.modules['fastapi'] = None; from depixel.cli import main; main(['serve'])"
    done = run(sys.executable, "-c", code, cwd=REPOSITORY, code=1)
    assert "pip install fastapi uvicorn" in done.stderr
