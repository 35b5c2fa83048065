"""The house stands on its floors: a module imports only from its own floor or from floors below it.

Every import of every module is read with ``ast``, wherever it stands: inside functions and under ``TYPE_CHECKING`` too,
for a floor that names a thing of the floor above knows of it, whenever it does so.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parent.parent

# The longest matching name decides. The command line is the door of the house, above all it opens to.
FLOORS = {
    "arnold.errors": 0,
    "arnold.vocab": 1,
    "arnold.checkpoints": 1,
    "arnold.embodiments": 2,
    "arnold.motion": 3,
    "arnold.tasks": 4,
    "arnold": 5,
    "arnold.experiments": 6,
    "arnold.cli": 7,
}


@dataclass(frozen=True)
class Import:
    """One import of ``target`` (a module of the tree, or a top-level name of anything else) at ``line``."""

    target: str
    line: int


def package_folders(root: Path) -> dict[str, str]:
    """Folder -> import name, as ``pyproject.toml`` under ``root`` maps them: ``{"vocab": "arnold.vocab", ...}``."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    return {folder: name for name, folder in settings["tool"]["setuptools"]["package-dir"].items()}


def module_files(root: Path) -> dict[str, Path]:
    """Every module of the tree by its import name."""
    found = {}
    for folder, package in package_folders(root).items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([package, *parts])] = path
    return found


def floor_of(module: str) -> int:
    """The floor of an ``arnold`` module."""
    prefixes = [name for name in FLOORS if module == name or module.startswith(name + ".")]
    return FLOORS[max(prefixes, key=len)]


def _from_targets(node: ast.ImportFrom, package: str, modules: frozenset[str]) -> Iterator[str]:
    """What ``from ... import a, b`` imports: the submodule where ``a`` is one, and the module itself otherwise."""
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([base] if base else [])])
    for alias in node.names:
        submodule = f"{base}.{alias.name}"
        yield submodule if submodule in modules else base


def _called_target(node: ast.Call) -> str | None:
    """``"a.b"`` of ``importlib.import_module("a.b")`` and ``__import__("a.b")``."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if name not in ("import_module", "__import__") or not node.args:
        return None
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def imports_of(module: str, path: Path, modules: frozenset[str]) -> list[Import]:
    """Every import statement, and every import by a literal name, anywhere in a module."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [Import(target, node.lineno) for target in _from_targets(node, package, modules)]
        elif isinstance(node, ast.Call) and (target := _called_target(node)):
            found.append(Import(target, node.lineno))
    return found


def violations(root: Path) -> list[str]:
    """One line per import that climbs a floor, or that names a folder where the package is meant."""
    files = module_files(root)
    folders = package_folders(root)
    found = []
    for module, path in files.items():
        for used in imports_of(module, path, frozenset(files)):
            top = used.target.split(".")[0]
            where = f"{path.relative_to(root)}:{used.line}: "
            if top == "arnold" and floor_of(used.target) > floor_of(module):
                climb = f"{module} (floor {floor_of(module)}) imports {used.target} (floor {floor_of(used.target)})"
                found.append(where + climb)
            elif top != "arnold" and top in folders:
                found.append(f"{where}imports {top}, which is {folders[top]} once installed")
    return found


def test_no_module_imports_from_a_floor_above_it() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_the_whole_tree_is_read() -> None:
    names = set(module_files(ROOT))
    assert {"arnold", "arnold.errors", "arnold.vocab", "arnold.embodiments.physics", "arnold.cli"} <= names
    assert set(FLOORS) - {"arnold"} <= names, "a floor is named that no module stands on"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small house with the real folder mapping and nothing wrong in it."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for folder in ("arnold", "arnold/cli", "arnold/policy", "vocab", "tasks", "experiments"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "arnold/errors.py").write_text("class UserError(Exception): ...\n")
    (tmp_path / "vocab/tokens.py").write_text(
        "import numpy\nfrom arnold.errors import UserError\nfrom . import words\n"
    )
    (tmp_path / "vocab/words.py").write_text("")
    (tmp_path / "tasks/reach.py").write_text("from arnold import errors, vocab\nfrom arnold.vocab import tokens\n")
    (tmp_path / "arnold/cli/train.py").write_text("def run():\n    from arnold.experiments import recipes\n")
    return tmp_path


def test_a_house_in_order_has_no_violations(house: Path) -> None:
    assert violations(house) == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        (
            "vocab/bad.py",
            "import arnold.tasks.reach\n",
            "arnold.vocab.bad (floor 1) imports arnold.tasks.reach (floor 4)",
        ),
        ("vocab/bad.py", "from arnold import tasks\n", "imports arnold.tasks (floor 4)"),
        ("vocab/bad.py", "from arnold import Token\n", "imports arnold (floor 5)"),
        ("vocab/bad.py", "from ..policy import net\n", "imports arnold.policy (floor 5)"),
        (
            "vocab/__init__.py",
            "from ..tasks import reach\n",
            "arnold.vocab (floor 1) imports arnold.tasks.reach (floor 4)",
        ),
        ("tasks/bad.py", "def f():\n    from arnold.policy import net\n", "tasks/bad.py:2: arnold.tasks.bad"),
        ("tasks/bad.py", "if TYPE_CHECKING:\n    import arnold.policy\n", "tasks/bad.py:2: arnold.tasks.bad"),
        ("arnold/policy/bad.py", "import arnold.experiments\n", "(floor 5) imports arnold.experiments (floor 6)"),
        ("arnold/policy/bad.py", "importlib.import_module('arnold.experiments')\n", "(floor 6)"),
        ("experiments/bad.py", "from arnold.cli import train\n", "(floor 6) imports arnold.cli.train (floor 7)"),
        ("arnold/errors.py", "from arnold.vocab import tokens\n", "(floor 0) imports arnold.vocab.tokens (floor 1)"),
        ("tasks/bad.py", "from vocab import tokens\n", "imports vocab, which is arnold.vocab once installed"),
    ],
)
def test_an_import_that_climbs_is_found_however_it_is_written(
    house: Path, file: str, source: str, expected: str
) -> None:
    (house / file).write_text(source)
    found = violations(house)
    assert len(found) == 1
    assert expected in found[0]


def test_the_vocabulary_brings_in_neither_jax_nor_mujoco() -> None:
    heavy = ("jax", "flax", "optax", "orbax", "mujoco", "myosuite", "torch", "matplotlib")
    code = f"import sys, arnold, arnold.vocab; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
