"""Acknowledgements: somebody says, signed, that history is broken and goes on from how it stands.

A head that is signed afterwards signs the digest of the newest of them as well, so nobody can check
such a head without being told. docs/proof.md spells the bytes out.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from matchgraph.ledger import chain
from matchgraph.ledger.head import BadHead, Signer, check_signature

KIND = b"matchgraph.break.1\n"
# What the first one follows.
FIRST = bytes(32)
_HEADER = struct.Struct(">32sqq")
_STOOD = struct.Struct(">qq32s32s32s")


class BadAcknowledgement(Exception):
    """That is no acknowledgement, or nobody whose key is known signed it."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That history is broken at `position`, who knows of it, and how it stood then.

    Source: of the events 1 to `upto` as they stood, `root` is that of the Merkle tree, `link` the
        digest that the newest had; `heads` is the hash of all heads of before. `before` is the
        digest of the acknowledgement before this one.
    """

    number: int
    position: int
    what: str
    actor: str
    reason: str
    time: datetime
    upto: int
    root: bytes
    link: bytes
    heads: bytes
    before: bytes = FIRST
    key_id: str = ""
    signature: bytes = b""

    def said(self) -> bytes:
        """The bytes that are signed."""
        return b"".join(
            (
                KIND,
                _HEADER.pack(self.before, self.number, self.position),
                *map(chain.text, (self.what, self.actor, self.reason)),
                _STOOD.pack(
                    chain.microseconds(self.time), self.upto, self.root, self.link, self.heads
                ),
            )
        )

    @property
    def digest(self) -> bytes:
        """What the heads name that are signed afterwards."""
        return sha256(self.said()).digest()

    def __str__(self) -> str:
        return (
            f"history is broken at position {self.position}: {self.what}. Acknowledged by"
            f" {self.actor} at {self.time.isoformat()}, up to position {self.upto}: {self.reason}"
        )


def signed(said: Acknowledgement, signer: Signer) -> Acknowledgement:
    """The same with its signature."""
    return replace(said, key_id=signer.id, signature=signer.key.sign(said.said()))


def check(all_of_them: Sequence[Acknowledgement], keys: Mapping[str, bytes]) -> None:
    """Returns if they follow each other from the first one and one of the public keys, by their
    ids, signed each. Raises: BadAcknowledgement."""
    before = FIRST
    for number, one in enumerate(all_of_them, start=1):
        if (one.number, one.before) != (number, before):
            raise BadAcknowledgement(
                f"acknowledgement {one.number} does not follow from the one before it"
            )
        try:
            check_signature(
                f"acknowledgement {number}", one.key_id, one.signature, one.said(), keys
            )
        except BadHead as reason:
            raise BadAcknowledgement(str(reason)) from None
        before = one.digest


class _Shown(msgspec.Struct, rename="camel"):
    number: int
    position: str
    what: str
    actor: str
    reason: str
    time: datetime
    upto: str
    root: str
    link: str
    heads: str
    before: str
    key_id: str
    signature: str


def as_data(said: Acknowledgement) -> dict[str, str | int]:
    """The acknowledgement as it is shown everywhere."""
    return {
        "number": said.number,
        "position": str(said.position),
        "what": said.what,
        "actor": said.actor,
        "reason": said.reason,
        "time": said.time.isoformat(),
        "upto": str(said.upto),
        "root": said.root.hex(),
        "link": said.link.hex(),
        "heads": said.heads.hex(),
        "before": said.before.hex(),
        "keyId": said.key_id,
        "signature": b64encode(said.signature).decode(),
    }


def of_data(data: object) -> Acknowledgement:
    """The acknowledgement that `as_data` showed. Raises: BadAcknowledgement."""
    try:
        found = msgspec.convert(data, _Shown)
        return Acknowledgement(
            number=found.number,
            position=int(found.position),
            what=found.what,
            actor=found.actor,
            reason=found.reason,
            time=found.time.astimezone(UTC),
            upto=int(found.upto),
            root=bytes.fromhex(found.root),
            link=bytes.fromhex(found.link),
            heads=bytes.fromhex(found.heads),
            before=bytes.fromhex(found.before),
            key_id=found.key_id,
            signature=b64decode(found.signature, validate=True),
        )
    except (ValueError, OverflowError) as reason:
        raise BadAcknowledgement(f"that is no acknowledgement: {reason}") from None
