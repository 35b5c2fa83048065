"""The built wheel, in a clean environment, is the whole library and nothing but the library.

The environment is a new virtual environment into which only the wheel is installed; the dependencies are lent to it
from the environment that runs the tests (a ``.pth`` line, which does not run the ``.pth`` files of what it adds, so an
editable ``arnold`` over there stays out of sight).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import arnold

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {folder: name for name, folder in SETTINGS["tool"]["setuptools"]["package-dir"].items()}
# Planted in the copy that is built: as deep, hidden and without extension as the files of an orbax checkpoint can be.
PLANTED = (
    "zoo/planted/card.json",
    "zoo/planted/policy/_METADATA",
    "zoo/planted/policy/d/0",
    "zoo/planted/policy/.zarray",
)

IMPORT_ALL = """
import importlib, json, sys
files = {name: importlib.import_module(name).__file__ for name in sys.argv[1:]}
print(json.dumps(files))
"""


@dataclass(frozen=True)
class CleanInstall:
    """A wheel and the virtual environment that holds only it."""

    names: tuple[str, ...]  # the files in the wheel
    folder: Path  # the virtual environment

    @property
    def python(self) -> Path:
        """The interpreter of the virtual environment."""
        return self.folder / "bin" / "python"


def packaged_path(file: Path, root: Path) -> str:
    """Where a file of the tree lands in the wheel: ``vocab/tokens.py`` -> ``arnold/vocab/tokens.py``."""
    top, *rest = file.relative_to(root).parts
    return "/".join([*FOLDERS[top].split("."), *rest])


def _run(*command: str | Path) -> str:
    """The output of a command, and all it said where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command[:4]))}: {done.stdout}{done.stderr}"
    return done.stdout


def _build_wheel(scratch: Path) -> Path:
    """Build the wheel of a copy of the tree: setuptools leaves, and picks up, old files in the folder it builds in."""
    source = scratch / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    for planted in PLANTED:
        (source / "checkpoints" / planted).parent.mkdir(parents=True, exist_ok=True)
        (source / "checkpoints" / planted).write_text("planted")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", scratch / "dist", source)
    (wheel,) = (scratch / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> CleanInstall:
    """The wheel in a virtual environment of its own, with the dependencies lent to it."""
    scratch = tmp_path_factory.mktemp("wheel")
    wheel = _build_wheel(scratch)
    environment = scratch / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", environment)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment / "bin" / "python")
    _run(*pip, "install", "--no-deps", "--no-index", wheel)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    lent = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    (site_packages / "lent.pth").write_text("\n".join(lent) + "\n")
    with zipfile.ZipFile(wheel) as archive:
        return CleanInstall(tuple(archive.namelist()), environment)


def test_every_python_file_of_the_tree_is_in_the_wheel(clean: CleanInstall) -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 10
    missing = {packaged_path(path, ROOT) for path in files} - set(clean.names)
    assert not missing, "list their packages in pyproject.toml ([tool.setuptools] packages)"


def test_only_arnold_lands_in_site_packages(clean: CleanInstall) -> None:
    tops = {name.split("/")[0] for name in clean.names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"arnold"}


def test_every_file_of_the_zoo_is_in_the_wheel_with_the_licence_and_the_type_marker(clean: CleanInstall) -> None:
    zoo = ROOT / "checkpoints" / "zoo"
    shipped = {packaged_path(path, ROOT) for path in zoo.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    planted = {f"arnold/checkpoints/{name}" for name in PLANTED}
    assert shipped | planted | {"arnold/py.typed"} <= set(clean.names)
    licences = {name.rpartition("/")[2] for name in clean.names if "/licenses/" in name}
    assert licences == set(SETTINGS["project"]["license-files"])


def test_every_module_of_the_wheel_imports_from_a_clean_environment(clean: CleanInstall) -> None:
    modules = [name.removesuffix(".py").removesuffix("/__init__") for name in clean.names if name.endswith(".py")]
    # __main__ is a program, not a module to import.
    names = [module.replace("/", ".") for module in modules if not module.endswith("__main__")]
    # The last line: MuJoCo XLA prints there that Warp is not installed.
    files = json.loads(_run(clean.python, "-I", "-c", IMPORT_ALL, *names).splitlines()[-1])
    assert len(files) == len(names)
    elsewhere = [name for name, file in files.items() if not Path(file).is_relative_to(clean.folder)]
    assert not elsewhere, "imported from outside the wheel"


def test_the_arnold_command_of_the_wheel_shows_its_help(clean: CleanInstall) -> None:
    assert "arnold" in _run(clean.folder / "bin" / "arnold", "--help")


def test_the_package_list_names_every_package_once() -> None:
    packages = SETTINGS["tool"]["setuptools"]["packages"]
    folders = {path.parent for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert sorted(packages) == sorted(packaged_path(folder, ROOT).replace("/", ".") for folder in folders)


def test_every_public_name_is_found_where_the_table_says() -> None:
    assert arnold.__all__
    for name in arnold.__all__:
        assert getattr(arnold, name) is not None
        assert name in dir(arnold)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Tokn'"):
        _ = arnold.Tokn


def test_the_constraints_pin_every_core_dependency_and_name_no_index() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin and "://" not in pin and not pin.startswith(("-", "/")) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    wanted = {requirement.partition(">")[0] for requirement in SETTINGS["project"]["dependencies"]}
    assert wanted <= pinned
