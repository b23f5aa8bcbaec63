"""The documentation site, as a folder that needs no network: the documents, the library's pages, and the course.

    python3 .github/site/build.py [--no-course] [FOLDER]

FOLDER is target/site if none is given. The course is run for its pages, which takes some 10 minutes; `--no-course`
leaves it out. rustdoc renders the documents, so nothing has to be installed.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
MADE = ("artifacts", "corpus", "coverage", "node_modules", "target")
# How rustdoc runs an example is of no use on a page.
ATTRIBUTES = re.compile(r"^```rust,\S+", re.MULTILINE)


def run(*command):
    subprocess.run(command, cwd=ROOT, check=True)


def files():
    """The repository's files, without what programs make and what GitHub reads, each once."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")) and name not in MADE)
        paths = (Path(folder, name) for name in sorted(names))
        yield from (path.relative_to(ROOT) for path in paths if not path.is_symlink())


def page_of(document):
    """A document's page: a README is its folder's first page."""
    name = "index.html" if document.name == "README.md" else document.stem + ".html"
    return document.parent / name


def rewritten(text, document, pages, repository):
    """The document with its links going to other pages, or to the repository's files."""

    def target(link):
        path, hash_mark, heading = link[1].partition("#")
        if "://" in path or not path:
            return link[0]
        file = Path(os.path.normpath(document.parent / path))
        file = file / "README.md" if file / "README.md" in pages else file
        if file in pages:
            path = os.path.relpath(pages[file], document.parent)
        elif file.suffix != ".png":
            path = f"{repository}/tree/main/{file}"
        return f"]({path}{hash_mark}{heading})"

    return ATTRIBUTES.sub("```rust", LINK.sub(target, text))


def render(document, pages, repository, folder):
    page = folder / pages[document]
    page.parent.mkdir(parents=True, exist_ok=True)
    top = os.path.relpath(folder, page.parent)
    links = [("Forklore", "index.html"), ("Library", "api/forklore/index.html"), ("Course", "lessons/index.html")]
    links += [("Architecture", "ARCHITECTURE.html"), ("Contributing", "CONTRIBUTING.html")]
    items = "".join(f'<a href="{top}/{path}">{name}</a>' for name, path in links)
    with tempfile.TemporaryDirectory() as scratch:
        # rustdoc takes the page's name from the file's.
        source = Path(scratch, page.stem + ".md")
        source.write_text(rewritten((ROOT / document).read_text("utf-8"), document, pages, repository), "utf-8")
        navigation = Path(scratch, "navigation.html")
        navigation.write_text(f"<nav>{items}</nav>\n", "utf-8")
        run("rustdoc", str(source), "--output", str(page.parent), "--markdown-no-toc",
            "--markdown-css", f"{top}/site.css", "--html-before-content", str(navigation))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=ROOT / "target/site")
    parser.add_argument("--no-course", action="store_true", help="leave out the course, which has to be run")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    if folder.exists():
        # Never what is not a site of ours.
        if any(folder.iterdir()) and not (folder / "site.css").exists():
            parser.error(f"{folder} has other files in it; name a new folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)

    documents = [file for file in files() if file.suffix == ".md"]
    pages = {document: page_of(document) for document in documents}
    pages[Path("src/lib.rs")] = Path("api/forklore/index.html")
    if not arguments.no_course:
        pages |= {file: Path("course", file.stem + ".html") for file in files() if file.suffix == ".ipynb"}
    manifest = (ROOT / "Cargo.toml").read_text("utf-8")
    repository = re.search(r'^repository = "(.*)"$', manifest, re.MULTILINE)[1]
    shutil.copy(HERE / "site.css", folder)
    shutil.copytree(HERE.parent / "images", folder / ".github/images")
    for document in documents:
        render(document, pages, repository, folder)

    run("cargo", "doc", "--locked", "--no-deps", "--all-features", "--package", "forklore")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    shutil.copytree(target / "doc", folder / "api")
    if not arguments.no_course:
        run("cargo", "run", "--locked", "--package", "forklore-kernel", "--bin", "forklore", "--",
            "lessons", "html", "--output", str(folder / "course"))
    print(folder / "index.html")


if __name__ == "__main__":
    main()
