"""Who searches: what a frontend or an address is called, and the pseudonym that is recorded."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from re import fullmatch

from matchgraph.commands.outcome_token import pseudonym

MOST_SEARCHER = 200


def named(said: str) -> str:
    """Whom a frontend calls that in `X-Searcher`."""
    return f"named:{said[:MOST_SEARCHER]}"


def at(address: str) -> str:
    """Whoever asks from that address and gives no name."""
    return f"at:{address}"


def pseudonyms(secrets: Sequence[str], said: str) -> list[str]:
    """Every pseudonym that may be meant by a name, an address or a pseudonym itself, under each
    secret that is still there."""
    # A header comes as bytes, which are read as Latin-1 whatever they were meant as.
    callings = {named(said), named(said.encode("utf-8", "surrogateescape").decode("latin-1"))}
    with suppress(ValueError):
        callings |= {at(said), at(str(ip_address(said)))}
    found = {pseudonym([secret], calling) for secret in secrets for calling in callings}
    if fullmatch(r"[0-9a-f]{32}", said):
        found.add(said)
    return sorted(found)


def intent_secret(secrets: Sequence[str]) -> bytes:
    """What ids of intents are made with, under the newest secret."""
    return hashlib.sha256(b"matchgraph.intent.1:" + secrets[0].encode()).digest()
