"""Proof that nobody edits the past: signed heads, and what ties events to them."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated

import strawberry

from matchgraph.graphql.context import Info
from matchgraph.graphql.scalars import BadInput, Position
from matchgraph.ledger import head as heads
from matchgraph.ledger import proof, store
from matchgraph.queries.position import InFuture


@strawberry.type(
    description=(
        "What the log was at a moment, signed: keep it, and nobody can change or cut off what it "
        "covers without your seeing it. docs/proof.md tells how to check it."
    )
)
class Head:
    position: Position = strawberry.field(
        description="The newest event that it covers, which is also the size of the Merkle tree."
    )
    digest: str = strawberry.field(description="That event's link of the chain, in hexadecimal.")
    root: str = strawberry.field(
        description="The root of the Merkle tree (RFC 6962) over all events up to there, in "
        "hexadecimal."
    )
    time: datetime = strawberry.field(description="When it was signed.")
    signature: str = strawberry.field(description="Ed25519, 64 bytes in base64.")
    key_id: str = strawberry.field(description="Which of the `keys` it was signed with.")
    acknowledged: str | None = strawberry.field(
        description="The digest of the newest of the `acknowledgements` when it was signed, in "
        "hexadecimal; null: there was none, and it is signed without."
    )

    @staticmethod
    def of(head: heads.Head) -> "Head":
        """The head as a client sees it."""
        return Head(
            position=Position(head.position),
            digest=head.digest.hex(),
            root=head.root.hex(),
            time=head.time,
            signature=b64encode(head.signature).decode(),
            key_id=head.key_id,
            acknowledged=None if head.acknowledged is None else head.acknowledged.hex(),
        )


@strawberry.type(
    description=(
        "Somebody knows of a break of history and says why it is there; signing goes on from how "
        "history stood then. docs/proof.md has the bytes that are signed."
    )
)
class Acknowledgement:
    number: int = strawberry.field(description="They follow each other: 1, 2, 3…")
    position: Position = strawberry.field(description="Where history is not what was recorded.")
    what: str = strawberry.field(description="What was found there.")
    actor: str = strawberry.field(description="Who acknowledged it.")
    reason: str = strawberry.field(description="Why history is broken, as they say.")
    time: datetime = strawberry.field(description="When it was acknowledged.")
    upto: Position = strawberry.field(
        description="The newest event then: up to there, what is signed since is how history stood."
    )
    root: str = strawberry.field(
        description="The root of the Merkle tree over all events up to there as they stood, in "
        "hexadecimal."
    )
    link: str = strawberry.field(
        description="The digest that the newest event had, in hexadecimal."
    )
    heads: str = strawberry.field(
        description="A hash over all heads that were signed before, in hexadecimal."
    )
    before: str = strawberry.field(
        description="The digest of the acknowledgement before this one, in hexadecimal."
    )
    digest: str = strawberry.field(
        description="What heads that were signed since name, in hexadecimal."
    )
    key_id: str = strawberry.field(description="Which of the `keys` it was signed with.")
    signature: str = strawberry.field(description="Ed25519, 64 bytes in base64.")


@strawberry.type(description="What the signatures of heads are checked with.")
class LedgerKey:
    id: str = strawberry.field(
        description="The first 16 hexadecimal digits of the SHA-256 of the public key."
    )
    public_key: str = strawberry.field(description="Ed25519, 32 bytes in base64.")


@strawberry.type(description="That an event is among those that a signed head covers.")
class InclusionProof:
    position: Position = strawberry.field(
        description="The event's position; its leaf has the number before, counted from 0."
    )
    leaf: str = strawberry.field(
        description="The hash of the event, in hexadecimal; docs/ledger.md says of which bytes."
    )
    path: list[str] = strawberry.field(
        description="The audit path of RFC 6962, from the leaf upward, in hexadecimal."
    )
    head: Head = strawberry.field(
        description="The newest signed head, whose root the path leads to."
    )


@strawberry.type(description="That the log at one position is the beginning of that at another.")
class ConsistencyProof:
    from_position: Position = strawberry.field(
        name="from", description="The number of events of the smaller tree."
    )
    to_position: Position = strawberry.field(
        name="to", description="The number of events of the larger tree."
    )
    from_root: str = strawberry.field(
        description="The root of the smaller tree; compare it with a head that you kept."
    )
    to_root: str = strawberry.field(description="The root of the larger tree.")
    path: list[str] = strawberry.field(
        description="The consistency proof of RFC 6962, in hexadecimal."
    )


@strawberry.type(description="The log that everything is computed from, and proof of it.")
class Ledger:
    @strawberry.field(
        description="The newest signed head; null: nothing was signed yet. A new one follows a few "
        "seconds after new events."
    )
    async def head(self, info: Info) -> Head | None:
        found = await store.newest(info.context.view(info).snapshot)
        return None if found is None else Head.of(found)

    @strawberry.field(
        description="The first signed head that covers a position; null: none does yet."
    )
    async def head_at(
        self,
        info: Info,
        position: Annotated[
            Position | None,
            strawberry.argument(description="An event's position; the newest, if left out."),
        ] = None,
    ) -> Head | None:
        if position is None:
            found = await store.newest(info.context.view(info).snapshot)
        else:
            await _there(info, position, "position")
            found = await store.covering(info.context.view(info).snapshot, position)
        return None if found is None else Head.of(found)

    @strawberry.field(
        description="Every break of history that somebody acknowledged, the first one first."
    )
    async def acknowledgements(self, info: Info) -> list[Acknowledgement]:
        found = await store.acknowledgements(info.context.view(info).snapshot)
        return [
            Acknowledgement(
                number=one.number,
                position=Position(one.position),
                what=one.what,
                actor=one.actor,
                reason=one.reason,
                time=one.time,
                upto=Position(one.upto),
                root=one.root.hex(),
                link=one.link.hex(),
                heads=one.heads.hex(),
                before=one.before.hex(),
                digest=one.digest.hex(),
                key_id=one.key_id,
                signature=b64encode(one.signature).decode(),
            )
            for one in found
        ]

    @strawberry.field(description="Every key that heads were signed with, the newest first.")
    async def keys(self, info: Info) -> list[LedgerKey]:
        found = await store.keys(info.context.view(info).snapshot)
        return [LedgerKey(id=id, public_key=b64encode(key).decode()) for id, key in found.items()]

    @strawberry.field(
        description="Proof that an event is covered by the newest signed head; its size is that of "
        "the logarithm of the log's."
    )
    async def proof(
        self,
        info: Info,
        position: Annotated[Position, strawberry.argument(description="The event's position.")],
    ) -> InclusionProof:
        await _there(info, position, "position")
        found = await proof.inclusion(info.context.view(info).snapshot, position)
        return InclusionProof(
            position=Position(found.position),
            leaf=found.leaf.hex(),
            path=[step.hex() for step in found.path],
            head=Head.of(found.head),
        )

    @strawberry.field(
        description="Proof that none of the first events was changed since: for who kept a head."
    )
    async def consistency(
        self,
        info: Info,
        from_: Annotated[
            Position,
            strawberry.argument(name="from", description="The position of the older head."),
        ],
        to: Annotated[Position, strawberry.argument(description="The position of the newer head.")],
    ) -> ConsistencyProof:
        if from_ > to:
            raise BadInput(f"`from` is {from_}, which comes after `to`, {to}; swap them.")
        await _there(info, from_, "from")
        await _there(info, to, "to")
        found = await proof.consistency(info.context.view(info).snapshot, from_, to)
        return ConsistencyProof(
            from_position=Position(found.old),
            to_position=Position(found.new),
            from_root=found.old_root.hex(),
            to_root=found.new_root.hex(),
            path=[step.hex() for step in found.path],
        )


@strawberry.type
class LedgerQuery:
    """Whether anybody edited the past."""

    @strawberry.field(description="Signed heads of the log, and proofs of what it holds.")
    async def ledger(self) -> Ledger:
        return Ledger()


async def _there(info: Info, position: int, name: str) -> None:
    """Raises: BadInput, InFuture."""
    if position == 0:
        raise BadInput(f'`{name}` is "0", and the first event has position "1".')
    rows = await info.context.view(info).snapshot.fetch(
        "SELECT coalesce(max(position), 0) FROM event"
    )
    if position > rows[0][0]:
        raise InFuture(position, rows[0][0])
