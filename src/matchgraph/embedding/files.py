"""The files of a model, in packages that have nothing else to do with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path


class ModelUnusable(Exception):
    """A model is not installed, or not the one that is expected; the message says what to do."""


@dataclass(frozen=True)
class ModelFile:
    """A file of an installed package, known by its contents."""

    package: str
    path: str
    sha256: str

    def read(self) -> bytes:
        """What is in it, without importing the package.

        Raises: ModelUnusable when it is not there, or is another one.
        """
        found = self.find()
        if found is None:
            raise ModelUnusable(f"{self.path} of the package {self.package} is not there")
        contents = found.read_bytes()
        if sha256(contents).hexdigest() != self.sha256:
            raise ModelUnusable(
                f"{found} is damaged, or of another release: its SHA-256 is not {self.sha256}"
            )
        return contents

    def find(self) -> Path | None:
        """Where it is, or None when it is not installed."""
        folder = folder_of(self.package)
        path = None if folder is None else folder / self.path
        return path if path is not None and path.is_file() else None


def folder_of(package: str) -> Path | None:
    """Where the package is installed, or None."""
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def missing(packages: Iterable[str]) -> list[str]:
    """Which of the packages are not installed."""
    return [package for package in packages if folder_of(package) is None]
