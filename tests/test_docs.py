"""The documentation site: it builds without a warning, is complete, and needs no other server.

It is built once, as `make docs` builds it.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_floors import module_files

import arnold
from arnold.checkpoints.zoo import zoo_names
from arnold.cli.verbs import VERBS

pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
from sphinx.util.inventory import InventoryFile

pytestmark = [pytest.mark.unit, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent
# The command line is described by its help, and the benchmarks are run through it.
NOT_IN_REFERENCE = ("arnold.cli", "arnold.experiments.benchmarks")
LOADED = {"img": "src", "link": "href", "script": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page offers to links, where its own lead, and what a browser loads with it."""

    def __init__(self, path: Path):
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get(LOADED.get(tag, "")):
            self.loaded.append(given[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, str(ROOT / "docs/site/build.py"), str(folder)], capture_output=True, text=True
    )
    assert built.returncode == 0, f"`make docs` fails:\n{built.stderr}"
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def described(site: Path) -> set[str]:
    """Full names of everything that the reference describes."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, things in inventory.data.items() if kind.startswith("py:") for name in things}


def test_every_public_name_is_on_the_page_of_public_names_and_described(site: Path, described: set[str]) -> None:
    page = (site / "reference/index.html").read_text()
    for name in arnold.__all__:
        thing = getattr(arnold, name)
        home = f"{thing.__module__}.{thing.__qualname__}"
        assert home in described, f"arnold.{name} has no description"
        assert f"#{home}" in page, f"arnold.{name} is not among the public names"
        assert f"arnold.{name}<" in page


def test_every_module_is_described_but_those_of_the_command_line(described: set[str]) -> None:
    expected = {name for name in module_files(ROOT) if not name.startswith(NOT_IN_REFERENCE)}
    assert len(expected) > 100
    assert expected <= described, sorted(expected - described)


def test_every_command_and_every_policy_that_ships_has_its_place(pages: dict[Path, Page], site: Path) -> None:
    commands, zoo = pages[site / "command-line.html"], (site / "zoo.html").read_text()
    assert {f"arnold-{verb.replace(' ', '-')}" for verb in VERBS} <= commands.places
    assert [name for name in zoo_names() if f">{name}<" not in zoo] == []


def test_every_link_within_the_site_leads_somewhere(pages: dict[Path, Page]) -> None:
    links = list(_links_within(pages))
    assert len(links) > 1000
    assert [f"{page.name}: {link}" for page, link, there in links if not there] == []


def test_a_browser_loads_nothing_from_another_server(pages: dict[Path, Page], site: Path) -> None:
    loaded = {address for page in pages.values() for address in page.loaded}
    assert [address for address in loaded if urllib.parse.urlparse(address).netloc] == []
    styles = [path for path in site.rglob("*.css") if "url(http" in path.read_text() or "@import" in path.read_text()]
    assert styles == []


def _links_within(pages: dict[Path, Page]) -> Iterator[tuple[Path, str, bool]]:
    """(page, link, whether it leads to a file and, with a fragment, to a place there) of each link within the site."""
    for path, page in pages.items():
        for link in page.links:
            to = urllib.parse.urlparse(link)
            if to.scheme or to.netloc or link in ("", "#"):
                continue
            file = (path.parent / urllib.parse.unquote(to.path)).resolve() if to.path else path
            known = pages.get(file)
            yield path, link, file.is_file() and (not to.fragment or known is None or to.fragment in known.places)
