"""The API of `depixel serve`, through a real server on loopback, and the command."""

import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from click.testing import CliRunner
from PIL import Image

from depixel.base.errors import DepixelError
from depixel.cli import main
from depixel.pictures import formats
from depixel.pictures.pixels import pixelate
from depixel.web import jobs, listening, routes
from depixel.web.workers import Workers
from tests.conftest import REPOSITORY, run, tiny_model
from tests.pictures.test_restorer import photo
from tests.web.conftest import AREA, PICTURES, file_of, told

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", PICTURES)
def test_what_comes_back_is_byte_for_byte_what_the_library_makes(url, restorer, kind, tmp_path):
    data = PICTURES[kind]()
    answer = requests.post(f"{url}api/restore?area={told()}&views=2&trust=exact", data, timeout=60)
    assert answer.status_code == 200, answer.text
    (tmp_path / "in").write_bytes(data)
    picture = formats.read(tmp_path / "in")
    formats.write(tmp_path / "out", picture.showing(restorer.restore(picture.pixels, [AREA], 2, "exact")))
    assert answer.content == (tmp_path / "out").read_bytes()
    assert answer.headers["Content-Type"] == routes._TYPES[picture.format]
    ending = routes._ENDINGS[picture.format]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="restored.{ending}"'


# -- the schema ------------------------------------------------------------------------------------------------------


def test_every_operation_is_described(url):
    described = requests.get(f"{url}openapi.json", timeout=60).json()
    names = ("restore", "pixelate", "find", "doubt", "show", "samples/{number}", "models", "runs", "jobs/{name}")
    assert set(described["paths"]) == {f"/api/{name}" for name in names}
    for operations in described["paths"].values():
        for operation in operations.values():
            assert operation["description"] and {"200", "204"} & set(operation["responses"])
            for status in {"403", "413", "422", "503"} & set(operation["responses"]):
                assert "Problem" in json.dumps(operation["responses"][status])


@pytest.mark.skipif(not shutil.which("schemathesis", path=Path(sys.executable).parent), reason="no schemathesis here")
def test_it_answers_as_its_schema_says_whatever_it_is_asked(url, tmp_path, monkeypatch):
    """With pictures among what it is sent (schemathesis_pictures.py)."""
    worked = dict.fromkeys(("opened", "closed", "pixelate", "find", "gray", "show"), 0)
    work = Workers.run

    def counted(workers, job, function, *arguments):
        done = work(workers, job, function, *arguments)
        worked[function.__name__] += 1
        return done

    monkeypatch.setattr(Workers, "run", counted)
    monkeypatch.setattr(jobs, "WAIT_SECONDS", 0)
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = ("schemathesis", "run", f"{url}openapi.json", "--max-examples=20", f"--checks={checks}", "--seed=1",
               "--exclude-path=/api/runs")  # it asks DVC each time  # fmt: skip
    monkeypatch.setenv("SCHEMATHESIS_HOOKS", "tests.schemathesis_pictures")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert "passed" in run(*command, cwd=tmp_path).stdout
    assert all(worked.values()), worked


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

    areas = [(number, number // 2, 40, 32, 8) for number in range(50)]
    files = [file_of(pixelate(photo(side, side, seed=i), [area])) for i, area in enumerate(areas)]

    def client(number: int) -> int:
        area, data, operation, sent_away = areas[number], files[number], asked[number % len(asked)], 0
        to = f"{url}api/{operation.format(told(area))}"
        for _ in range(times):
            while (answer := requests.post(to, data, timeout=60)).status_code == 503:
                sent_away += 1
                time.sleep(0.25 * int(answer.headers["Retry-After"]))
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


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["serve", "--no-browser", "--port", str(port), "--model=none.pt"])
    assert done.exit_code == 1
    assert f"port {port}: Address already in use" in done.stderr and "--port 0" in done.stderr


def test_a_host_that_is_not_here_is_told():
    with pytest.raises(DepixelError, match=r"--host no\.such\.invalid: no name or address of this machine"):
        listening.listen("no.such.invalid", 0)
