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


# Of two the family is known; the third only bears its name.
MODELS = [
    Artifact.register(slug, Kind.MODEL, Facts(name=name, family=family), provenance())
    for slug, name, family in (
        ("aster-2", "Aster 2", "aster"),
        ("bolt-aster-2", "Bolt Aster 2", None),
        ("bolt-3", "Bolt 3", "bolt"),
    )
]
for model in MODELS:
    model.add_capability(capability("poems", description="Writes poems."))


@pytest.fixture(scope="module")
def filled(servers: Servers, template: str) -> Iterator[str]:
    tables = [made(slug, *said) for slug, said in NEEDING.items()]
    yield from shared(servers, template, MODELS + tables)


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


async def found(pool: Pool, text: str) -> set[str]:
    """The slugs of the results."""
    async with viewing(pool) as snapshot:
        said = await Searching(None).search(snapshot, Need(text=text), today=TODAY)
    rows = await pool.fetch(
        "SELECT slug FROM artifact_listing WHERE id = ANY ($1)",
        [one.candidate.artifact_id for one in said.answer.results],
    )
    return {row["slug"] for row in rows}


async def test_whoever_needs_what_is_excluded_is_no_result(pool: Pool) -> None:
    for words, gone in EXCLUDED:
        assert await found(pool, f"extract tables, {words}") == NEEDING.keys() - gone, words


async def test_what_bears_the_name_of_a_family_is_excluded_with_it(pool: Pool) -> None:
    assert await found(pool, "poems") == {"aster-2", "bolt-aster-2", "bolt-3"}
    for words in ("not Aster", "anything but Aster", "no Aster models", "Aster is not an option"):
        assert await found(pool, f"poems, {words}") == {"bolt-3"}, words
