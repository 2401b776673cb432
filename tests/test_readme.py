"""What the README shows is what comes back, and every file it leads to is there."""

import json
import re
from pathlib import Path

from graphql import parse, validate

from matchgraph.commands.catalog import take_in
from matchgraph.eventstore.store import Request, Store
from matchgraph.graphql.schema import build
from matchgraph.imports import manifest, models_dev
from matchgraph.servers import Servers
from tests.conftest import project
from tests.graphql.client import serving

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


async def test_the_first_question_gets_the_answer_shown(
    url: str, servers: Servers, store: Store, request_by: Request
) -> None:
    drafts = [
        draft
        for draft in (
            *manifest.read(ROOT / "catalog" / "catalog.yaml").drafts,
            *models_dev.drafts(),
        )
        if draft.slug in ("qwen3.5-35b-a3b", "stable-diffusion-3.5-large")
    ]
    assert len(drafts) == 4
    await take_in(store, request_by, drafts)
    await project(url, store)
    asked = re.search(r"-d '(\{\"query\".*?\})'", README, re.DOTALL)
    assert asked
    query = json.loads(asked[1])["query"]

    async with serving(url, servers.redis_url, project=False) as api:
        compared = (await api.ask(query))["compare"]

    shown = [json.loads(line) for line in README.splitlines() if line.startswith('{"name":')]
    assert len(shown) == 3
    for row in shown:
        assert row in compared["rows"]
    (price,) = re.findall(r"starts at `([^`]*)`", README.replace("\n", " "))
    assert compared["artifacts"][1]["startingPrice"]["display"] == price


async def test_the_first_mutation_is_taken(url: str, servers: Servers) -> None:
    shown = re.search(r"```graphql\n(mutation.*?)```", README, re.DOTALL)
    assert shown
    # The projector does not run here, so nothing is read back.
    mutation = shown[1].replace("artifact { slug name }", "")

    async with serving(url, servers.redis_url, project=False) as api:
        answer = await api.ask(mutation)

    assert answer["registerArtifact"]["__typename"] == "ArtifactRegistered"


def test_every_example_asks_for_what_there_is() -> None:
    examples = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)
    assert len(examples) >= 5
    for example in examples:
        assert validate(build()._schema, parse(example)) == [], example


def test_every_link_leads_to_a_file() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not link.startswith("https://"):
                assert (document.parent / link).exists(), f"{document.name}: {link}"
