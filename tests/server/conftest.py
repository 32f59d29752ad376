"""What the tests of the challenge's server share: a small challenge, its submissions, a PostgreSQL, a server."""

import io
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import yaml

from depixel.base.files import write_json
from depixel.base.names import photo_ids
from depixel.challenge import test_sets
from depixel.model.pixelation import PixelationSettings, draw_areas, uniforms

SAMPLES = 12


class Clock:
    """A clock that a test sets. Moments are milliseconds."""

    def __init__(self, moment: int = 1_800_000_000_000):
        self.moment = moment

    def __call__(self) -> int:
        return self.moment


def make_folder(root: Path, hidden: list[int] | None = None, samples: int = SAMPLES, **rules) -> Path:
    """The folder of a challenge of few samples, with the rules that are named."""
    random = np.random.default_rng(7)
    rough = random.integers(40, 216, (samples, 8, 8), dtype=np.uint8)
    photos = np.kron(rough, np.ones((1, 8, 8), np.uint8)) + random.integers(0, 20, (samples, 64, 64), dtype=np.uint8)
    drawn = draw_areas(uniforms(photo_ids([str(i) for i in range(samples)]), "t", 5), 64, PixelationSettings())
    test_sets.write_test_set(root / "made", photos.astype(np.uint8), drawn)
    for name in ("public", "private/references"):
        (root / name).mkdir(parents=True)
    (root / "private").chmod(0o700)
    (root / "made/test_set.pkl").rename(root / "public/test_set.pkl")
    (root / "made/targets.npz").rename(root / "private/targets.npz")
    (root / "made").rmdir()
    write_json(root / "private/creation.json", {"hidden": hidden or []})
    (root / "rules.yaml").write_text(yaml.safe_dump(rules or {"attempts": 5}), encoding="utf-8")
    return root


def targets(root: Path) -> list[np.ndarray]:
    photos, areas = test_sets.read_targets(root / "private")
    return [photos[i][y : y + h, x : x + w].ravel() for i, (x, y, w, h, _) in enumerate(areas.tolist())]


def content(predictions: list[np.ndarray]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        test_sets.write_submission(Path(folder) / "a.bin", predictions)
        return (Path(folder) / "a.bin").read_bytes()


def submission(root: Path, off: int = 3, seed: int = 0) -> bytes:
    """A submission that is off by so many gray levels; `seed` makes it another one with about the same score."""
    random = np.random.default_rng(seed)
    true = targets(root)
    predictions = [(t.astype(int) + off).clip(0, 255).astype(np.uint8) for t in true]
    if seed:
        first = predictions[seed % len(predictions)]
        first[random.integers(len(first))] ^= 1
        predictions[0] = predictions[0].copy()
        predictions[0][seed % len(predictions[0])] ^= 2
    return content(predictions)


# -- databases ---------------------------------------------------------------------------------------------------------

_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server of its own, as Debian's package has it; the start of its URL."""
    if not _POSTGRES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e .[challenge]")
    place = Path(tempfile.mkdtemp(prefix="depixel-postgres-"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        if not (runuser := shutil.which("runuser", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser to start it as another user")
        shutil.chown(place, "postgres", "postgres")
        as_user = [runuser, "-u", "postgres", "--"]
    run = lambda name, *arguments: subprocess.run(  # noqa: E731
        [*as_user, str(_POSTGRES[-1] / name), *arguments], check=True, capture_output=True, cwd="/"
    )
    try:
        run("initdb", "-D", str(place / "data"), "-A", "trust", "-U", "depixel")
        options = f"-c listen_addresses='' -c unix_socket_directories='{place}' -c fsync=off"
        run("pg_ctl", "-D", str(place / "data"), "-w", "-l", str(place / "log"), "-o", options, "start")
        try:
            yield f"postgresql://depixel@/{{name}}?host={place}"
        finally:
            run("pg_ctl", "-D", str(place / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


def new_database(url: str) -> str:
    """The URL of a new, empty database of a PostgreSQL server."""
    import psycopg

    name = f"d{uuid4().hex}"
    with psycopg.connect(url.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.format(name=name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request) -> str | None:
    """The URL of an empty database; None: the SQLite database of the folder."""
    return None if request.param == "sqlite" else new_database(request.getfixturevalue("postgres_url"))


# -- a challenge -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def challenge(tmp_path, database_url, clock):
    """Make a challenge: `challenge(attempts=3, ...)` gives a service with these rules."""
    service = pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")
    made = []

    def make(hidden=None, **rules):
        root = make_folder(tmp_path / f"challenge{len(made)}", hidden, **rules)
        made.append(service.Service(root, database_url, clock))
        return made[-1]

    yield make
    for one in made:
        one.database.close()


@contextmanager
def serving(service, allowed=(), proxy=None):
    """The address of a server in a thread of this process."""
    from depixel.server.http.app import make_server
    from depixel.web import listening

    with listening.listen("127.0.0.1", 0) as socket:
        web = make_server(service, "127.0.0.1", allowed, proxy)
        thread = threading.Thread(target=web.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield listening.address(socket, "127.0.0.1").rstrip("/")
        finally:
            web.should_exit = True
            thread.join(timeout=20)
        assert not thread.is_alive()


def received(service, team: int, data: bytes, begun: int | None = None, dry_run: bool = False):
    """Let a team submit, without HTTP."""
    import hashlib

    from depixel.server import submissions

    path = service.folder.incoming / uuid4().hex
    path.write_bytes(data)
    upload = submissions.Upload(path, hashlib.sha256(data).hexdigest(), service.clock() if begun is None else begun)
    try:
        return submissions.receive(service, team, upload, dry_run)
    finally:
        path.unlink()


def npz(photos: np.ndarray, areas: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, photos=photos, areas=areas)
    return file.getvalue()
