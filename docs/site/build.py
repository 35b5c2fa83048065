"""Build the documentation site: `python docs/site/build.py FOLDER`. A warning is an error.

Sphinx reads a folder laid out for the purpose: the pages of `docs/`, those of the house that the site shows too, and
those made from the code (`pages.py`). Nothing is fetched from anywhere, neither now nor by a reader's browser.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # modules are imported for their docstrings; an accelerator stays free

from pages import ROOT, write_pages
from sphinx.cmd.build import build_main

SITE = Path(__file__).parent
OF_THE_HOUSE = ("ARCHITECTURE.md", "CONTRIBUTING.md")


def lay_out(folder: Path) -> None:
    """Put everything that Sphinx reads into a new folder."""
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("site", "__pycache__"))
    for page in (SITE / "index.md", *(ROOT / name for name in OF_THE_HOUSE)):
        shutil.copy(page, folder)
    write_pages(folder)


def build(out: Path) -> int:
    """Build into a folder, which should be new or empty; returns the exit code, which a warning makes 1."""
    gc.disable()  # a quarter of the time; the process ends with the build
    with tempfile.TemporaryDirectory() as scratch:
        pages = Path(scratch) / "docs"
        lay_out(pages)
        flags = ("--fail-on-warning", "--quiet", "--conf-dir", str(SITE), "--doctree-dir", f"{scratch}/doctrees")
        return build_main([*flags, str(pages), str(out)])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/site/build.py FOLDER")
    sys.exit(build(Path(sys.argv[1])))
