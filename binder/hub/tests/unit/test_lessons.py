"""The lessons in a learner's home: there in the first session, newest where the learner has not worked."""

import shutil
import subprocess
from pathlib import Path

import pytest

from forklore_hub.spawner import script

BINDER = Path(__file__).parents[3]
SCRIPT = "hub/forklore_hub/scripts/lessons.sh"


@pytest.fixture
def session(tmp_path):
    """Begins a session: brings the lessons, and answers with the home's folder of them and with what was said."""
    home, source = tmp_path / "home", tmp_path / "source"
    home.mkdir()
    source.mkdir()

    def begin(**lessons):
        for name, text in lessons.items():
            (source / f"{name}.ipynb").write_text(text)
        environment = {"PATH": "/usr/bin:/bin", "FORKLORE_LESSONS": str(source)}
        run = ["sh", "-c", script("lessons.sh") + 'exec "$@"\n', "session", "echo", "JupyterLab"]
        ended = subprocess.run(run, cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert ended.stdout.endswith("JupyterLab\n"), "whatever happens, the session begins"
        return home / "lessons", ended.stdout + ended.stderr

    return begin


def visible(folder):
    return {path.name: path.read_text() for path in folder.glob("[!.]*")}


def test_the_first_session_has_all_lessons(session):
    lessons, said = session(one="1", two="2")
    assert said == "JupyterLab\n"
    assert visible(lessons) == {"one.ipynb": "1", "two.ipynb": "2"}


def test_answers_and_code_stay_where_they_are(session, tmp_path):
    lessons, _ = session(one="1")
    source = tmp_path / "source"
    (source / "answers").mkdir()
    for name in ["README.md", "Cargo.toml", "answers/01-exercises.json"]:
        (source / name).write_text(name)
    session()
    assert visible(lessons) == {"one.ipynb": "1", "README.md": "README.md"}


def test_new_versions_replace_what_nobody_worked_in(session):
    lessons, _ = session(one="1", two="2")
    (lessons / "one.ipynb").write_text("1, and my answer")
    (lessons / "mine.ipynb").write_text("mine")
    session(one="1, corrected", two="2, corrected", three="3")
    expected = {"one": "1, and my answer", "two": "2, corrected", "three": "3", "mine": "mine"}
    assert visible(lessons) == {f"{name}.ipynb": text for name, text in expected.items()}
    # Also after a second time, when what was copied last is something else than what the learner began with.
    session(one="1, corrected again")
    assert (lessons / "one.ipynb").read_text() == "1, and my answer"


def test_a_lesson_that_is_gone_comes_back_in_its_newest_version(session):
    lessons, _ = session(one="1")
    (lessons / "one.ipynb").unlink()
    session(one="1, corrected")
    assert visible(lessons) == {"one.ipynb": "1, corrected"}


def test_lessons_from_before_this_was_noted_stay(session):
    lessons, _ = session()
    lessons.mkdir(exist_ok=True)
    (lessons / "one.ipynb").write_text("worked in")
    session(one="1")
    assert visible(lessons) == {"one.ipynb": "worked in"}


def test_a_home_without_room_is_named_and_the_session_begins(session):
    lessons, _ = session()
    lessons.joinpath(".originals").rmdir()
    lessons.rmdir()
    # Stands in the way, as a full disk would.
    lessons.write_text("a file")
    _, said = session(one="1")
    assert "not all lessons could be copied" in said
    assert lessons.read_text() == "a file"


def test_an_image_brings_new_versions_where_nobody_worked(tmp_path):
    image, home = tmp_path / "image", tmp_path / "home"
    for name in ("start", SCRIPT):
        (image / "binder" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BINDER / name, image / "binder" / name)
    home.mkdir()

    def start(folder, **lessons):
        (image / "lessons").mkdir(exist_ok=True)
        for name, text in lessons.items():
            (image / "lessons" / f"{name}.ipynb").write_text(text)
        run = ["bash", image / "binder/start", "echo", "JupyterLab"]
        ended = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        assert ended.stdout == "JupyterLab\n" and not ended.stderr, ended
        return visible(folder / "lessons")

    assert start(home, one="1", two="2") == {"one.ipynb": "1", "two.ipynb": "2"}
    (home / "lessons/one.ipynb").write_text("1, and my answer")
    assert start(home, one="1, corrected", two="2, corrected") == {"one.ipynb": "1, and my answer", "two.ipynb": "2, corrected"}
    # The checkout itself, as Binder has it.
    start(image)
    assert not (image / "lessons/.originals").exists()
