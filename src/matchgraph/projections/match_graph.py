"""Read model `match_graph`: intent, capability and artifact, with what searchers made of them, now
and before.

Read by queries/match_graph.py; docs/match-graph.md has the formulas and says what is bounded.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import combinations
from typing import Any

from matchgraph.domain.matching import decay, theta
from matchgraph.domain.search import UTILITY, Outcome, is_choice
from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert

# Units: days.
# A search is kept for as long as there can be reports on it, which is 30 days, and some more for
# clocks that differ; what a searcher did, for the day that caps are counted on and a week more.
KEPT_SEARCH = 40
KEPT_SEARCHER = 7
# In the words of so many searchers an intent is kept, in case some of them are forgotten.
MOST_WORDS = 3
# Who looks further down compares no more one by one.
MOST_COMPARED = 20
LEFT, RIGHT, NEITHER = "left", "right", "neither"


class Sealed(Said, frozen=True):
    key: str
    label: bytes


class Served(Said, frozen=True):
    artifact_id: str
    position: int
    capability: str = ""


class Answered(Heard, tag="search.answered@2", frozen=True):
    timestamp: datetime
    cluster: str
    searcher: str
    served: tuple[Served, ...]
    words: Sealed | None = None


class Continued(Heard, tag="search.continued@2", frozen=True):
    timestamp: datetime
    cluster: str
    searcher: str
    served: tuple[Served, ...]


class Reported(Heard, tag="outcome.reported@2", frozen=True):
    timestamp: datetime
    cluster: str
    searcher: str
    served: Served
    outcome: Outcome
    before: Outcome | None = None


class Forgotten(Heard, tag="searcher.forgotten", frozen=True):
    key: str


CellKey = tuple[str, str, str]
EdgeKey = tuple[str, str, str]
Pair = tuple[str, str]
Expiring = tuple[date, Any, Any]
Words = tuple[str, str, bytes]


@dataclass(slots=True)
class Cell:
    """One searcher's say on an artifact for an intent, as of a day."""

    capability: str
    day: date
    exposure: float = 0.0
    utility: float = 0.0
    acted: bool = False

    @property
    def say(self) -> tuple[float, float]:
        """Exposure and utility as they count: not more than one examined view of either."""
        weight = 1.0 / max(1.0, self.exposure, self.utility)
        return self.exposure * weight, self.utility * weight


@dataclass(slots=True)
class Edge:
    """What all searchers together say, as of a day."""

    day: date
    exposure: float = 0.0
    utility: float = 0.0
    searchers: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    position: int = 0

    def age(self, day: date) -> None:
        """Moves on to that day, if it is a later one."""
        left = decay((day - self.day).days)
        self.exposure *= left
        self.utility *= left
        self.day = max(self.day, day)

    def add(self, cell: Cell, sign: int) -> None:
        """Adds a searcher's say, or takes it away again."""
        left = sign * decay((self.day - cell.day).days)
        exposure, utility = cell.say
        # What was added and taken away leaves a rest of the last digits.
        self.exposure = max(0.0, self.exposure + left * exposure)
        self.utility = max(0.0, self.utility + left * utility)
        self.searchers += sign * cell.acted


@dataclass(slots=True)
class Shown:
    """The first results of a search, by position, each with its outcome and the day of that."""

    day: date
    position: int
    results: dict[int, tuple[str, Outcome | None, date | None]] = field(default_factory=dict)

    def show(self, served: Iterable[Served]) -> None:
        """Adds results of a page."""
        for one in served:
            if one.position <= MOST_COMPARED:
                self.results.setdefault(one.position, (one.artifact_id, None, None))

    def compared(self) -> Iterator[tuple[Pair, str]]:
        """Each two results that were both examined, and which of them fared better. Examined are
        those above the lowest one with an outcome, and one below it."""
        acted = [place for place, (_, outcome, _) in self.results.items() if outcome is not None]
        if not acted:
            return
        examined = [
            (id, 0.0 if outcome is None else UTILITY[outcome])
            for place, (id, outcome, _) in self.results.items()
            if place <= max(acted) + 1
        ]
        for (left, fared), (right, other) in combinations(sorted(examined), 2):
            yield (left, right), LEFT if fared > other else RIGHT if fared < other else NEITHER


OUTCOMES = tuple(Outcome)
COUNTED = ("shown", *OUTCOMES)


class Moves:
    """What is only counted, and so needs not be read before: by how much each event moves which
    numbers of a row."""

    def __init__(self) -> None:
        self._moved: dict[tuple[int, tuple[str, ...]], list[int]] = {}

    def move(self, position: int, key: tuple[str, ...], *by: int) -> None:
        """The event at that position adds so much to the numbers of that row."""
        known = self._moved.setdefault((position, key), [0] * len(by))
        self._moved[position, key] = [old + new for old, new in zip(known, by, strict=True)]

    def rows(self) -> list[tuple[tuple[str, ...], int, list[int]]]:
        """Those that were moved after all, each with its position, by row and then in order."""
        return sorted((key, at, by) for (at, key), by in self._moved.items() if any(by))

    def sums(self) -> dict[tuple[str, ...], list[int]]:
        """By how much all events together move the numbers of each row, also by nothing."""
        found: dict[tuple[str, ...], list[int]] = {}
        for key, _, by in self.rows():
            known = found.get(key, [0] * len(by))
            found[key] = [old + new for old, new in zip(known, by, strict=True)]
        return found


class Graph:
    """The rows that a batch touches: read at once, moved on event by event, written at once."""

    def __init__(self) -> None:
        self.cells: dict[CellKey, Cell] = {}
        self.position = 0
        self.edges: dict[EdgeKey, Edge] = {}
        self.past_edges: dict[tuple[EdgeKey, int], tuple[Any, ...]] = {}
        self.searches: dict[str, Shown] = {}
        self.expiring_searches: list[Expiring] = []
        self.expiring_searchers: list[Expiring] = []
        # What is only counted needs not be read before.
        self.clusters: dict[str, int] = {}
        self.searched = Moves()
        self.counted = Moves()
        self.compared = Moves()
        self.searchers: dict[tuple[date, str], int] = {}
        # Of each cluster the keys that its words are sealed with.
        self.words: dict[str, list[str]] = defaultdict(list)
        self.new_words: dict[tuple[str, int], Words] = {}
        self.forgotten: dict[str, int] = {}
        self.gone_searches: set[str] = set()
        self.gone_searchers: set[tuple[date, str]] = set()

    def take(self, position: int, event: Any) -> None:
        """Moves on by one event."""
        self.position = position
        match event:
            case Forgotten(key=key):
                self._forget_words(position, key)
            case Answered(id=id, cluster=cluster, served=served):
                self.clusters.setdefault(cluster, position)
                self.searched.move(position, (cluster,), 1)
                self._keep_words(position, event)
                day = event.timestamp.date()
                self.searches[id] = shown = Shown(day, position)
                heappush(self.expiring_searches, (day, position, id))
                shown.show(served)
                self._expose(position, event)
                self._forget_searches(day)
            case Continued(id=id, served=served):
                if id in self.searches:
                    # What was below the lowest outcome may be examined now.
                    with self._recounted(self.searches[id]) as shown:
                        shown.show(served)
                self._expose(position, event)
            case Reported():
                self._report(position, event)

    def _expose(self, position: int, event: Answered | Continued) -> None:
        day = event.timestamp.date()
        for one in event.served:
            edge = self._move(position, event, one, day, exposure=theta(one.position))
            edge.counts["shown"] += 1
            self.counted.move(position, (one.artifact_id, one.capability), 1, 0)

    def _report(self, position: int, event: Reported) -> None:
        one, outcome, before = event.served, event.outcome, event.before
        day = event.timestamp.date()
        utility = UTILITY[outcome] - self._compare(event, day)
        edge = self._move(position, event, one, day, utility=utility, acted=True)
        edge.counts[outcome] += 1
        if before is not None:
            edge.counts[before] -= 1
        chosen = is_choice(outcome) and not is_choice(before)
        self.counted.move(position, (one.artifact_id, one.capability), 0, chosen)
        key = (day, event.searcher)
        if key not in self.searchers:
            self.searchers[key] = 0
            heappush(self.expiring_searchers, (*key, None))
        self.searchers[key] += 1
        self._forget_searchers(day)

    def _compare(self, event: Reported, day: date) -> float:
        """Counts how the results of the search compare now. Returns what is left on that day of
        the utility that the result had before."""
        before, place = event.before, event.served.position
        shown = self.searches.get(event.id)
        known = None if shown is None else shown.results.get(place)
        since = day
        if shown is not None and known is not None and known[0] == event.served.artifact_id:
            since = known[2] or day
            with self._recounted(shown):
                shown.results[place] = (known[0], event.outcome, day)
        return 0.0 if before is None else UTILITY[before] * decay((day - since).days)

    @contextmanager
    def _recounted(self, shown: Shown) -> Iterator[Shown]:
        """Counts how the results of a search compare by what is made of them meanwhile, and no
        more by what was."""
        for pair, verdict in shown.compared():
            self.compared.move(self.position, pair, -1, -(verdict == LEFT), -(verdict == RIGHT))
        yield shown
        for pair, verdict in shown.compared():
            self.compared.move(self.position, pair, 1, verdict == LEFT, verdict == RIGHT)

    def _move(
        self,
        position: int,
        event: Answered | Continued | Reported,
        one: Served,
        day: date,
        *,
        exposure: float = 0.0,
        utility: float = 0.0,
        acted: bool = False,
    ) -> Edge:
        """Adds to what a searcher says of an artifact, and returns the edge that this is on."""
        cluster = event.cluster
        key = (cluster, one.artifact_id, event.searcher)
        cell = self.cells.get(key)
        # Also where a clock was put back, nothing gets younger.
        day = day if cell is None else max(day, cell.day)
        edge = self._edge((cluster, one.artifact_id, one.capability), day)
        if cell is None:
            cell = self.cells[key] = Cell(one.capability, day)
        else:
            old = self._edge((cluster, one.artifact_id, cell.capability), day)
            old.add(cell, -1)
            old.position = position
        left = decay((day - cell.day).days)
        cell.exposure = cell.exposure * left + exposure
        cell.utility = max(0.0, cell.utility * left + utility)
        cell.day = day
        cell.acted = cell.acted or acted
        cell.capability = one.capability
        edge.add(cell, 1)
        edge.position = position
        return edge

    def _edge(self, key: EdgeKey, day: date) -> Edge:
        edge = self.edges.get(key)
        if edge is None:
            edge = self.edges[key] = Edge(day)
        elif 0 < edge.position < self.position:
            # An event may come to the same edge twice; the first time it is still as it was.
            was = (*_edge_row(key, edge), self.position)
            self.past_edges.setdefault((key, self.position), was)
        edge.age(day)
        return edge

    def _keep_words(self, position: int, event: Answered) -> None:
        """Keeps the words of another searcher, while there are few."""
        words, known = event.words, self.words[event.cluster]
        if words is not None and words.key not in known and len(known) < MOST_WORDS:
            known.append(words.key)
            self.new_words[event.cluster, position] = words.key, event.id, words.label

    def _forget_words(self, position: int, key: str) -> None:
        """Makes place for the words of others: nobody can read these any more."""
        self.forgotten[key] = position
        for known in self.words.values():
            if key in known:
                known.remove(key)
        self.new_words = {
            place: words for place, words in self.new_words.items() if words[0] != key
        }

    # What nobody can report on any more goes, two for each one that comes: so it never piles up,
    # and no event has much to do.

    def _forget_searches(self, day: date) -> None:
        for _, _, id in _expired(self.expiring_searches, day - timedelta(KEPT_SEARCH)):
            self.searches.pop(id, None)
            self.gone_searches.add(id)

    def _forget_searchers(self, day: date) -> None:
        for since, who, _ in _expired(self.expiring_searchers, day - timedelta(KEPT_SEARCHER)):
            self.searchers.pop((since, who), None)
            self.gone_searchers.add((since, who))


def _expired(expiring: list[Expiring], before: date) -> Iterator[Expiring]:
    """The two oldest at most, of those from before that day."""
    for _ in range(2):
        if expiring and expiring[0][0] < before:
            yield heappop(expiring)


async def apply(db: Connection, batch: Batch) -> None:
    """Reads what the batch touches, moves it on event by event, and writes it."""
    graph = Graph()
    await _read(db, graph, batch)
    for position, event in batch:
        graph.take(position, event)
    await _write(db, graph)


def _served(event: Any) -> Sequence[Served]:
    return (event.served,) if isinstance(event, Reported) else event.served


async def _read(db: Connection, graph: Graph, batch: Batch) -> None:
    events = [event for _, event in batch if not isinstance(event, Forgotten)]
    touched = sorted(
        {
            (event.cluster, one.artifact_id, event.searcher, one.capability)
            for event in events
            for one in _served(event)
        }
    )
    for row in await db.fetch(
        "SELECT c.* FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS u (cluster, id, searcher)"
        " JOIN match_cell c ON c.cluster = u.cluster AND c.artifact_id = u.id"
        " AND c.searcher = u.searcher",
        *_columns({key[:3] for key in touched}, 3),
    ):
        graph.cells[str(row["cluster"]), str(row["artifact_id"]), row["searcher"]] = Cell(
            row["capability"], row["day"], row["exposure"], row["utility"], row["acted"]
        )
    edges = {(cluster, id, capability) for cluster, id, _, capability in touched}
    edges |= {(cluster, id, cell.capability) for (cluster, id, _), cell in graph.cells.items()}
    for row in await db.fetch(
        "SELECT e.* FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS u (cluster, id, capability)"
        " JOIN match_edge e ON e.cluster = u.cluster AND e.artifact_id = u.id"
        " AND e.capability = u.capability",
        *_columns(edges, 3),
    ):
        graph.edges[str(row["cluster"]), str(row["artifact_id"]), row["capability"]] = Edge(
            row["day"],
            row["exposure"],
            row["utility"],
            row["searchers"],
            Counter({name: row[name] for name in COUNTED}),
            row["position"],
        )
    for row in await db.fetch(
        "SELECT * FROM match_search WHERE search_id = ANY ($1)",
        sorted({event.id for event in events if not isinstance(event, Answered)}),
    ):
        graph.searches[str(row["search_id"])] = Shown(
            row["day"],
            row["position"],
            {
                place: (str(id), Outcome(outcome) if outcome else None, on)
                for id, place, outcome, on in zip(
                    row["artifacts"],
                    row["positions"],
                    row["outcomes"],
                    row["reported_on"],
                    strict=True,
                )
            },
        )
    answered = [event for event in events if isinstance(event, Answered)]
    for row in await db.fetch(
        "SELECT cluster, key FROM match_words WHERE cluster = ANY ($1) ORDER BY cluster, position",
        sorted({event.cluster for event in answered}),
    ):
        graph.words[str(row["cluster"])].append(str(row["key"]))
    await _read_expiring(db, graph, events)


async def _read_expiring(db: Connection, graph: Graph, events: Sequence[Any]) -> None:
    answered = [event.timestamp.date() for event in events if isinstance(event, Answered)]
    if answered:
        graph.expiring_searches = [
            (row["day"], row["position"], str(row["search_id"]))
            for row in await db.fetch(
                "SELECT day, position, search_id FROM match_search WHERE day < $1"
                " ORDER BY day, position LIMIT $2",
                max(answered) - timedelta(KEPT_SEARCH),
                2 * len(answered),
            )
        ]
    reported = [event for event in events if isinstance(event, Reported)]
    if not reported:
        return
    days = [event.timestamp.date() for event in reported]
    expired = await db.fetch(
        "SELECT * FROM match_searcher WHERE day < $1 ORDER BY day, searcher LIMIT $2",
        max(days) - timedelta(KEPT_SEARCHER),
        2 * len(reported),
    )
    known = await db.fetch(
        "SELECT m.* FROM unnest($1::date[], $2::text[]) AS u (day, searcher)"
        " JOIN match_searcher m ON m.day = u.day AND m.searcher = u.searcher",
        *_columns({(event.timestamp.date(), event.searcher) for event in reported}, 2),
    )
    for row in (*expired, *known):
        graph.searchers[row["day"], row["searcher"]] = row["reports"]
    graph.expiring_searchers = [(*key, None) for key in graph.searchers]
    heapify(graph.expiring_searchers)


def _columns(keys: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    rows = list(keys)
    return [[row[number] for row in rows] for number in range(width)]


async def _write(db: Connection, graph: Graph) -> None:
    # Before the sums are moved on, which these go on from.
    await _remember(db, "match_cluster", CLUSTER, graph.searched)
    await _remember(db, "match_count", COUNT, graph.counted)
    await _remember(db, "match_pair", PAIR, graph.compared)
    searches = graph.searched.sums()
    await _put(
        db,
        "match_cluster",
        [(cluster, *searches[cluster,], position) for cluster, position in graph.clusters.items()],
        "(cluster) DO UPDATE SET searches = match_cluster.searches + excluded.searches",
    )
    await _write_words(db, graph)
    await _put(
        db,
        "match_cell",
        [
            (*key, cell.capability, cell.exposure, cell.utility, cell.day, cell.acted)
            for key, cell in graph.cells.items()
        ],
        _replacing("cluster, artifact_id, searcher", CELL),
    )
    await _put(
        db,
        "match_edge",
        [_edge_row(key, edge) for key, edge in graph.edges.items()],
        _replacing("cluster, artifact_id, capability", EDGE),
    )
    await insert(db, "match_edge_past", (was for _, was in sorted(graph.past_edges.items())))
    await _put(
        db,
        "match_count",
        [(*key, *by) for key, by in graph.counted.sums().items()],
        "(artifact_id, capability) DO UPDATE SET served = match_count.served + excluded.served,"
        " chosen = match_count.chosen + excluded.chosen",
    )
    await _put(
        db,
        "match_pair",
        [(*pair, *by) for pair, by in graph.compared.sums().items()],
        "(left_id, right_id) DO UPDATE SET together = match_pair.together + excluded.together,"
        " left_better = match_pair.left_better + excluded.left_better,"
        " right_better = match_pair.right_better + excluded.right_better",
    )
    await _put(
        db,
        "match_search",
        [(id, *_shown_row(shown)) for id, shown in graph.searches.items()],
        _replacing("search_id", SEARCH),
    )
    await _put(
        db,
        "match_searcher",
        [(*key, reports) for key, reports in graph.searchers.items()],
        _replacing("day, searcher", ("reports",)),
    )
    if graph.gone_searches:
        await db.execute(
            "DELETE FROM match_search WHERE search_id = ANY ($1)", sorted(graph.gone_searches)
        )
    if gone := graph.gone_searchers - graph.searchers.keys():
        await db.execute(
            "DELETE FROM match_searcher m USING unnest($1::date[], $2::text[]) AS u (day, searcher)"
            " WHERE m.day = u.day AND m.searcher = u.searcher",
            *_columns(gone, 2),
        )


def _edge_row(key: EdgeKey, edge: Edge) -> tuple[Any, ...]:
    return (
        *key,
        edge.exposure,
        edge.utility,
        edge.day,
        edge.searchers,
        *(edge.counts[name] for name in COUNTED),
        edge.position,
    )


async def _remember(db: Connection, table: str, row: "Row", moves: Moves) -> None:
    """Adds what the numbers of each row were since each event to the history of the table."""
    moved = moves.rows()
    if not moved:
        return
    names = [*row.key, *row.numbers]
    types = [*row.key.values(), *["bigint"] * len(row.numbers)]
    arguments = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, start=2))
    key = ", ".join(row.key)
    sums = (
        f"coalesce(t.{name}, 0) + sum(m.{name}) OVER (PARTITION BY {key} ORDER BY m.position)"
        for name in row.numbers
    )
    await db.execute(
        f"INSERT INTO {table}_history SELECT {key}, m.position, {', '.join(sums)}"
        f" FROM unnest($1::bigint[], {arguments}) AS m (position, {', '.join(names)})"
        f" LEFT JOIN {table} t USING ({key}) ORDER BY {key}, m.position",
        [position for _, position, _ in moved],
        *_columns([(*key, *by) for key, _, by in moved], len(names)),
    )


@dataclass(frozen=True)
class Row:
    """A row that counts: its key by the types of its columns, and its numbers."""

    key: Mapping[str, str]
    numbers: Sequence[str]


CLUSTER = Row({"cluster": "uuid"}, ("searches",))
COUNT = Row({"artifact_id": "uuid", "capability": "text"}, ("served", "chosen"))
PAIR = Row({"left_id": "uuid", "right_id": "uuid"}, ("together", "left_better", "right_better"))


async def _write_words(db: Connection, graph: Graph) -> None:
    for key, position in graph.forgotten.items():
        await db.execute("DELETE FROM match_words WHERE key = $1 AND position < $2", key, position)
    await insert(
        db, "match_words", [(*place, *words) for place, words in sorted(graph.new_words.items())]
    )


def _shown_row(shown: Shown) -> tuple[Any, ...]:
    places = sorted(shown.results)
    results = [shown.results[place] for place in places]
    return (
        shown.day,
        shown.position,
        [id for id, _, _ in results],
        places,
        [outcome or "" for _, outcome, _ in results],
        [on for _, _, on in results],
    )


async def _put(db: Connection, table: str, rows: Iterable[tuple[Any, ...]], then: str) -> None:
    # In one order always, so that the rows lie in the table as the events came, whoever writes.
    await insert(db, table, sorted(rows, key=lambda row: row[:3]), then=f"ON CONFLICT {then}")


def _replacing(key: str, columns: Sequence[str]) -> str:
    return f"({key}) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in columns)


CELL = ("capability", "exposure", "utility", "day", "acted")
EDGE = ("exposure", "utility", "day", "searchers", *COUNTED, "position")
SEARCH = ("artifacts", "positions", "outcomes", "reported_on")

MATCH_GRAPH = Projection(
    name="match_graph",
    tables=(
        "match_cluster",
        "match_words",
        "match_cell",
        "match_edge",
        "match_count",
        "match_pair",
        "match_search",
        "match_searcher",
        "match_edge_past",
        "match_cluster_history",
        "match_count_history",
        "match_pair_history",
    ),
    hears=(Answered, Continued, Reported, Forgotten),
    apply=apply,
)
