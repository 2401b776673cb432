"""Every projection there is."""

from matchgraph.projections.api_key import API_KEY
from matchgraph.projections.artifact_listing import ARTIFACT_LISTING
from matchgraph.projections.capability_listing import CAPABILITY_LISTING
from matchgraph.projections.forgotten_key import FORGOTTEN_KEY
from matchgraph.projections.match_graph import MATCH_GRAPH
from matchgraph.projections.price_history import PRICE_HISTORY
from matchgraph.projections.projection import Projection
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.search_index import SEARCH_INDEX
from matchgraph.projections.signal_board import SIGNAL_BOARD
from matchgraph.projections.told_apart import TOLD_APART
from matchgraph.projections.trail import TRAIL

PROJECTIONS: tuple[Projection, ...] = (
    ARTIFACT_LISTING,
    CAPABILITY_LISTING,
    PRICE_HISTORY,
    SIGNAL_BOARD,
    RANK_BOARD,
    SEARCH_INDEX,
    TOLD_APART,
    MATCH_GRAPH,
    API_KEY,
    TRAIL,
    FORGOTTEN_KEY,
)
