"""The paths of all project files. `dvc.yaml` repeats them; a test compares the two.

Paths are relative to the project's folder, where every command runs. A path changes no result, so this module is left
out of the hashes of `depixel.base.code`.
"""

from pathlib import Path

# Written by people
PARAMS = Path("params.yaml")
PRESETS = Path("presets.yaml")
PIPELINE = Path("dvc.yaml")
LOCKED_RESULTS = Path("dvc.lock")
ENVIRONMENT = Path("requirements.lock")

# Data
RAW = Path("data/raw")
RAW_POINTER = Path("data/raw.dvc")
SNAPSHOTS = Path("data/snapshots.csv")
ORIGINS = Path("data/origins.csv")
TEST_SET = Path("data/test_set")
TEST_SET_POINTER = Path("data/test_set.dvc")
STORE = Path("data/store")
VALIDATED = Path("data/validated")
MANIFEST = VALIDATED / "manifest.csv"
PREPARED = Path("data/prepared")
IMAGES = PREPARED / "images.npy"
HASHES = PREPARED / "hashes.npy"
INDEX = PREPARED / "index.csv"
SPLIT = Path("data/split.csv")
COPIES = Path("data/copies.csv")
ANALYSIS = Path("data/analysis.csv")

# Models
PRETRAINED = Path("models/pretrained")
PRETRAINED_POINTER = Path("models/pretrained.dvc")
MODEL = Path("models/depixel.safetensors")

# Results
METRICS = Path("metrics")
VALIDATION = METRICS / "validation.json"
TRAINING = METRICS / "training.json"
EVALUATION = METRICS / "evaluation.json"
COMPARISON = METRICS / "comparison.csv"
SAMPLES = METRICS / "samples.csv"
BY_KIND = METRICS / "by_kind.csv"
BASELINES = METRICS / "baselines.json"
EXPERIMENTS = METRICS / "experiments.csv"
RECORDED = METRICS / "recorded"
PREDICTIONS = Path("predictions")
REPORT = Path("report.html")

# Local to this machine
CHECKPOINTS = Path("checkpoints")
LOGS = Path("logs")
SEEDS = Path("seeds")
SWEEPS = Path("sweeps")
UNITS = Path("units")
DVC = Path(".dvc")
DVC_TEMPORARY = DVC / "tmp"
STAGE_LOCK = DVC_TEMPORARY / "stage.lock"
DOWNLOADS = DVC_TEMPORARY / "fetch"
