"""Clones of the migrated database, and a key that signs."""

import pytest

from matchgraph.ledger.head import Signer, signers
from tests.eventstore.conftest import clones
from tests.ledger.logs import KEY

__all__ = ["clones"]


@pytest.fixture
def signer() -> Signer:
    (signer,) = signers([KEY])
    return signer
