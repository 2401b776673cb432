"""Who ranks where: the boards page by page, and the place of single artifacts.

From Redis where it has them, at the same cost at any depth; otherwise counted in PostgreSQL. Both
answer alike, see docs/cache.md. As of a position PostgreSQL alone answers, see docs/as-of.md.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from matchgraph.domain.artifact import Kind
from matchgraph.observe.metrics import Metrics
from matchgraph.projections.rank_cache import (
    ALL,
    MOST_AT_ONCE,
    PAGE,
    PLACES,
    Circuit,
    complete_up_to,
    inverted,
    keys,
    member,
    position_key,
    ranked_in,
)
from matchgraph.projections.ranked import COLUMNS, Ranked, ranked_of
from matchgraph.projections.redis_client import history
from matchgraph.queries.page import BadCursor, Page, decode, encode, page, size
from matchgraph.queries.snapshot import Snapshot

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class Placed:
    """An artifact on a board, and where: `band` is one more than how many clearly beat it."""

    ranked: Ranked
    place: int
    band: int


@dataclass(frozen=True)
class BoardPage:
    """A page of a board as it was at `position`."""

    page: Page[Placed]
    position: int
    from_cache: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an artifact stands among its kind and over all; zeros when it is on no board."""

    place: int = 0
    band: int = 0
    place_over_all: int = 0
    band_over_all: int = 0


# A row's sort key: its standing, inverted so that it is never negative, and its id.
_Key = tuple[int, UUID]
_BEFORE_ALL: _Key = (-1, UUID(int=2**128 - 1))
_NOWHERE = Standing()


class Boards:
    """The boards, for a whole process: it remembers whether Redis answers."""

    def __init__(
        self,
        client: "Redis",
        *,
        patience: float = 0.2,
        rest: float = 1.0,
        metrics: Metrics | None = None,
    ) -> None:
        """Units: seconds that a request waits for Redis, and that Redis is left alone when it did
        not answer by then."""
        self._metrics = Metrics() if metrics is None else metrics
        self.circuit = Circuit(client, patience=patience, rest=rest)
        self._history: str | None = None

    async def page(
        self,
        snapshot: Snapshot,
        kind: Kind | None,
        first: int,
        after: str | None = None,
        *,
        at_least: int = 0,
    ) -> BoardPage:
        """Some of the board of that kind, or of the one over all, best first.

        It is never older than `at_least`, which the caller has waited for (see `position.reach`),
        and may be newer or older than the snapshot.
        Raises: BadPageSize, BadCursor, Unavailable.
        """
        group = ALL if kind is None else kind.value
        size(first)
        key = _BEFORE_ALL if after is None else _key_in(group, after)
        if snapshot.as_of is not None:
            return await _page_then(snapshot, group, key, first)
        found = await self._cached_page(snapshot, group, key, first, at_least)
        self._metrics.found("board", hit=found is not None)
        if found is not None:
            return found
        return await _counted_page(snapshot, group, key, first)

    async def _cached_page(
        self, snapshot: Snapshot, group: str, key: _Key, first: int, at_least: int
    ) -> BoardPage | None:
        history = await self._known_history(snapshot)
        bound = "-" if key is _BEFORE_ALL else f"({key[0]:08x}{key[1].hex}"
        replies = history and await self.circuit.send(
            [
                ("HMGET", position_key(history), "position", group),
                PAGE.call(keys(history, group), bound, first + 1),
            ]
        )
        match replies:
            case [[None, _], _]:
                # Nobody keeps the boards of that history; maybe the database is another one now.
                self._history = None
            case [[bytes() as confirmed, seen], [int() as at, int() as before, bytes() as text]]:
                try:
                    position = complete_up_to(at, int(confirmed), _number(seen))
                    rows = _placed_in(text, before)
                except ValueError:  # what Redis holds there is none of ours
                    return None
                if position >= at_least:
                    return BoardPage(_page(group, rows, first), position, from_cache=True)
        return None

    async def standings(self, snapshot: Snapshot, ids: Sequence[UUID]) -> list[Standing]:
        """Where each of the artifacts stands, as of the snapshot. Raises: Unavailable."""
        if snapshot.as_of is not None:
            then = await _standings_then(snapshot, ids)
            return [then.get(id, _NOWHERE) for id in ids]
        rows = await snapshot.fetch(
            "SELECT c.position, b.artifact_id, b.kind, b.standing, b.high"
            " FROM projection_checkpoint c LEFT JOIN rank_board b ON b.place > 0"
            " AND b.artifact_id = ANY ($1) WHERE c.name = 'rank_board'",
            list(ids),
        )
        asked = [_Asked(*row[1:]) for row in rows if row["artifact_id"] is not None]
        if not asked:
            return [_NOWHERE] * len(ids)
        found = await self._cached_standings(
            await self._known_history(snapshot), rows[0]["position"], asked
        )
        self._metrics.found("card", hit=found is not None)
        if found is None:
            found = await _counted_standings(snapshot, asked)
        return [found.get(id, _NOWHERE) for id in ids]

    async def kept_standings(self, rows: Sequence[Ranked], position: int) -> list[Standing] | None:
        """Where artifacts on boards stand that have these ranks, all as of that position; None
        where Redis cannot tell."""
        if self._history is None:
            return None
        asked = [_Asked(row.artifact_id, row.kind, row.standing, row.high) for row in rows]
        found = await self._cached_standings(self._history, position, asked)
        self._metrics.found("card", hit=found is not None)
        return None if found is None else [found[row.artifact_id] for row in rows]

    async def _cached_standings(
        self, history: str | None, position: int, asked: Sequence["_Asked"]
    ) -> dict[UUID, Standing] | None:
        batches = _batches(asked)
        groups = [group for group, _ in batches]
        replies = history and await self.circuit.send(
            [
                ("HMGET", position_key(history), "position", *groups),
                *(
                    PLACES.call(keys(history, group), *(word for one in some for word in one.words))
                    for group, some in batches
                ),
            ]
        )
        if not replies:
            return None
        counted: dict[str, dict[UUID, tuple[int, int]]] = defaultdict(dict)
        try:
            confirmed, *seen = map(_number, replies[0])
            for (group, some), was, (at, said) in zip(batches, seen, replies[1:], strict=True):
                if not at <= position <= complete_up_to(at, confirmed or 0, was):
                    return None
                counts = [int(count) for count in said.split()]
                for one, before, better in zip(some, counts[::2], counts[1::2], strict=True):
                    counted[group][one.artifact_id] = before + 1, better + 1
        except (TypeError, ValueError):  # an error, nothing, or nothing of ours
            return None
        return {
            one.artifact_id: Standing(
                *counted[one.kind][one.artifact_id], *counted[ALL][one.artifact_id]
            )
            for one in asked
        }

    async def _known_history(self, snapshot: Snapshot) -> str | None:
        """The name of this history in Redis, or None while there is none."""
        if self._history is None:
            self._history = await history(snapshot)
        return self._history


@dataclass(frozen=True, slots=True)
class _Asked:
    """A row whose place is asked for."""

    artifact_id: UUID
    kind: str
    standing: int
    high: int

    @property
    def words(self) -> tuple[str, str]:
        """How a script is asked."""
        return member(self.standing, self.artifact_id), f"{inverted(self.high):08x}"


def _batches(asked: Sequence[_Asked]) -> list[tuple[str, list[_Asked]]]:
    """What to ask of which group, not too much at once."""
    groups: dict[str, list[_Asked]] = defaultdict(list)
    for one in asked:
        groups[ALL].append(one)
        groups[one.kind].append(one)
    return [
        (group, some[start : start + MOST_AT_ONCE])
        for group, some in groups.items()
        for start in range(0, len(some), MOST_AT_ONCE)
    ]


def _number(said: bytes | None) -> int | None:
    return None if said is None else int(said)


def _placed_in(text: bytes, before: int) -> list[Placed]:
    """The rows that a script wrote down. Raises: ValueError."""
    rows = []
    for place, line in enumerate(text.split(b"\n") if text else (), start=before + 1):
        better, _, rest = line.partition(b" ")
        rows.append(Placed(ranked_in(rest), place, int(better) + 1))
    return rows


def _order(group: str) -> str:
    return f"rank_board/{group}"


def _key_in(group: str, cursor: str) -> _Key:
    standing, artifact_id = decode(_order(group), cursor, int, UUID)
    if standing >= 2**32:
        raise BadCursor(cursor)
    return standing, artifact_id


def _page(group: str, rows: Sequence[Placed], first: int) -> Page[Placed]:
    def cursor_of(row: Placed) -> str:
        return encode(_order(group), (inverted(row.ranked.standing), row.ranked.artifact_id))

    return page(rows, first, cursor_of)


# The same from PostgreSQL. What lies between two rows that are asked for is counted once and added
# up, not counted for each row that is behind it.


def _counting(part: str, same: str, same_low: str) -> str:
    """The places and bands of the rows of `asked`, each among those of the same part."""
    return f"""
      SELECT artifact_id,
        1 + sum((
          SELECT count(*) FROM rank_board o WHERE o.place > 0 AND {same}
          AND o.standing > r.standing AND o.standing <= r.higher
        )) OVER (PARTITION BY part ORDER BY standing DESC, artifact_id)
        + sum((
          SELECT count(*) FROM rank_board o WHERE o.place > 0 AND {same}
          AND o.standing = r.standing AND o.artifact_id >= r.equal AND o.artifact_id < r.artifact_id
        )) OVER (PARTITION BY part, standing ORDER BY artifact_id) AS place,
        1 + sum((
          SELECT count(*) FROM rank_board o WHERE o.place > 0 AND {same_low}
          AND o.low > r.high AND o.low <= r.better
        )) OVER (PARTITION BY part ORDER BY high DESC, artifact_id) AS band
      FROM (
        SELECT part, artifact_id, standing, high,
          lag(standing, 1, {_HIGHEST}) OVER (PARTITION BY part ORDER BY standing DESC, artifact_id)
            AS higher,
          lag(artifact_id, 1, '{UUID(int=0)}'::uuid)
            OVER (PARTITION BY part, standing ORDER BY artifact_id) AS equal,
          lag(high, 1, {_HIGHEST}) OVER (PARTITION BY part ORDER BY high DESC, artifact_id)
            AS better
        FROM (SELECT {part} AS part, artifact_id, standing, high FROM asked) a
      ) r"""


_HIGHEST = 2**31 - 1
_AMONG_KIND = _counting("kind", "o.kind = r.part", "o.kind = r.part")
# The index by low begins with the kind.
_OF_ANY_KIND = "o.kind IN ({})".format(", ".join(f"'{kind}'" for kind in Kind))
_OVER_ALL = _counting(f"'{ALL}'", "true", _OF_ANY_KIND)


def _page_query(of_group: str, counting: str) -> str:
    some = f"SELECT b.* FROM rank_board b WHERE b.place > 0 AND {of_group} AND b.standing"
    in_order = "ORDER BY standing DESC, artifact_id LIMIT $4"
    return (
        f"WITH asked AS MATERIALIZED (({some} = $2::bigint AND b.artifact_id > $3 {in_order})"
        f" UNION ALL ({some} < $2::bigint {in_order}) {in_order}),"
        f" placed AS MATERIALIZED ({counting})"
        f" SELECT {COLUMNS}, placed.place, placed.band FROM asked b"
        " JOIN rank_evidence e USING (artifact_id) JOIN placed USING (artifact_id)"
        " ORDER BY b.standing DESC, b.artifact_id"
    )


_PAGE_OF_KIND = _page_query("b.kind = $1", _AMONG_KIND)
_PAGE_OVER_ALL = _page_query(f"$1 = '{ALL}'", _OVER_ALL)
_STANDINGS = (
    "WITH asked AS MATERIALIZED (SELECT artifact_id, kind, standing, high FROM rank_board"
    " WHERE place > 0 AND artifact_id = ANY ($1)),"
    f" among_kind AS MATERIALIZED ({_AMONG_KIND}), over_all AS MATERIALIZED ({_OVER_ALL})"
    " SELECT artifact_id, k.place, k.band, o.place, o.band"
    " FROM among_kind k JOIN over_all o USING (artifact_id)"
)


async def _counted_page(snapshot: Snapshot, group: str, key: _Key, first: int) -> BoardPage:
    reached = await snapshot.fetch(
        "SELECT position FROM projection_checkpoint WHERE name = 'rank_board'"
    )
    rows = await snapshot.fetch(
        _PAGE_OVER_ALL if group == ALL else _PAGE_OF_KIND,
        *(group, inverted(key[0]), key[1], first + 1),
    )
    placed = [Placed(ranked_of(row), int(row["place"]), int(row["band"])) for row in rows]
    return BoardPage(_page(group, placed, first), reached[0]["position"], from_cache=False)


async def _counted_standings(snapshot: Snapshot, asked: Sequence[_Asked]) -> dict[UUID, Standing]:
    rows = await snapshot.fetch(_STANDINGS, [one.artifact_id for one in asked])
    return {row[0]: Standing(*map(int, row[1:])) for row in rows}


# As of then no index knows the order, so a board is put together whole, once, and looked at. Bands
# are counted between the limits that are asked for, in one sweep as well.


def _then(of_group: str, asked: str) -> str:
    """Places and bands of the rows that are asked for, in the table `placed`."""
    return f"""
      WITH board AS MATERIALIZED (
        SELECT artifact_id, kind, standing, low, high,
          row_number() OVER (PARTITION BY kind ORDER BY standing DESC, artifact_id) AS place,
          row_number() OVER (ORDER BY standing DESC, artifact_id) AS place_over_all
        FROM rank_board WHERE place > 0 AND {of_group}
      ), asked AS MATERIALIZED ({asked}),
      limits AS (
        SELECT coalesce(array_agg(DISTINCT high + 1 ORDER BY high + 1), '{{}}') AS highs FROM asked
      ),
      better AS MATERIALIZED (
        SELECT kind, width_bucket(low, highs) AS above, count(*) AS artifacts
        FROM board, limits WHERE highs <> '{{}}' GROUP BY kind, above
      ), placed AS (
        SELECT asked.*, 1 + coalesce(found.of_kind, 0) AS band,
          1 + coalesce(found.of_all, 0) AS band_over_all
        FROM asked, limits, LATERAL (
          SELECT sum(artifacts) FILTER (WHERE kind = asked.kind) AS of_kind,
            sum(artifacts) AS of_all
          FROM better WHERE above >= width_bucket(asked.high + 1, highs)
        ) AS found
      )"""


def _page_then_query(of_group: str, over_all: str) -> str:
    asked = (
        "SELECT * FROM board WHERE standing < $2::bigint OR standing = $2 AND artifact_id > $3"
        f" ORDER BY place{over_all} LIMIT $4"
    )
    return (
        f"{_then(of_group, asked)}"
        f" SELECT {COLUMNS}, placed.place{over_all} AS place, placed.band{over_all} AS band"
        " FROM placed JOIN rank_board b USING (artifact_id)"
        " JOIN rank_evidence e USING (artifact_id)"
        f" ORDER BY placed.place{over_all}"
    )


_PAGE_OF_KIND_THEN = _page_then_query("kind = $1", "")
_PAGE_OVER_ALL_THEN = _page_then_query(f"$1 = '{ALL}'", "_over_all")
_STANDINGS_THEN = (
    _then("true", "SELECT * FROM board WHERE artifact_id = ANY ($1)")
    + " SELECT artifact_id, place, band, place_over_all, band_over_all FROM placed"
)


async def _page_then(snapshot: Snapshot, group: str, key: _Key, first: int) -> BoardPage:
    rows = await snapshot.fetch(
        _PAGE_OVER_ALL_THEN if group == ALL else _PAGE_OF_KIND_THEN,
        *(group, inverted(key[0]), key[1], first + 1),
    )
    placed = [Placed(ranked_of(row), int(row["place"]), int(row["band"])) for row in rows]
    return BoardPage(_page(group, placed, first), snapshot.as_of or 0, from_cache=False)


async def _standings_then(snapshot: Snapshot, ids: Sequence[UUID]) -> dict[UUID, Standing]:
    rows = await snapshot.fetch(_STANDINGS_THEN, list(ids))
    return {row[0]: Standing(*map(int, row[1:])) for row in rows}
