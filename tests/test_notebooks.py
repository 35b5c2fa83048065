"""The notebooks, each in a kernel of its own, from top to bottom, at a size at which nothing is learned."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="nbclient is of the extra `notebooks`")
pytest.importorskip("sklearn", reason="scikit-learn is of the extra `analysis`")

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

pytestmark = pytest.mark.train

FOLDER = Path(__file__).resolve().parent.parent / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST_S = 300.0  # of a cell; a busy machine compiles slowly
SIZE = "ARNOLD_NOTEBOOKS_SMALL"


class ThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs the tests, whatever kernels are installed on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class OwnKernel(AsyncKernelManager):
    """Starts that one."""

    def __init__(self, **options: Any):
        super().__init__(kernel_spec_manager=ThisPython(), **options)


def executed(path: Path, folder: Path) -> list[Any]:
    """The code cells of a notebook after it ran in ``folder``, and one more that says by which Python."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import sys\nprint(sys.executable)"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_manager_class=OwnKernel, timeout=LONGEST_S, resources=resources).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cells: list[Any]) -> str:
    """All that was printed."""
    return "".join(o.text for cell in cells for o in cell.outputs if o.output_type == "stream")


def pictures(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a notebook at its small size; what it showed."""
    monkeypatch.setenv(SIZE, "1")
    monkeypatch.delenv("MPLBACKEND")  # as in a notebook, where figures are shown
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the debugger's word on frozen modules
    cells = executed(path, tmp_path)  # an exception in a cell is raised here
    text = said(cells)
    assert text.splitlines()[-1] == sys.executable
    assert not re.search(r"\w+Warning:|Traceback", text), text
    return [o for cell in cells for o in cell.outputs if "image/png" in o.get("data", {})]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS[:3], ids=[path.stem for path in NOTEBOOKS[:3]])
def test_a_notebook_runs_from_top_to_bottom_and_shows_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pictures(path, tmp_path, monkeypatch)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_kept_without_outputs_and_links_to_notebooks_that_are_there(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    kept = [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None]
    assert not kept, "strip the outputs, so that changes can be read"
    prose = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    missing = [name for name in re.findall(r"\]\(([^)#]+\.ipynb)\)", prose) if not (FOLDER / name).is_file()]
    assert not missing


def test_the_size_of_every_notebook_follows_one_variable() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert SIZE in first, path.name
