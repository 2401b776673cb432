"""Where a claim comes from and how far it can be trusted."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from matchgraph.domain import text
from matchgraph.domain.errors import BadText, FutureObservation


class Method(StrEnum):
    """How a claim came to be, weakest first."""

    INFERRED = "inferred"
    OBSERVED = "observed"
    DECLARED = "declared"
    VERIFIED = "verified"

    @property
    def strength(self) -> int:
        """A claim replaces one of the same or a lower strength: what a curator or the maker
        declared is not overwritten by a crawler's guess, and what somebody independent verified
        not by what its maker declares."""
        return STRENGTH[self]


STRENGTH = {Method.INFERRED: 0, Method.OBSERVED: 1, Method.DECLARED: 2, Method.VERIFIED: 3}
# Clocks of sources differ; a date without a time zone can be up to a day ahead of UTC.
CLOCK_TOLERANCE = timedelta(days=1)
# Earlier is a mistake; the first days of the year 1 are not even a moment in every time zone.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who says so, how they know, and when it was so."""

    method: Method
    source: str
    observed_at: datetime

    def checked(self, now: datetime) -> "Provenance":
        """Returns the provenance with its source trimmed. Raises: BadText, FutureObservation."""
        check_observed("provenance", self.observed_at, now)
        return replace(self, source=text.words("source", self.source, limit=500))


def check_observed(what: str, observed_at: datetime, now: datetime) -> None:
    """Raises: BadText without a time zone or before anybody counted, FutureObservation beyond the
    tolerance of clocks."""
    if observed_at.tzinfo is None:
        raise BadText(f"{what}: observed_at", "it needs a time zone")
    if observed_at < EARLIEST:
        raise BadText(f"{what}: observed_at", f"it lies before the year {EARLIEST.year}")
    if observed_at > now + CLOCK_TOLERANCE:
        raise FutureObservation(what, observed_at)
