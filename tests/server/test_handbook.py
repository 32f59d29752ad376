"""Every command of the organisers' handbook that docs' own tests do not run: a server, its teams, other targets."""

import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import REPOSITORY, run
from tests.server.conftest import make_folder
from tests.test_packaging import PROJECT

pytest.importorskip("depixel.server.service", reason="pip install -e .[challenge]")

import requests

HANDBOOK = (REPOSITORY / "docs/how-to/challenge.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", HANDBOOK)
COMMANDS = [line for mark, block in BLOCKS if not mark for line in block.splitlines()]
"""Those of blocks that are not marked `sh`: tests/pipeline/test_readme.py runs the others."""


@pytest.mark.slow
def test_every_command_of_the_handbook_does_what_it_says(tmp_path):
    model = REPOSITORY / "models/pretrained/laptop.safetensors"
    if not model.is_file():
        pytest.skip("models/pretrained is not there: dvc pull")
    (tmp_path / "models").mkdir()
    for suffix in (".safetensors", ".json"):
        shutil.copy(model.with_suffix(suffix), tmp_path / f"models/depixel{suffix}")
    root = make_folder(tmp_path / "course")
    (tmp_path / "teams.csv").write_text("name\nTeam Hubble\nTeam Kepler\n", encoding="utf-8")
    with np.load(root / "private/targets.npz") as file:
        np.savez(tmp_path / "corrected.npz", photos=255 - file["photos"], areas=file["areas"])
    token = run("depixel", "challenge", "team", "add", "course", "Team Kepler", cwd=tmp_path).stdout
    (tmp_path / "token.txt").write_text(token)
    servers, said, address = [], {}, ""
    try:
        for line in COMMANDS:
            words = shlex.split(line)
            if words[:3] == ["depixel", "challenge", "serve"]:
                command = [sys.executable, "-m", "depixel.cli", *words[1:], "--port=0"]
                for server in servers:  # one server for each challenge
                    server.kill()
                servers.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True))
                address = re.match(r"(http://\S+)/ ", servers[-1].stdout.readline())[1]
                (tmp_path / "test_set.pkl").write_bytes(requests.get(f"{address}/test_set.pkl", timeout=60).content)
            elif words[0] == "depixel":
                words = [address if word == "https://challenge.example.org" else word for word in words]
                said[line] = run(*words, cwd=tmp_path).stdout
            else:
                assert line == 'pip install -e ".[pipeline,challenge]"'
                assert "challenge" in PROJECT["project"]["optional-dependencies"]
    finally:
        for server in servers:
            server.kill()
            server.communicate()
    assert "submit" not in (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")  # only these commands do
    told = "\n".join(said.values())
    assert len(servers) == 2 and len(said) == len(COMMANDS) - 3 == 6
    for part in ("1 new team", "revision 2", "only checked", "1 used, 4 left", "Team Kepler"):
        assert part in told, part
