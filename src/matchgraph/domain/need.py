"""A value: what somebody looks for, in words, by example and by conditions."""

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.price import Unit


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The most that may be asked, for ONE unit (one token, one image) in that currency."""

    amount: Decimal
    per: Unit
    currency: str = "USD"


@dataclass(frozen=True, kw_only=True)
class Where:
    """What an artifact must be like; what is None or empty does not matter.

    Everything given must hold; of several entries of one list one must, except for types and
    `must_have`, of which all must, and for the lists of what must not be. What nobody said of an
    artifact does not hold. `must_have` and `must_not_have` are capability keys or plain words;
    `cheaper_than` is a slug.
    """

    kinds: tuple[Kind, ...] = ()
    not_kinds: tuple[Kind, ...] = ()
    free: bool | None = None
    open_weights: bool | None = None
    self_hostable: bool | None = None
    price_ceilings: tuple[Ceiling, ...] = ()
    cheaper_than: str | None = None
    min_context_tokens: int | None = None
    min_output_tokens: int | None = None
    input_types: tuple[DataType, ...] = ()
    output_types: tuple[DataType, ...] = ()
    tool_calling: bool | None = None
    reasoning: bool | None = None
    structured_output: bool | None = None
    vendors: tuple[str, ...] = ()
    not_vendors: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    not_families: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    not_providers: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    not_licences: tuple[str, ...] = ()
    must_have: tuple[str, ...] = ()
    must_not_have: tuple[str, ...] = ()
    released_since: date | None = None
    released_before: date | None = None

    def said(self) -> dict[str, object]:
        """The conditions that are given, by name."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) not in (None, ())
        }


@dataclass(frozen=True, kw_only=True)
class Need:
    """What somebody looks for. `like` and `unlike` are slugs: artifacts that serve the same
    intents are meant, or those that serve others; neither is among the results."""

    text: str | None = None
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    where: Where = Where()
