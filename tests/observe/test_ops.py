"""The dashboard and the alerts ask for what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from matchgraph.ledger.head import new_key, signers
from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.moving import CATALOG
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import served
from tests.observe.seen import Samples, samples

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "ops/grafana/matchgraph.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "ops/prometheus/alerts.yml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

# PromQL, as far as these expressions go: what is no metric.
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right"}
# Prometheus makes these itself.
GIVEN, GIVEN_LABELS = {"up"}, {"job", "instance", "le"}
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            yield panel


EXPRESSIONS = [
    *(target["expr"] for panel in panels() for target in panel["targets"]),
    *(rule["expr"] for rule in RULES),
]


def asked(expression: str) -> tuple[dict[str, list[tuple[str, str]]], set[str]]:
    """The metrics of an expression with what their labels must match, and the labels that it
    groups by."""
    grouped = {
        label.strip()
        for _, labels in GROUPING.findall(expression)
        for label in labels.split(",")
        if label.strip()
    }
    rest = re.sub(r"\[[^\]]*\]", "", GROUPING.sub(" ", expression))
    found: dict[str, list[tuple[str, str]]] = {}
    for match in SELECTOR.finditer(rest):
        name, matchers = match[1], match[2] or ""
        is_function = rest[match.end() :].lstrip().startswith("(") and not matchers
        if not is_function and name not in WORDS:
            found.setdefault(name, []).extend(MATCHER.findall(matchers))
    return found, grouped


def test_expressions_are_read_as_they_are_meant() -> None:
    expression = (
        'histogram_quantile(0.99, sum by (le, a) (rate(m_bucket{b="x",c=~"y|z"}[5m]))) > 1'
        " and ignoring (d) sum(n) / clamp_min(o, 0.1)"
    )
    assert asked(expression) == (
        {"m_bucket": [("b", "x"), ("c", "y|z")], "n": [], "o": []},
        {"le", "a", "d"},
    )


@pytest.fixture
async def found(url: str, servers: Servers) -> Samples:
    """What the metrics are after a little of everything."""
    async with served(url, servers.redis_url, signers=signers([new_key()])) as live:
        await call(live, "registerArtifact", **ARTIFACT)
        board = "{ rankBoard(first: 1) { nodes { slug rank { place } } } }"
        async with live.socket() as client:
            await client.subscribe(CATALOG)

            async def settled() -> bool:
                await live.ask(board)
                now = await samples(live)
                return (
                    any(("found", "hit") in labels for _, labels in now)
                    and now.get(("matchgraph_ledger_signed_position", frozenset()), 0) > 0
                    and now[("matchgraph_event_loop_lag_seconds_count", frozenset())] > 0
                )

            await until(settled, patience=60)
        await live.code("{ compare(slugs: []) { position } }")
        return await samples(live)


async def test_every_metric_and_label_that_is_asked_for_is_there(found: Samples) -> None:
    labels: dict[str, set[str]] = {}
    for name, said in found:
        labels.setdefault(name, set()).update(label for label, _ in said)
    metrics = 0
    for expression in EXPRESSIONS:
        wanted, grouped = asked(expression)
        assert wanted, expression
        known = set(GIVEN_LABELS)
        for name, matchers in wanted.items():
            metrics += 1
            if name in GIVEN:
                continue
            assert name in labels, f"{name} of {expression}"
            known |= labels[name]
            for label, _ in matchers:
                assert label in labels[name] | GIVEN_LABELS, f"{label} of {name}: {expression}"
        assert grouped <= known, f"{grouped - known} of {expression}"
    assert metrics > 50


async def test_every_value_of_a_label_that_is_asked_for_may_come(found: Samples) -> None:
    """Of those that do not depend on what goes wrong."""
    values: dict[str, set[str]] = {}
    for _, said in found:
        for label, value in said:
            values.setdefault(label, set()).add(value)
    rare = {"server_error", "unavailable|outcome_unknown", "slow|silent", "matchgraph", "$job"}
    for expression in EXPRESSIONS:
        for matchers in asked(expression)[0].values():
            for label, value in matchers:
                assert value in rare or value in values[label], f"{label}={value}: {expression}"


def test_panels_say_what_they_show_and_have_their_place() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert len(list(panels())) > 25


def test_every_alert_says_how_bad_it_is_and_what_to_do_is_documented() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) > 10
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in OPERATIONS, rule["alert"]


def test_prometheus_reads_the_alerts_that_are_there() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    mounted = {
        volume.split(":")[1]: volume.split(":")[0]
        for volume in compose["services"]["prometheus"]["volumes"]
    }
    (rules,) = config["rule_files"]
    assert mounted[rules] == "./ops/prometheus/alerts.yml"
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "matchgraph"
    assert job["dns_sd_configs"][0]["names"] == ["api"]
    assert compose["services"]["api"]["ports"] == ["127.0.0.1:8000:8000"]
