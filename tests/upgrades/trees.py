"""Other releases: copies of this one with another number and other migrations, run as processes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = '__version__ = "0.1.0"'


def release(
    folder: Path, version: str, added: Mapping[str, str], *, without: str | None = None
) -> dict[str, str]:
    """The environment that makes `python -m matchgraph` that release: this code, without one
    migration and with others."""
    package = folder / version / "src" / "matchgraph"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "matchgraph", package, ignore=ignored)
    said = (package / "__init__.py").read_text()
    assert VERSION in said
    (package / "__init__.py").write_text(said.replace(VERSION, f'__version__ = "{version}"'))
    migrations = folder / version / "migrations"
    shutil.copytree(ROOT / "migrations", migrations)
    if without is not None:
        (migrations / f"{without}.sql").unlink()
    for name, text in added.items():
        (migrations / f"{name}.sql").write_text(text)
    kept = {name: value for name, value in os.environ.items() if "MATCHGRAPH" not in name}
    return {**kept, "PYTHONPATH": str(package.parent), "COLUMNS": "80"}


def migration(statements: str, depends: str, *, transaction: bool = True) -> str:
    """The file of a migration."""
    said = "" if transaction else "-- transaction: false\n"
    return (
        f"-- What is new?\n-- depends: {depends}\n{said}\n-- migrate: apply\n\n{statements}\n\n"
        "-- migrate: rollback\n"
    )


def run(
    environment: dict[str, str], *arguments: str, timeout: float = 90
) -> "subprocess.CompletedProcess[str]":
    """Runs the program of a release to its end."""
    try:
        return subprocess.run(
            [sys.executable, "-m", "matchgraph", *arguments],
            env=environment,
            cwd=environment["PYTHONPATH"],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as reason:
        raise AssertionError(f"{arguments} does not end: {reason.stderr!r}") from None
