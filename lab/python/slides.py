"""Makes slides of a lesson: one page with everything in it, so that it needs no network.

    slides.py NOTEBOOK --reveal FOLDER --output OUT.html

The notebook may have been run or not; what its cells have put out comes with the next key press. What
becomes a slide follows from the lesson's pattern:

- A heading of the second level begins a column of slides, one of the third level a slide in it. A cell that
  does not fit below what is there begins another, under the same heading.
- The source of a cell that JupyterLab shows folded (`jupyter.source_hidden`), as it only draws, is left out.
- A prediction stands on the slide of its question. What a cell shows has to be asked for.
- Hints go to the speaker's notes; the solution is a slide of its own after its exercise.
- Imports and cells for other kernels are left out, and so is what a check says to the unsolved starter.

Notes for the speaker are written in a cell's metadata, `forklore.notes`, as Markdown (key S shows them).
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from traitlets.config import Config

HERE = Path(__file__).parent
# What a slide holds, in lines of text; what that is in points, the template says.
LINES = 21
LINE_PX = 32
COLUMNS = 105
CODE_LINE = 0.8
HEADING_LINES = 2
# A figure's own units are enlarged to the slide's width, up to the template's limit; it has a title, and its numbers folded.
FIGURE_SCALE = 1.75
HIGHEST_FIGURE_PX = 500
FIGURE_FRAME = 3
OUTPUT_ONLY = "output-only"
VIEW_BOX = re.compile(r'viewBox="0 0 \S+ (\S+)"')
# What begins a line of HTML that is seen, and what is not seen.
LINE = re.compile(r"<(?:p|li|tr|pre|summary)\b")
UNSEEN = re.compile(r"<(script|style)\b.*?</\1>|(?<=</summary>).*?(?=</details>)", re.DOTALL)
FOLDED = re.compile(r"<details><summary>(.*?)</summary>\s*(.*?)\s*</details>", re.DOTALL)


class Deck:
    """Cells with the kind of slide that each begins, how full the last slide is, and its heading."""

    def __init__(self):
        self.cells = []
        self.room = 0
        self.heading = ""

    def add(self, cell, kind, n_lines):
        cell.metadata["slideshow"] = {"slide_type": kind}
        # Two cells of a deck may come from one of the notebook.
        cell.id = f"slide-{len(self.cells)}"
        if kind in ("slide", "subslide"):
            self.room = LINES
        self.room -= n_lines
        self.cells.append(cell)

    def add_or_go_on(self, cell, n_lines, kind="-"):
        """Adds a cell to the slide, or to another with the same heading where there is no room left."""
        if n_lines > self.room:
            heading = f'### {self.heading} <span class="continued">(continued)</span>'
            self.add(nbformat.v4.new_markdown_cell(heading), "subslide", HEADING_LINES)
            kind = "-"
        self.add(cell, kind, n_lines)

    def text(self, source):
        self.add_or_go_on(nbformat.v4.new_markdown_cell(source), text_lines(source))

    def begin(self, source, kind):
        """A slide that begins with a heading."""
        self.heading = source.splitlines()[0].lstrip("# ")
        self.add(nbformat.v4.new_markdown_cell(source), kind, text_lines(source))

    def notes(self, source):
        # In front of what has to be asked for: as a part of that, it would be hidden with it.
        place = len(self.cells)
        while place > 0 and self.cells[place - 1].metadata.slideshow.slide_type == "fragment":
            place -= 1
        note = nbformat.v4.new_markdown_cell(source)
        note.metadata["slideshow"] = {"slide_type": "notes"}
        note.id = f"notes-{len(self.cells)}"
        self.cells.insert(place, note)

    def code(self, cell):
        self.add_or_go_on(nbformat.v4.new_code_cell(cell.source), code_lines(cell.source))

    def outputs(self, cell):
        for output in cell.outputs:
            shown = nbformat.v4.new_code_cell("", outputs=[output])
            shown.metadata["tags"] = [OUTPUT_ONLY]
            self.add_or_go_on(shown, output_lines(output), "fragment")


def text_lines(source):
    """About how many lines some Markdown takes."""
    return sum(1 + len(line) // COLUMNS for line in source.splitlines())


def code_lines(source):
    return CODE_LINE * len(source.splitlines()) + 1


def output_lines(output):
    if output.output_type == "stream":
        return code_lines(output.text)
    data = output.get("data", {})
    html = data.get("text/html", "") or data.get("image/svg+xml", "")
    drawn = VIEW_BOX.search(html)
    if drawn:
        return min(float(drawn[1]) * FIGURE_SCALE, HIGHEST_FIGURE_PX) / LINE_PX + FIGURE_FRAME
    return max(len(data.get("text/plain", "").splitlines()), len(LINE.findall(UNSEEN.sub("", html)))) + 2


def paragraphs(source):
    """Blocks that are not to be torn apart: code between fences stays together, and a heading with what follows."""
    blocks, fenced = [], False
    for block in source.split("\n\n"):
        if fenced or (blocks and blocks[-1].lstrip().startswith("#") and "\n" not in blocks[-1].strip()):
            blocks[-1] += "\n\n" + block
        else:
            blocks.append(block)
        if block.count("```") % 2:
            fenced = not fenced
    return blocks


def add_markdown(deck, source):
    for block in filter(str.strip, paragraphs(source)):
        if block.startswith(("# ", "## ")):
            deck.begin(block, "slide")
        elif block.startswith("### "):
            deck.begin(block, "subslide")
        else:
            deck.text(block)


def header(source):
    """The title and what the lesson is about, without the words to a reader who is alone."""
    lines = source.split("\n\nRun the cells")[0].splitlines()
    return "\n".join(line for line in lines if not line.startswith("| **Rust in this lesson**"))


def add_cell(deck, cell):
    name = cell.id
    if cell.cell_type == "raw" or name == "import":
        return
    if name == "header":
        deck.begin(header(cell.source), "slide")
    elif name.startswith("hints-"):
        hints = [f"**{title}.** {text}" for title, text in FOLDED.findall(cell.source)]
        deck.notes("\n\n".join(hints))
    elif name.startswith("solution-"):
        for _, text in FOLDED.findall(cell.source):
            deck.begin(f"### Solution\n\n{text}", "subslide")
    elif name.startswith("check-"):
        return
    elif cell.cell_type == "markdown":
        add_markdown(deck, cell.source.split("\n\n<small>")[0])
    elif cell.source.strip() and not cell.metadata.get("jupyter", {}).get("source_hidden"):
        deck.code(cell)
    notes = cell.metadata.get("forklore", {}).get("notes")
    if notes:
        deck.notes(notes)
    if cell.cell_type == "code" and not name.startswith(("prediction", "exercise-")):
        deck.outputs(cell)


def deck_of(notebook):
    deck = Deck()
    for cell in notebook.cells:
        add_cell(deck, cell)
    slides = nbformat.v4.new_notebook(cells=deck.cells, metadata=notebook.metadata)
    return slides


def title_of(notebook):
    about = notebook.metadata.get("forklore", {})
    return f"{about.get('lesson', '')} · {about.get('title', 'A lesson')}"


def page_of(notebook, reveal):
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {OUTPUT_ONLY}
    exporter = SlidesExporter(
        config=config,
        template_name="forklore-slides",
        extra_template_basedirs=[str(HERE / "templates")],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    # A closing tag in a string of a script would end the script.
    script = lambda path: (reveal / path).read_text(encoding="utf-8").replace("</script", "<\\/script")
    resources = {
        "metadata": {"name": title_of(notebook)},
        "forklore": {
            "css": (reveal / "dist/reveal.css").read_text(encoding="utf-8"),
            "js": script("dist/reveal.js"),
            "notes": script("plugin/notes/notes.js"),
        },
    }
    page, _ = exporter.from_notebook_node(deck_of(notebook), resources)
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--reveal", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    notebook = nbformat.read(arguments.notebook, as_version=4)
    arguments.output.write_text(page_of(notebook, arguments.reveal), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
