"""Heads and proofs as a client gets them, and checks them with nothing of ours but the page that
documents them: the bytes are put together here once more."""

import struct
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import open_store
from matchgraph.ledger import head as heads
from matchgraph.ledger import merkle
from matchgraph.ledger.acknowledge import acknowledge
from matchgraph.ledger.acknowledgement import of_data
from matchgraph.ledger.head import Signer, new_key, signers
from matchgraph.servers import Servers
from tests.eventstore.histories import artifact, until
from tests.graphql.client import Api, serving
from tests.ledger.logs import KEY, filled, leaves, tampering
from tests.projections.tables import BY

HEAD = "position digest root time signature keyId"
NEWEST = f"{{ ledger {{ head {{ {HEAD} }} keys {{ id publicKey }} }} }}"
AT = f"query ($p: Position) {{ ledger {{ headAt(position: $p) {{ {HEAD} }} }} }}"
PROOF = (
    f"query ($p: Position!) {{ ledger {{ proof(position: $p)"
    f" {{ position leaf path head {{ {HEAD} }} }} }} }}"
)
CONSISTENCY = (
    "query ($a: Position!, $b: Position!) { ledger"
    " { consistency(from: $a, to: $b) { from to fromRoot toRoot path } } }"
)
(SIGNER,) = signers([KEY])


def check(head: dict[str, Any], public_key: str) -> None:
    """Raises InvalidSignature, as docs/proof.md says."""
    time = datetime.fromisoformat(head["time"]) - datetime(1970, 1, 1, tzinfo=UTC)
    said = b"matchgraph.head.1\n" + struct.pack(">q", int(head["position"]))
    said += bytes.fromhex(head["digest"]) + bytes.fromhex(head["root"])
    said += struct.pack(">q", time // timedelta(microseconds=1))
    key = Ed25519PublicKey.from_public_bytes(b64decode(public_key))
    key.verify(b64decode(head["signature"]), said)


async def signed(api: Api, position: int) -> dict[str, Any]:
    async def there() -> bool:
        head = (await api.ask(NEWEST))["ledger"]["head"]
        return head is not None and int(head["position"]) >= position

    await until(there)
    ledger: dict[str, Any] = (await api.ask(NEWEST))["ledger"]
    return ledger


async def test_a_head_is_signed_and_whoever_has_the_key_can_check_it(
    url: str, servers: Servers
) -> None:
    async with serving(url, servers.redis_url, signers=[SIGNER]) as api:
        assert (await api.ask(NEWEST))["ledger"]["head"] is None
        end = await filled(api.store, 2)
        ledger = await signed(api, end)
        head = ledger["head"]
        (key,) = ledger["keys"]
        assert key["id"] == head["keyId"] == sha256(b64decode(key["publicKey"])).hexdigest()[:16]
        check(head, key["publicKey"])
        for name in ("digest", "root"):
            other = {**head, name: "00" + head[name][2:]}
            with pytest.raises(InvalidSignature):
                check(other, key["publicKey"])
        digest = await api.pool.fetchval("SELECT digest FROM event WHERE position = $1", end)
        assert head["digest"] == digest.hex()
        assert (await api.ask(AT))["ledger"]["headAt"] == head
        first = (await api.ask(AT, p="1"))["ledger"]["headAt"]
        check(first, key["publicKey"])


async def test_a_new_key_signs_and_the_heads_of_the_old_one_stay_checkable(
    url: str, servers: Servers
) -> None:
    (new,) = signers([new_key()])
    async with serving(url, servers.redis_url, signers=[SIGNER]) as api:
        before = await signed(api, await filled(api.store, 1))
    async with serving(url, servers.redis_url, signers=[new, SIGNER]) as api:
        await api.store.append([artifact("later")], BY)
        after = await signed(api, int(before["head"]["position"]) + 1)
        keys = {key["id"]: key["publicKey"] for key in after["keys"]}
        assert list(keys) == [new.id, SIGNER.id]
        assert after["head"]["keyId"] == new.id
        for head in (before["head"], after["head"]):
            check(head, keys[head["keyId"]])


async def kept(url: str, signer: Signer = SIGNER) -> None:
    """The watch goes over the log once, and signs."""
    from matchgraph.ledger.store import keep_keys
    from matchgraph.ledger.watch import NEW, Watch, course

    async with open_store(url) as store:
        db = await connect(url, "test")
        watch = Watch(url, store.listener, [signer])
        await keep_keys(db, [(signer.id, signer.public_key)])
        new = await course(db, NEW)
        while await watch.follow(db, new):
            pass
        await watch.sign(db, new)
        await db.close()


async def test_every_event_is_proved_by_the_newest_head(still: Api, url: str) -> None:
    for number in range(6):
        await still.store.append([artifact(f"{number}-{n}") for n in range(60)], BY)
    await kept(url)
    expected = await leaves(still.pool)
    for position in (1, 2, 100, 255, 256, 257, 359, 360):
        found = (await still.ask(PROOF, p=str(position)))["ledger"]["proof"]
        assert found["leaf"] == expected[position - 1].hex()
        head = found["head"]
        size = int(head["position"])
        assert size == 360
        assert len(found["path"]) <= 9
        path = [bytes.fromhex(step) for step in found["path"]]
        root = bytes.fromhex(head["root"])
        assert merkle.includes(position - 1, size, bytes.fromhex(found["leaf"]), path, root)


async def test_an_old_head_is_proved_to_be_the_beginning_of_a_newer_one(
    still: Api, url: str
) -> None:
    ends = []
    for number in range(4):
        ends.append(await still.store.append([artifact(f"{number}-{n}") for n in range(99)], BY))
        await kept(url)
    heads = [(await still.ask(AT, p=str(end)))["ledger"]["headAt"] for end in ends]
    assert [int(head["position"]) for head in heads] == ends
    for old, new in [(0, 3), (1, 2), (2, 3), (3, 3)]:
        asked = {"a": str(ends[old]), "b": str(ends[new])}
        found = (await still.ask(CONSISTENCY, **asked))["ledger"]["consistency"]
        assert (found["from"], found["to"]) == (asked["a"], asked["b"])
        assert found["fromRoot"] == heads[old]["root"]
        assert found["toRoot"] == heads[new]["root"]
        path = [bytes.fromhex(step) for step in found["path"]]
        roots = bytes.fromhex(found["fromRoot"]), bytes.fromhex(found["toRoot"])
        assert merkle.extends(ends[old], ends[new], *roots, path)


async def test_what_cannot_be_proved_is_refused_with_a_reason(still: Api, url: str) -> None:
    await still.store.append([artifact("a"), artifact("b")], BY)
    assert await still.code(PROOF, p="1") == "NOT_SIGNED_YET"
    assert (await still.ask(AT, p="1"))["ledger"]["headAt"] is None
    await kept(url)
    await still.store.append([artifact("c")], BY)
    error = await still.error(PROOF, p="3")
    assert error["extensions"]["code"] == "NOT_SIGNED_YET"
    assert "the newest covers 1 to 2" in error["message"]
    assert await still.code(CONSISTENCY, a="1", b="3") == "NOT_SIGNED_YET"
    for query, variables in (
        (PROOF, {"p": "4"}),
        (AT, {"p": "4"}),
        (CONSISTENCY, {"a": "1", "b": "4"}),
    ):
        assert await still.code(query, **variables) == "POSITION_IN_FUTURE"
    for query, variables in (
        (PROOF, {"p": "0"}),
        (AT, {"p": "0"}),
        (CONSISTENCY, {"a": "0", "b": "1"}),
        (CONSISTENCY, {"a": "2", "b": "1"}),
        (PROOF, {"p": "-1"}),
    ):
        assert await still.code(query, **variables) == "BAD_USER_INPUT"


async def test_a_changed_event_has_no_proof(still: Api, url: str) -> None:
    await still.store.append([artifact("a"), artifact("b"), artifact("c")], BY)
    await kept(url)
    async with tampering(url) as admin:
        await admin.execute("UPDATE event SET actor = 'x' WHERE position = 2")
    assert await still.code(PROOF, p="2") == "LEDGER_BROKEN"
    # Nor have those that are proved beside it.
    assert await still.code(PROOF, p="1") == "LEDGER_BROKEN"


async def test_a_broken_ledger_is_told_of_and_answers_go_on(url: str, servers: Servers) -> None:
    async with serving(url, servers.redis_url, signers=[SIGNER]) as api:
        end = await filled(api.store, 1)
        await signed(api, end)
        whole = (await api.http.get("/readyz")).json()["ledger"]
        assert whole == {
            "status": "whole",
            "verified": str(end),
            "signed": str(end),
            "brokenAt": None,
            "problem": None,
            "acknowledgedBreaks": 0,
        }
        assert "matchgraph_ledger_broken 0.0" in (await api.http.get("/metrics")).text
        async with tampering(url) as admin:
            await admin.execute("UPDATE event SET digest = sha256('') WHERE position = $1", end)

        async def broken() -> bool:
            told = (await api.http.get("/readyz")).json()["ledger"]
            return bool(told["status"] == "broken")

        await until(broken)
        response = await api.http.get("/readyz")
        assert response.status_code == 200
        assert response.json()["ledger"]["brokenAt"] == str(end)
        assert f"event {end}" in response.json()["ledger"]["problem"]
        metrics = (await api.http.get("/metrics")).text
        assert "matchgraph_ledger_broken 1.0" in metrics
        assert f"matchgraph_ledger_signed_position {float(end)}" in metrics
        assert (await api.ask("{ position { head } }"))["position"]["head"] == str(end)

        # Once somebody has said that they know of it, it is signed again, and everybody is told.
        said = await acknowledge(url, SIGNER, end, actor="ann", reason="a disk")
        last = await api.store.append([artifact("later")], BY)
        await signed(api, last)
        told = (await api.http.get("/readyz")).json()["ledger"]
        assert (told["status"], told["acknowledgedBreaks"]) == ("whole", 1)
        assert "matchgraph_ledger_acknowledged_breaks 1.0" in (await api.http.get("/metrics")).text
        shown = await api.ask(
            """{ ledger { head { position digest root time signature keyId acknowledged }
            acknowledgements { number position what actor reason time upto root link heads before
              digest keyId signature } } }"""
        )
        (one,) = shown["ledger"]["acknowledgements"]
        assert one.pop("digest") == shown["ledger"]["head"]["acknowledged"]
        assert of_data(one) == said
        heads.of_data({"data": shown}).check({SIGNER.id: SIGNER.public_key})
