"""What ranks are measured by: the policy, and the calibration.

Each command returns the position it reached and can be repeated with its idempotency key. Beside
the refusals named, each raises KeyReused, Unavailable and OutcomeUnknown (see `change`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date

from matchgraph.commands.change import change
from matchgraph.domain import calibration, policy
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.calibration import Calibration, Scales
from matchgraph.domain.policy import KindPolicy, Policy
from matchgraph.eventstore.store import Request, Store


async def adopt_policy(store: Store, request: Request, kinds: Sequence[KindPolicy]) -> int:
    """Ranks artifacts of these kinds by other weights from now on.

    Raises: BadNumber, WeightsDoNotAddUp, KindTwice, UnknownFormula.
    """

    async def decide() -> Sequence[Aggregate]:
        known = await store.load(policy.ID)
        assert known is None or isinstance(known, Policy), "its id is its own"
        adopted = Policy.adopt(known, kinds)
        return [] if adopted is None else [adopted]

    return await change(store, request, "adopt_policy", kinds, decide)


async def calibrate(
    store: Store,
    request: Request,
    distributions: Callable[[], Awaitable[Scales]],
    *,
    due_since: date | None = None,
) -> int:
    """Measures what was observed by the distributions as they are now.

    With `due_since`, only if the calibration in force is of an earlier day than that; of several
    processes that find it due, one calibrates.
    Raises: StaleCalibration when the read models are behind the calibration in force.
    """

    async def decide() -> Sequence[Aggregate]:
        known = await store.load(calibration.ID)
        assert known is None or isinstance(known, Calibration), "its id is its own"
        if known is not None and due_since is not None and known.scales.day >= due_since:
            return []
        found = await distributions()
        if known is not None and known.scales.day > found.day:
            # A clock that jumped back: ages go on from the day that they have been counted from.
            found = replace(found, day=known.scales.day)
        return [Calibration.calibrate(known, found)]

    # Whatever the distributions are by the time it is repeated, it is the same command.
    return await change(store, request, "calibrate", (), decide)
