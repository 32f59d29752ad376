# The two commands are `make repro` and `make test`; README.md has the plain commands behind them.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: repro report test verify bench wheel lock clean

repro: .venv/installed
	depixel mend
	test -e data/raw || dvc pull data/raw.dvc
	test -e data/test_set || dvc pull data/test_set.dvc
	test -e models/pretrained || dvc pull models/pretrained.dvc
	dvc repro
	@echo
	@dvc metrics show
	@echo
	@python -c 'import pandas; from depixel.evaluation import readable; \
		print(readable(pandas.read_csv("metrics/comparison.csv").round(3)).to_string(index=False))'
	@echo
	@echo "Submission file: predictions/submission.bin    Model: models/depixel.safetensors"
	@echo "Pictures: metrics/contact_sheet.png, predictions/*.png    Curves: dvc plots show"

# One page for people: what the run reached, beside earlier ones.
report: .venv/installed
	depixel report

test: .venv/installed
	test -e models/pretrained || dvc pull --quiet models/pretrained.dvc
	ruff check .
	ruff format --check .
	OMP_WAIT_POLICY=PASSIVE python -m pytest -n 2 --dist loadfile

# The committed pipeline in two fresh clones: does the same come out, byte for byte?
verify: .venv/installed
	python benchmarks/verify.py

# A wheel in dist/ that carries `laptop` and the networks that find areas, and restores without a clone.
wheel: .venv/installed
	test -e models/pretrained || dvc pull models/pretrained.dvc
	rm -rf build depixel/pretrained dist/depixel-*.whl
	mkdir depixel/pretrained
	cp -L models/pretrained/laptop.* models/pretrained/detector.* models/pretrained/screen.* depixel/pretrained
	python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build depixel/pretrained

.venv/installed: requirements.lock requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r requirements.lock -r requirements-dev.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Every figure of docs/measured.md and docs/pictures.md; PHOTOS says where photos are. The quality is printed as it was
# measured: a training takes hours, and `python benchmarks/quality.py train NAME` does one again.
PHOTOS ?= ../shared/photos
BENCH ?= ../shared/bench
bench: .venv/installed
	python benchmarks/data.py --photos $(PHOTOS)
	python benchmarks/copies.py --photos $(PHOTOS)
	python benchmarks/analysis.py --photos $(PHOTOS)
	python benchmarks/training.py --photos $(PHOTOS)
	python benchmarks/suggest.py --photos $(PHOTOS)
	python benchmarks/restore.py --photos $(PHOTOS)
	python benchmarks/detection.py --photos $(PHOTOS)
	python benchmarks/engines.py --bench $(BENCH)
	python benchmarks/repro.py
	python benchmarks/hardware.py
	python benchmarks/kills.py
	python benchmarks/quality.py
	python benchmarks/baselines.py
	python benchmarks/law.py

# Exact versions of everything, for every platform; without what only a CUDA build of torch needs.
COMPILE = uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --upgrade pyproject.toml
lock: .venv/installed
	python -m pip install --quiet uv
	$(COMPILE) --output-file run.all
	$(COMPILE) --output-file dev.all --constraint run.all --extra dev
	(sed -n '/^#/p' requirements.lock; grep -vE '^(nvidia-|cuda-|triton)' run.all) > run.lock
	(sed -n '/^#/p' requirements-dev.lock; grep -vxFf run.all dev.all) > dev.lock
	mv run.lock requirements.lock
	mv dev.lock requirements-dev.lock
	rm run.all dev.all

clean:
	rm -rf .venv .pytest_cache .hypothesis .ruff_cache build dist depixel/pretrained *.egg-info
