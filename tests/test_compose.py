"""docker-compose.yml and the Dockerfile, checked as far as that goes without an engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from matchgraph.observe.traces import ENDPOINTS

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OBSERVE = {name: s for name, s in COMPOSE["services"].items() if s.get("profiles") == ["observe"]}
OURS = {name: s for name, s in COMPOSE["services"].items() if s.get("build") == "."}


def test_the_servers_and_every_part_of_ours_are_there() -> None:
    assert set(COMPOSE["services"]) == {"postgres", "valkey", *OBSERVE, *OURS}
    assert {"api", "projector", "migrate"} <= set(OURS)
    assert "pgvector" in COMPOSE["services"]["postgres"]["image"]


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_runs_a_command_that_exists(name: str) -> None:
    asked = [sys.executable, "-m", "matchgraph", *OURS[name]["command"], "--help"]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_waits_for_what_it_needs(name: str) -> None:
    needed = set(OURS[name]["depends_on"])
    assert needed <= set(COMPOSE["services"])
    assert needed == ({"postgres", "valkey"} if name == "migrate" else {"migrate"})
    said = set(OURS[name]["environment"])
    assert {one for one in said if not one.startswith(("MATCHGRAPH_", "OTEL_"))} == {
        *("DATABASE_URL", "REDIS_URL")
    }
    assert {"MATCHGRAPH_SECRET", "MATCHGRAPH_SEARCH_KEYS"} <= said


def test_only_what_signs_has_the_key() -> None:
    having = {name for name, one in OURS.items() if "MATCHGRAPH_LEDGER_KEY" in one["environment"]}
    assert having == {"projector"}


def test_every_setting_that_is_passed_on_is_one() -> None:
    known = (ROOT / "src" / "matchgraph" / "settings.py").read_text()
    for service in OURS.values():
        for name, value in service["environment"].items():
            assert f'"{name}"' in known or name in ENDPOINTS
            # What is not set is as if it were not passed on.
            needed = name.endswith(("_URL", "_SECRET", "_SEARCH_KEYS", "_LEDGER_KEY"))
            assert needed or value == f"${{{name}:-}}"


def test_what_observes_is_left_out_unless_asked_for_and_finds_its_files() -> None:
    assert set(OBSERVE) == {"prometheus", "grafana"}
    for service in OBSERVE.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), volume
        for secret in service.get("secrets", ()):
            assert COMPOSE["secrets"][secret] == {"environment": "MATCHGRAPH_METRICS_TOKEN"}


def test_what_the_image_copies_and_runs_is_there() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (source,) = re.findall(r"COPY (requirements/\S+)", dockerfile)
    assert (ROOT / source).exists()
    (command,) = re.findall(r"CMD (\[.*\])", dockerfile)
    asked = [sys.executable, "-m", "matchgraph", *yaml.safe_load(command), "--help"]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0
