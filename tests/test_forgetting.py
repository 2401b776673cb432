"""`matchgraph forget` and `rotate-search-keys` as an operator runs them."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from matchgraph.commands import search as commands
from matchgraph.commands.searcher import pseudonyms
from matchgraph.domain.need import Need
from matchgraph.domain.searcher import Searcher
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.searcher_keys import SealedText, SearcherKeys, label_of
from matchgraph.eventstore.store import Store
from matchgraph.ledger.head import new_key
from matchgraph.projections.forgotten_key import FORGOTTEN_KEY
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import INTENTS, until
from tests.projections.tables import BY
from tests.test_cli import environment

SECRET = "what the tests sign with"
MASTER, NEWER = "a master key that tests wrap with", "a newer master key that tests wrap with"
Done = subprocess.CompletedProcess[str]


class Operator:
    """Runs the program over a database of the test's own."""

    def __init__(self, url: str, redis_url: str, folder: Path) -> None:
        self._folder = folder
        self._said = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "MATCHGRAPH_SECRET": SECRET,
            "MATCHGRAPH_SEARCH_KEYS": MASTER,
            "MATCHGRAPH_EMBEDDING": "off",
            "COLUMNS": "400",
        }

    def start(self, *arguments: str, **said: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "matchgraph", *arguments],
            env=environment(self._folder, **{**self._said, **said}),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def run(self, *arguments: str, **said: str) -> Done:
        """Runs it to its end."""
        process = self.start(*arguments, **said)
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
        return Done(process.args, process.returncode, out, err)


@pytest.fixture
def operator(url: str, servers: Servers, tmp_path: Path) -> Operator:
    return Operator(url, servers.redis_url, tmp_path)


async def searched(store: Store, pool: Pool, searcher: str) -> SealedText:
    """A search by that name; its label, which says what it was for."""
    id, (who,) = uuid4(), pseudonyms([SECRET], searcher)
    words = await commands.sealed(fresh(pool), id, Need(text="tables"), INTENTS[0], who)
    await commands.answered(store, BY, id, words, INTENTS[0].cluster, who, ())
    return SealedText(words.key, words.label, label_of(id))


def fresh(pool: Pool, *masters: str) -> SearcherKeys:
    """The keys as a process has them that has just started."""
    return SearcherKeys(pool, masters or [MASTER])


async def forgettings(store: Store) -> list[UUID]:
    events = [one.event for one in await store.read(0)]
    return [event.key for event in events if isinstance(event, Searcher.Forgotten)]


async def test_a_searcher_is_forgotten_by_name_and_the_key_is_told(
    operator: Operator, store: Store, pool: Pool
) -> None:
    ann, bob = [await searched(store, pool, name) for name in ("ann", "bob")]
    done = await operator.run("forget", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{pseudonyms([SECRET], 'ann')[0]} is forgotten; the key {ann.key}" in done.stdout
    assert await fresh(pool).opened([ann, bob]) == [None, INTENTS[0].label.encode()]
    again = await operator.run("forget", "ann")
    assert again.returncode == 0
    assert "ann is forgotten already" in again.stdout
    assert await forgettings(store) == [ann.key]


async def test_whoever_is_not_known_is_not_forgotten_and_that_is_said(
    operator: Operator, store: Store, pool: Pool
) -> None:
    await searched(store, pool, "ann")
    done = await operator.run("forget", "[bold]bob")
    assert done.returncode == 1
    assert "Nobody who searched is known as '[bold]bob'" in done.stderr
    assert await forgettings(store) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give one of SEARCHER"),
        (("ann", "--again"), "Give one of SEARCHER"),
        (("--again", "--list"), "Give one of SEARCHER"),
        (("--keys", "nowhere"), "does not exist"),
        (("--keys", "broken"), "line 2: 'hello' is not the id of a key"),
    ],
)
async def test_called_wrongly_it_says_how(
    operator: Operator, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "broken").write_text(f"{uuid4()} 7\nhello 8\n\xff")
    done = await operator.run("forget", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


async def test_a_forgetting_that_is_killed_between_its_steps_is_carried_through_by_the_next(
    operator: Operator, store: Store, pool: Pool, url: str
) -> None:
    ann = await searched(store, pool, "ann")
    admin = await asyncpg.connect(url)
    async with admin.transaction():
        await admin.execute("SELECT FROM searcher_key FOR SHARE")
        process = operator.start("forget", "ann")
        await until(lambda: forgettings(store), patience=30)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'matchgraph forgetting'"
    )
    await admin.close()
    assert await fresh(pool).opened([ann]) == [INTENTS[0].label.encode()]
    assert (await operator.run("forget", "ann")).returncode == 0
    assert await fresh(pool).opened([ann]) == [None]
    assert await forgettings(store) == [ann.key]


async def test_two_who_forget_at_once_both_succeed(
    operator: Operator, store: Store, pool: Pool
) -> None:
    ann = await searched(store, pool, "ann")
    done = await asyncio.gather(*(operator.run("forget", "ann") for _ in range(2)))
    assert [one.returncode for one in done] == [0, 0], done
    assert await forgettings(store) == [ann.key]
    assert await fresh(pool).opened([ann]) == [None]


async def test_what_a_backup_brings_back_is_destroyed_again(
    operator: Operator, store: Store, pool: Pool, url: str, tmp_path: Path
) -> None:
    texts = [await searched(store, pool, name) for name in ("ann", "bob", "cleo")]
    backup = await pool.fetch("SELECT * FROM searcher_key")

    async def restore() -> None:
        await pool.executemany(
            "INSERT INTO searcher_key VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            [tuple(row) for row in backup],
        )

    await operator.run("forget", "ann")
    await project(url, store, (FORGOTTEN_KEY,))
    listed = await operator.run("forget", "--list")
    assert listed.stdout == f"{texts[0].key} 4\n"
    await restore()
    again = await operator.run("forget", "--again")
    assert "1 keys were there and are destroyed." in again.stdout
    assert (await fresh(pool).opened(texts))[0] is None
    # Somebody was forgotten whom the history that was restored does not know of, either.
    kept = tmp_path / "forgotten"
    kept.write_text(f"{listed.stdout}\n{texts[1].key}\n{uuid4()} 99\n")
    await restore()
    again = await operator.run("forget", "--keys", str(kept))
    assert "2 keys were there and are destroyed." in again.stdout
    assert await fresh(pool).opened(texts) == [None, None, INTENTS[0].label.encode()]
    assert await forgettings(store) == [texts[0].key, texts[1].key]


async def test_a_master_key_is_replaced_and_without_it_searchers_can_be_given_up(
    operator: Operator, store: Store, pool: Pool
) -> None:
    ann = await searched(store, pool, "ann")
    both = {"MATCHGRAPH_SEARCH_KEYS": f"{NEWER},{MASTER}"}
    assert "1 keys are wrapped anew" in (await operator.run("rotate-search-keys", **both)).stdout
    assert await fresh(pool, NEWER).opened([ann]) == [INTENTS[0].label.encode()]
    # With the old one alone, nothing opens any more.
    refused = await operator.run("serve", "--no-catalogs", "--no-projector")
    assert refused.returncode == 2
    assert "MATCHGRAPH_SEARCH_KEYS does not hold the key" in refused.stderr
    lost = await operator.run("rotate-search-keys")
    assert lost.returncode == 1
    assert "1 keys are wrapped with a master key that" in lost.stderr
    given_up = await operator.run("rotate-search-keys", "--give-up")
    assert given_up.returncode == 0
    assert await fresh(pool, NEWER).opened([ann]) == [None]
    assert await forgettings(store) == [ann.key]


async def test_production_needs_its_search_keys(operator: Operator) -> None:
    said = {
        "MATCHGRAPH_MODE": "production",
        "MATCHGRAPH_SEARCH_KEYS": "",
        "MATCHGRAPH_LEDGER_KEY": new_key(),
    }
    for arguments in (("serve",), ("forget", "ann"), ("rotate-search-keys",)):
        done = await operator.run(*arguments, **said)
        assert done.returncode == 2, arguments
        assert "MATCHGRAPH_SEARCH_KEYS is not set" in done.stderr
