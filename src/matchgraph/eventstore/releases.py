"""Which release knows which event: each release says so when it migrates, before it can write any.

An older one that meets an event which it does not know names the release to upgrade to.
"""

import asyncpg

from matchgraph import __version__
from matchgraph.eventstore.codec import CURRENT_TAGS, UnknownTopic
from matchgraph.eventstore.connection import Connection


async def say(db: Connection) -> None:
    """Says that this release knows its events, for those that no release before it did."""
    await db.execute(
        "INSERT INTO event_release SELECT tag, $2 FROM unnest($1::text[]) AS tag"
        " ON CONFLICT DO NOTHING",
        sorted(CURRENT_TAGS),
        __version__,
    )


async def named(db: Connection, reason: UnknownTopic) -> UnknownTopic:
    """The same, with the release that knows the event, if one has said so here."""
    try:
        release = await db.fetchval("SELECT release FROM event_release WHERE tag = $1", reason.tag)
    except asyncpg.UndefinedTableError:
        return reason
    return UnknownTopic(reason.tag, release)
