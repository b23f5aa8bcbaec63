"""Writes a lesson, run or not, as one page that needs no network.

What leads to the course's other pages is put between the marks `<!-- course: … -->` when these are there
(`lab/src/pages.rs`).
"""

import copy
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

HERE = Path(__file__).parent
# Raw cells are not on a page, so what is said of the next one would be said of another.
OF_THE_NEXT_CELL = re.compile(r"\n\n\*The next cell is not run on the kernel.*?\*(?=\n|$)", re.DOTALL)
HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)<a class="anchor-link"', re.DOTALL)


def title_of(notebook, otherwise):
    """What the notebook says that it is called."""
    about = notebook.metadata.get("forklore", {})
    return f"{about['lesson']} · {about['title']}" if "title" in about else otherwise


def contents(page):
    """The links to a page's parts."""
    items = [f'<li><a href="#{place}">{heading.strip()}</a></li>' for place, heading in HEADING.findall(page)]
    if not items:
        return ""
    return f'<nav class="contents" aria-label="On this page"><strong>On this page</strong><ul>{"".join(items)}</ul></nav>'


def page_of(notebook, name):
    """The page of a notebook; `name` is its title if it says none."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = OF_THE_NEXT_CELL.sub("", cell.source)
    exporter = HTMLExporter(
        template_name="forklore-page", extra_template_basedirs=[str(HERE / "templates")], exclude_input_prompt=True
    )
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title_of(notebook, name)}})
    # A wide table scrolls in a box of its own; made a block itself, it would be no table to a screen reader.
    page = page.replace('href="glossary.md', 'href="glossary.html')
    page = page.replace("<table", '<div class="wide"><table').replace("</table>", "</table></div>")
    return page.replace("<!-- contents -->", contents(page), 1)


def write_page(notebook, path, lesson):
    """Writes the page of a notebook that came from the file `lesson`, and beside it that of the glossary to which all lessons
    lead for their words."""
    path = Path(path)
    path.write_text(page_of(notebook, lesson.stem), encoding="utf-8")
    glossary = lesson.with_name("glossary.md")
    if glossary.exists():
        text = nbformat.v4.new_markdown_cell(glossary.read_text(encoding="utf-8"))
        page = page_of(nbformat.v4.new_notebook(cells=[text]), "Glossary")
        path.with_name("glossary.html").write_text(page, encoding="utf-8")
