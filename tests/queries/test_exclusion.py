"""What a need excludes in words is not among the results, however either side writes it."""

from collections.abc import Iterator
from datetime import date

import pytest

from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.need import Need
from matchgraph.eventstore.connection import Pool
from matchgraph.queries.searching import Searching
from matchgraph.queries.snapshot import viewing
from matchgraph.servers import Servers
from tests.eventstore.histories import capability, provenance
from tests.queries.catalogs import shared

TODAY = date(2026, 11, 23)
# What each needs, and whether it can be hosted by oneself.
NEEDING: dict[str, tuple[str | None, bool | None]] = {
    "in-containers": ("Docker for the container", True),
    "on-clusters": ("a Kubernetes cluster", True),
    "with-key": ("an API key", None),
    "with-keys": ("API-keys of a provider", True),
    "with-apikey": ("an apikey", True),
    "on-gpus": ("several GPUs", True),
    "online": ("internet access", True),
    "remote": ("a cloud account", False),
    "tuned": ("fine-tuning on own data", True),
    "tuned-too": ("finetuning", True),
    "on-node": ("Node.js", True),
    "plain": (None, True),
}


def made(slug: str, needs: str | None, self_hostable: bool | None) -> Artifact:
    facts = Facts(name=slug.replace("-", " "), vendor="Acme", self_hostable=self_hostable)
    one = Artifact.register(slug, Kind.APP, facts, provenance())
    requires = (needs,) if needs else ()
    one.add_capability(
        capability("tables", description="Extracts tables from pages.", requires=requires)
    )
    return one


@pytest.fixture(scope="module")
def filled(servers: Servers, template: str) -> Iterator[str]:
    yield from shared(servers, template, [made(slug, *said) for slug, said in NEEDING.items()])


@pytest.fixture
def url(filled: str) -> str:
    return filled


KEYS = {"with-key", "with-keys", "with-apikey"}
EXCLUDED: list[tuple[str, set[str]]] = [
    ("without docker", {"in-containers"}),
    ("nothing that needs docker", {"in-containers"}),
    ("docker-free", {"in-containers"}),
    ("no kubernetes", {"on-clusters"}),
    ("no k8s", {"on-clusters"}),
    ("neither docker nor kubernetes", {"in-containers", "on-clusters"}),
    ("without an api key", KEYS),
    ("no API keys", KEYS),
    ("doesn't need an api-key", KEYS),
    ("no apikey", KEYS),
    ("no gpu needed", {"on-gpus"}),
    ("I don't have a GPU", {"on-gpus"}),
    ("doesn't need internet", {"online", "remote", "with-key"}),
    ("not cloud based", {"remote", "with-key"}),
    ("without node", {"on-node"}),
    ("without a cloud account", {"remote"}),
]


async def test_whoever_needs_what_is_excluded_is_no_result(pool: Pool) -> None:
    for words, gone in EXCLUDED:
        async with viewing(pool) as snapshot:
            need = Need(text=f"extract tables, {words}")
            found = await Searching(None).search(snapshot, need, today=TODAY)
        slugs = {
            row["slug"]
            for row in await pool.fetch(
                "SELECT slug FROM artifact_listing WHERE id = ANY ($1)",
                [one.candidate.artifact_id for one in found.answer.results],
            )
        }
        assert slugs == NEEDING.keys() - gone, words
