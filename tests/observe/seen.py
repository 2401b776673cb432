"""What an application shows of itself."""

from prometheus_client.parser import text_string_to_metric_families

from tests.graphql.client import Api

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def samples(api: Api) -> Samples:
    """Every figure of /metrics, by its name and labels."""
    response = await api.http.get("/metrics")
    assert response.status_code == 200
    return read(response.text)


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Samples, name: str, /, **labels: str) -> float:
    """The figure of that name and exactly these labels; 0 as long as there is none."""
    return found.get((f"matchgraph_{name}", frozenset(labels.items())), 0)
