"""Which of two to five artifacts is the better one, if that can be said: an outcome, the facts that
decide it, and one sentence made of them. A pure function; docs/comparison.md has its rules.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import combinations
from math import erf, sqrt

from matchgraph.domain.alignment import Likeness, Pair, Pairs, facets
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.comparison import (
    FREE,
    LEAST_COVERAGE,
    PerUnit,
    Score,
    leading,
    per_unit,
    tenths,
)
from matchgraph.domain.decimals import plain
from matchgraph.domain.price import Price, Pricing
from matchgraph.domain.pricing import pricing_of
from matchgraph.domain.ranking import MILLION, Z

# So many facts are told in the sentence; the first ones decide most.
MOST_TOLD = 3


class Decision(StrEnum):
    """What a comparison comes to."""

    CLEAR_WINNER = "clear_winner"
    NO_CLEAR_WINNER = "no_clear_winner"
    NOT_COMPARABLE = "not_comparable"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


class FactName(StrEnum):
    """What a fact is about, in the order in which facts decide."""

    STATUS = "status"
    PURPOSE = "purpose"
    RANK = "rank"
    BAND = "band"
    FREE_TIER = "free_tier"
    PRICE = "price"
    CAPABILITIES = "capabilities"
    HEAD_TO_HEAD = "head_to_head"


@dataclass(frozen=True)
class Fact:
    """One thing that speaks for an artifact or for none: a value for each artifact, None where
    nothing is known, and a clause that says so. `favours` is the place of an artifact."""

    name: FactName
    values: tuple[str | None, ...]
    sentence: str
    favours: int | None = None


@dataclass(frozen=True)
class Duel:
    """Searches in which two artifacts, by their places, were both examined."""

    left: int
    right: int
    left_better: int
    right_better: int

    @property
    def decided(self) -> int:
        """In how many of them one fared better."""
        return self.left_better + self.right_better


@dataclass(frozen=True, kw_only=True)
class Side:
    """What the verdict needs to know of an artifact."""

    name: str
    kind: Kind
    facts: Facts
    offered: bool
    rank: Score | None
    prices: tuple[Price, ...]
    capabilities: tuple[Capability, ...]


@dataclass(frozen=True)
class Verdict:
    """What the comparison comes to.

    `winner` is the place of an artifact, with CLEAR_WINNER alone. Units: `margin` in millionths of
    a point, by which the best rank leads the next; `confidence` in [0, 1], how likely it is that
    the one is really better. Both are None where ranks say nothing.
    """

    outcome: Decision
    facts: tuple[Fact, ...]
    sentence: str
    winner: int | None = None
    margin: int | None = None
    confidence: float | None = None


def judge(sides: Sequence[Side], pairs: Pairs, duels: Sequence[Duel] = ()) -> Verdict:
    """The verdict over the artifacts.

    Shape: `pairs` has the like capabilities of each two artifacts, by their places.
    """
    status = _status(sides)
    if purposes := _purposes(sides, pairs):
        facts = (*status, *purposes)
        lead = f"{_listed(side.name for side in sides)} do not compare"
        return Verdict(Decision.NOT_COMPARABLE, facts, _sentence(lead, facts, len(facts)))
    others = (
        *_free_tier(sides),
        *_price(sides),
        *_capabilities(sides, pairs),
        *_head_to_head(sides, duels),
    )
    ranks = [side.rank for side in sides]
    known = [rank for rank in ranks if rank is not None and rank.tells]
    if len(known) < len(ranks):
        facts = (*status, _uncovered(sides), *others)
        lead = "There is not enough evidence to choose"
        return Verdict(Decision.INSUFFICIENT_EVIDENCE, facts, _sentence(lead, facts))
    order = sorted(range(len(known)), key=lambda place: (-known[place].score, place))
    best, next_best = order[:2]
    margin = known[best].score - known[next_best].score
    apart = leading(known) is not None
    beaten = any(_favoured(duel) == loser(duel, best) for duel in duels if best in _ends(duel))
    facts = (*status, _rank(sides, known, order, apart), _band(sides, known, order, apart), *others)
    clear = apart and sides[best].offered and not beaten
    lead = f"{sides[best].name} is the clear winner" if clear else "There is no clear winner"
    return Verdict(
        Decision.CLEAR_WINNER if clear else Decision.NO_CLEAR_WINNER,
        facts,
        _sentence(lead, facts),
        best if clear else None,
        margin,
        confidence(known[best], known[next_best]),
    )


def confidence(one: Score, other: Score) -> float:
    """How likely it is that the first is really better, each score being normally distributed."""
    spread = sqrt(one.deviation**2 + other.deviation**2)
    if spread == 0:
        return 0.5 if one.score == other.score else float(one.score > other.score)
    return 0.5 * (1.0 + erf((one.score - other.score) / spread / sqrt(2.0)))


def wilson(better: int, decided: int) -> tuple[float, float]:
    """The 80 % interval of a share, by Wilson; all that is possible where nothing was decided."""
    if decided == 0:
        return 0.0, 1.0
    share, weight = better / decided, Z * Z / decided
    middle = (share + weight / 2) / (1 + weight)
    reach = Z / (1 + weight) * sqrt(share * (1 - share) / decided + weight / (4 * decided))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def loser(duel: Duel, winner: int) -> int:
    """The other one of the two."""
    return duel.right if winner == duel.left else duel.left


def _ends(duel: Duel) -> tuple[int, int]:
    return duel.left, duel.right


def _favoured(duel: Duel) -> int | None:
    low, high = wilson(duel.left_better, duel.decided)
    return duel.left if low > 0.5 else duel.right if high < 0.5 else None


def _sentence(lead: str, facts: Sequence[Fact], most: int = MOST_TOLD) -> str:
    told = "; ".join(fact.sentence for fact in facts[:most])
    return f"{lead}: {told}." if told else f"{lead}."


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _status(sides: Sequence[Side]) -> Iterator[Fact]:
    gone = [side.name for side in sides if not side.offered]
    if not gone:
        return
    offered = [place for place, side in enumerate(sides) if side.offered]
    yield Fact(
        FactName.STATUS,
        tuple("active" if side.offered else "retired" for side in sides),
        f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} retired",
        offered[0] if len(offered) == 1 else None,
    )


def _purposes(sides: Sequence[Side], pairs: Pairs) -> tuple[Fact, ...]:
    """What each is for, if some two of them serve nothing in common; none otherwise."""
    if not any(
        _unlike(sides[one], sides[other], pairs.get((one, other), ()))
        for one, other in combinations(range(len(sides)), 2)
    ):
        return ()
    purposes = [purpose(side) for side in sides]
    return tuple(
        Fact(
            FactName.PURPOSE,
            tuple(said if place == one else None for one in range(len(sides))),
            f"{sides[place].name} {said}",
        )
        for place, said in enumerate(purposes)
    )


def _unlike(one: Side, other: Side, pairs: Sequence[Pair]) -> bool:
    """Whether two artifacts serve nothing in common: no capability of the one is like one of the
    other, and other things come out of them, or they are of different kinds."""
    if pairs:
        return False
    outputs = output_types(one), output_types(other)
    if all(outputs) and outputs[0].isdisjoint(outputs[1]):
        return True
    return one.kind is not other.kind and bool(one.capabilities and other.capabilities)


def output_types(side: Side) -> frozenset[DataType]:
    """What comes out of the artifact, as far as its facts or its capabilities tell."""
    if side.facts.output_types:
        return frozenset(side.facts.output_types)
    return frozenset(kind for one in side.capabilities for kind in facets(one).outputs)


def purpose(side: Side) -> str:
    """What the artifact is for: its leading capability, or else what comes out of it."""
    what = f"is {'an' if side.kind[0] in 'aeiou' or side.kind is Kind.MCP else 'a'} {side.kind}"
    if side.capabilities:
        name = side.capabilities[0].name
        # A name begins with a capital letter, but within a sentence only an abbreviation does.
        plainly = name[1:2].islower() or name[1:2] == " "
        return f"{what} for {name[0].lower() + name[1:] if plainly else name}"
    made = sorted(output_types(side))
    return f"{what} that puts out {_listed(made)}" if made else what


def _uncovered(sides: Sequence[Side]) -> Fact:
    """Of whom too little is known. A rank that says nothing is not shown as if it did."""
    little = [side.name for side in sides if side.rank is None or not side.rank.tells]
    least = LEAST_COVERAGE * 100 // MILLION
    return Fact(
        FactName.RANK,
        tuple(
            None if side.rank is None else f"{side.rank.coverage * 100 // MILLION} % known"
            for side in sides
        ),
        f"less than {least} % of what makes a rank is known of {_listed(little)}",
    )


def _rank(sides: Sequence[Side], ranks: Sequence[Score], order: Sequence[int], apart: bool) -> Fact:
    best, next_best = order[:2]
    told = _listed(f"{sides[place].name} {tenths(ranks[place].score)}" for place in order)
    # Of what is shown, so that it adds up for whoever subtracts.
    margin = tenths(ranks[best].score) - tenths(ranks[next_best].score)
    between = "" if len(order) == 2 else " between the first two"
    each = "" if len({side.kind for side in sides}) == 1 else ", each among its own kind"
    return Fact(
        FactName.RANK,
        tuple(map(str, ranks)),
        f"of 100 points {told}, {margin} apart{between}{each}",
        best if apart else None,
    )


def _band(sides: Sequence[Side], ranks: Sequence[Score], order: Sequence[int], apart: bool) -> Fact:
    values = tuple(rank.interval for rank in ranks)
    if apart:
        told = f"the 80 % interval of {sides[order[0]].name} lies wholly above"
        return Fact(FactName.BAND, values, told, order[0])
    return Fact(FactName.BAND, values, "their 80 % intervals overlap")


def _free_tier(sides: Sequence[Side]) -> Iterator[Fact]:
    """Whether one can begin without paying. Of an unknown price nothing follows."""
    models = [pricing_of(side.prices) for side in sides]
    known = [model not in (None, Pricing.UNKNOWN) for model in models]
    free = [model in FREE for model in models]
    unknown = [side.name for side, said in zip(sides, known, strict=True) if not said]
    if not any(free):
        if unknown:
            yield Fact(
                FactName.FREE_TIER,
                _models(models),
                f"no price of {_listed(unknown)} is known",
            )
        return
    told = f"{_listed(_of(sides, free))} can be had for free"
    if unknown:
        told += f", and no price of {_listed(unknown)} is known"
    elif not all(free):
        others = _listed(_of(sides, [not one for one in free]))
        told += f", nobody is known to offer {others} so"
    alone = not unknown and free.count(True) == 1
    yield Fact(FactName.FREE_TIER, _models(models), told, free.index(True) if alone else None)


def _models(models: Sequence[Pricing | None]) -> tuple[str | None, ...]:
    return tuple(model and model.value.replace("_", " ") for model in models)


def _of(sides: Sequence[Side], chosen: Sequence[bool]) -> Iterator[str]:
    return (side.name for side, one in zip(sides, chosen, strict=True) if one)


def _price(sides: Sequence[Side]) -> Iterator[Fact]:
    found = per_unit([side.prices for side in sides])
    if found is not None:
        yield Fact(FactName.PRICE, found.shown, _ratios(sides, found), found.cheapest)


def _ratios(sides: Sequence[Side], found: PerUnit) -> str:
    told = []
    for unit, amounts in found.amounts.items():
        low, high = min(amounts), max(amounts)
        cheap, dear = (sides[amounts.index(amount)].name for amount in (low, high))
        what = unit.replace("_", " ")
        if low == high:
            told.append(f"{what}s cost the same")
        elif low == 0:
            told.append(f"{what}s cost nothing from {cheap}")
        else:
            times = plain((high / low).quantize(Decimal("0.1")))
            told.append(f"{what}s cost {times} times as much with {dear} as with {cheap}")
    return " and ".join(told)


def _capabilities(sides: Sequence[Side], pairs: Pairs) -> Iterator[Fact]:
    """Shared capabilities that one of two has in a wider form; none where nothing tells."""
    if len(sides) != 2:
        # Each two share others, and a sum over all of them says nothing that one could check.
        return
    wins = [0] * len(sides)
    shared = 0
    for (one, other), found in pairs.items():
        for pair in found:
            if pair.likeness is Likeness.SHARED:
                shared += 1
                winner = _wider(sides[one], pair.left, sides[other], pair.right)
                if winner is not None:
                    wins[other if winner else one] += 1
    if not any(wins):
        return
    most = max(wins)
    best = wins.index(most) if wins.count(most) == 1 else None
    told = _listed(
        f"{side.name} goes further in {won}" for side, won in zip(sides, wins, strict=True) if won
    )
    yield Fact(
        FactName.CAPABILITIES,
        tuple(f"{won} of {shared}" for won in wins),
        f"of {shared} shared {'capability' if shared == 1 else 'capabilities'} {told}",
        best,
    )


def _wider(left: Side, one: int, right: Side, other: int) -> int | None:
    """0 or 1 for the side that takes in more in that capability: all that the other does and
    further types, or as much with a longer context; None where neither or nobody said."""
    types = [
        set(side.capabilities[place].input_types) for side, place in ((left, one), (right, other))
    ]
    if not all(types):
        return None
    if types[0] > types[1]:
        return 0
    if types[1] > types[0]:
        return 1
    contexts = [side.facts.context_tokens for side in (left, right)]
    if types[0] != types[1] or DataType.TEXT not in types[0] or None in contexts:
        return None
    if contexts[0] == contexts[1]:
        return None
    return contexts.index(max(context for context in contexts if context is not None))


def _head_to_head(sides: Sequence[Side], duels: Sequence[Duel]) -> Iterator[Fact]:
    for duel in duels:
        if not duel.decided:
            continue
        values: list[str | None] = [None] * len(sides)
        values[duel.left] = _share(duel.left_better, duel.decided)
        values[duel.right] = _share(duel.right_better, duel.decided)
        low, high = wilson(duel.left_better, duel.decided)
        times = "search" if duel.decided == 1 else "searches"
        yield Fact(
            FactName.HEAD_TO_HEAD,
            tuple(values),
            f"{sides[duel.left].name} fared better than {sides[duel.right].name} in"
            f" {duel.left_better} of {duel.decided} {times} that decided between them"
            f" ({low:.0%} to {high:.0%})",
            _favoured(duel),
        )


def _share(better: int, decided: int) -> str:
    low, high = wilson(better, decided)
    return f"{better / decided:.0%} ({low:.0%} to {high:.0%}) of {decided}"
