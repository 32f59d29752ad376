# `make` lists what there is to make; README.md and CONTRIBUTING.md have the plain commands behind it.
PYTHON ?= python3
OUTSIDE := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
# What to type again after Ctrl-C
export DEPIXEL_TYPED := $(strip make $(MAKEOVERRIDES) $(MAKECMDGOALS))
# Bytecode of the packages is made when it is first needed, and kept
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help repro report docs check test soak endurance verify bench wheel lock clean

help:  ## this list
	@LC_ALL=C sed -n 's/^\([a-z]*\):.*  ## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

repro: .venv/run  ## install what is missing, fetch the photos, run all stages, print the scores
	@python -m tools.repro

report: .venv/run  ## report.html: one page for people, with what the run reached beside earlier runs
	depixel report

docs: .venv/dev  ## site/: these docs as a site, with the reference written from the code; index.html opens in a browser
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict
	@echo "Open site/index.html"

check: .venv/dev data/test_set models/pretrained  ## before each commit, two minutes: ruff, mypy and the quick tests
	ruff check .
	ruff format --check .
	mypy
	$(PYTEST) -m quick

test: .venv/dev data/test_set models/pretrained  ## all tests except those of `make soak`
	$(PYTEST) -m "not soak"

soak: .venv/dev data/test_set models/pretrained  ## the long tests: kills, whole pipelines, every command of the docs
	$(PYTEST) -m soak

endurance: .venv/dev models/pretrained  ## hours of use, watched for growing memory and lost work
	python benchmarks/endurance.py
	python benchmarks/challenge_kills.py
	python benchmarks/scale.py training --rounds 1 --kills 20

verify: .venv/run  ## does the committed pipeline give the same, byte for byte, in two clones? or as AGAINST=LOCK?
	python benchmarks/verify.py $(if $(AGAINST),--against $(AGAINST))

# Every figure of docs/; PHOTOS says where photos are. The quality is printed as it was
# measured: a training takes hours, and `python recipes/predictor.py train NAME` does one again. So are the choices:
# `python benchmarks/choices.py measure` trains those that are missing.
PHOTOS ?= ../shared/photos
BENCH ?= ../shared/bench
bench: .venv/dev  ## measure the figures of the docs again
	python benchmarks/data.py --photos $(PHOTOS)
	python -m pip install --quiet --no-deps -r requirements-beam.lock
	python benchmarks/scale.py all --photos $(PHOTOS) --folder .scratch/scale
	python benchmarks/copies.py --photos $(PHOTOS)
	python benchmarks/analysis.py --photos $(PHOTOS)
	python benchmarks/training.py --photos $(PHOTOS)
	python benchmarks/suggest.py --photos $(PHOTOS)
	python benchmarks/restore.py --photos $(PHOTOS)
	python benchmarks/detection.py --photos $(PHOTOS)
	python benchmarks/certain.py --photos $(PHOTOS)
	python benchmarks/page.py --photos $(PHOTOS)
	python benchmarks/engines.py --bench $(BENCH)
	python benchmarks/repro.py
	python benchmarks/prose.py
	python benchmarks/arithmetic.py
	python benchmarks/kills.py
	python benchmarks/quality.py
	python benchmarks/baselines.py
	python benchmarks/choices.py
	python benchmarks/law.py

wheel: .venv/run models/pretrained  ## dist/depixel-*.whl: with `laptop` and the networks that find areas; restores without a clone
	rm -rf build depixel/pretrained dist/depixel-*.whl
	mkdir depixel/pretrained
	cp -L models/pretrained/laptop.* models/pretrained/detector.* models/pretrained/screen.* depixel/pretrained
	python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build depixel/pretrained

# Without what only a CUDA build of torch needs. Beam asks for older packages of those in forced.all, which decide results
COMPILE = uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --upgrade pyproject.toml
lock: .venv/run  ## newest versions of all packages, for every platform, into the lock files
	python -m pip install --quiet uv
	$(COMPILE) --output-file run.all --extra pipeline
	$(COMPILE) --output-file dev.all --constraint run.all --extra dev
	(sed -n '/^#/p' requirements.lock; grep -vE '^(nvidia-|cuda-|triton)' run.all) > run.lock
	(sed -n '/^#/p' requirements-dev.lock; grep -vxFf run.all dev.all) > dev.lock
	mv run.lock requirements.lock
	mv dev.lock requirements-dev.lock
	grep -E '^(numpy|pillow|protobuf)==' run.all > forced.all
	grep -vE '^(numpy|pillow|protobuf)==' dev.all > others.all
	$(COMPILE) --output-file beam.all --override forced.all --constraint others.all --extra beam
	(sed -n '/^#/p' requirements-beam.lock; grep -vE '^(nvidia-|cuda-|triton)' beam.all | grep -vxFf run.all) > beam.lock
	mv beam.lock requirements-beam.lock
	rm run.all dev.all forced.all others.all beam.all

clean:  ## remove the environment and what tests and builds leave; keep photos, models and results
	rm -rf .venv .pytest_cache .hypothesis .mypy_cache .ruff_cache .beam units build dist site depixel/pretrained *.egg-info

# What the targets need

PYTEST = OMP_WAIT_POLICY=PASSIVE python -m pytest -n 2 --dist loadfile

# An environment holds its own path: in a folder that was moved it is made anew
ifeq ($(shell test -L .venv || test ! -e .venv/bin/pip || grep -qsF '$(CURDIR)/.venv/bin/' .venv/bin/pip || echo moved),moved)
.PHONY: .venv/run .venv/dev
endif

# The two environments: for the pipeline, and with what checks and tests need. They are made by the Python outside .venv.
.venv/run: requirements.lock pyproject.toml
	@PATH="$(OUTSIDE)" exec $(PYTHON) -m tools.install run

.venv/dev: .venv/run requirements-dev.lock
	@PATH="$(OUTSIDE)" exec $(PYTHON) -m tools.install dev

data/test_set models/pretrained:
	dvc pull --quiet $@.dvc
