"""A value: what an artifact can do, the atomic unit of every comparison."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from matchgraph.domain import text
from matchgraph.domain.provenance import Provenance


class DataType(StrEnum):
    """What goes into a capability or comes out of it."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    PDF = "pdf"
    CODE = "code"
    FILE = "file"
    TABLE = "table"
    EMBEDDING = "embedding"
    ACTION = "action"
    EVENT = "event"
    THREE_D = "3d"


@dataclass(frozen=True, kw_only=True)
class Capability:
    """One thing an artifact can do, as somebody claims it.

    `key` is stable within the artifact and never positional; artifacts that can do the same thing
    use the same key where they can. `unique` says what sets it apart here, `versus_alternatives`
    how it stands against others. Empty types mean that nobody said.
    """

    key: str
    name: str
    description: str
    provenance: Provenance
    unique: str | None = None
    versus_alternatives: str | None = None
    intents: tuple[str, ...] = ()
    best_for: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    input_types: tuple[DataType, ...] = ()
    output_types: tuple[DataType, ...] = ()
    tags: tuple[str, ...] = ()

    def checked(self, now: datetime) -> "Capability":
        """Returns the capability with its texts trimmed. Raises: BadSlug, BadText."""
        return replace(
            self,
            key=text.slug(self.key),
            name=text.words("name", self.name),
            description=text.words("description", self.description, limit=text.LONG),
            provenance=self.provenance.checked(now),
            unique=text.optional("unique", self.unique, limit=text.LONG),
            versus_alternatives=text.optional(
                "versus_alternatives", self.versus_alternatives, limit=text.LONG
            ),
            intents=text.several("intents", self.intents),
            best_for=text.several("best_for", self.best_for),
            limitations=text.several("limitations", self.limitations),
            requires=text.several("requires", self.requires),
            input_types=tuple(dict.fromkeys(self.input_types)),
            output_types=tuple(dict.fromkeys(self.output_types)),
            tags=text.several("tags", self.tags),
        )

    def says_the_same_as(self, other: "Capability") -> bool:
        """Whether only the provenance differs, if anything does."""
        return self == replace(other, provenance=self.provenance)
