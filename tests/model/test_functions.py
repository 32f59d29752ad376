import ast

import pytest
import torch

from depixel.model import functions
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("function", "least", "most"),
    [("root", 1e-6, 1e6), ("exp", -30, 30), ("log", 1 / 12, 1e6)],
)
def test_they_are_right(function, least, most):
    x = torch.linspace(least, most, 10001, requires_grad=True)
    wanted = {"root": torch.sqrt, "exp": torch.exp, "log": torch.log}[function]
    found, precise = getattr(functions, function)(x), wanted(x.double())
    torch.testing.assert_close(found.double(), precise, rtol=4e-6, atol=1e-6)
    (slope,) = torch.autograd.grad(found.sum(), x, retain_graph=True)
    (known,) = torch.autograd.grad(precise.sum(), x)
    torch.testing.assert_close(slope, known, rtol=1e-5, atol=1e-6)


MKL = {
    "sqrt",
    "exp",
    "log",
    "log10",
    "log2",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "erf",
    "acos",
    "asin",
    "atan",
}
"""What PyTorch hands to MKL, as functions of it or of its tensors."""


@pytest.mark.parametrize("folder", ["learning", "model", "scoring"])
def test_no_other_is_called(folder):
    for path in sorted((REPOSITORY / "depixel" / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name, of = node.func.attr, ast.unparse(node.func.value)
                called = name in MKL and (of == "torch" or not node.args)
                root = name == "pow" and ast.unparse(node.args[-1]) == "0.5"  # PyTorch makes it one
                assert not called and not root, f"{path.name}, line {node.lineno}: {ast.unparse(node)} is not portable"
