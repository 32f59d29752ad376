"""Archives that cannot be read are named, with what they held before."""

import pytest

from depixel.base import layout
from depixel.photos import lost, rules
from depixel.photos.archives import Entries
from tests.conftest import run


@pytest.fixture
def cut(tmp_path, write_zip, jpeg):
    """Verdicts on two archives, of which one is cut off."""
    for seed, name in enumerate(("kim", "lee")):
        write_zip(tmp_path / f"raw/{name}.zip", {f"{i}.jpg": jpeg(10 * seed + i) for i in range(2)})
    path = tmp_path / "raw/kim.zip"
    path.write_bytes(path.read_bytes()[:2000])
    return list(rules.validate(Entries(tmp_path / "raw"), 1))


def test_what_is_lost_is_named_with_what_it_held(cut):
    (found,) = lost.lost(cut, {"kim": 2, "lee": 2})
    assert (found.contributor, found.left, found.before) == ("kim", 0, 2)
    told = lost.told([found])
    assert (
        "1 archive cannot be read, or not to the end: kim (not a ZIP:" in told
        and "2 valid photos before, 0 now" in told
    )


def test_without_an_earlier_state_only_the_archive_is_named(cut):
    for before in (None, {}, {"kim": 0}):
        assert "before" not in lost.told(lost.lost(cut, before))
    whole = [verdict for verdict in cut if verdict.name]
    assert lost.lost(whole) == [] and lost.told([]) == ""


def test_the_index_of_the_last_commit_is_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lost.committed() is None  # no repository
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    assert lost.committed() is None  # no commit
    index = tmp_path / ".dvc/cache/files/md5/ab" / ("c" * 30)
    index.parent.mkdir(parents=True)
    index.write_text("contributor,name,sha256\nkim,a.jpg,0\nkim,b.jpg,1\nlee,a.jpg,2\n", encoding="utf-8")
    out = f"{{path: {layout.INDEX.as_posix()}, md5: ab{'c' * 30}}}"
    layout.LOCKED_RESULTS.write_text(f"stages: {{prepare: {{outs: [{out}]}}}}\n", encoding="utf-8")
    run("git", "add", "--all", cwd=tmp_path)
    run("git", "commit", "--quiet", "--message=results", cwd=tmp_path)
    assert lost.committed() == {"kim": 2, "lee": 1}
    index.unlink()
    assert lost.committed() is None
