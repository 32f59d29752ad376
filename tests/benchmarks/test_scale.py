"""The one command that prints all tables on scale."""

import pytest
from click.testing import CliRunner

from benchmarks import scale, scale_data, scale_stages, scale_training


def test_all_tables_are_printed_with_their_defaults(tmp_path, monkeypatch):
    given = []
    for table in (scale_stages, scale_data, scale_training):
        monkeypatch.setattr(table.main, "callback", lambda **options: given.append(options))
    done = CliRunner().invoke(scale.main, ["all", "--photos", str(tmp_path), "--folder", str(tmp_path / "scale")])
    assert done.exit_code == 0, done.output
    stages, data, training = given
    assert stages["counts"].endswith("1000000") and stages["folder"] == tmp_path / "scale"
    assert (data["photos"], data["processes"], data["pairs"]) == (tmp_path, (2,), 3)
    assert training["rounds"] == 3 and training["kills"] == 0


@pytest.mark.parametrize("table", ["stages", "data", "training"])
def test_each_table_has_a_command_with_help(table):
    done = CliRunner().invoke(scale.main, [table, "--help"])
    assert done.exit_code == 0 and f"scale.py {table}" in done.output
