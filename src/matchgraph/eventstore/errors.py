"""What the event store can answer instead of a position."""


class Conflict(Exception):
    """Somebody else appended that version of that aggregate first: load it again and decide
    anew. Nothing of the command was appended."""


class AlreadyDone(Exception):
    """A command with that idempotency key was appended before; nothing was appended now."""


class KeyReused(Exception):
    """The idempotency key belongs to another command."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The idempotency key {key!r} was used for another command; repeat that one "
            "unchanged, or send this one with a key of its own."
        )
        self.key = key


class Unavailable(Exception):
    """The database cannot be reached or cannot write; nothing of the command was appended."""


class OutcomeUnknown(Unavailable):
    """The connection was lost while the command was being appended, and the database could not
    be asked in time whether it is there. Repeat it with the same idempotency key."""
