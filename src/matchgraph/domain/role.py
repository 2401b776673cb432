"""Who may do what: each role may do all that those before it may."""

from enum import IntEnum


class Role(IntEnum):
    """What somebody is to this catalog, from the one who may least."""

    ANONYMOUS = 0
    CONTRIBUTOR = 1
    CURATOR = 2
    AUDITOR = 3
    OPERATOR = 4
