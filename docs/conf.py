"""Sphinx's settings for the web pages: `python lab.py pages` builds them into build/pages.

Every notebook and every Markdown document is a page; nothing is executed, and nothing is loaded from elsewhere.
"""

import sys
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from pages import maths  # noqa: E402
from pages.forms import front_script  # noqa: E402
from pages.lessons import page_of  # noqa: E402

project = "Residual networks, measured"
copyright = "the project's contributors. Code: MIT; text and figures: CC BY 4.0"
extensions = ["myst_nb"]
root_doc = "README"
CONTENTS = {
    "Lessons": ["notebooks/*.ipynb"],
    "About the course": ["*.md", "docs/*.md"],
    "Data": ["resnet_lib/data/*/README.md"],
}
include_patterns = [pattern for patterns in CONTENTS.values() for pattern in patterns]
exclude_patterns = [".*", "build", "dist", "**/.*"]

nb_execution_mode = "off"  # the outputs are committed
nb_merge_streams = True
nb_code_prompt_show, nb_code_prompt_hide = "Show the solution", "Hide the solution"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["pages/static", "../resnet_lib/widgets/front/explorer.css"]
html_css_files = ["explorer.css", "pages.css"]
html_js_files = [("explorer.js", {"defer": "defer", "priority": 900})]  # after what explorers look up
# The theme says "auto" until its own script has run, and "auto" has no borders: code would grow after the first paint.
CHOOSE_THEME = """
if (document.documentElement.dataset.theme === "auto")
  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
"""
templates_path = ["pages/templates"]
html_sidebars = {"**": ["contents.html"]}
html_theme_options = {
    "navbar_center": [],
    "secondary_sidebar_items": [],  # the headings stand under the contents: drawings need the width
    "article_header_start": [],
    "article_header_end": ["run-it.html"],
    "search_bar_text": "Search the lessons",
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_context = {"default_mode": "auto"}
html_show_sourcelink = html_copy_source = False
html_show_search_summary = False  # a page that was opened as a file may not fetch others
html_use_index = False


def contents() -> str:
    """A table of contents for the sidebar, with every page but the one that it stands on."""
    listed = {caption: "\n".join(pattern.rpartition(".")[0] for pattern in some) for caption, some in CONTENTS.items()}
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {c}\n\n{names}\n```\n" for c, names in listed.items()
    )


def read(app: Any, page: str, source: list[str]) -> None:
    """Lessons change on their way to MyST-NB; what their explorers look up goes to a folder of the pages."""
    if page == root_doc:
        source[0] += contents()
    if page.startswith("notebooks/"):
        lesson = nbformat.reads(source[0], as_version=4)
        folder = Path(app.outdir) / "_static" / "explorers"
        folder.mkdir(parents=True, exist_ok=True)
        grids = {grid.name: grid for grid in page_of(lesson)}
        for grid in grids.values():
            (folder / f"{grid.name}.js").write_text(grid.text, encoding="utf-8")
        app.env.metadata[page]["grids"] = list(grids)
        source[0] = nbformat.writes(lesson)


def add_grids(app: Any, page: str, template: str, context: Any, doctree: Any) -> None:
    for name in app.env.metadata.get(page, {}).get("grids", ()):
        app.add_js_file(f"explorers/{name}.js", loading_method="defer", priority=100)


def finish(app: Any, problem: Exception | None) -> None:
    """The front end goes along; the first page has the name that a browser or a server looks for, too."""
    if problem is None:
        (Path(app.outdir) / "_static" / "explorer.js").write_text(front_script(), encoding="utf-8")
        front = (Path(app.outdir) / f"{root_doc}.html").read_bytes()
        (Path(app.outdir) / "index.html").write_bytes(front)


def setup(app: Any) -> dict[str, bool]:
    app.add_js_file(None, body=CHOOSE_THEME, priority=0)
    app.add_html_math_renderer("mathml", (maths.inline, None), (maths.block, None))
    app.connect("source-read", read)
    app.connect("html-page-context", add_grids)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
