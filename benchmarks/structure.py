"""Measure how the code is laid out: entries, modules in packages, circles, names, and the longest function.

    python benchmarks/structure.py [--names]

--names lists each vague name with how often it is bound in each module, the most frequent first.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CODE = Path(__file__).resolve().parent.parent / "auditor"
VAGUE = frozenset(
    [
        "one",
        "told",
        "found",
        "some",
        "given",
        "kept",
        "known",
        "made",
        "others",
        "other",
        "what",
        "each",
        "here",
        "this",
        "rest",
        "every",
        "which",
        "before",
        "after",
        "first",
    ]
)


def modules() -> dict[str, ast.Module]:
    """Return every module of the package by its dotted name."""
    parsed = {}
    for path in sorted(CODE.rglob("*.py")):
        parts = path.relative_to(CODE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        parsed[name] = ast.parse(path.read_text(encoding="utf-8"))
    return parsed


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Yield every name that is bound by an assignment, as a loop variable, or as an argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def lengths_of_functions(tree: ast.AST) -> Iterator[int]:
    """Yield the length of each function in lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """Return the modules of the package that a module imports, also lazily."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules of which each reaches the others (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            groups.append(group)

    for module in graph:
        if module not in index:
            visit(module)
    return [sorted(group) for group in groups if len(group) > 1]


def code_lines(path: Path) -> int:
    """Return how many lines of a module hold code: no blank lines, comments, or docstrings."""
    text = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    ignored = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {line for token in tokens if token.type not in ignored for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - docstrings)


def measure() -> dict[str, object]:
    """Return each figure by its name."""
    parsed = modules()
    names = [name for tree in parsed.values() for name in bound_names(tree)]
    classes = Counter(
        node.name for tree in parsed.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    lengths = sorted(length for tree in parsed.values() for length in lengths_of_functions(tree))
    packages = [path for path in (CODE, *CODE.rglob("*")) if path.is_dir() and any(path.glob("*.py"))]
    groups = circles({name: imports(tree, set(parsed)) for name, tree in parsed.items()})
    return {
        "entries on top": sum(not path.name.startswith(("__pycache__", ".")) for path in CODE.iterdir()),
        "most modules in a package": max(len(list(path.glob("*.py"))) for path in packages),
        "circles": len(groups),
        "vague names, percent of all bound": round(100 * sum(name in VAGUE for name in names) / len(names), 2),
        "class names defined twice": sum(count > 1 for count in classes.values()),
        "longest function, lines": lengths[-1],
        "median function, lines": lengths[len(lengths) // 2],
        "code lines": sum(map(code_lines, CODE.rglob("*.py"))),
    }


def main() -> None:
    """Print the figures, or the vague names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true", help="list vague names by module")
    if parser.parse_args().names:
        counts = Counter(
            (module, name) for module, tree in modules().items() for name in bound_names(tree) if name in VAGUE
        )
        for (module, name), count in counts.most_common():
            print(f"{count:5} {name:8} {module}")
        return
    for figure, value in measure().items():
        print(f"{figure:36} {value}")


if __name__ == "__main__":
    main()
