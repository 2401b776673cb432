"""Policy: how much each part of a rank weighs, kind by kind, since when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from matchgraph.domain.aggregate import Aggregate, Recurring
from matchgraph.domain.artifact import Kind
from matchgraph.domain.errors import BadNumber, KindTwice, UnknownFormula, WeightsDoNotAddUp

ID = uuid5(NAMESPACE_URL, "urn:matchgraph:policy")
LONGEST_HALF_LIFE = 36_500
MOST_PLACES = 6
# The versions of the formula in domain/ranking.py; one that was ever released stays. A policy says
# which is in force, so that another release gives old ranks as they were.
FORMULAS = (1,)


@dataclass(frozen=True, kw_only=True)
class KindPolicy:
    """How artifacts of one kind are ranked, by which version of the formula. Units: weights sum
    to 1; `half_life` in days."""

    kind: Kind
    adoption: Decimal
    quality: Decimal
    ecosystem: Decimal
    match_graph: Decimal
    freshness: Decimal
    half_life: int
    formula: int = FORMULAS[0]

    @property
    def weights(self) -> tuple[Decimal, ...]:
        """In the order in which a score is summed."""
        return (self.adoption, self.quality, self.ecosystem, self.match_graph, self.freshness)

    def checked(self) -> "KindPolicy":
        """Returns the policy. Raises: BadNumber, WeightsDoNotAddUp, UnknownFormula."""
        names = ("adoption", "quality", "ecosystem", "match_graph", "freshness")
        for name, weight in zip(names, self.weights, strict=True):
            if not weight.is_finite() or not 0 <= weight <= 1:
                raise BadNumber(name, str(weight)[:40], "a weight must be from 0 to 1")
            if weight != round(weight, MOST_PLACES):
                raise BadNumber(
                    name, str(weight)[:40], f"it has more than {MOST_PLACES} decimal places"
                )
        if sum(self.weights) != 1:
            raise WeightsDoNotAddUp(self.kind, format(sum(self.weights), "f"))
        if not 1 <= self.half_life <= LONGEST_HALF_LIFE:
            raise BadNumber(
                "half_life",
                str(self.half_life)[:40],
                f"it must be from 1 to {LONGEST_HALF_LIFE} days",
            )
        if self.formula not in FORMULAS:
            raise UnknownFormula(self.formula, FORMULAS)
        return self


def _policy(kind: Kind, weights: str, half_life: int) -> KindPolicy:
    adoption, quality, ecosystem, match_graph, freshness = map(Decimal, weights.split())
    return KindPolicy(
        kind=kind,
        adoption=adoption,
        quality=quality,
        ecosystem=ecosystem,
        match_graph=match_graph,
        freshness=freshness,
        half_life=half_life,
    )


_AGENTS = ("0.20 0.25 0.10 0.30 0.15", 180)
_CODE = ("0.25 0.25 0.15 0.25 0.10", 365)
_DATA = ("0.20 0.40 0.10 0.20 0.10", 730)
_RECIPES = ("0.15 0.25 0.10 0.40 0.10", 180)
_SPECIAL = {
    Kind.MODEL: ("0.25 0.25 0.10 0.25 0.15", 270),
    **dict.fromkeys((Kind.MCP, Kind.AGENT), _AGENTS),
    **dict.fromkeys((Kind.FRAMEWORK, Kind.CLI, Kind.REPO, Kind.EXTENSION), _CODE),
    **dict.fromkeys((Kind.BENCHMARK, Kind.DATASET), _DATA),
    **dict.fromkeys((Kind.PROMPT, Kind.SKILL, Kind.TEMPLATE, Kind.WORKFLOW), _RECIPES),
}
# What holds for a kind until a policy says something else.
DEFAULTS: Mapping[Kind, KindPolicy] = MappingProxyType(
    {kind: _policy(kind, *_SPECIAL.get(kind, ("0.25 0.25 0.10 0.25 0.15", 365))) for kind in Kind}
)


class Policy(Aggregate):
    """The policy of the catalog; there is one, and every change of it stays readable."""

    TOPIC = "policy"

    class Adopted(Recurring):
        TOPIC = "policy.adopted"
        class_version = 2
        kinds: tuple[KindPolicy, ...]

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """v1 knew one formula."""
            for kind in state["kinds"]:
                kind["formula"] = 1

        def apply(self, aggregate: "Policy") -> None:
            """Kinds that it does not name keep what they had."""
            aggregate.kinds = {**aggregate.kinds, **{one.kind: one for one in self.kinds}}

    def __init__(self) -> None:
        self.kinds: Mapping[Kind, KindPolicy] = DEFAULTS

    @staticmethod
    def create_id() -> UUID:
        """There is one policy."""
        return ID

    @classmethod
    def adopt(cls, known: "Policy | None", kinds: Sequence[KindPolicy]) -> "Policy | None":
        """The policy with what changes for these kinds, or None when it says so already.

        Raises: BadNumber, WeightsDoNotAddUp, KindTwice, UnknownFormula.
        """
        seen: set[Kind] = set()
        for one in kinds:
            if one.kind in seen:
                raise KindTwice(one.kind)
            seen.add(one.checked().kind)
        in_force = DEFAULTS if known is None else known.kinds
        news = tuple(one for one in kinds if in_force[one.kind] != one)
        return cls.Adopted.happens(cls, known, kinds=news) if news else known
