"""Likely duplicates: pairs of active artifacts that may be one, the likeliest first.

Read by graphql/identity.py and by `matchgraph duplicates`; domain/duplicate.py weighs the pairs.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from matchgraph.domain.duplicate import Likeness, Profile, likeness
from matchgraph.queries import page as pages
from matchgraph.queries.artifact import Listing, aliases, by_ids
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

LIKELY = 0.8
# A key that is found more often than this says nothing of which artifact it is.
LARGEST_BLOCK = 24
ORDER = "likely_duplicates"

# Only what has a key in common is compared, so that the work grows with the catalog and not with
# its square. Keys: the name without blanks and signs; the slug and each alias likewise, also
# without a date at its end; the homepage; maker, family and day of release; and the words of the
# name with all its numbers, without any one of the words, so that two names which differ in one
# word (left out, added or misspelled) have one in common.
PAIRS = rf"""
WITH listed AS MATERIALIZED (
  SELECT id, lower(name) COLLATE "C" AS name, slug, homepage, lower(vendor) AS vendor, family,
    released
  FROM artifact_listing WHERE status = 'active'
), word AS MATERIALIZED (
  SELECT l.id, w.words, w.numbers FROM listed l CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT m[1]) FILTER (WHERE m[1] !~ '[0-9]') AS words,
      string_agg(ltrim(m[1], '0'), ' ' ORDER BY m[1]) FILTER (WHERE m[1] ~ '[0-9]') AS numbers
    FROM regexp_matches(l.name, '[[:alpha:]]+|[[:digit:]]+', 'g') AS m
  ) AS w
), named AS (
  SELECT id, name AS said FROM listed
  UNION ALL
  SELECT id, slug FROM listed WHERE translate(slug, '-._', '') <> translate(name, ' -._', '')
  UNION ALL SELECT a.artifact_id, a.slug FROM artifact_alias a JOIN listed l ON l.id = a.artifact_id
), key (id, key) AS (
  SELECT id, 'n' || regexp_replace(said, '[^[:alnum:]]+', '', 'g') FROM named
  UNION ALL SELECT id, 'n' || regexp_replace(
    regexp_replace(said, '[-@ ](20[0-9]{{6}}|20[0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}})$', ''),
    '[^[:alnum:]]+', '', 'g')
  FROM named WHERE said ~ '[-@ ]20[0-9-]+$'
  UNION ALL SELECT id, 'h' || regexp_replace(lower(homepage), '^https?://(www\.)?|/+$', '', 'g')
  FROM listed WHERE homepage IS NOT NULL
  UNION ALL SELECT id, concat_ws('|', 'r', vendor, family, released)
  FROM listed WHERE vendor IS NOT NULL AND family IS NOT NULL AND released IS NOT NULL
  UNION ALL
  SELECT w.id, concat_ws('|', 'w', array_to_string(array_remove(w.words, t), ' '), numbers)
  FROM word w CROSS JOIN LATERAL unnest(w.words) AS t
  WHERE cardinality(w.words) BETWEEN 2 AND 12
  UNION ALL SELECT id, concat_ws('|', 'w', array_to_string(words, ' '), numbers) FROM word
  WHERE words IS NOT NULL
), block AS (
  SELECT array_agg(id) AS ids FROM key
  GROUP BY hashtextextended(key, 0) HAVING count(*) BETWEEN 2 AND {LARGEST_BLOCK}
)
SELECT DISTINCT one, other FROM block, unnest(ids) AS one, unnest(ids) AS other
WHERE one < other
  AND NOT EXISTS (SELECT FROM told_apart t WHERE t.one = one.one AND t.other = other.other)
"""
# It looks at the whole catalog, so it may take longer than other statements of a request, and it
# sorts a key of each word.
ROOM = """
SELECT set_config('statement_timeout', '9s', true), set_config('work_mem', '64MB', true)
"""
CAPABILITIES = """
SELECT artifact_id, array_agg(key) AS keys FROM capability_listing
WHERE artifact_id = ANY ($1) AND NOT retired GROUP BY artifact_id
"""


@dataclass(frozen=True, slots=True)
class LikelyDuplicate:
    """Two artifacts that may be one. `left` came first, so that `right` would be merged into it."""

    left: Listing
    right: Listing
    likeness: Likeness


async def likely(
    snapshot: Snapshot, first: int, after: str | None, min_confidence: float = LIKELY
) -> Page[LikelyDuplicate]:
    """A page of the pairs, the likeliest first; pairs that were told apart are left out, and merged
    artifacts are none any more. Raises: BadPageSize, BadCursor, Unavailable."""
    first = pages.size(first)
    behind = None if after is None else _key(after)
    found = [
        pair
        for pair in await all_likely(snapshot, min_confidence)
        if behind is None or _sort_key(pair) > behind
    ]
    return pages.page(found[: first + 1], first, _cursor)


async def all_likely(snapshot: Snapshot, min_confidence: float = LIKELY) -> list[LikelyDuplicate]:
    """Every pair of at least that confidence, the likeliest first; ties go by slug.

    Raises: Unavailable.
    """
    await snapshot.fetch(ROOM)
    pairs = [(row["one"], row["other"]) for row in await snapshot.fetch(PAIRS)]
    ids = sorted({id for pair in pairs for id in pair})
    listings = await by_ids(snapshot, ids)
    capabilities = {
        row["artifact_id"]: row["keys"] for row in await snapshot.fetch(CAPABILITIES, ids)
    }
    looked_at = {
        listing.id: (
            listing,
            Profile(
                slug=listing.slug,
                kind=listing.kind,
                facts=listing.facts,
                aliases=frozenset(slugs),
                capabilities=frozenset(capabilities.get(listing.id, ())),
            ),
        )
        for listing, slugs in zip(listings, await aliases(snapshot, ids), strict=True)
        if listing is not None
    }
    # Away from the loop, which has others to answer meanwhile.
    return await asyncio.to_thread(_weighed, pairs, looked_at, min_confidence)


def _weighed(
    pairs: Sequence[tuple[UUID, UUID]],
    looked_at: Mapping[UUID, tuple[Listing, Profile]],
    min_confidence: float,
) -> list[LikelyDuplicate]:
    found = []
    for pair in pairs:
        (left, mine), (right, theirs) = sorted(
            (looked_at[id] for id in pair), key=lambda one: one[0].registered_position
        )
        weighed = likeness(mine, theirs)
        if weighed.confidence >= min_confidence:
            found.append(LikelyDuplicate(left, right, weighed))
    return sorted(found, key=_sort_key)


def _sort_key(pair: LikelyDuplicate) -> tuple[float, str, str]:
    return -pair.likeness.confidence, pair.left.slug, pair.right.slug


def _cursor(pair: LikelyDuplicate) -> str:
    return pages.encode(ORDER, [pair.likeness.confidence, pair.left.slug, pair.right.slug])


def _key(cursor: str) -> tuple[float, str, str]:
    confidence, left, right = pages.decode(ORDER, cursor, float, str, str)
    return -confidence, left, right
