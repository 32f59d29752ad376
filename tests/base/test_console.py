import click
import pytest
from click.testing import CliRunner

from depixel.base.console import params_option, progress, told_plainly
from depixel.base.errors import DepixelError


def outcome(error=None, arguments=()):
    @click.command()
    @params_option
    @told_plainly
    def command(params):
        """What it does."""
        if error:
            raise error
        click.echo(f"read {params}")

    return CliRunner().invoke(command, arguments)


def test_success():
    result = outcome()
    assert (result.exit_code, result.output) == (0, "read params.yaml\n")
    assert outcome(arguments=["--params", "other.yaml"]).output == "read other.yaml\n"


def test_mistakes_are_one_message():
    result = outcome(DepixelError("photo.jpg: not a photo.\nRemove it"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: photo.jpg: not a photo.\nRemove it\n"


def test_a_missing_package_of_the_pipeline_is_one_sentence():
    result = outcome(ModuleNotFoundError("No module named 'pandas.core'", name="pandas.core"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: this needs the training pipeline, and its package pandas is not installed: "
        'pip install "depixel[pipeline]"\n'
    )


def test_another_missing_module_is_a_mistake_in_the_code():
    result = outcome(ModuleNotFoundError("No module named 'depixel.nothing'", name="depixel.nothing"))
    assert isinstance(result.exception, ModuleNotFoundError)


def test_an_interrupted_command():
    result = outcome(KeyboardInterrupt())
    assert (result.exit_code, result.stdout) == (130, "")
    assert "Run the same command again" in result.stderr and "Traceback" not in result.stderr


def test_mistakes_in_the_code_are_not_hidden():
    result = outcome(ZeroDivisionError("bug"))
    assert isinstance(result.exception, ZeroDivisionError)


def test_the_help_is_kept():
    result = outcome(arguments=["--help"])
    assert "What it does." in result.output and "[default: params.yaml]" in result.output


def test_a_folder_is_no_params_file(tmp_path):
    assert outcome(arguments=["--params", str(tmp_path)]).exit_code == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_terminals_only(monkeypatch, capsys, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert list(progress(range(3), desc="photos")) == [0, 1, 2]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("photos" in shown.err) is terminal
