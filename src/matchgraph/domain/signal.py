"""A value: an observed number about an artifact, from one source at one moment."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from matchgraph.domain import text
from matchgraph.domain.decimals import exact
from matchgraph.domain.errors import BadNumber
from matchgraph.domain.provenance import Method, check_observed

TOO_LARGE = Decimal(10) ** 15
MOST_PLACES = 18


class SignalName(StrEnum):
    """What was counted or checked. A checklist item is 1 (it holds) or 0 (it does not)."""

    DOWNLOADS_30D = "downloads_30d"
    DEPENDENTS = "dependents"
    STARS = "stars"
    CHOOSERS = "choosers"
    EXTENSIONS = "extensions"
    INTEGRATIONS = "integrations"
    HOSTS = "hosts"
    PROTOCOLS = "protocols"
    LICENCE = "licence"
    DOCS = "docs"
    VERSIONED_RELEASE = "versioned_release"
    TYPED_SCHEMA = "typed_schema"
    TESTS = "tests"
    EXAMPLES = "examples"
    CHANGELOG = "changelog"
    SECURITY_POLICY = "security_policy"
    SIGNED_PROVENANCE = "signed_provenance"
    CLAIMS_VERIFIED = "claims_verified"

    @property
    def is_checklist_item(self) -> bool:
        """Whether the value answers a yes-or-no question."""
        return self in CHECKLIST


CHECKLIST = frozenset(
    {
        SignalName.LICENCE,
        SignalName.DOCS,
        SignalName.VERSIONED_RELEASE,
        SignalName.TYPED_SCHEMA,
        SignalName.TESTS,
        SignalName.EXAMPLES,
        SignalName.CHANGELOG,
        SignalName.SECURITY_POLICY,
        SignalName.SIGNED_PROVENANCE,
        SignalName.CLAIMS_VERIFIED,
    }
)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One number, as one source showed it at one moment."""

    name: SignalName
    value: Decimal
    source: str
    observed_at: datetime
    method: Method = Method.OBSERVED

    def checked(self, now: datetime) -> "Signal":
        """Returns the signal. Raises: BadNumber, BadText, FutureObservation."""
        check_observed(self.name, self.observed_at, now)
        if not self.value.is_finite() or not 0 <= self.value < TOO_LARGE:
            raise BadNumber(self.name, str(self.value)[:40], "it must be from 0 to below 10^15")
        plain = exact(self.value, MOST_PLACES)
        if plain is None:
            raise BadNumber(
                self.name, str(self.value)[:40], f"it has more than {MOST_PLACES} decimal places"
            )
        if self.name.is_checklist_item and self.value not in (0, 1):
            raise BadNumber(self.name, str(self.value)[:40], "a checklist item is 0 or 1")
        return replace(
            self,
            source=text.words("source", self.source, limit=500),
            value=plain,
        )
