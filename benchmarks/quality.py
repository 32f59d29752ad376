"""How good a model is that was trained on given photos for so many samples: data stages, training, score.

    python benchmarks/quality.py --photos ../shared/photos --bench ../shared/bench --set train.epochs=24

Runs the stages in a folder of their own, restores the test set of `--bench` with the model and scores the submission
with the `score.py` that lies beside the test set. Nothing is trained or tuned on that test set. Given the same folder
again, it goes on where it was interrupted. Prints the settings that differ, seconds, samples a second, and the score.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import yaml

PROJECT = Path(__file__).resolve().parents[1]
DATA_STAGES = ("validate", "prepare", "split")


def python(*arguments: str | Path, cwd: Path) -> float:
    """Run Python with these arguments; returns the seconds it took."""
    start = time.perf_counter()
    if subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd).returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: failed")
    return time.perf_counter() - start


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--bench", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--folder", type=click.Path(path_type=Path), default=".scratch/quality", show_default=True)
@click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="Differs from params.yaml.")
def main(photos: Path, bench: Path, folder: Path, changes: tuple[str, ...]) -> None:
    photos, bench = photos.resolve(), bench.resolve()
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for change in changes:
        key, value = change.split("=")
        section, name = key.split(".")
        settings[section][name] = yaml.safe_load(value)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    if not (folder / "data/split.csv").is_file():
        for stage in DATA_STAGES:
            raw = ["--raw", photos] if stage != "split" else []
            print(f"{stage}: {python(PROJECT / f'stages/{stage}.py', *raw, cwd=folder):.1f} s", flush=True)
    python(PROJECT / "stages/train.py", cwd=folder)
    submission = folder.resolve() / "submission.bin"
    seconds = python("-m", "depixel.cli", "predict", bench / "test_set.pkl", "-o", submission, "--force", cwd=folder)
    score = subprocess.run([sys.executable, bench / "score.py", submission], capture_output=True, text=True, check=True)
    log = json.loads((folder / "logs/training.json").read_text(encoding="utf-8"))
    print(json.dumps({"changes": changes, **log, "predict_seconds": round(seconds, 1), **json.loads(score.stdout)}))


if __name__ == "__main__":
    main()
