"""Searcher: who searches, known by a pseudonym alone, and which keys of theirs were destroyed."""

from uuid import NAMESPACE_URL, UUID, uuid5

from matchgraph.domain.aggregate import Aggregate, Recurring

NAMESPACE = uuid5(NAMESPACE_URL, "urn:matchgraph:searcher")


def id_of(searcher: str) -> UUID:
    """The id of the searcher with that pseudonym."""
    return uuid5(NAMESPACE, searcher)


class Searcher(Aggregate):
    """Somebody who was forgotten, once or, after coming back, again."""

    TOPIC = "searcher"

    class Forgotten(Recurring):
        """Whatever that key sealed is gone, as the key is destroyed. Said first and done then, so
        that a forgetting which is interrupted is known and can be carried through."""

        TOPIC = "searcher.forgotten"
        searcher: str
        key: UUID

        def apply(self, aggregate: "Searcher") -> None:
            """Adds the key."""
            aggregate.forgotten = (*aggregate.forgotten, self.key)

    def __init__(self) -> None:
        self.forgotten: tuple[UUID, ...] = ()

    @classmethod
    def forget(cls, known: "Searcher | None", searcher: str, key: UUID) -> "Searcher":
        """The searcher with that key forgotten; nothing happens if it is already."""
        if known is not None and key in known.forgotten:
            return known
        return cls.Forgotten.happens(cls, known, id=id_of(searcher), searcher=searcher, key=key)
