"""Who may do what: each role may do all that those before it may."""

from enum import Enum
from functools import total_ordering


@total_ordering
class Role(Enum):
    """What somebody is to this catalog, from the one who may least. (Events keep a role by its
    name, so that one can be put between others later.)"""

    ANONYMOUS = "anonymous"
    CONTRIBUTOR = "contributor"
    CURATOR = "curator"
    AUDITOR = "auditor"
    OPERATOR = "operator"

    def __lt__(self, other: "Role") -> bool:
        return ORDER[self] < ORDER[other]


ORDER = {role: place for place, role in enumerate(Role)}
