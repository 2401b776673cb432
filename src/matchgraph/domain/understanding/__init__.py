"""What a need says in plain words: conditions and examples are read, the rest is left for search.

docs/understanding.md lists what is read and what is not. The rules prefer to leave words alone: a
condition that nobody meant hides good answers, words that were left still find them. Each module
has the rules about one thing; reading.py puts together what they find.
"""

# Imported so that their rules are known.
from matchgraph.domain.understanding import (  # noqa: F401
    ability,
    day,
    example,
    exclusion,
    hosting,
    kind,
    name,
    price,
    size,
)
from matchgraph.domain.understanding.part import Reading
from matchgraph.domain.understanding.reading import Understood, understand

__all__ = ["Reading", "Understood", "understand"]
