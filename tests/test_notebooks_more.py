"""The other notebooks: a worker runs a whole file, so that two of them share the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, pictures

pytestmark = [pytest.mark.train, pytest.mark.slow]


@pytest.mark.parametrize("path", NOTEBOOKS[3:], ids=[path.stem for path in NOTEBOOKS[3:]])
def test_a_notebook_runs_from_top_to_bottom_and_shows_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pictures(path, tmp_path, monkeypatch)
