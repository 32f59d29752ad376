# ruff: noqa: F401, F811  (fixtures come from browsers.py)
"""A server that is killed while pages are open: they say so, and go on when it is back."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import requests

from tests.conftest import REPOSITORY, tiny_model
from tests.web.browsers import browser, choose, expect, opened, shown, shown_file
from tests.web.conftest import long_search
from tests.web.test_proxies import free_port

pytestmark = pytest.mark.usefixtures("one_thread", "detector")


def serve(model, port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "depixel.cli", "serve", "--no-browser", f"--port={port}", f"--model={model}"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline().startswith("http://")
    return process


def test_a_page_whose_server_is_killed_says_so_and_goes_on_when_it_is_back(opened, tmp_path):
    tiny_model().save(tmp_path / "model.safetensors")
    port = free_port()
    process = serve(tmp_path / "model.safetensors", port)
    try:
        page = opened(at=f"http://127.0.0.1:{port}/")
        choose(page, long_search(1600), "long.jpg")
        page.click("#find")
        expect(page.locator("#task .what")).to_contain_text("%", timeout=30_000)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        expect(page.locator("#task .what")).to_contain_text("does not answer", timeout=30_000)
        process = serve(tmp_path / "model.safetensors", port)
        expect(page.locator("#task .what")).to_contain_text("%", timeout=30_000)
        page.click("#task button")
        choose(page, shown_file())
        page.select_option("#views", "1")
        page.click("#restore")
        page.wait_for_selector("#compare-bar:visible")
        os.kill(process.pid, signal.SIGKILL)
        page.click("#restore")
        expect(page.locator("#task .what")).to_contain_text("does not answer", timeout=30_000)
        page.click("#task button")
        expect(page.locator("#told")).to_have_text("Cancelled.")
        expect(page.locator("#download")).to_be_visible()  # what there was before stays
    finally:
        process.kill()
        process.wait()
