"""verify, export, check and ledger as people call them: what they say, and how they end."""

import json
from pathlib import Path

import pytest

from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import Store
from matchgraph.ledger.head import signers
from matchgraph.servers import Servers
from tests.ledger.logs import KEY, filled, tampering
from tests.ledger.test_bundle import sign
from tests.test_cli import run

(SIGNER,) = signers([KEY])
README = str(Path(__file__).parents[2] / "README.md")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
async def end(url: str, store: Store) -> int:
    """The last position of a log that is signed."""
    last = await filled(store, 2)
    db = await connect(url, "test")
    await sign(store, db)
    await db.close()
    return last


async def test_a_log_is_verified_exported_and_checked(
    url: str, servers: Servers, end: int, tmp_path: Path
) -> None:
    urls = {"DATABASE_URL": url, "REDIS_URL": servers.redis_url}
    found = run(tmp_path, "ledger", "head", **urls)
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["position"] == str(end)
    answered = {"data": {"ledger": {"head": json.loads(found.stdout)}}}
    (tmp_path / "head.json").write_text(json.dumps(answered))
    found = run(tmp_path, "ledger", "keys", **urls)
    assert found.stdout == f"{SIGNER.id} 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    (tmp_path / "keys").write_text(found.stdout)

    found = run(tmp_path, "verify", "--head", "head.json", **urls)
    assert (found.returncode, found.stderr) == (0, ""), found
    assert f"{end} events are what was recorded" in " ".join(found.stdout.split())

    words = ("export", "--from", "3", "--to", "20", "--out", "part.jsonl", "--head", "head.json")
    found = run(tmp_path, *words, **urls)
    assert (found.returncode, found.stderr) == (0, ""), found
    assert names(tmp_path) == ["head.json", "keys", "part.jsonl"]
    # No server is needed any more.
    found = run(tmp_path, "check", "part.jsonl", "--key", "keys", "--head", "head.json")
    assert (found.returncode, found.stderr) == (0, ""), found
    assert "The events 3 to 20 are what was signed" in found.stdout
    assert "with the bundle" not in found.stdout
    found = run(tmp_path, "check", "part.jsonl")
    assert found.returncode == 0
    assert "came with the bundle" in " ".join(found.stdout.split())
    lines = (tmp_path / "part.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "half.jsonl").write_text("".join(lines[:9]))
    found = run(tmp_path, "check", "half.jsonl")
    assert found.returncode == 1
    assert "Line 9, event 10: the file ends here" in found.stderr
    assert not (tmp_path / "data").exists()

    async with tampering(url) as db:
        await db.execute("DELETE FROM event WHERE position > $1", end - 2)
        await db.execute("DELETE FROM ledger_head")
    assert run(tmp_path, "verify", **urls).returncode == 0
    found = run(tmp_path, "verify", "--head", "head.json", **urls)
    assert found.returncode == 1
    assert f"Broken at position {end - 1}: events {end - 1} to {end} are missing" in found.stderr
    found = run(tmp_path, "export", "--out", "part.jsonl", **urls)
    assert found.returncode == 1
    assert "none was signed" in found.stderr
    assert (tmp_path / "part.jsonl").read_text() == "".join(lines)
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "missing.jsonl"], ["missing.jsonl"]),
        (["check", README, "--key", README], ["no public key"]),
        (["check", README, "--head", README], ["no signed head"]),
        (["verify", "--head", README], ["no signed head"]),
        (["verify", "--head", "missing.json"], ["missing.json"]),
        (["export"], ["--out"]),
    ],
)
def test_called_wrongly_it_says_how_and_ends_with_2(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    found = run(tmp_path, *arguments)
    assert found.returncode == 2, found
    for word in words:
        assert word in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "data").exists()


async def test_what_cannot_be_exported_leaves_nothing_behind(
    url: str, servers: Servers, end: int, tmp_path: Path
) -> None:
    urls = {"DATABASE_URL": url, "REDIS_URL": servers.redis_url}
    for words, said in (
        (("--from", "0"), "There are no events from 0"),
        (("--to", str(end + 1)), "No signed head covers"),
        (("--out", "no/where"), "no/where cannot be written"),
    ):
        found = run(tmp_path, "export", "--out", "bundle", *words, **urls)
        assert found.returncode == 1, found
        assert said in found.stderr
        assert "Traceback" not in found.stderr
        assert names(tmp_path) == []


def test_a_new_key_signs(tmp_path: Path) -> None:
    found = run(tmp_path, "ledger", "new-key")
    assert found.returncode == 0
    (signer,) = signers([found.stdout.strip()])
    assert len(signer.public_key) == 32


def test_production_does_not_project_without_a_key(tmp_path: Path) -> None:
    found = run(tmp_path, "project", MATCHGRAPH_MODE="production", MATCHGRAPH_SECRET="x" * 16)
    assert found.returncode == 2
    assert "MATCHGRAPH_LEDGER_KEY is not set" in found.stderr
    assert not (tmp_path / "data").exists()
