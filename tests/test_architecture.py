"""Imports point inward only, and the domain is pure."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACTS = str(ROOT / "pyproject.toml")


def lint(config: str) -> "subprocess.CompletedProcess[str]":
    """Runs the import contracts of that file."""
    program = (
        "import sys; from importlinter.cli import lint_imports;"
        f" sys.path.insert(0, {str(ROOT / 'src')!r});"
        f" sys.exit(lint_imports(config_filename={config!r}, no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60
    )


def test_every_import_contract_is_kept() -> None:
    found = lint(CONTRACTS)
    assert found.returncode == 0, found.stdout
    assert "Contracts: 6 kept, 0 broken." in found.stdout


def test_a_contract_that_is_broken_is_found(tmp_path: Path) -> None:
    config = tmp_path / "contracts.toml"
    config.write_text(
        """
        [tool.importlinter]
        root_packages = ["matchgraph"]
        [[tool.importlinter.contracts]]
        name = "Queries do not know the domain"
        type = "forbidden"
        source_modules = ["matchgraph.queries"]
        forbidden_modules = ["matchgraph.domain"]
        """
    )
    found = lint(str(config))
    assert found.returncode != 0
    assert "1 broken" in found.stdout
