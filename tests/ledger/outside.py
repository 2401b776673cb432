"""A checker of bundles written from docs/proof.md alone, by its steps, as somebody else would write
it: nothing here is ours."""

import base64
import hashlib
import json
import struct
import uuid
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def text(said: str) -> bytes:
    return struct.pack(">i", len(said.encode())) + said.encode()


def leaf(event: dict) -> bytes:  # type: ignore[type-arg]
    key = event.get("idempotencyKey")
    state = event["state"].encode() if "state" in event else base64.b64decode(event["stateBase64"])
    return sha(
        b"\x00"
        + struct.pack(">qq", event["position"], event["recordedAt"])
        + uuid.UUID(event["originatorId"]).bytes
        + struct.pack(">q", event["originatorVersion"])
        + text(event["topic"])
        + text(event["actor"])
        + text(event["requestId"])
        + (struct.pack(">i", -1) if key is None else text(key))
        + state
    )


def head_bytes(head: dict) -> bytes:  # type: ignore[type-arg]
    time = datetime.fromisoformat(head["time"]) - datetime(1970, 1, 1, tzinfo=UTC)
    return (
        b"matchgraph.head.1\n"
        + struct.pack(">q", int(head["position"]))
        + bytes.fromhex(head["digest"] + head["root"])
        + struct.pack(">q", time // timedelta(microseconds=1))
    )


class Subtrees:
    def __init__(self) -> None:
        self.all: list[tuple[int, bytes]] = []

    def put(self, size: int, found: bytes) -> None:
        self.all.append((size, found))
        while len(self.all) > 1 and self.all[-1][0] == self.all[-2][0]:
            (size, right), (_, left) = self.all.pop(), self.all.pop()
            self.all.append((2 * size, sha(b"\x01" + left + right)))

    def put_range(self, first: int, end: int, hashes: list[str]) -> None:
        for found in hashes:
            size = 1
            while first % (2 * size) == 0 and first + 2 * size <= end:
                size *= 2
            assert first + size <= end
            self.put(size, bytes.fromhex(found))
            first += size
        assert first == end

    def root(self) -> bytes:
        found = self.all[-1][1]
        for _, left in self.all[-2::-1]:
            found = sha(b"\x01" + left + found)
        return found


def check(data: bytes) -> None:
    """Fails if anything of it is not as the page says."""
    assert data.endswith(b"\n")
    first, *events, last = [json.loads(line) for line in data.split(b"\n")[:-1]]
    assert (first["matchgraph"], first["format"]) == ("bundle", 1)
    keys = {key["id"]: base64.b64decode(key["publicKey"]) for key in first["keys"]}
    for head in first["heads"]:
        key = keys[head["keyId"]]
        assert sha(key).hex()[:16] == head["keyId"]
        signature = base64.b64decode(head["signature"])
        Ed25519PublicKey.from_public_bytes(key).verify(signature, head_bytes(head))
    size = int(first["heads"][-1]["position"])
    assert size >= first["to"] == first["from"] + len(events) - 1
    heads = {int(head["position"]): head for head in first["heads"]}
    trees = Subtrees()
    trees.put_range(0, first["from"] - 1, first["left"])
    digest = bytes.fromhex(first["before"])
    position = first["from"] - 1
    time = 0
    for event in [None, *events]:
        if event is not None:
            position += 1
            assert event["position"] == position
            found = leaf(event)
            digest = sha(digest + found)
            assert event["digest"] == digest.hex()
            assert event["recordedAt"] >= time
            time = event["recordedAt"]
            trees.put(1, found)
        if position in heads:
            assert heads[position]["digest"] == digest.hex()
            assert heads[position]["root"] == trees.root().hex()
    assert last == {"end": {"events": len(events), "digest": digest.hex()}}
    trees.put_range(first["to"], size, first["right"])
    assert trees.root().hex() == first["heads"][-1]["root"]
