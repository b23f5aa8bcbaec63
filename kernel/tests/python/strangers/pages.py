"""The examples in the toolchain's documentation: the error index, Rust by Example, and the Book.

The documentation is HTML that mdBook made. Each code block has classes (`compile_fail`, `E0382`, `ignore`, ...). Lines
that a page does not show are marked `boring`: those that its author hid, and a `main` around what has none.
"""

import html
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ERROR_INDEX = "error_codes"
BY_EXAMPLE = "rust-by-example"
THE_BOOK = "book"

BLOCK = re.compile(r'<pre[^>]*><code class="language-(?:rust|Rust)([^"]*)">(.*?)</code></pre>', re.DOTALL)
HIDDEN = re.compile(r'<span class="boring">(.*?)</span>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")
# Hidden lines that mdBook puts around an example without `main`, and authors around what is a `main`'s inside.
ALLOW, BEGIN, END = "#![allow(unused)]", "fn main() {", "}"


@dataclass(frozen=True)
class Example:
    """One Rust code block of a page."""

    page: str
    # The first is 1.
    number: int
    classes: tuple
    # The whole program: the hidden lines too.
    program: str
    # The program without a hidden `main` around it: what a reader types into a notebook.
    cell: str

    @property
    def name(self):
        return f"{self.page}#{self.number}"

    @property
    def code(self):
        """The error that the page promises, such as E0382, or None."""
        return next((word for word in self.classes if re.fullmatch(r"E\d{4}", word)), None)


def documentation():
    """The folder of the toolchain's documentation. Installs it where it is missing and rustup can; or None."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
    folder = Path(sysroot.stdout.strip(), "share/doc/rust/html")
    if not folder.is_dir() and shutil.which("rustup"):
        subprocess.run(["rustup", "component", "add", "rust-docs"], capture_output=True, check=False)
    return folder if folder.is_dir() else None


def examples(folder, book):
    """All Rust examples of a book, in the order of its pages' names; translations are left out."""
    pages = sorted(Path(folder, book).rglob("*.html"))
    own = [page for page in pages if is_own_page(page.relative_to(Path(folder, book)))]
    return [example for page in own for example in on_page(page, str(page.relative_to(folder)))]


def is_own_page(path):
    """Whether it is neither a translation's page nor one that repeats others."""
    is_translation = len(path.parts[0]) == 2
    return not is_translation and path.name not in ("print.html", "toc.html", "error-index.html")


def on_page(path, name):
    """The Rust examples of one page."""
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [example(name, number, classes, block) for number, (classes, block) in enumerate(found, 1)]


def example(page, number, classes, block):
    # In turns what is shown and what is hidden.
    pieces = [html.unescape(TAG.sub("", piece)) for piece in HIDDEN.split(block)]
    # Reasons in parentheses, as in `ignore (removed error code)`, are no classes.
    words = re.sub(r"\([^)]*\)", "", html.unescape(classes)).replace(",", " ").split()
    return Example(page, number, tuple(words), "".join(pieces), without_wrapper(pieces))


def without_wrapper(pieces):
    """An example's lines without the hidden `main` around all of them."""
    hidden = [at for at in range(1, len(pieces), 2) if pieces[at].strip()]
    wrapper = {at for at in hidden if pieces[at].strip() == ALLOW}
    begins = [at for at in hidden if pieces[at].strip() == BEGIN]
    if begins and pieces[hidden[-1]].strip() == END and not "".join(pieces[hidden[-1] + 1 :]).strip():
        inside = "".join(pieces[begins[0] + 1 : hidden[-1]])
        # Else they are not the two ends of one function.
        if is_balanced(inside):
            wrapper |= {begins[0], hidden[-1]}
    return "".join(piece for at, piece in enumerate(pieces) if at not in wrapper)


def is_balanced(code):
    """Whether each brace that closes has one that opens before it."""
    depth = 0
    for c in code:
        depth += (c == "{") - (c == "}")
        if depth < 0:
            return False
    return depth == 0
