"""Signed heads: what the log was at a moment, in 98 bytes that its keeper signed with Ed25519.

docs/proof.md spells the bytes out, so that others can check a head that they kept.
"""

import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from matchgraph.ledger.chain import microseconds

# Says what is signed, so that a signature of ours means nothing else.
SAID = struct.Struct(">18sq32s32sq")
KIND = b"matchgraph.head.1\n"
# Of heads that are signed after a break was acknowledged; then the digest of that follows.
SINCE = b"matchgraph.head.2\n"
KEY_BYTES = 32
SIGNATURE_BYTES = 64


class BadKey(Exception):
    """That is no key of ours to sign or to check with."""


class BadHead(Exception):
    """That is no signed head, or nobody whose key is known signed it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the log was when its newest event had that position.

    Source: `digest` is that event's link of the chain, `root` that of the Merkle tree over the
        events 1 to `position`. `acknowledged` is the digest of the newest acknowledgement of a
        break that there was, if any: then nothing is said of how the events before that were.
    """

    position: int
    digest: bytes
    root: bytes
    time: datetime
    key_id: str
    signature: bytes
    acknowledged: bytes | None = None

    def said(self) -> bytes:
        """The bytes that are signed."""
        return said(self.position, self.digest, self.root, self.time, self.acknowledged)

    def check(self, keys: Mapping[str, bytes]) -> None:
        """Returns if one of the public keys, by their ids, signed it. Raises: BadHead."""
        name = f"the head of position {self.position}"
        check_signature(name, self.key_id, self.signature, self.said(), keys)


def check_signature(
    name: str, key_id: str, signature: bytes, said: bytes, keys: Mapping[str, bytes]
) -> None:
    """Returns if the key of that id is one of the public keys and signed it. Raises: BadHead."""
    key = keys.get(key_id)
    if key is None:
        raise BadHead(
            f"{name[0].upper()}{name[1:]} is signed with the key {key_id}, which is none of those"
            f" that are trusted: {', '.join(keys) or 'there are none'}."
        )
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, said)
    except (InvalidSignature, ValueError):
        what = name.partition(" of ")[0]
        raise BadHead(
            f"The signature of {name} is not that of the key {key_id}: somebody changed {what}, or"
            " made it up."
        ) from None


def said(
    position: int, digest: bytes, root: bytes, time: datetime, acknowledged: bytes | None = None
) -> bytes:
    """The bytes of a head that are signed."""
    kind = KIND if acknowledged is None else SINCE
    return SAID.pack(kind, position, digest, root, microseconds(time)) + (acknowledged or b"")


@dataclass(frozen=True)
class Signer:
    """A private key, and what it is known by."""

    key: Ed25519PrivateKey

    @property
    def public_key(self) -> bytes:
        """What its signatures are checked with, 32 bytes."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def id(self) -> str:
        """Tells keys apart."""
        return id_of(self.public_key)

    def sign(
        self,
        position: int,
        digest: bytes,
        root: bytes,
        time: datetime,
        acknowledged: bytes | None = None,
    ) -> Head:
        """The head, signed."""
        signature = self.key.sign(said(position, digest, root, time, acknowledged))
        return Head(position, digest, root, time, self.id, signature, acknowledged)


def id_of(public_key: bytes) -> str:
    """The id of a key: the first 16 hexadecimal digits of the SHA-256 of its public half."""
    return sha256(public_key).hexdigest()[:16]


def new_key() -> str:
    """A new private key, as `signers` reads it."""
    return b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def signers(keys: Sequence[str]) -> tuple[Signer, ...]:
    """The private keys: each is one in base64, or the name of a file that has it so or as PEM.

    Raises: BadKey, which repeats nothing of a key.
    """
    return tuple(Signer(_private(*_read(said, KEY_BYTES))) for said in keys)


def public_keys(file: Path) -> dict[str, bytes]:
    """The public keys in a file by their ids: PEM, one in base64 a line, or what GraphQL answers.

    Raises: BadKey.
    """
    text = _text(file)
    if text.startswith("-----"):
        try:
            key = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as reason:
            raise BadKey(f"{file} holds no public key: {reason}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise BadKey(f"{file} holds a public key of another kind than Ed25519.")
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {id_of(raw): raw}
    found = re.findall(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])", text)
    if not found:
        raise BadKey(f"{file} holds no public key: 32 bytes in base64, or PEM.")
    return by_id(map(b64decode, found))


def by_id(keys: Iterable[bytes]) -> dict[str, bytes]:
    """Public keys by their ids."""
    return {id_of(key): key for key in keys}


class _Said(msgspec.Struct, rename="camel"):
    position: str
    digest: str
    root: str
    time: datetime
    signature: str
    key_id: str
    acknowledged: str | None = None


def as_data(head: Head) -> dict[str, str]:
    """The head as it is shown everywhere: in JSON, in GraphQL and in bundles."""
    said = {
        "position": str(head.position),
        "digest": head.digest.hex(),
        "root": head.root.hex(),
        "time": head.time.isoformat(),
        "signature": b64encode(head.signature).decode(),
        "keyId": head.key_id,
    }
    return said if head.acknowledged is None else {**said, "acknowledged": head.acknowledged.hex()}


def of_data(data: object) -> Head:
    """The head that `as_data` showed, also as GraphQL answers it. Raises: BadHead."""
    for name in ("data", "ledger", "head"):
        if isinstance(data, dict) and name in data:
            data = data[name]
    try:
        found = msgspec.convert(data, _Said)
        head = Head(
            position=int(found.position),
            digest=bytes.fromhex(found.digest),
            root=bytes.fromhex(found.root),
            time=found.time.astimezone(UTC) if found.time.tzinfo else _no_zone(),
            key_id=found.key_id,
            signature=b64decode(found.signature, validate=True),
            acknowledged=None if found.acknowledged is None else bytes.fromhex(found.acknowledged),
        )
        if not 0 < head.position < 1 << 63 or len(head.digest) != 32 or len(head.root) != 32:
            raise ValueError("a position, a digest or a root that cannot be")
    except (ValueError, OverflowError) as reason:
        raise BadHead(
            "A head has position, digest, root, time, signature and keyId, as"
            f" `ledger {{ head }}` answers them: {reason}"
        ) from None
    return head


def read(file: Path) -> Head:
    """The head in a file. Raises: BadHead."""
    try:
        return of_data(msgspec.json.decode(file.read_bytes()))
    except OSError as reason:
        raise BadHead(f"{file} cannot be read: {reason.strerror}.") from None
    except (ValueError, RecursionError) as reason:
        raise BadHead(f"{file} holds no signed head: it is no JSON ({reason}).") from None
    except BadHead as reason:
        raise BadHead(f"{file} holds no signed head. {reason}") from None


def _no_zone() -> datetime:
    raise ValueError("its time has no time zone")


def _private(raw: bytes | None, pem: bytes) -> Ed25519PrivateKey:
    if raw is not None:
        return Ed25519PrivateKey.from_private_bytes(raw)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("A file with a private key is no PEM without a password.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey("A private key is of another kind than Ed25519.")
    return key


def _read(said: str, size: int) -> tuple[bytes | None, bytes]:
    """The key's bytes, or a PEM to take it from. Raises: BadKey."""
    if (raw := _raw(said, size)) is not None:
        return raw, b""
    text = _text(Path(said))
    if text.startswith("-----"):
        return None, text.encode()
    if (raw := _raw(text, size)) is None:
        raise BadKey("A file holds no private key: 32 bytes in base64, or PEM.")
    return raw, b""


def _raw(text: str, size: int) -> bytes | None:
    try:
        raw = b64decode(text.strip(), validate=True)
    except ValueError:
        return None
    return raw if len(raw) == size else None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        # The name may be a key that was cut off, so it is not repeated.
        raise BadKey(
            "A key is neither 32 bytes in base64 nor the name of a file that can be read."
        ) from None
