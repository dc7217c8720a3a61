"""Each measure has one home: `cgsam_edge/agreement.py`."""

from __future__ import annotations

import ast

import pytest

from tests.source import functions, modules

HOME = "cgsam_edge/agreement.py"

MEASURES = ("mask_iou", "mask_ious", "logit_error", "deviation", "labelled_pixels", "spread_evenly", "MIN_PIXELS")

STANDARDISED = {"cgsam_edge/quality/logistic.py"}
"""Where a spread divides what a fit is given: no measure of how two things agree."""


@pytest.mark.parametrize("measure", MEASURES)
def test_each_measure_has_one_home(measure: str) -> None:
    homes = [module.file for module in modules().values() if measure in _defined(module.tree)]
    assert homes == [HOME]


def _defined(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name.lstrip("_"))
        if isinstance(node, ast.Assign):
            found |= {target.id.lstrip("_") for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_masks_are_intersected_and_united_in_one_file() -> None:
    """A function that has both ``a & b`` and ``a | b`` of the same two computes its own overlap."""
    homes = {module.file for module in modules().values() for function in functions(module.tree) if _overlaps(function)}
    assert homes == {HOME}


def _overlaps(function: ast.AST) -> bool:
    pairs: dict[type, set[frozenset[str]]] = {ast.BitAnd: set(), ast.BitOr: set()}
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and type(node.op) in pairs:
            pairs[type(node.op)].add(frozenset({ast.unparse(node.left), ast.unparse(node.right)}))
    return bool(pairs[ast.BitAnd] & pairs[ast.BitOr])


def test_differences_are_divided_by_their_spread_in_one_file() -> None:
    """An error in standard deviations: a quotient with ``.std()`` below and a difference above."""
    homes = {
        module.file for module in modules().values() for function in functions(module.tree) if _in_deviations(function)
    }
    assert homes - STANDARDISED == {HOME}


def _in_deviations(function: ast.AST) -> bool:
    nodes = list(ast.walk(function))
    spread = any(isinstance(node, ast.Attribute) and node.attr == "std" for node in nodes)
    difference = any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) for node in nodes)
    divided = any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) for node in nodes)
    return spread and difference and divided


def test_these_rules_can_fail() -> None:
    line = "def f(a, b):\n    return (a & b).sum() / (b | a).sum()"
    assert _overlaps(ast.parse(line))
    assert not _overlaps(ast.parse(line.replace("b | a", "b | c")))
    error = "def f(a, b):\n    return abs(a - b).max() / b.std()"
    assert _in_deviations(ast.parse(error))
    assert not _in_deviations(ast.parse(error.replace("a - b", "a")))
    assert _defined(ast.parse("def _mask_iou(): ...\nMIN_PIXELS = 1\nclass Overlap: ...")) == {
        *("mask_iou", "MIN_PIXELS", "Overlap"),
    }
