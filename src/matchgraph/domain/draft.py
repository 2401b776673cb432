"""A value: everything that one source says of one artifact, before anything is decided.

Importers, the manifest reader and the mutation `importArtifacts` make drafts;
`commands/catalog.py` takes them in.
"""

from dataclasses import dataclass

from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import Capability
from matchgraph.domain.price import Price
from matchgraph.domain.provenance import Provenance
from matchgraph.domain.signal import Signal


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One artifact as one source describes it.

    With `whole_price_list`, `prices` is all that this source (`provenance.source`) knows: prices
    it showed before and shows no more are withdrawn, and of a series of observations only what is
    newer than what is known is taken in. With `only_known`, an artifact that is not in the
    catalog is left out instead of being registered. With `signals_apart`, a signal that is older
    than what is known is left out alone instead of the whole draft.
    """

    slug: str
    kind: Kind
    facts: Facts
    provenance: Provenance
    aliases: tuple[str, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    prices: tuple[Price, ...] = ()
    signals: tuple[Signal, ...] = ()
    whole_price_list: bool = False
    only_known: bool = False
    signals_apart: bool = False
