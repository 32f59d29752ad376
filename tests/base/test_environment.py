import pytest

from depixel.base import environment
from depixel.base.errors import DepixelError
from tests.conftest import REPOSITORY


def test_the_tests_run_in_the_locked_environment():
    environment.check_locked(REPOSITORY / "requirements.lock")


def test_versions():
    found = environment.versions()
    assert set(found) == {"python", *environment.DECIDING}
    assert all("+" not in version and version[0].isdigit() for version in found.values())


def test_hardware():
    assert environment.hardware("cpu").count(",") >= 1


@pytest.mark.parametrize("line", ["numpy==1.0.0", "NumPy==1.0.0 ; python_version > '3'", "numpy<1"])
def test_another_version_is_told(tmp_path, line):
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# a comment\n--option\nclick==0.1\n{line}\n", encoding="utf-8")
    with pytest.raises(
        DepixelError,
        match=r"the installed packages differ from .*: numpy \d.*pip install -r .*requirements.lock.*pip freeze",
    ):
        environment.check_locked(lock)


@pytest.mark.parametrize("text", ["numpy==1.0.0 ; python_version < '3'\n", "click==0.1\n", "", None])
def test_what_does_not_concern_results_here(tmp_path, text):
    lock = tmp_path / "requirements.lock"
    if text is not None:
        lock.write_text(text, encoding="utf-8")
    environment.check_locked(lock)


@pytest.mark.parametrize("locked", ["2.13.0", "2.13.0+cu130"])  # the latter by pip freeze
def test_a_build_is_not_a_version(tmp_path, monkeypatch, locked):
    monkeypatch.setattr(environment.metadata, "version", lambda name: "2.13.0+cu130")
    (tmp_path / "lock").write_text(f"torch=={locked}\n", encoding="utf-8")
    environment.check_locked(tmp_path / "lock")
