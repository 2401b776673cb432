"""docs/proof.md is enough to write a checker, and its worked example is right."""

import io
import json
import re
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import Store
from matchgraph.ledger import bundle, chain, merkle
from matchgraph.ledger.head import signers
from tests.eventstore.histories import artifact
from tests.ledger import outside
from tests.ledger.logs import KEY, filled
from tests.ledger.test_bundle import sign, written
from tests.projections.tables import BY

PAGE = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()
AGGREGATE = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


def blocks() -> str:
    """Everything in hexadecimal that the page shows over several lines, in one."""
    return re.sub(r"\s+", "", PAGE)


def test_the_worked_example_is_what_comes_out() -> None:
    rows = re.findall(
        r"^\| (\d) \| (\d{16}) \| (\d) \| `([\w.]+)` \| `(r\d)` \| (?:`([^`]*)`)? ?\|"
        r" `(\{.*\})` \|$",
        PAGE,
        re.MULTILINE,
    )
    assert len(rows) == 3
    leaves, digest = [], chain.LINK_0
    for position, recorded_at, version, topic, request_id, key, state in rows:
        said = chain.said(
            int(position),
            int(recorded_at),
            AGGREGATE,
            int(version),
            topic,
            "curator",
            request_id,
            key or None,
            state.encode(),
        )
        leaves.append(sha256(said).digest())
        digest = sha256(digest + leaves[-1]).digest()
        assert f"| leaf({position}) | `{leaves[-1].hex()}` |" in PAGE
        assert f"| digest({position}) | `{digest.hex()}` |" in PAGE
    assert said.hex() in blocks()
    node = merkle.join(leaves[0], leaves[1])
    root = merkle.join(node, leaves[2])
    assert f"| node over leaves 1 and 2 | `{node.hex()}` |" in PAGE
    assert f"| root over all three | `{root.hex()}` |" in PAGE
    (signer,) = signers([KEY])
    assert f"`{signer.public_key.hex()}`, its id `{signer.id}`" in PAGE
    head = signer.sign(3, digest, root, datetime.fromisoformat("2026-01-01T00:00:05Z"))
    assert head.said().hex() in blocks()
    assert len(head.said()) == 98
    assert f"with `{head.signature.hex()}`" in PAGE


def test_the_bundle_that_is_shown_is_one() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    data = shown.encode()
    outside.check(data)
    found = bundle.check(io.BytesIO(data))
    assert (found.first, found.last, found.head.position) == (2, 2, 3)
    assert {key["id"] for key in json.loads(data.split(b"\n")[0])["keys"]} == {found.head.key_id}


async def test_a_checker_written_from_the_page_agrees_with_ours(url: str, store: Store) -> None:
    db = await connect(url, "test")
    for number in range(4):
        await store.append([artifact(f"{number}-{n}") for n in range(100)], BY)
        await sign(store, db)
    end = await filled(store, 1)
    head = await sign(store, db)
    for first, last in ((1, end), (1, 1), (7, 100), (255, 258), (256, 400), (301, 301), (end, end)):
        outside.check(await written(db, first, last, head=head))
    await db.close()
