"""Has repo2docker make an image of a checkout, with buildah as its engine.

    image.py CHECKOUT TAG [--stand-in SCRIPT] [--storage FOLDER]

buildah runs each step in a chroot and needs no daemon. With `--stand-in`, SCRIPT makes the Python environment in the
place of the step in which repo2docker fetches one from conda-forge. Without `--storage`, the Dockerfile is only printed.
"""

import argparse
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from repo2docker.app import Repo2Docker
from repo2docker.engine import ContainerEngine

# The step that fetches, and the one that would activate what it fetched.
FETCHES, ACTIVATES = "install-2dbase-2denv", "activate-2dconda"


class Buildah(ContainerEngine):
    def build(self, *, buildargs, tag, fileobj, **_):
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=fileobj) as context:
                context.extractall(folder, filter="tar")
            if self.parent.stand_in:
                stand_in(folder, self.parent.stand_in)
            args = [f"--build-arg={name}={value}" for name, value in buildargs.items()]
            subprocess.run(
                ["buildah", *self.parent.storage, "build", "--isolation=chroot", "--pull-never", *args, "--tag", tag, folder],
                check=True,
                stdin=subprocess.DEVNULL,
            )
        return []

    def images(self):
        return []

    def inspect_image(self, image):
        return None

    def push(self, *args, **kwargs):
        raise NotImplementedError("images are made here and go nowhere")

    run = push


def stand_in(folder, script):
    """Puts `script` in the place of what fetches the environment."""
    files = list((Path(folder) / "build_script_files").iterdir())
    (fetches,) = (file for file in files if FETCHES in file.name)
    (activates,) = (file for file in files if ACTIVATES in file.name)
    fetches.write_text(Path(script).read_text())
    activates.write_text("")


class Image(Repo2Docker):
    stand_in = None
    storage = ()

    def get_engine(self):
        return Buildah(parent=self)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout")
    parser.add_argument("tag")
    parser.add_argument("--stand-in")
    parser.add_argument("--storage")
    options = parser.parse_args()

    image = Image(repo=options.checkout, output_image_spec=options.tag, user_id=1000, user_name="jovyan")
    image.run = False
    image.dry_run = options.storage is None
    image.stand_in = options.stand_in
    if options.storage:
        storage = Path(options.storage).absolute()
        image.storage = (f"--root={storage}/images", f"--runroot={storage}/run", "--storage-driver=overlay")
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    image.initialize()
    image.start()


if __name__ == "__main__":
    main()
