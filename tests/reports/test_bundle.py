"""A run as an archive: what is in it, and what a check of it finds in a clone."""

import hashlib
import json
import re
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from depixel.base.errors import DepixelError
from depixel.cli import main
from depixel.reports import bundle, bundle_check
from tests.conftest import clone, run

HELD = {
    *("README.txt", "manifest.json", "params.yaml", "dvc.yaml", "dvc.lock", "requirements.lock", "predictions.dir"),
    *("metrics/evaluation.json", "metrics/training.json", "metrics/comparison.csv", "metrics/samples.csv"),
    *("models/depixel.md", "models/depixel.json", "models/depixel.safetensors", "predictions/submission.bin"),
    *("data/raw.dvc", "data/test_set.dvc", "models/pretrained.dvc"),
}
QUICKLY = ("--no-report",)


def depixel(*arguments):
    return CliRunner().invoke(main, ["bundle", *map(str, arguments)])


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: dict[str, bytes], listed: bool = True) -> Path:
    """An archive of these files; `listed`: with a manifest that fits."""
    files = dict(files)
    if listed:
        manifest = json.loads(files.pop("manifest.json"))
        manifest["files"] = [
            {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        ]
        files["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(scope="module")
def made(reproduced, tmp_path_factory) -> Path:
    """The archive of the reproduced project, without a report."""
    path = tmp_path_factory.mktemp("bundle") / "run.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reproduced)
        result = depixel("-o", path, *QUICKLY)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def here(reproduced, monkeypatch) -> Path:
    """The reproduced project, as the current folder; not to be changed."""
    monkeypatch.chdir(reproduced)
    return reproduced


def findings(path: Path) -> tuple[list[str], list[str]]:
    """What a check says that agrees, and that does not."""
    found = bundle_check.check(path)
    return [one.text for one in found if one.agrees], [one.text for one in found if not one.agrees]


# What is in it


def test_it_holds_results_settings_and_how_to_repeat_them(made, here):
    files = content(made)
    commit = run("git", "rev-parse", "HEAD", cwd=here).stdout.strip()
    assert files.keys() >= HELD and not [name for name in files if "recorded" in name or "experiments.csv" in name]
    for name in HELD - {"README.txt", "manifest.json", "predictions.dir"}:
        assert files[name] == (here / name).read_bytes(), name
    manifest = json.loads(files["manifest.json"])
    assert (manifest["format"], manifest["commit"], manifest["experiment"]) == ("depixel bundle 1", commit, "")
    assert {entry["path"] for entry in manifest["files"]} == files.keys() - {"manifest.json"}
    for entry in manifest["files"]:
        data = files[entry["path"]]
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    page = files["README.txt"].decode()
    assert f"\n  git checkout {commit}\n  make repro\n" in page and "depixel bundle --check" in page
    assert re.search(r"ratio_mean +0\.\d+|ratio_mean +1\.\d+", page)
    named = set(re.findall(r"(?m)^  (\S+) {2,}\S", page.partition("Files:")[2]))
    assert named >= {"metrics/", "predictions/", "dvc.lock"} and all(name in page for name in named)


def test_the_same_run_gives_the_same_bytes_in_a_fresh_clone(made, reproduced, tmp_path, monkeypatch):
    """The clone's cache is empty: what DVC holds comes from the remote."""
    monkeypatch.chdir(clone(reproduced, tmp_path / "clone"))
    result = depixel("-o", tmp_path / "again.zip", *QUICKLY)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes()
    assert run("git", "status", "--porcelain", cwd=tmp_path / "clone").stdout == ""


@pytest.mark.slow
def test_with_the_report_it_is_repeatable_too_and_checks(place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    (place / "params.yaml").write_text("train: {widht: 3}\n")  # the working tree does not matter
    for name in ("one.zip", "two.zip"):
        result = depixel("-o", tmp_path / name)
        assert result.exit_code == 0 and "Not in the archive: params.yaml differ" in result.stderr, result.output
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    page = content(tmp_path / "one.zip")["report.html"].decode()
    assert page.lstrip().startswith("<!") and "ratio" in page
    result = depixel("--check", tmp_path / "one.zip")
    assert result.exit_code == 0 and "one.zip: everything agrees." in result.output
    assert "Not compared, because no commit holds them: README.txt, report.html." in result.output


def test_an_experiment_is_packed_by_its_name(place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    base = run("git", "rev-parse", "HEAD", cwd=place).stdout.strip()
    settings = (place / "params.yaml").read_text().replace("learning_rate: ", "learning_rate: 1")
    (place / "params.yaml").write_text(settings)
    run("git", "commit", "--quiet", "--all", "--message=experiment", cwd=place)
    commit = run("git", "rev-parse", "HEAD", cwd=place).stdout.strip()
    run("git", "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/wide", commit, cwd=place)
    run("git", "reset", "--quiet", "--hard", base, cwd=place)
    assert depixel("wide", "-o", tmp_path / "wide.zip", *QUICKLY).exit_code == 0
    files = content(tmp_path / "wide.zip")
    assert files["params.yaml"].decode() == settings
    manifest = json.loads(files["manifest.json"])
    assert (manifest["commit"], manifest["experiment"]) == (commit, "wide")
    assert "  dvc exp pull origin wide\n  git checkout" in files["README.txt"].decode()
    result = depixel("wdie", "-o", tmp_path / "no.zip")
    assert result.exit_code == 1 and "Did you mean 'wide'?" in result.output


def test_large_weights_are_left_out_unless_asked_for(here, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "SMALL", 1000)
    result = depixel("-o", tmp_path / "run.zip", *QUICKLY)
    assert result.exit_code == 0 and "are left out. Add --weights." in result.output
    files = content(tmp_path / "run.zip")
    assert "models/depixel.safetensors" not in files and "are left out" in files["README.txt"].decode()
    assert depixel("--check", tmp_path / "run.zip").exit_code == 0
    assert depixel("-o", tmp_path / "all.zip", "--weights", *QUICKLY).exit_code == 0
    assert "models/depixel.safetensors" in content(tmp_path / "all.zip")


def test_code_that_changed_after_the_results_is_named(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    with (place / "depixel/scoring/scores.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    run("git", "commit", "--quiet", "--all", "--message=code", cwd=place)
    result = depixel("-o", tmp_path / "run.zip", *QUICKLY)
    assert result.exit_code == 0 and "have changed since the results were made" in result.stderr
    assert re.search(r"these stages: .*evaluate", content(tmp_path / "run.zip")["README.txt"].decode())


@pytest.mark.slow
def test_a_report_that_cannot_be_made_is_told(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    with (place / "depixel/reports/report.py").open("a") as file:
        file.write("\ndef report(progress=None):\n    raise DepixelError('no ink')\n")
    run("git", "commit", "--quiet", "--all", "--message=code", cwd=place)
    result = depixel("-o", tmp_path / "run.zip")
    assert result.exit_code == 1 and "its report cannot be made (no ink). Leave it out: --no-report" in result.output
    assert not list(tmp_path.glob("*.zip"))


def test_a_run_without_results_is_told(here, tmp_path):
    first = run("git", "rev-list", "--max-parents=0", "HEAD", cwd=here).stdout.strip()
    result = depixel(first, "-o", tmp_path / "run.zip")
    assert result.exit_code == 1 and "has no results" in result.output and not (tmp_path / "run.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing option '-o'. Name the archive, such as -o run.zip"),
        (("-o", "run.tar"), 1, "run.tar: the name must end in .zip. Type -o run.zip"),
        (("-o", "dvc.zip", "--check", "run.zip"), 2, "Leave out RUN and -o, or --check"),
        (("-o", "there.zip"), 1, "there.zip: exists already. Choose another name, or overwrite it: --force"),
        (("--check", "no.zip"), 1, "no.zip: there is no such file"),
        (("--check", "there.zip"), 1, "there.zip: is no archive that `depixel bundle` wrote"),
        (("-o", "run.zip"), 1, "not in a git repository"),
    ],
)
def test_mistakes_are_told(tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    Path("there.zip").write_text("something else")
    result = depixel(*arguments)
    assert result.exit_code == code and said in result.output


# What a check finds


def test_a_clone_without_cache_and_data_can_check(made, reproduced, tmp_path, monkeypatch):
    folder = clone(reproduced, tmp_path / "clone")
    shutil.rmtree(folder / "data/store", ignore_errors=True)  # the remote within the repository
    monkeypatch.chdir(folder)
    result = depixel("--check", made)
    assert result.exit_code == 0, result.output
    assert "All 30 files have" in result.output or re.search(
        r"All \d+ files have the size and the SHA-256", result.output
    )
    assert "metrics/evaluation.json" in result.output and "predictions/submission.bin" in result.output
    told = json.loads(depixel("--check", made, "--json").output)
    assert told["agrees"] and all(finding["agrees"] for finding in told["findings"])


def test_a_file_that_was_changed_later_is_found_by_its_hash(made, here, tmp_path):
    files = content(made)
    files["metrics/comparison.csv"] += b"better,1,1\n"
    del files["models/depixel.md"]
    files["extra.txt"] = b"?"
    _, wrong = findings(write(tmp_path / "run.zip", files, listed=False))
    assert "metrics/comparison.csv has another SHA-256 than manifest.json states: it was changed later." in wrong
    assert "models/depixel.md is in manifest.json, but not in the archive." in wrong
    assert "extra.txt is in the archive, but not in manifest.json." in wrong
    assert depixel("--check", tmp_path / "run.zip").exit_code == 1


def test_metrics_that_the_commit_does_not_have_are_named_with_the_first_line_that_differs(made, here, tmp_path):
    files = content(made)
    scores = json.loads(files["metrics/evaluation.json"])
    better = {**scores, "ratio_mean": 0.25}
    files["metrics/evaluation.json"] = (json.dumps(better, indent=2) + "\n").encode()
    right, wrong = findings(write(tmp_path / "run.zip", files))
    assert right[0].startswith("All ") and len(wrong) == 1
    assert wrong[0].startswith("metrics/evaluation.json differs from the commit: line ")
    assert '`"ratio_mean": 0.25,` in the archive and `"ratio_mean": ' in wrong[0] and wrong[0].endswith(
        "in the commit."
    )
    result = depixel("--check", tmp_path / "run.zip")
    assert result.exit_code == 1 and f"! {wrong[0]}" in result.output and "not everything agrees" in result.output


@pytest.mark.parametrize(
    "name", ["predictions/submission.bin", "models/depixel.safetensors", "metrics/samples.csv", "predictions.dir"]
)
def test_what_dvc_holds_is_compared_by_the_hash_in_dvc_lock(made, here, tmp_path, name):
    files = content(made)
    files[name] += b"\n"
    _, wrong = findings(write(tmp_path / "run.zip", files))
    assert any(text.startswith(f"{name} differs from the commit: its MD5 is ") for text in wrong), wrong


def test_files_that_matter_must_be_there_and_others_must_be_of_the_commit(made, here, tmp_path):
    files = content(made)
    del files["dvc.lock"]
    files["metrics/praise.txt"] = b"excellent"
    _, wrong = findings(write(tmp_path / "run.zip", files))
    assert "dvc.lock is missing, so the archive does not show the results of a run." in wrong
    assert "metrics/praise.txt is not a file of the commit." in wrong


def test_a_commit_that_is_not_here_is_told(made, here, tmp_path):
    files = content(made)
    manifest = json.loads(files["manifest.json"])
    files["manifest.json"] = json.dumps({**manifest, "commit": "0" * 40}).encode()
    right, wrong = findings(write(tmp_path / "run.zip", files, listed=False))
    assert right[0].startswith("All ")
    assert wrong == [
        f"The commit {'0' * 40} is not in this clone, so nothing is compared with it. Fetch it: `git fetch --all`."
    ]


@pytest.mark.parametrize(
    "name", ["../out.txt", "/out.txt", "a/../../out.txt", "C:out.txt", "a\\out.txt", "out\n.txt", "a//b", ".git/config"]
)
def test_a_name_that_leads_elsewhere_is_refused(made, here, tmp_path, name):
    path = tmp_path / "deep/run.zip"
    path.parent.mkdir()
    files = content(made)
    with zipfile.ZipFile(path, "w") as archive:
        for one, data in {**files, name: b"out"}.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = one  # ZipInfo itself would put the name right
            archive.writestr(entry, data)
    with pytest.raises(DepixelError, match="no bundle holds a file that is called"):
        bundle_check.check(path)
    assert [one.name for one in tmp_path.rglob("*")] == ["deep", "run.zip"]


def test_two_files_of_one_name_are_refused(made, here, tmp_path):
    shutil.copy(made, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip", "a") as archive:
        archive.writestr("PARAMS.yaml", b"train: {}")
    with pytest.raises(DepixelError, match="holds two files of the same name"):
        bundle_check.check(tmp_path / "run.zip")


def test_bombs_are_refused_before_they_are_unpacked(here, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_check, "MOST_BYTES", 10_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(20_000_000))
    many = {f"f{i}": b"" for i in range(bundle_check.MOST_FILES + 1)}
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for name in many:
            archive.writestr(name, b"")
    long = {f"{'d' * 90}/{'d' * 90}/{i}": b"" for i in range(5000)}
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as archive:
        for name in long:
            archive.writestr(name, b"")
    for name in ("bomb", "many", "long"):
        with pytest.raises(DepixelError, match="is too large for a bundle"):
            bundle_check.check(tmp_path / f"{name}.zip")


def test_a_file_that_is_larger_than_it_says_is_refused(made, here, tmp_path):
    data = bytearray(made.read_bytes())
    name = b"README.txt"
    at = data.rfind(name) - 46  # its entry in the list at the end
    assert data[at : at + 4] == b"PK\1\2"
    struct.pack_into("<II", data, at + 20, 10, 10)
    (tmp_path / "run.zip").write_bytes(data)
    with pytest.raises(DepixelError, match="the archive is damaged"):
        bundle_check.check(tmp_path / "run.zip")


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.999])
def test_a_damaged_archive_is_told(made, here, tmp_path, keep):
    data = made.read_bytes()
    (tmp_path / "run.zip").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DepixelError, match="is no archive that `depixel bundle` wrote"):
        bundle_check.check(tmp_path / "run.zip")


def test_an_encrypted_archive_and_odd_compression_are_refused(made, here, tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(DepixelError, match="is encrypted, or compressed in a way that no bundle uses"):
        bundle_check.check(tmp_path / "odd.zip")


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"format": "depixel bundle 1", "commit": "--upload-pack=x", "experiment": "", "files": []}',
        '{"format": "depixel bundle 2", "commit": "' + "0" * 40 + '", "experiment": "", "files": []}',
        '{"format": "depixel bundle 1", "commit": "' + "0" * 40 + '", "experiment": "", "files": [{"path": "../a"}]}',
    ],
)
def test_a_manifest_that_is_none_is_told(here, tmp_path, manifest):
    path = write(tmp_path / "run.zip", {"manifest.json": manifest.encode()}, listed=False)
    with pytest.raises(DepixelError, match=r"its manifest\.json is not one of the format 'depixel bundle 1'"):
        bundle_check.check(path)
    with pytest.raises(DepixelError, match=r"has no manifest\.json"):
        bundle_check.check(write(tmp_path / "other.zip", {"a.txt": b""}, listed=False))


def test_what_an_archive_says_cannot_color_the_terminal(made, here, tmp_path):
    files = content(made)
    files["params.yaml"] = b"\x1b[31mred\n" + files["params.yaml"]
    _, wrong = findings(write(tmp_path / "run.zip", files))
    assert "`?[31mred`" in wrong[0] and "\x1b" not in "".join(wrong)


def test_an_archive_that_was_packed_again_still_checks(made, here, tmp_path):
    with zipfile.ZipFile(tmp_path / "run.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content(made).items():
            archive.writestr(name, data)
    assert depixel("--check", tmp_path / "run.zip").exit_code == 0
