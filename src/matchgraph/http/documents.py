"""Documents that a client names instead of sending them: those that it sent once before, or, where
only trusted ones run, those of the manifests. docs/trusted-documents.md tells of both.

A document is kept under the SHA-256 of its text, so it never changes and may be lost at any time:
the client is asked for the text again.
"""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from graphql import OperationDefinitionNode, parse

from matchgraph.http.request import NotRun, Sent
from matchgraph.observe import observed_document
from matchgraph.projections.rank_cache import Circuit, Script

if TYPE_CHECKING:
    from redis.asyncio import Redis

# So many documents are kept in each process, and in Redis for all of them.
MOST_HERE, MOST_KEPT = 500, 2_000
# Units: bytes; longer ones run, and have to be sent each time.
LONGEST_KEPT = 20_000
# Units: seconds since a document was last asked for in Redis.
KEPT_FOR = 7 * 86_400
# The texts by their hashes, and when each was used last. One hash tag, so that they are together
# in a cluster.
TEXTS, USED = "matchgraph:{documents}:text", "matchgraph:{documents}:used"


class Documents(Protocol):
    """Where documents are found."""

    async def find(self, sent: Sent) -> str:
        """The document that is meant. Raises: NotRun."""

    def at_hand(self, sent: Sent) -> str | None:
        """The document that is meant, if that can be told at once."""


class KeptDocuments:
    """The documents that clients sent with their hash, in this process and in Redis."""

    def __init__(
        self,
        client: "Redis",
        *,
        most_here: int = MOST_HERE,
        most: int = MOST_KEPT,
        kept_for: int = KEPT_FOR,
    ) -> None:
        """Units: `kept_for` in seconds."""
        self._circuit = Circuit(client, otherwise="documents are known to one process each")
        self._most_here = most_here
        self._most = most
        self._kept_for = kept_for
        self._here: OrderedDict[str, str] = OrderedDict()

    async def find(self, sent: Sent) -> str:
        """The document that is meant. Raises: NotRun."""
        if sent.id is None:
            assert sent.query is not None, "a request has one or the other"
            return sent.query
        if sent.query is None:
            return await self._find(sent.id)
        if hash_of(sent.query) != sent.id:
            raise NotRun(
                "The SHA-256 that was sent is not that of the document: send the one of `query`,"
                " in lower-case hexadecimal digits.",
                "PERSISTED_QUERY_HASH_MISMATCH",
            )
        await self._keep(sent.id, sent.query)
        return sent.query

    def at_hand(self, sent: Sent) -> str | None:
        """The document that is meant, if that can be told at once."""
        if sent.id is None or sent.query is None:
            return sent.query if sent.id is None else self._here.get(sent.id)
        return None

    async def _find(self, id: str) -> str:
        text = self._here.get(id)
        if text is not None:
            self._here.move_to_end(id)
            return text
        found = await self._ask(_FIND.call((TEXTS, USED), id, self._kept_for))
        if isinstance(found, bytes):
            text = found.decode(errors="replace")
            # Redis is not trusted to have kept what was put there.
            if hash_of(text) == id:
                self._keep_here(id, text)
                return text
        # By this very message clients know that they have to send the text.
        raise NotRun("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")

    async def _keep(self, id: str, text: str) -> None:
        if id in self._here or len(text.encode()) > LONGEST_KEPT:
            return
        self._keep_here(id, text)
        await self._ask(_KEEP.call((TEXTS, USED), id, text, self._most, self._kept_for))

    def _keep_here(self, id: str, text: str) -> None:
        self._here[id] = text
        while len(self._here) > self._most_here:
            self._here.popitem(last=False)

    async def _ask(self, command: Any) -> Any:
        replies = await self._circuit.send([command])
        return None if replies is None else replies[0]


def hash_of(text: str) -> str | None:
    """The SHA-256 in hexadecimal digits; None for what has no bytes in UTF-8."""
    try:
        return sha256(text.encode()).hexdigest()
    except UnicodeEncodeError:  # half a character
        return None


class TrustedDocuments:
    """The documents of manifests; no other runs."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """By the ids that the manifests have; each can also be named by its SHA-256."""
        self._known = frozenset(texts.values())
        self._texts: dict[str | None, str] = {hash_of(text): text for text in self._known}
        self._texts.update(texts)
        self._names = {text: _name(text) for text in self._known}

    def at_hand(self, sent: Sent) -> str | None:
        """The document that is meant, if there is such a one."""
        text = sent.query if sent.id is None else self._texts.get(sent.id)
        if text is None or text not in self._known or sent.query not in (None, text):
            return None
        observed_document(self._names[text])
        return text

    async def find(self, sent: Sent) -> str:
        """The document that is meant. Raises: NotRun."""
        text = self.at_hand(sent)
        if text is None:
            raise NotRun(
                "Only registered operations run here, and this is none of them: send one as its"
                " client was built with it, or have it added to the manifest in"
                " MATCHGRAPH_TRUSTED_DOCUMENTS and the server started again.",
                "DOCUMENT_NOT_TRUSTED",
            )
        return text


def _name(text: str) -> str:
    """What the document is called in metrics: by its first operation."""
    operations = (
        one for one in parse(text).definitions if isinstance(one, OperationDefinitionNode)
    )
    named = (one.name.value for one in operations if one.name is not None)
    return next(named, (hash_of(text) or "")[:12])


_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

_FIND = Script(f"""{_NOW}
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return text
""")

# What was not used for that long goes first, then what was used least lately. Where one of the two
# keys is lost, as by an eviction, nobody can tell any more, and it begins anew.
_KEEP = Script(f"""{_NOW}
if redis.call('HLEN', KEYS[1]) ~= redis.call('ZCARD', KEYS[2]) then
  redis.call('DEL', KEYS[1], KEYS[2])
end
local gone = redis.call('ZRANGE', KEYS[2], '-inf', now - tonumber(ARGV[4]), 'BYSCORE')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if #gone < over then
  gone = redis.call('ZRANGE', KEYS[2], 0, over - 1)
end
for _, id in ipairs(gone) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
""")
