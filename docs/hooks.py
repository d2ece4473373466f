"""Takes the pages at the root of the repository, and notebooks, into the site.

Pages are read there as they are on the web page of the repository, so that
nothing is written twice; only where their links lead differs. Notebooks are
there to be downloaded.
"""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File
from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "RESULTS.md", "CHANGELOG.md", "CONTRIBUTING.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files."""
    notebooks = [path.name for path in ROOT.glob("examples/*.ipynb")]
    for name in (*PAGES, *(f"examples/{name}" for name in notebooks)):
        path = str(ROOT / name)
        files.append(File.generated(config, name, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Makes links lead to where a page is in the site."""
    return markdown.replace("](docs/", "](").replace("](../", "](")
