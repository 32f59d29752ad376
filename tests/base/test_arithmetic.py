import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from depixel.base import arithmetic
from depixel.base.environment import hardware, processor
from depixel.base.errors import DepixelError
from tests.conftest import REPOSITORY

X86 = arithmetic._is_x86() and arithmetic.has_avx2()
on_x86 = pytest.mark.skipif(not X86, reason="there is nothing to choose on this processor")
SHOWN = "import torch; print(torch.backends.cpu.get_cpu_capability(), arithmetic.is_portable())"


def fresh(program: str, **variables: str) -> list[str]:
    """What a program prints in an environment that has chosen nothing yet."""
    environment = {name: value for name, value in os.environ.items() if name not in arithmetic.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", f"from depixel.base import arithmetic; {program}"],
        env=environment | {"PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def native() -> str:
    """What PyTorch computes with here when nobody tells it."""
    return fresh(SHOWN)[0]


@on_x86
def test_the_tests_themselves_compute_portably():
    assert arithmetic.is_portable() and torch.backends.cpu.get_cpu_capability() == "AVX2"
    arithmetic.check()


@pytest.mark.slow  # processes that load PyTorch
@on_x86
def test_who_begins_with_it_computes_portably(native):
    assert fresh(f"arithmetic.begin(); arithmetic.check(); {SHOWN}") == ["AVX2", "True"]
    assert fresh(f"arithmetic.begin(); {SHOWN}", DEPIXEL_ARITHMETIC="native") == [native, "False"]


@pytest.mark.slow  # processes that load PyTorch
@on_x86
def test_numpy_takes_the_code_for_avx2():
    shown = "import numpy as np; print(np._core._multiarray_umath.__cpu_features__['X86_V4'])"
    assert fresh(f"arithmetic.begin(); {shown}") == ["False"]
    known = set(np._core._multiarray_umath.__cpu_dispatch__)
    assert known >= set(arithmetic.VARIABLES["NPY_DISABLE_CPU_FEATURES"].split())
    beyond = known - set(arithmetic.VARIABLES["NPY_DISABLE_CPU_FEATURES"].split())
    assert beyond == {"X86_V3"}, "NumPy has code for other processors: name it in NPY_DISABLE_CPU_FEATURES"


@pytest.mark.slow
@on_x86
@pytest.mark.parametrize("module", ["numpy", "torch"])
def test_where_it_is_too_late_it_says_so(native, module):
    program = f"import {module}; arithmetic.begin(); {SHOWN}; arithmetic.check()"
    with pytest.raises(AssertionError, match=r"was loaded too early.*`depixel.base.arithmetic.begin.*before"):
        fresh(program)


def test_without_avx2_it_says_what_to_set(monkeypatch):
    monkeypatch.setattr(arithmetic, "_is_x86", lambda: True)
    monkeypatch.setattr(arithmetic, "has_avx2", lambda: False)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    arithmetic.begin()
    assert "MKL_CBWR" not in os.environ
    with pytest.raises(DepixelError, match=r"has no AVX2.*Set train.arithmetic: native"):
        arithmetic.check()


def test_elsewhere_there_is_nothing_to_choose(monkeypatch):
    monkeypatch.setattr(arithmetic, "_is_x86", lambda: False)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    arithmetic.begin()
    assert "MKL_CBWR" not in os.environ and arithmetic.is_portable()
    arithmetic.check()


def test_what_a_model_says_of_itself(tmp_path):
    model = tmp_path / "model.safetensors"
    assert arithmetic.of_model(model) == "native"
    for text, wanted in (("{", "native"), ("[]", "native"), ('{"arithmetic": "portable"}', "portable")):
        model.with_suffix(".json").write_text(text, encoding="utf-8")
        assert arithmetic.of_model(model) == wanted


@pytest.mark.slow
@on_x86
def test_a_stage_that_is_to_compute_natively_starts_again(workplace, native):
    settings = yaml.safe_load((workplace / "params.yaml").read_text(encoding="utf-8"))
    settings["train"] |= {"arithmetic": "native", "epochs": 1}
    (workplace / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in arithmetic.VARIABLES}
    for name in ("train", "evaluate"):
        command = [sys.executable, str(REPOSITORY / f"stages/{name}.py")]
        subprocess.run(command, cwd=workplace, env=environment, check=True, capture_output=True)
    described = json.loads((workplace / "models/depixel.json").read_text(encoding="utf-8"))
    assert "arithmetic" not in described and described["hardware"].endswith(f", {native}")


def test_a_portable_model_names_no_machine(reproduced):
    described = json.loads((reproduced / "models/depixel.json").read_text(encoding="utf-8"))
    assert described["arithmetic"] == "portable" and "hardware" not in described
    name = hardware("cpu").rpartition(",")[0]
    for path in ("models/depixel.json", "models/depixel.md"):
        assert name not in (reproduced / path).read_text(encoding="utf-8")
    assert json.loads((reproduced / "logs/training.json").read_text(encoding="utf-8"))["hardware"] == hardware("cpu")


def test_the_kind_of_this_processor():
    assert processor() and (not X86 or ", AVX2" in processor())
