"""What outcomes teach a rank, measured on clients whose artifacts' true quality is known.

Clients search, look at results by their position, and report what they try; some of them lie. The
learner is the project's own (`rank_match.weigh` and the formula of the match graph), and beside it
are the plain ways of counting. `python -m eval simulation --write docs/simulation.md` prints the
tables and writes the page.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.calibration import MATCH_MEAN
from matchgraph.domain.matching import HALF_LIFE, SHRUNK, decay, theta
from matchgraph.domain.ranking import assumed_rate, of_matches
from matchgraph.domain.search import UTILITY, Outcome
from matchgraph.projections.rank_match import Cells, Weights, count, weigh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SEEDS = (100, 101, 102, 103, 104)
TRUE_EXPONENT = 0.8
SHOWN = 10
EXPLORED_SHARE = 64  # of 256 searches
EXPLORED_AT = (4, 5, 6, 7, 8)
NOTHING, CLICKED, SUCCEEDED = 0, 1, 2
OUTCOMES = (None, Outcome.CLICKED, Outcome.SUCCEEDED)
GAINS = np.array([0.0 if one is None else UTILITY[one] for one in OUTCOMES])


class Liars(StrEnum):
    """What those do who are paid for it."""

    NONE = "none"
    PLAIN = "plain"  # report a success of each target they are shown, and nothing else
    CAMOUFLAGED = "camouflaged"  # and click on 30 % of the other results
    MIMICKING = "mimicking"  # and do with the other results what an honest client would
    SLOW = "slow"  # mimicking, and they search no more than honest clients do


@dataclass(frozen=True)
class Setting:
    """Who searches what, and how long."""

    name: str
    liars: Liars = Liars.NONE
    explores: bool = True
    assumed_exponent: float = TRUE_EXPONENT
    artifacts: int = 400
    clients: int = 2_000
    searches: int = 800
    days: int = 60
    newcomers: int = 40
    intents: int = 40
    candidates: int = 40
    targets: int = 12

    @property
    def arrival(self) -> int:
        """The day on which the newcomers come."""
        return self.days // 2


@dataclass
class Catalog:
    """What is to be found, how good it is, and who lies about it."""

    quality: Floats
    fits: tuple[Ints, Floats]  # the candidates of each intent, and how well they fit
    popularity: Floats
    newcomer: NDArray[np.bool_]
    target: NDArray[np.bool_]
    liars: Ints

    @classmethod
    def drawn(cls, of: Setting, random: np.random.Generator) -> "Catalog":
        """A catalog by chance: targets are poor, and no newcomers."""
        quality = random.beta(4, 6, of.artifacts)
        found = [random.permutation(of.artifacts)[: of.candidates] for _ in range(of.intents)]
        fit = random.uniform(0.3, 1.0, (of.intents, of.candidates))
        newcomer = np.zeros(of.artifacts, bool)
        newcomer[random.permutation(of.artifacts)[: of.newcomers]] = True
        poor = [number for number in np.argsort(quality) if not newcomer[number]]
        target = np.zeros(of.artifacts, bool)
        target[random.permutation(poor[: of.targets * 5])[: of.targets]] = True
        popularity = 1.0 / np.arange(1, of.intents + 1) ** 0.8
        return cls(
            quality=quality,
            fits=(np.stack(found), fit),
            popularity=popularity / popularity.sum(),
            newcomer=newcomer,
            target=target,
            liars=random.permutation(of.clients)[: of.clients // 20],
        )


@dataclass
class Day:
    """One day's searches, in order: who searched, what was shown, what was reported of it."""

    searcher: Ints
    shown: Ints  # one row for each search
    outcome: Ints  # of each result: NOTHING, CLICKED or SUCCEEDED


@dataclass
class Learned:
    """Everything that was counted, by each of the ways of counting.

    Units: `cells` as of the last day; `clicks` with those that came without a token.
    """

    cells_exposure: Floats  # for each searcher and artifact
    cells_utility: Floats
    chosen: NDArray[np.bool_]
    clicks: Floats
    shown: Floats
    seen: Floats
    kept: list[Day] = field(default_factory=list)

    @classmethod
    def nothing(cls, of: Setting) -> "Learned":
        """Before the first search."""
        cells = (of.clients, of.artifacts)
        one = np.zeros(of.artifacts)
        return cls(
            np.zeros(cells), np.zeros(cells), np.zeros(cells, bool), one, one.copy(), one.copy()
        )

    def take(self, day: Day, exponent: float) -> None:
        """Counts a day's searches."""
        left = decay(1)
        self.cells_exposure *= left
        self.cells_utility *= left
        searches, results = day.shown.shape
        looked = np.array([theta(at, exponent) for at in range(1, results + 1)])
        who, what = np.repeat(day.searcher, results), day.shown.ravel()
        outcome = day.outcome.ravel()
        np.add.at(self.cells_exposure, (who, what), np.tile(looked, searches))
        np.add.at(self.cells_utility, (who, what), GAINS[outcome])
        success = outcome == SUCCEEDED
        self.chosen[who[success], what[success]] = True
        np.add.at(self.clicks, what[outcome > NOTHING], 1.0)
        np.add.at(self.shown, what, 1.0)
        np.add.at(self.seen, what, np.tile(looked, searches))

    def cells(self) -> Cells:
        """The cells as a calibration reads them."""
        artifact, searcher = np.nonzero(self.cells_exposure.T)
        return Cells(
            searcher=searcher,
            artifact=artifact,
            exposure=self.cells_exposure[searcher, artifact],
            utility=self.cells_utility[searcher, artifact],
            chosen=self.chosen[searcher, artifact],
            assumed=np.full(self.cells_exposure.shape[1], assumed_rate(MATCH_MEAN)),
        )

    def ours(self) -> Floats:
        """The match graph's part of each rank."""
        cells = self.cells()
        return _parts((one.exposure, one.utility) for one in count(cells, weigh(cells)))

    def unbounded(self) -> Floats:
        """The same, with everybody's word taken in full."""
        cells = self.cells()
        full = Weights(np.full(len(cells), np.inf), np.ones(len(cells)))
        return _parts((one.exposure, one.utility) for one in count(cells, full))

    def rate(self) -> Floats:
        """Clicks for each time that it was shown."""
        return self.clicks / np.maximum(self.shown, 1.0)


def _parts(sums: Iterable[tuple[float, float]]) -> Floats:
    return np.array([of_matches(exposure, utility, MATCH_MEAN)[0] for exposure, utility in sums])


WAYS: dict[str, Callable[[Learned], Floats]] = {
    "clicks": lambda learned: learned.clicks,
    "clicks / shown": Learned.rate,
    "no bounds": Learned.unbounded,
    "matchgraph": Learned.ours,
}


def simulate(of: Setting, seed: int) -> tuple[Catalog, Learned]:
    """Lets everybody search for all of the days. The next day's results are ordered by what was
    learned up to then."""
    random = np.random.default_rng(seed)
    catalog = Catalog.drawn(of, random)
    learned = Learned.nothing(of)
    part = learned.ours()
    for number in range(of.days):
        day = _searched(of, catalog, learned, part, number, (seed, random))
        learned.take(day, of.assumed_exponent)
        if of.liars is not Liars.NONE:
            # Clicks without a token: 40 a day by each who lies, counted by who counts all clicks.
            learned.clicks[catalog.target] += len(catalog.liars) * 40 / of.targets
        learned.kept.append(day)
        part = learned.ours()
    return catalog, learned


def _searched(
    of: Setting,
    catalog: Catalog,
    learned: Learned,
    part: Floats,
    number: int,
    chance: tuple[int, np.random.Generator],
) -> Day:
    seed, random = chance
    lie = of.liars is not Liars.NONE
    everybody = np.arange(of.clients)
    honest = np.setdiff1d(everybody, catalog.liars) if lie else everybody
    searcher = random.choice(honest, of.searches)
    intent = random.choice(of.intents, of.searches, p=catalog.popularity)
    if lie:
        each = of.searches / of.clients if of.liars is Liars.SLOW else 10
        liars = random.choice(catalog.liars, round(each * len(catalog.liars)))
        where = np.flatnonzero(catalog.target[catalog.fits[0]].any(1))
        searcher = np.concatenate([searcher, liars])
        intent = np.concatenate([intent, random.choice(where, len(liars))])
    found, fit = catalog.fits[0][intent], catalog.fits[1][intent]
    relevance = fit + random.normal(0, 0.15, fit.shape)
    here = ~catalog.newcomer[found] | (number >= of.arrival)
    # What is relevant comes first; what was learned decides among what is about equally so.
    score = np.where(here, relevance + 0.3 * part[found], -np.inf)
    order = np.argsort(-score, axis=1, kind="stable")
    if of.explores:
        for row in range(len(order)):
            if (at := _explored_at(seed, number, row)) is not None:
                # The least examined of what is relevant enough.
                enough = np.flatnonzero(score[row] >= 0.6 * score[row, order[row, SHOWN - 1]])
                least = enough[np.argmin(learned.seen[found[row, enough]])]
                rest = order[row][order[row] != least]
                order[row] = np.concatenate([rest[: at - 1], [least], rest[at - 1 :]])
    order = order[:, :SHOWN]
    shown = np.take_along_axis(found, order, axis=1)
    outcome = _outcomes(catalog, shown, np.take_along_axis(fit, order, axis=1), random)
    lying = np.arange(len(searcher)) >= of.searches
    outcome[lying] = _lied(of.liars, catalog.target[shown[lying]], outcome[lying], random)
    mixed = random.permutation(len(searcher))
    return Day(searcher[mixed], shown[mixed], outcome[mixed])


def _explored_at(seed: int, day: int, search: int) -> int | None:
    """The position at which the search shows something to be seen at all, by its hash."""
    drawn = sha256(f"{seed} {day} {search}".encode()).digest()
    return EXPLORED_AT[drawn[1] % len(EXPLORED_AT)] if drawn[0] < EXPLORED_SHARE else None


def _outcomes(catalog: Catalog, shown: Ints, fit: Floats, random: np.random.Generator) -> Ints:
    """What honest clients report: of what they look at, and the better the more."""
    looked = random.random(shown.shape) < np.arange(1, SHOWN + 1) ** -TRUE_EXPONENT
    good = catalog.quality[shown] * fit
    clicked = looked & (random.random(shown.shape) < good)
    succeeded = clicked & (random.random(shown.shape) < good)
    return np.where(succeeded, SUCCEEDED, np.where(clicked, CLICKED, NOTHING))


def _lied(
    liars: Liars, target: NDArray[np.bool_], honest: Ints, random: np.random.Generator
) -> Ints:
    """What liars report of the same results."""
    if liars is Liars.CAMOUFLAGED:
        others = np.where(random.random(target.shape) < 0.3, CLICKED, NOTHING)
    elif liars is Liars.PLAIN:
        others = np.zeros(target.shape, np.int64)
    else:
        others = honest
    return np.where(target, SUCCEEDED, others)


def tau(one: Floats, other: Floats) -> float:
    """Kendall's tau-b of two orders; 1 is the same, 0 has nothing to do with it."""
    a = np.sign(one[:, None] - one[None, :])
    b = np.sign(other[:, None] - other[None, :])
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def on_top(catalog: Catalog, learned: Floats) -> float:
    """The share of the targets in the top tenth."""
    best = np.argsort(-learned, kind="stable")[: len(learned) // 10]
    return float(catalog.target[best].sum() / catalog.target.sum())


SETTINGS = (
    Setting("nobody lies"),
    Setting("nobody lies, nothing explored", explores=False),
    Setting("plain spam", Liars.PLAIN),
    Setting("plain spam, nothing explored", Liars.PLAIN, explores=False),
    Setting("camouflaged spam", Liars.CAMOUFLAGED),
    Setting("mimicking spam", Liars.MIMICKING),
    Setting("slow mimicking spam", Liars.SLOW),
    Setting("nobody lies, exponent taken for 0.5", assumed_exponent=0.5),
    Setting("plain spam, exponent taken for 0.5", Liars.PLAIN, assumed_exponent=0.5),
)


@dataclass(frozen=True)
class Measured:
    """How well one way of counting found the truth, for each seed."""

    tau: list[float]
    newcomers: list[float]
    top: list[float]


def measured(of: Setting, seed: int) -> dict[str, tuple[float, float, float]]:
    """How well each way of counting finds the truth in the same searches: tau of all artifacts and
    of newcomers, and the targets on top."""
    catalog, learned = simulate(of, seed)
    new = catalog.newcomer
    found = {}
    for way, counted in WAYS.items():
        values = counted(learned)
        found[way] = (
            tau(values, catalog.quality),
            tau(values[new], catalog.quality[new]),
            on_top(catalog, values),
        )
    return found


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values) if len(values) > 1 else 0:.3f}"


def tables(results: dict[str, dict[str, Measured]]) -> Iterator[str]:
    """The results as tables."""
    head = f"| setting | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}"

    def table(title: str, cell: Callable[[Measured], str]) -> Iterator[str]:
        yield f"### {title}\n\n{head}"
        for name, ways in results.items():
            yield f"| {name} | {' | '.join(cell(ways[way]) for way in WAYS)} |"
        yield ""

    yield from table("Kendall's tau to the true quality", lambda one: _spread(one.tau))
    yield from table("The same, of the newcomers alone", lambda one: _spread(one.newcomers))
    yield from table("Targets in the top tenth", lambda one: f"{mean(one.top):.0%}")


def page(body: str, seeds: Sequence[int], day: date) -> str:
    """The page of documentation with these tables."""
    of = SETTINGS[0]
    return PAGE.format(
        body=body,
        seeds=", ".join(map(str, seeds)),
        day=day.isoformat(),
        of=of,
        arrival=of.arrival,
        half_life=HALF_LIFE,
        prior=SHRUNK,
        shown=SHOWN,
        explored=EXPLORED_SHARE / 256,
        first=EXPLORED_AT[0],
        last=EXPLORED_AT[-1],
    )


PAGE = """# What outcomes teach, simulated

Written by `python -m eval simulation --write docs/simulation.md` on {day}, with the seeds {seeds}.
Figures are the mean over the seeds and the standard deviation between them. The same seeds give
the same figures.

## What is simulated
{of.artifacts} artifacts with a true quality that nobody sees, {of.clients:,} clients and
{of.searches} honest searches a day for {of.days} days. {of.newcomers} of the artifacts come on day
{arrival}. A search has one of {of.intents} intents, of which some are asked for far more often than
others, and {of.candidates} candidates that fit it more or less. It shows {shown} of them, by how
well they fit and, where that is about equal, by what matchgraph has learned up to the day before;
so what is learned decides what is seen next. With exploration, {explored:.0%} of the searches put
the candidate that was examined least, of those that are relevant enough, at a position from {first}
to {last}.

An honest client looks at position k with probability k^-0.8, clicks on what it looks at with
probability quality · fit, and reports a success of that with the same probability again. How well a
result fits disturbs the measurement as it would in earnest.

5 % of the clients lie for {of.targets} poor artifacts. Each of them searches ten times a day where
a target is among the candidates, which makes more searches than all honest clients do, and clicks
40 times a day on targets without a token. Only the first two ways of counting hear of the latter.

| spam | what they report with a token |
|---|---|
| plain | a success of each target shown |
| camouflaged | the same, and a click on 30 % of the other results |
| mimicking | the same as plain, and of other results what an honest client would |
| slow mimicking | as mimicking, but with no more searches than honest clients |

## How it is counted
| column | what |
|---|---|
| clicks | all clicks |
| clicks / shown | clicks for each time that an artifact was shown |
| no bounds | what came of each examined view, faded and shrunk, with everybody's word in full |
| matchgraph | the match graph's part of a rank: the same, bounded |

Evidence is halved every {half_life} days and shrunk by {prior:g} views; the bounds are those of
[ranking.md](ranking.md). Views are counted with the true exponent, except where a row says that 0.5
was assumed.

## Results

{body}
## What this does not show
- These clients are invented. It tells how well a way of counting finds what is there if people
  behave like this, and which lies it stands; not how people behave.
- The bounds were chosen with these kinds of spam in view, on other seeds (0 and 1). A liar who
  knows the bounds does better than these.
- Slow mimicking is the weak point: who behaves as everybody else does, but for a few targets, is
  hardly told from a client with odd taste.
- Relevance varies from search to search here, so every candidate is shown now and then, and
  exploration has little to add. Where the order is fixed, it has more.
- 5 % of clients lie, and each has one name. Whoever has many names has the say of many; what a name
  costs is not simulated.
- The interval of a rank says nothing about lies and is too narrow under attack.
"""


def run(words: Sequence[str]) -> None:
    """Measures every setting, prints the tables and writes them where asked."""
    parser = argparse.ArgumentParser(prog="eval simulation")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--write", type=Path, help="the page to write the tables into")
    options = parser.parse_args(words)
    results = {}
    # Each on a core of its own; what is found depends on the setting and the seed alone.
    with ProcessPoolExecutor() as processes:
        runs = {
            of.name: [processes.submit(measured, of, seed) for seed in options.seeds]
            for of in SETTINGS
        }
        for name, of_seeds in runs.items():
            found = [run.result() for run in of_seeds]
            results[name] = {
                way: Measured(
                    *(list(values) for values in zip(*(one[way] for one in found), strict=True))
                )
                for way in WAYS
            }
            ours = results[name]["matchgraph"]
            print(f"{name}: tau {_spread(ours.tau)}, top {mean(ours.top):.0%}", file=sys.stderr)
    body = "\n".join(tables(results))
    print(body)
    if options.write:
        options.write.write_text(page(body, options.seeds, datetime.now(UTC).date()))
