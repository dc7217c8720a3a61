"""Sizes and names of the source: what a reader counts on."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterator

from tests.source import ROOT, Module, functions, modules, names, python_files, words

LONGEST_FUNCTION = 50
LONGEST_FILE = 300

LONG_FILES = {
    *("tests/calibration/test_gate.py", "tests/hostile/bundles.py", "tests/hostile/no_checkpoints.py"),
    *("tests/quality/test_coco.py", "tests/quality/test_index_labels.py", "tests/quality/test_labels_used.py"),
    *("tests/runtime/test_bench.py", "tests/runtime/test_segmenter.py"),
}
"""Files that are longer: no file may join them."""

OTHER_WORDS = ("finish", "harm", "stayed", "repair", "draft")
"""Words that the field has others for: rank, sensitivity, accuracy drop, kept in float, fallback."""

STUMBLED_OVER = (
    *("of its own", "of their own", "of our own", "so many", "so few", "makes of", "made of them", "all the same"),
    *("is told", "not told", "does not tell", "left aside", "what goes on", "what stands there", "as it stands"),
    *("as asked", "as was asked", "acted out", "after so long", "begin no further", "in none of these", "be had"),
    *("may have it", "hands everything", "nothing of its", "somebody else", "put into words", "in words of"),
)
"""Phrases of an earlier style. The field says separate, own, report, ignored, compared with, simulated."""

PAGES = ("add", "write", "save", "show", "render", "make")
"""What can be done with a report, which is a page that a person reads."""


def package() -> list[Module]:
    return list(modules().values())


def test_no_file_is_long() -> None:
    long = {name: lines for name, text in sources().items() if (lines := text.count("\n")) > LONGEST_FILE}
    assert {name: lines for name, lines in long.items() if name not in LONG_FILES} == {}


def test_no_function_is_long() -> None:
    found = {
        f"{name}:{function.lineno} {function.name}": count
        for name, text in sources().items()
        for function in functions(ast.parse(text))
        if (count := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    }
    assert found == {}


def sources() -> dict[str, str]:
    """The text of every file by its place in the checkout."""
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in python_files()}


def test_no_public_class_shares_its_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for module in package():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module.file)
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_names_are_the_field_s() -> None:
    for module in package():
        found = [f"{module.file}:{line} {name}" for name, line in names(module.text) if _other(name)]
        assert found == []


def _other(name: str) -> bool:
    return any(word in name.lower() for word in OTHER_WORDS)


def test_a_report_is_a_page() -> None:
    """What is called a report is never called itself, has no class, and is at most written, saved or shown."""
    for module in package():
        for node in ast.walk(module.tree):
            bad = _misused_report(node)
            assert not bad, f"{module.file}:{getattr(node, 'lineno', 0)}: {bad}"


def _misused_report(node: ast.AST) -> str:
    """Return a name that calls something else than a page a report."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "report":
        return "report(…) is called: a callback for lines is `progress`"
    if isinstance(node, ast.ClassDef) and "report" in words(node.name):
        return f"class {node.name}"
    if isinstance(node, ast.arg) and node.annotation and "report" in words(node.arg):
        kind = ast.unparse(node.annotation)
        return f"{node.arg}: {kind}" if "Callable" in kind or kind.endswith("Progress") else ""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and "report" in words(node.name):
        return "" if words(node.name)[0] in PAGES else f"def {node.name}"
    return ""


def test_these_tests_see_what_they_are_for() -> None:
    """Each rule on a line that breaks it, and on one that does not."""
    assert [_other(name) for name in ("unfinished", "Draft", "rank_layers")] == [True, True, False]
    for bad in (
        "class BenchReport: pass",
        "def f(report: Callable[[str], None]): pass",
        "report('x')",
        "def report(): 0",
    ):
        assert any(_misused_report(node) for node in ast.walk(ast.parse(bad))), bad
    assert not any(_misused_report(node) for node in ast.walk(ast.parse("def write_report(report: Path): pass")))


def test_texts_are_plain() -> None:
    """No docstring, message, help text or comment uses a phrase that readers stumbled over."""
    found = []
    beside = ("benchmarks/", "training/", "tests/")
    rooms = {
        name: text for name, text in sources().items() if name.startswith(beside) and name != "tests/test_words.py"
    }
    for name, source in {**{module.file: module.text for module in package()}, **rooms}.items():
        for line, text in texts(source):
            found += [f"{name}:{line}: {phrase!r}" for phrase in STUMBLED_OVER if phrase in text]
    for name in ("README.md", "CONTRIBUTING.md"):
        flat = " ".join((ROOT / name).read_text(encoding="utf-8").lower().split())
        found += [f"{name}: {phrase!r}" for phrase in STUMBLED_OVER if phrase in flat]
    assert found == [], "say it plainly: subject, verb, object"


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Every string and comment of a file with its line, in lower case, on one line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.lower().split())
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lower()


def test_a_stumble_is_seen_in_each_kind_of_text() -> None:
    source = '"""A page\\n    of its own."""\nraise ValueError(f"{x}: not told")  # so many\n'
    assert [(line, phrase) for line, text in texts(source) for phrase in STUMBLED_OVER if phrase in text] == [
        (1, "of its own"),
        (2, "not told"),
        (2, "so many"),
    ]
