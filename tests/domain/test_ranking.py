"""What evidence makes of a rank: worked cases, and promises about all evidence.

The tables of docs/ranking.md are made here: `python -m tests.domain.test_ranking` writes them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from math import expm1, isclose, isfinite, log1p
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from matchgraph.domain import matching
from matchgraph.domain import signal as signals
from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import (
    ENOUGH_VIEWS,
    FEWEST,
    LEAST_P99,
    MATCH_MEAN,
    MatchMean,
    Scale,
    Scales,
)
from matchgraph.domain.policy import DEFAULTS, KindPolicy
from matchgraph.domain.provenance import Method
from matchgraph.domain.ranking import (
    ADOPTION,
    CHECKLIST,
    COUNTS,
    ECOSYSTEM,
    MILLION,
    PARTS,
    POINTS,
    PRIORS,
    STALE,
    STEEPNESS,
    THRESHOLDS,
    TRUST,
    Evidence,
    Measure,
    Numbers,
    Observed,
    Part,
    PartName,
    Rank,
    Summary,
    Z,
    combine,
    measure,
    of_age,
    of_matches,
    parts_of,
    preferred,
    rank,
)
from matchgraph.domain.search import UTILITY
from matchgraph.domain.signal import TOO_LARGE, Signal, SignalName
from matchgraph.projections.announcement import MOST_RETURNS, QUIET, announce, begin
from matchgraph.projections.rank_formula import (
    EPOCH,
    UNKNOWN_DAY,
    Columns,
    Measures,
    _combine,
    _parts,
)
from tests.eventstore.histories import signal

DOCUMENT = Path(__file__).parents[2] / "docs" / "ranking.md"
TODAY = date(2026, 3, 1)


# Worked cases


def counted(name: SignalName, value: float | str, **said: Any) -> Observed:
    return Observed(signal(str(value), name=name, **said), 1)


def checked(method: Method, yes: Iterable[SignalName], no: Iterable[SignalName]) -> list[Observed]:
    return [counted(name, 1, method=method) for name in yes] + [
        counted(name, 0, method=method) for name in no
    ]


@dataclass(frozen=True)
class Case:
    """Evidence, and what is known to come out: `published` by the prototype of the formula,
    `exact` (score, low, high, coverage, in millionths) by this one."""

    name: str
    inputs: str
    evidence: Evidence
    published: str
    exact: tuple[int, int, int, int]


# The prototype's distributions were not published; these are assumed such that its cases come out.
ASSUMED: Mapping[SignalName, int] = {
    SignalName.DOWNLOADS_30D: 2_000_000,
    SignalName.DEPENDENTS: 5_000,
    SignalName.STARS: 18_000,
    SignalName.CHOOSERS: 400,
    SignalName.EXTENSIONS: 2_300,
    SignalName.INTEGRATIONS: 250,
    SignalName.HOSTS: 22,
    SignalName.PROTOCOLS: 6,
}
CALIBRATION = Scales(
    day=TODAY,
    up_to=1,
    scales=tuple(
        Scale(signal=name, p99=Decimal(p99), observed=1000) for name, p99 in ASSUMED.items()
    ),
)
QWEN = Evidence(
    kind=Kind.MODEL,
    signals=[
        counted(SignalName.HOSTS, 1),
        counted(SignalName.DOCS, 1, method=Method.DECLARED),
    ],
    released=TODAY - timedelta(days=50),
)
CASES = (
    Case(
        "Stable Diffusion 3.5 Large",
        "model; 120,000 downloads, 3,000 stars, 900 extensions, 540 days old; of 7 checks (which "
        "is assumed) yes by a scan: licence, docs, versioned release, tests; yes by the maker: "
        "examples; no by a scan: security policy; no by the maker: changelog",
        Evidence(
            kind=Kind.MODEL,
            signals=[
                counted(SignalName.DOWNLOADS_30D, 120_000),
                counted(SignalName.STARS, 3_000),
                counted(SignalName.EXTENSIONS, 900),
                *checked(
                    Method.OBSERVED,
                    yes=(
                        SignalName.LICENCE,
                        SignalName.DOCS,
                        SignalName.VERSIONED_RELEASE,
                        SignalName.TESTS,
                    ),
                    no=(SignalName.SECURITY_POLICY,),
                ),
                *checked(Method.DECLARED, yes=(SignalName.EXAMPLES,), no=(SignalName.CHANGELOG,)),
            ],
            released=TODAY - timedelta(days=540),
        ),
        "50.8 [43, 58]",
        (50_817_868, 43_270_135, 58_365_601, 598_161),
    ),
    Case(
        "Qwen3.5-35B-A3B",
        "model; 1 host, docs by the maker's own word, 50 days old",
        QWEN,
        "37.8 [27, 49]",
        (37_807_460, 26_853_894, 48_761_026, 248_810),
    ),
    Case(
        "the same after 40 examined views",
        "and these views with a utility of 18",
        replace(QWEN, exposure=40.0, utility=18.0),
        "48.8 [39, 58]",
        (48_844_777, 39_239_391, 58_450_163, 457_143),
    ),
    Case(
        "a new server without evidence",
        "mcp; released on the day of the calibration (assumed), and nothing else",
        Evidence(kind=Kind.MCP, released=TODAY),
        "37.3 [26, 49]",
        (37_250_000, 25_966_096, 48_533_904, 150_000),
    ),
    Case(
        "an abandoned one, once popular",
        "assumed: mcp; 20,000 downloads, 12,000 stars, 600 extensions, 8 hosts, 1,200 days old; "
        "of 5 checks by a scan 4 yes; 25 examined views with a utility of 2",
        Evidence(
            kind=Kind.MCP,
            signals=[
                counted(SignalName.DOWNLOADS_30D, 20_000),
                counted(SignalName.STARS, 12_000),
                counted(SignalName.EXTENSIONS, 600),
                counted(SignalName.HOSTS, 8),
                *checked(
                    Method.OBSERVED,
                    yes=(
                        SignalName.LICENCE,
                        SignalName.DOCS,
                        SignalName.VERSIONED_RELEASE,
                        SignalName.EXAMPLES,
                    ),
                    no=(SignalName.CHANGELOG,),
                ),
            ],
            released=TODAY - timedelta(days=1200),
            exposure=25.0,
            utility=2.0,
        ),
        "42.9 [37, 49]",
        (42_899_432, 37_149_122, 48_649_742, 782_511),
    ),
    Case(
        "a good one, and used",
        "assumed: model; 200,000 downloads, 800 dependents, 12,000 stars, 150 extensions, "
        "40 integrations, 8 hosts, 30 days old; of 9 verified checks (all but claims verified) "
        "all yes but the changelog; 200 examined views with a utility of 60",
        Evidence(
            kind=Kind.MODEL,
            signals=[
                counted(SignalName.DOWNLOADS_30D, 200_000),
                counted(SignalName.DEPENDENTS, 800),
                counted(SignalName.STARS, 12_000),
                counted(SignalName.EXTENSIONS, 150),
                counted(SignalName.INTEGRATIONS, 40),
                counted(SignalName.HOSTS, 8),
                *checked(
                    Method.VERIFIED,
                    yes=[
                        name
                        for name in CHECKLIST
                        if name not in (SignalName.CLAIMS_VERIFIED, SignalName.CHANGELOG)
                    ],
                    no=(SignalName.CHANGELOG,),
                ),
            ],
            released=TODAY - timedelta(days=30),
            exposure=200.0,
            utility=60.0,
        ),
        "73.8 [70, 78]",
        (73_799_644, 69_670_458, 77_928_830, 893_242),
    ),
)


def ranked(case: Case) -> Rank:
    return rank(case.evidence, measure(case.evidence.kind, DEFAULTS, CALIBRATION))


def shown(millionths: int, places: int) -> str:
    """Points, rounded the way one does it by hand."""
    step = Decimal(1).scaleb(-places)
    return format((Decimal(millionths) / MILLION).quantize(step, ROUND_HALF_UP), "f")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_worked_case_comes_out_as_it_was_published(case: Case) -> None:
    numbers = ranked(case).numbers
    low, high = shown(numbers.low, 0), shown(numbers.high, 0)
    assert f"{shown(numbers.score, 1)} [{low}, {high}]" == case.published
    assert (numbers.score, numbers.low, numbers.high, numbers.coverage) == case.exact


# The tables of docs/ranking.md


def table(head: str, rows: Iterable[Sequence[object]]) -> str:
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


def weights_table() -> str:
    def row(kinds: Iterable[Kind], one: KindPolicy) -> list[object]:
        return [", ".join(kinds), *(format(weight, "f") for weight in one.weights), one.half_life]

    def same(kind: Kind) -> list[object]:
        return row((), DEFAULTS[kind])

    order = sorted(DEFAULTS, key=lambda kind: (str(same(kind)), kind))
    return table(
        "| kinds | adoption | quality | ecosystem | match graph | freshness | half-life, days |",
        (row(kinds, DEFAULTS[kinds[0]]) for kinds in (list(g) for _, g in groupby(order, same))),
    )


def counts_table() -> str:
    return table(
        "| part | signal | weight |",
        [
            (part, f"`{name}`", f"{weight:.2f}")
            for part, weights in (("adoption", ADOPTION), ("ecosystem", ECOSYSTEM))
            for name, weight in weights.items()
        ],
    )


def checklist_table() -> str:
    return table(
        "| weight | items |",
        [
            (weight, ", ".join(f"`{name}`" for name in CHECKLIST if CHECKLIST[name] == weight))
            for weight in sorted(set(CHECKLIST.values()))
        ],
    )


def trust_table() -> str:
    return table("| who says so | trust |", [(f"`{method}`", TRUST[method]) for method in TRUST])


def priors_table() -> str:
    return table(
        "| part | mean μ | spread sd | weight k |",
        [
            (part.replace("_", " "), prior.mean, prior.spread, prior.weight or "none")
            for part, prior in PRIORS.items()
        ],
    )


def constants_table() -> str:
    return table(
        "| number | value |",
        [
            ("artifacts of a kind below which all kinds together are the scale", FEWEST),
            (
                "least p99 while fewer than that were observed of all kinds together",
                ", ".join(
                    f"{name.replace('_', ' ')} {p99:,.0f}" for name, p99 in LEAST_P99.items()
                ),
            ),
            ("mean rate of a kind that has none of its own", MATCH_MEAN),
            ("steepness of the match graph", STEEPNESS),
            ("least freshness", STALE),
            ("normal quantile that leaves 10 % above", Z),
            (
                "thresholds of announcements, points",
                ", ".join(f"{t / MILLION:g}" for t in THRESHOLDS),
            ),
            ("returns that are announced", MOST_RETURNS),
            ("days without one until they are forgotten", QUIET),
        ],
    )


def utility_table() -> str:
    best_first = sorted(UTILITY.items(), key=lambda one: -one[1])
    return table(
        "| outcome | utility |",
        [*((name, f"{utility:g}") for name, utility in best_first), ("none reported", 0)],
    )


def matching_table() -> str:
    return table(
        "| number | value |",
        [
            ("exponent of how far searchers look", matching.EXPONENT),
            ("half-life, days", matching.HALF_LIFE),
            ("least cap, views", matching.LEAST_CAP),
            ("views that a searcher may speak of in full, of all artifacts", matching.FREE),
            ("standard deviations tolerated of a cell", matching.TOLERATED),
            ("variance of a single outcome", matching.NOISE),
            ("times the variance expected that is tolerated of a searcher", matching.SUSPECT),
            ("variance that a searcher is taken to have shown beside", matching.UNSUSPECTED),
            ("views beside those of everybody else", matching.SHRUNK),
            ("rounds", matching.ROUNDS),
            ("exposure and utility that are forgotten", matching.FORGOTTEN),
            ("views of an artifact that say something of its kind", ENOUGH_VIEWS),
        ],
    )


def assumed_table() -> str:
    return table("| signal | p99 |", [(f"`{name}`", f"{p99:,}") for name, p99 in ASSUMED.items()])


def cases_table() -> str:
    def row(case: Case) -> list[object]:
        numbers = ranked(case).numbers
        return [
            case.name,
            case.inputs,
            *(shown(points, 2) for points in numbers.points),
            f"**{shown(numbers.score, 2)}**",
            f"{shown(numbers.low, 2)} to {shown(numbers.high, 2)}",
            f"{numbers.coverage / MILLION:.0%}",
            case.published,
        ]

    return table(
        "| artifact | evidence | adoption | quality | ecosystem | match graph | freshness | score"
        " | interval | coverage | prototype |",
        map(row, CASES),
    )


def steps_table() -> str:
    """The first case, input by input."""

    def rows(part: Part) -> Iterable[Sequence[object]]:
        for one in part.inputs:
            made_of = "" if one.normalised is None else f"{one.normalised:.6f}"
            yield part.name.replace("_", " "), f"`{one.name}` {one.value}", made_of, one.weight, ""
        total = f"{shown(part.points, 6)} = 100 · {part.weight:g} · {part.value:.8f}"
        yield (part.name.replace("_", " "), "**the part**", f"{part.value:.8f}", part.weight, total)

    found = ranked(CASES[0])
    return table(
        "| part | input | in [0, 1] | weight | points |",
        [
            *((a, b, c, f"{d:g}", e) for part in found.parts for a, b, c, d, e in rows(part)),
            ("**all**", "", "", "1", f"**{shown(found.numbers.score, 6)}**"),
        ],
    )


# Back and forth once a day; then it settles, and small things happen to it.
FLAPPING = (
    *((number, (50, 55)[number % 2] * MILLION) for number in range(1, 7)),
    (6 + QUIET - 1, 50_010_000),
    (6 + QUIET, 50_020_000),
)


def flapping_table() -> str:
    number = THRESHOLDS.index(MILLION)
    was, state = 50 * MILLION, begin(50 * MILLION)
    rows: list[Sequence[object]] = [(0, "50.00", 0, "yes")]
    for on, now in FLAPPING:
        mask, state = announce(state, was, now, on)
        last, _, returns, _ = state
        told = "yes" if mask >> number & 1 else f"no; {shown(last[number], 2)} was the last told"
        rows.append((on, shown(now, 2), returns[number], told))
        was = now
    return table("| day | score | returns | announced at 1 point |", rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "weights": weights_table,
    "counts": counts_table,
    "checklist": checklist_table,
    "trust": trust_table,
    "priors": priors_table,
    "constants": constants_table,
    "utility": utility_table,
    "matching": matching_table,
    "assumed": assumed_table,
    "cases": cases_table,
    "steps": steps_table,
    "flapping": flapping_table,
}


def marked(name: str) -> re.Pattern[str]:
    return re.compile(f"(<!-- ranking:{name} -->\n).*?(<!-- /ranking:{name} -->)", re.DOTALL)


def written(document: str) -> str:
    """The document with its tables as the code gives them."""
    for name, made in TABLES.items():
        found = marked(name).search(document)
        assert found, f"there is no place for the table {name}"
        document = document[: found.end(1)] + f"{made()}\n" + document[found.start(2) :]
    return document


@pytest.mark.parametrize("name", TABLES)
def test_the_document_shows_what_the_code_gives(name: str) -> None:
    made = TABLES[name]()
    print(f"\n{made}")
    shown_there = marked(name).search(DOCUMENT.read_text("utf-8"))
    assert shown_there, name
    assert f"{shown_there[1]}{made}\n{shown_there[2]}" == shown_there[0], (
        "refresh it: python -m tests.domain.test_ranking"
    )


# What is the default


def test_the_default_weights_are_those_designed_and_sum_to_one() -> None:
    designed: dict[tuple[str, ...], str] = {
        ("model",): ".25 .25 .10 .25 .15 270",
        ("mcp", "agent"): ".20 .25 .10 .30 .15 180",
        ("framework", "cli", "repo", "extension"): ".25 .25 .15 .25 .10 365",
        ("benchmark", "dataset"): ".20 .40 .10 .20 .10 730",
        ("prompt", "skill", "template", "workflow"): ".15 .25 .10 .40 .10 180",
    }
    by_kind = {kind: said for kinds, said in designed.items() for kind in kinds}
    assert by_kind.keys() <= set(Kind)
    assert DEFAULTS.keys() == set(Kind)
    for kind, policy in DEFAULTS.items():
        *weights, half_life = by_kind.get(kind, ".25 .25 .10 .25 .15 365").split()
        assert policy.kind is kind
        assert policy.weights == tuple(map(Decimal, weights))
        assert policy.half_life == int(half_life)
        assert sum(policy.weights) == 1
        assert policy.checked() is policy


def test_every_signal_is_part_of_a_rank_exactly_once() -> None:
    assert sorted([*ADOPTION, *ECOSYSTEM, *CHECKLIST]) == sorted(SignalName)
    assert CHECKLIST.keys() == signals.CHECKLIST
    for weights in (ADOPTION, ECOSYSTEM):
        assert isclose(sum(weights.values()), 1.0)


# Promises about all evidence

_counts = st.one_of(
    st.integers(0, 10**6).map(Decimal),
    st.integers(0, int(TOO_LARGE) - 1).map(Decimal),
    st.sampled_from(["0", "1", "0.5", "0.000000000000000001", "999999999999999"]).map(Decimal),
)
_half = st.integers(1, 36_500)
_released = st.none() | st.dates(date(1900, 1, 1), date(2100, 1, 1)) | st.just(TODAY)
_exposures = st.one_of(
    st.just(0.0), st.floats(0, 1e6), st.sampled_from([1e-300, 1e-9, 1.0, 40.0, 1e15])
)


def _signal(name: SignalName) -> st.SearchStrategy[Signal]:
    return st.builds(
        signal,
        st.sampled_from(["0", "1"]) if name in CHECKLIST else _counts.map(str),
        on=st.integers(0, 3),
        name=st.just(name),
        source=st.sampled_from(["s", "t", "u"]),
        method=st.sampled_from(Method),
    )


# As an aggregate keeps them: of each signal one observation of each source.
observations = st.lists(
    st.sampled_from(SignalName).flatmap(_signal),
    max_size=12,
    unique_by=lambda one: (one.name, one.source),
).map(lambda found: [Observed(one, number) for number, one in enumerate(found, start=1)])
evidences = st.builds(
    Evidence,
    kind=st.sampled_from(Kind),
    signals=observations,
    released=_released,
    exposure=_exposures,
    utility=_exposures,
)


@st.composite
def policies(draw: st.DrawFn, kind: Kind) -> KindPolicy:
    million = 10**6
    cuts = sorted(draw(st.lists(st.integers(0, million), min_size=4, max_size=4)))
    sizes = [high - low for low, high in zip([0, *cuts], [*cuts, million], strict=True)]
    adoption, quality, ecosystem, match_graph, freshness = (Decimal(n) / million for n in sizes)
    return KindPolicy(
        kind=kind,
        adoption=adoption,
        quality=quality,
        ecosystem=ecosystem,
        match_graph=match_graph,
        freshness=freshness,
        half_life=draw(_half),
    ).checked()


_calibrations = st.builds(
    Scales,
    day=st.just(TODAY) | st.dates(date(2000, 1, 1), date(2050, 1, 1)),
    up_to=st.just(1),
    scales=st.lists(
        st.builds(
            Scale,
            signal=st.sampled_from(COUNTS),
            p99=_counts,
            observed=st.sampled_from([1, FEWEST - 1, FEWEST, 10**6]),
            kind=st.none() | st.sampled_from(Kind),
        ),
        max_size=12,
        unique_by=lambda one: (one.signal, one.kind),
    ).map(tuple),
    match_means=st.lists(
        st.builds(
            MatchMean,
            kind=st.sampled_from(Kind),
            mean=st.decimals(0, 1, places=6) | st.sampled_from(["0", "1"]).map(Decimal),
        ),
        max_size=3,
        unique_by=lambda one: one.kind,
    ).map(tuple),
)


@st.composite
def measured(draw: st.DrawFn) -> tuple[Evidence, Measure]:
    """Evidence, and by what it is measured."""
    evidence = draw(evidences)
    kind = evidence.kind
    in_force = draw(st.just(DEFAULTS) | policies(kind).map(lambda one: {kind: one}))
    calibration = draw(st.none() | _calibrations | st.just(CALIBRATION))
    return evidence, measure(kind, in_force, calibration)


def part(of: Rank, name: PartName) -> Part:
    return of.parts[PARTS.index(name)]


def part_of(name: SignalName) -> PartName:
    if name in CHECKLIST:
        return PartName.QUALITY
    return PartName.ADOPTION if name in ADOPTION else PartName.ECOSYSTEM


def never_lower(before: Rank, after: Rank, name: PartName) -> None:
    """Neither the part nor the score fell, and nothing else moved."""
    assert part(after, name).value >= part(before, name).value
    assert part(after, name).points >= part(before, name).points
    assert after.numbers.score >= before.numbers.score
    assert [p for p in after.parts if p.name != name] == [p for p in before.parts if p.name != name]


@for_all(measured())
def test_a_score_is_the_exact_sum_of_its_parts_and_lies_in_its_interval(
    given: tuple[Evidence, Measure],
) -> None:
    found = rank(*given)
    numbers = found.numbers
    assert tuple(part.name for part in found.parts) == PARTS
    assert tuple(part.points for part in found.parts) == numbers.points
    assert numbers.score == sum(numbers.points)
    assert 0 <= numbers.low <= numbers.score <= numbers.high <= POINTS
    assert 0 <= numbers.coverage <= MILLION
    assert numbers.standing <= numbers.score
    for one in found.parts:
        assert 0 <= one.value <= 1
        assert 0 <= one.evidence <= 1
        assert 0 <= one.points <= POINTS
        assert isfinite(one.value)
        if one.weight == 0:
            assert one.points == 0
        for used in one.inputs:
            assert used.normalised is None or 0 <= used.normalised <= 1


@for_all(measured(), st.data())
def test_the_order_in_which_evidence_arrived_does_not_matter(
    given: tuple[Evidence, Measure], data: st.DataObject
) -> None:
    evidence, by = given
    shuffled = data.draw(st.permutations(evidence.signals))
    assert rank(replace(evidence, signals=shuffled), by) == rank(evidence, by)


@for_all(st.sampled_from(SignalName).flatmap(lambda name: st.lists(_signal(name), min_size=1)))
def test_the_most_trusted_source_counts_then_the_newest_then_by_name(found: list[Signal]) -> None:
    by_source = {one.source: Observed(one, 1) for one in found}
    (chosen,) = preferred(by_source.values()).values()
    for other in by_source.values():
        if other is not chosen:
            one, two = chosen.signal, other.signal
            ahead = (TRUST[one.method], one.observed_at) > (TRUST[two.method], two.observed_at)
            alike = (TRUST[one.method], one.observed_at) == (TRUST[two.method], two.observed_at)
            assert ahead or (alike and one.source < two.source)


def test_a_count_that_a_scan_saw_goes_before_a_newer_one_that_was_declared() -> None:
    declared = counted(SignalName.STARS, 9000, source="a", method=Method.DECLARED, on=3)
    scanned = counted(SignalName.STARS, 900, source="z", method=Method.OBSERVED, on=0)
    assert preferred([declared, scanned])[SignalName.STARS] is scanned
    assert preferred([scanned, declared])[SignalName.STARS] is scanned
    # Inferred and declared are trusted alike.
    guessed = counted(SignalName.STARS, 8, source="b", method=Method.INFERRED, on=3)
    assert preferred([guessed, declared])[SignalName.STARS] is declared
    newer = counted(SignalName.STARS, 8, source="b", method=Method.INFERRED, on=4)
    assert preferred([declared, newer])[SignalName.STARS] is newer


# Good evidence never harms


@for_all(measured(), st.data())
def test_a_higher_count_never_lowers_a_rank(
    given: tuple[Evidence, Measure], data: st.DataObject
) -> None:
    evidence, by = given
    name = data.draw(st.sampled_from(COUNTS))
    less, more = sorted([data.draw(_counts), data.draw(_counts)])
    before, after = (
        rank(replace(evidence, signals=[*evidence.signals, count]), by)
        for count in (counted(name, str(value), source="new", on=9) for value in (less, more))
    )
    never_lower(before, after, part_of(name))


@for_all(measured(), st.sampled_from(COUNTS), st.floats(0.001, 1))
def test_a_count_better_than_the_part_so_far_never_lowers_a_rank(
    given: tuple[Evidence, Measure], name: SignalName, lift: float
) -> None:
    evidence, by = given
    scale = by.scales[COUNTS.index(name)]
    others = [one for one in evidence.signals if one.signal.name != name]
    evidence = replace(evidence, signals=others)
    before = rank(evidence, by)
    known = part(before, part_of(name)).value
    if scale is None:
        scale = 1.0
    value = Decimal(repr(expm1((known + lift * (1 - known)) * scale)))
    assume(log1p(float(value)) / scale > known and value < TOO_LARGE)
    news = counted(name, format(value, "f"))
    after = rank(replace(evidence, signals=[*others, news]), by)
    never_lower(before, after, part_of(name))


@for_all(measured(), st.sampled_from(list(CHECKLIST)), st.sampled_from(Method))
def test_a_yes_on_the_checklist_never_lowers_a_rank(
    given: tuple[Evidence, Measure], name: SignalName, method: Method
) -> None:
    evidence, by = given
    yes = counted(name, 1, method=method, source="new", on=9)
    after = rank(replace(evidence, signals=[*evidence.signals, yes]), by)
    never_lower(rank(evidence, by), after, PartName.QUALITY)


@for_all(measured(), st.sampled_from(list(CHECKLIST)), st.sampled_from(Method))
def test_a_no_on_the_checklist_never_raises_a_rank(
    given: tuple[Evidence, Measure], name: SignalName, method: Method
) -> None:
    evidence, by = given
    no = counted(name, 0, method=method, source="new", on=9)
    after = rank(replace(evidence, signals=[*evidence.signals, no]), by)
    never_lower(after, rank(evidence, by), PartName.QUALITY)


@for_all(measured(), st.data())
def test_a_later_release_up_to_the_day_never_lowers_a_rank(
    given: tuple[Evidence, Measure], data: st.DataObject
) -> None:
    evidence, by = given
    days = st.dates(max_value=by.day or TODAY)
    before, after = (
        rank(replace(evidence, released=released), by)
        for released in sorted([data.draw(days), data.draw(days)])
    )
    never_lower(before, after, PartName.FRESHNESS)


@for_all(measured(), _exposures)
def test_more_utility_at_the_same_exposure_never_lowers_a_rank(
    given: tuple[Evidence, Measure], more: float
) -> None:
    evidence, by = given
    better = replace(evidence, utility=evidence.utility + more)
    never_lower(rank(evidence, by), rank(better, by), PartName.MATCH_GRAPH)


@for_all(measured(), _exposures)
def test_views_that_came_to_nothing_never_raise_a_rank(
    given: tuple[Evidence, Measure], more: float
) -> None:
    evidence, by = given
    assume(evidence.exposure > 0)
    shown_more = rank(replace(evidence, exposure=evidence.exposure + more), by)
    never_lower(shown_more, rank(evidence, by), PartName.MATCH_GRAPH)


# What nobody measured


@for_all(st.sampled_from(Kind), st.none() | _calibrations)
def test_without_evidence_a_rank_is_its_priors_and_nothing_is_zero(
    kind: Kind, calibration: Scales | None
) -> None:
    found = rank(Evidence(kind=kind), measure(kind, DEFAULTS, calibration))
    assert found.numbers.coverage == 0
    for one in found.parts:
        assert isclose(one.value, PRIORS[one.name].mean, rel_tol=1e-12)
        assert one.evidence == 0
        assert one.inputs == ()
        assert one.points == round(PRIORS[one.name].mean * float(one.weight) * POINTS) > 0


@for_all(measured(), st.data())
def test_taking_evidence_away_never_raises_coverage_nor_certainty(
    given: tuple[Evidence, Measure], data: st.DataObject
) -> None:
    evidence, by = given
    without: list[Evidence] = []
    if evidence.signals:
        gone = data.draw(st.sampled_from(list(evidence.signals)))
        kept = [one for one in evidence.signals if one is not gone]
        without.append(replace(evidence, signals=kept))
    if evidence.released:
        without.append(replace(evidence, released=None))
    if evidence.exposure:
        without.append(replace(evidence, exposure=0.0, utility=0.0))
        without.append(replace(evidence, exposure=evidence.exposure / 2))
    assume(without)
    full = rank(evidence, by)
    less = rank(data.draw(st.sampled_from(without)), by)
    assert less.numbers.coverage <= full.numbers.coverage
    # Half a standard deviation, which no end of the scale cuts off.
    assert spread(less) >= spread(full)
    for before, after in zip(full.parts, less.parts, strict=True):
        assert after.evidence <= before.evidence
        if after.inputs == ():
            assert isclose(after.value, PRIORS[after.name].mean, rel_tol=1e-12)


def spread(of: Rank) -> int:
    return of.numbers.score - of.numbers.standing


def test_what_nobody_measured_is_not_what_measured_nothing() -> None:
    by = measure(Kind.MODEL, DEFAULTS, CALIBRATION)
    unknown = rank(Evidence(kind=Kind.MODEL), by)
    none = rank(Evidence(kind=Kind.MODEL, signals=[counted(SignalName.STARS, 0)]), by)
    assert none.numbers.score < unknown.numbers.score
    assert none.numbers.coverage > unknown.numbers.coverage


# Freshness


@for_all(st.integers(0, 10**7), _half)
def test_freshness_is_halved_with_every_half_life_and_never_goes_out(
    days: int, half_life: int
) -> None:
    value, assumed = of_age(days, half_life)
    assert STALE <= value <= 1
    assert assumed == 0
    later, _ = of_age(days + half_life, half_life)
    assert later == STALE or isclose(later, value / 2, rel_tol=1e-9)


@for_all(st.dates(TODAY, date(2100, 1, 1)), _half)
def test_what_came_out_after_the_calibration_is_new(released: date, half_life: int) -> None:
    policy = replace(DEFAULTS[Kind.MODEL], half_life=half_life)
    by = measure(Kind.MODEL, {Kind.MODEL: policy}, CALIBRATION)
    found = part(rank(Evidence(kind=Kind.MODEL, released=released), by), PartName.FRESHNESS)
    assert (found.value, found.evidence, found.points) == (1, 1, 15 * MILLION)


def test_no_age_is_told_before_the_first_calibration() -> None:
    evidence = Evidence(kind=Kind.MODEL, released=TODAY, signals=[counted(SignalName.STARS, 9)])
    found = rank(evidence, measure(Kind.MODEL, DEFAULTS, None))
    for name in (PartName.FRESHNESS, PartName.ADOPTION):
        (given,) = part(found, name).inputs
        assert given.normalised is None
        assert isclose(part(found, name).value, PRIORS[name].mean)
        assert part(found, name).evidence == 0


# Calibration


def test_a_kind_that_few_were_observed_of_is_measured_by_all_kinds_together() -> None:
    def scale(observed: int) -> float | None:
        few = Scale(signal=SignalName.STARS, p99=Decimal(10), observed=observed, kind=Kind.MODEL)
        everybody = Scale(signal=SignalName.STARS, p99=Decimal(1000), observed=FEWEST)
        scales = Scales(day=TODAY, up_to=1, scales=(few, everybody))
        return scales.scale(Kind.MODEL, SignalName.STARS)

    assert scale(FEWEST - 1) == log1p(1000)
    assert scale(FEWEST) == log1p(10)


@pytest.mark.parametrize("name", COUNTS)
def test_the_only_one_of_whom_something_was_counted_is_not_taken_for_a_leader(
    name: SignalName,
) -> None:
    def scale(p99: int, observed: int = FEWEST - 1) -> float | None:
        few = Scale(signal=name, p99=Decimal(p99), observed=observed)
        return Scales(day=TODAY, up_to=1, scales=(few,)).scale(Kind.MODEL, name)

    assert scale(1, observed=1) == scale(2) == log1p(LEAST_P99[name])
    assert scale(10**9) == log1p(10**9)
    assert scale(2, observed=FEWEST) == log1p(2)


def test_a_count_that_has_no_scale_says_nothing_and_is_shown_nonetheless() -> None:
    only_stars = replace(CALIBRATION, scales=CALIBRATION.scales[2:3])
    evidence = Evidence(kind=Kind.MODEL, signals=[counted(SignalName.DEPENDENTS, 12)])
    found = rank(evidence, measure(Kind.MODEL, DEFAULTS, only_stars))
    adoption = part(found, PartName.ADOPTION)
    assert isclose(adoption.value, PRIORS[PartName.ADOPTION].mean)
    assert adoption.evidence == 0
    assert [(one.name, one.value, one.normalised) for one in adoption.inputs] == [
        ("dependents", "12", None)
    ]


@pytest.mark.parametrize("p99", ["0", "0.5", "1"])
def test_a_scale_of_nothing_is_one_of_one(p99: str) -> None:
    scale = Scale(signal=SignalName.STARS, p99=Decimal(p99), observed=FEWEST)
    by = measure(Kind.MODEL, DEFAULTS, replace(CALIBRATION, scales=(scale,)))
    for count, normalised in ((0, 0.0), (1, 1.0), (10**14, 1.0)):
        evidence = Evidence(kind=Kind.MODEL, signals=[counted(SignalName.STARS, count)])
        (given,) = part(rank(evidence, by), PartName.ADOPTION).inputs
        assert given.normalised == normalised


# The match graph


@for_all(st.floats(0.001, 0.999), st.floats(1e-12, 1e-6))
def test_hardly_any_views_are_hardly_different_from_none(mean: float, exposure: float) -> None:
    value, assumed = of_matches(exposure, 0.0, mean)
    assert isclose(value, PRIORS[PartName.MATCH_GRAPH].mean, rel_tol=1e-3)
    assert isclose(assumed, 1.0, rel_tol=1e-6)


@for_all(_exposures, _exposures, st.floats(0, 1))
@example(1e15, 1e15, 0.0)
@example(1e-300, 1e15, 1.0)
def test_utility_beyond_exposure_is_as_good_as_can_be_and_no_better(
    exposure: float, beyond: float, mean: float
) -> None:
    assume(exposure > 0)
    at_most, _ = of_matches(exposure, exposure, mean)
    value, _ = of_matches(exposure, exposure + beyond, mean)
    assert at_most <= value <= 1


def test_a_rate_like_the_kinds_mean_is_half_way() -> None:
    value, _ = of_matches(1e9, 0.22e9, 0.22)
    assert isclose(value, 0.5, rel_tol=1e-6)


# One at a time or all at once


@dataclass(frozen=True)
class Row:
    """One artifact's entries of the columns."""

    kind: Kind
    summary: Summary
    released: date | None
    exposure: float
    utility: float


def columns_of(rows: Sequence[Row]) -> Columns:
    def floats(found: Iterable[float | None]) -> Any:
        return np.array([np.nan if one is None else one for one in found], np.float64)

    kinds = list(Kind)
    days = [
        UNKNOWN_DAY if row.released is None else row.released.toordinal() - EPOCH for row in rows
    ]
    return Columns(
        kind=np.array([kinds.index(row.kind) for row in rows], np.int16),
        released=np.array(days, np.int32),
        counts=np.stack(
            [floats(row.summary.counts[number] for row in rows) for number in range(len(COUNTS))]
        ),
        checked=floats(row.summary.checked for row in rows),
        held=floats(row.summary.held for row in rows),
        exposure=floats(row.exposure for row in rows),
        utility=floats(row.utility for row in rows),
    )


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[list[Row], dict[Kind, Measure]]:
    """Some hundred rows, and measures for every kind. Few values are drawn, and the rows are made
    of these and of numbers with all their bits in use."""
    kinds = list(Kind)
    calibration = draw(st.none() | _calibrations)
    some = [draw(policies(Kind.MODEL)) for _ in range(3)]
    counts = draw(st.lists(_counts.map(float), min_size=1, max_size=8))
    days = draw(st.lists(_released, min_size=1, max_size=8))
    views = draw(st.lists(_exposures, min_size=1, max_size=6))
    random = Random(draw(st.integers(0, 2**32)))
    size = random.randrange(200, 400)

    def count() -> float | None:
        found = random.choice(
            (None, random.choice(counts), random.random() * 10 ** random.randrange(7))
        )
        return None if found is None else log1p(found)

    def view() -> float:
        return random.choice((0.0, random.choice(views), random.random() * 100))

    def row() -> Row:
        weight = random.choice((0.0, 0.4, random.random() * 11, 10.7))
        summary = Summary(
            tuple(count() for _ in COUNTS),
            weight,
            random.choice((0.0, weight, weight * random.random())),
        )
        return Row(random.choice(kinds), summary, random.choice(days), view(), view())

    in_force = {kind: replace(random.choice([*some, DEFAULTS[kind]]), kind=kind) for kind in Kind}
    return [row() for _ in range(size)], {
        kind: measure(kind, in_force, calibration) for kind in Kind
    }


def bits(value: float) -> str:
    return float(value).hex()


@settings(max_examples=30, deadline=None)
@for_all(catalogs())
def test_all_ranks_at_once_have_the_bits_of_one_at_a_time(
    catalog: tuple[list[Row], dict[Kind, Measure]],
) -> None:
    rows, measures = catalog
    columns = columns_of(rows)
    with np.errstate(all="raise"):
        values, shares = _parts(columns, Measures(measures))
        now = _combine(values, shares, columns.kind, Measures(measures))
    for number, row in enumerate(rows):
        by = measures[row.kind]
        alone = parts_of(row.summary, row.released, row.exposure, row.utility, by)
        assert [(bits(value), bits(share)) for value, share in alone] == [
            (bits(values[n][number]), bits(shares[n][number])) for n in range(len(PARTS))
        ]
        assert combine(alone, by.weights) == Numbers(
            points=tuple(int(now[part][number]) for part in PARTS),
            score=int(now["score"][number]),
            low=int(now["low"][number]),
            high=int(now["high"][number]),
            coverage=int(now["coverage"][number]),
            standing=int(now["standing"][number]),
        )


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
