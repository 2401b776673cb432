"""The program as people start it: what it prints, how it ends, and what it leaves behind."""

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from faults.proxy import Cut, Proxy
from matchgraph import settings
from matchgraph.__main__ import _unreachable, _without_password
from matchgraph.graphql.schema import sdl
from matchgraph.ledger.head import new_key
from matchgraph.servers import Servers
from tests.conftest import url_of

ROOT = Path(__file__).parents[1]
SECRET = "s3cret"
NOWHERE = f"postgresql://me:{SECRET}@127.0.0.1:1/catalog"
NO_REDIS = f"redis://me:{SECRET}@127.0.0.1:1/0"
GOOD = """
matchgraph: 1
observed: 2026-01-01
artifacts:
  - {slug: parser, kind: cli, name: Parser, source: "https://example.org"}
"""
HALF = """matchgraph: 1
observed: 2026-01-01
artifacts:
  - slug: fine
    kind: cli
    name: Fine
    source: https://example.org
  - slug: Not A Slug
    kind: cli
    name: Bad
    source: https://example.org
"""


def environment(folder: Path, **said: str) -> dict[str, str]:
    """Nothing of ours but what is said."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL") and not name.startswith("MATCHGRAPH_")
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "src"),
        "MATCHGRAPH_DATA": str(folder / "data"),
        "COLUMNS": "80",
        **said,
    }


def run(folder: Path, *arguments: str, **said: str) -> "subprocess.CompletedProcess[str]":
    """Runs the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "matchgraph", *arguments],
        env=environment(folder, **said),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_prints_the_schema(tmp_path: Path) -> None:
    found = run(tmp_path, "schema")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == sdl()
    assert list(tmp_path.iterdir()) == [], "and needs no server for it"


def test_without_a_command_it_says_which_there_are(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert found.returncode == 2
    for command in ("serve", "project", "migrate", "import", "rebuild", "schema"):
        assert command in found.stdout + found.stderr


# Called wrongly


@pytest.mark.parametrize(
    ("arguments", "said", "words"),
    [
        (["rebuild", "nothing"], {}, ["'nothing'", "artifact_listing", "price_history"]),
        (["rebuild"], {}, ["--all"]),
        (["rebuild", "rank_board", "--all"], {}, ["--all"]),
        (["verify", "--differences", "0"], {}, ["--differences"]),
        (["import", "manifest", "missing.yaml"], {}, ["missing.yaml"]),
        (["import", "manifest", "."], {}, ["directory"]),
        (["import", "signals", "missing.csv"], {}, ["missing.csv"]),
        (["import", "signals", __file__], {}, ["test_cli.py", ".csv", ".jsonl", ".ndjson"]),
        (["migrate"], {"MATCHGRAPH_PORT": "http"}, ["MATCHGRAPH_PORT", "1 to 65535"]),
        (["serve"], {"MATCHGRAPH_MODE": "prod"}, ["MATCHGRAPH_MODE", "production"]),
    ],
)
def test_called_wrongly_it_says_how_and_ends_with_2(
    tmp_path: Path, arguments: list[str], said: dict[str, str], words: list[str]
) -> None:
    found = run(tmp_path, *arguments, **said)
    assert found.returncode == 2, found
    for word in words:
        assert word in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "data").exists()


# Servers that cannot be reached


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", NOWHERE),
        ("DATABASE_URL", f"postgresql://me:{SECRET}/x@localhost/catalog"),
        ("REDIS_URL", NO_REDIS),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, servers: Servers, name: str, url: str
) -> None:
    urls = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, name: url}
    began = time.monotonic()
    found = run(tmp_path, "migrate", **urls)
    assert found.returncode == 3, found
    assert time.monotonic() - began < 8
    assert name in found.stderr
    assert "Start that server" in found.stderr
    assert f"unset it to have one started in {tmp_path / 'data'}" in found.stderr
    assert SECRET not in found.stderr + found.stdout
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", f"postgresql://me@127.0.0.1:1/catalog?password={SECRET}"),
        ("DATABASE_URL", f"postgresql://127.0.0.1:1/catalog?user=me&password={SECRET}&x=1"),
        ("DATABASE_URL", f"postgresql://me:p@{SECRET}@127.0.0.1:1/catalog"),
        ("DATABASE_URL", f"mysql://me:{SECRET}@localhost/catalog"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@[::1/catalog"),
        ("DATABASE_URL", "nonsense"),
        ("REDIS_URL", f"redis://:{SECRET}@127.0.0.1:1"),
        ("REDIS_URL", f"redis://127.0.0.1:1?password={SECRET}"),
        ("REDIS_URL", f"http://me:{SECRET}@127.0.0.1:1"),
        ("REDIS_URL", "nonsense"),
    ],
)
def test_no_url_shows_its_password_however_it_is_written(name: str, url: str) -> None:
    reason = _unreachable(name, url)
    assert reason
    assert SECRET not in reason + _without_password(url)
    assert _without_password("postgresql://me@host/db?host=/run") == (
        "postgresql://me@host/db?host=/run"
    )


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "", "1.5", " 80"])
def test_a_port_is_a_number_from_1_to_65535(port: str) -> None:
    with pytest.raises(settings.BadSetting, match="1 to 65535"):
        settings.read({"MATCHGRAPH_PORT": port})
    assert settings.read({"MATCHGRAPH_PORT": "65535"}).port == 65535


def test_a_server_that_never_answers_is_given_up_soon(tmp_path: Path, servers: Servers) -> None:
    with silent() as port, ThreadPoolExecutor() as threads:
        began = time.monotonic()
        both = [
            threads.submit(run, tmp_path, "migrate", **urls)
            for urls in (
                {"DATABASE_URL": f"postgresql://127.0.0.1:{port}", "REDIS_URL": servers.redis_url},
                {"DATABASE_URL": servers.database_url, "REDIS_URL": f"redis://127.0.0.1:{port}"},
            )
        ]
        for found in both:
            assert found.result().returncode == 3, found.result()
        assert time.monotonic() - began < 12


# Commands on a database


@pytest.fixture
def ours(url: str, servers: Servers) -> dict[str, str]:
    return {"DATABASE_URL": url, "REDIS_URL": servers.redis_url}


def test_a_manifest_of_trusted_documents_that_is_broken_refuses_the_start(
    tmp_path: Path, ours: dict[str, str]
) -> None:
    for said, told in (
        ('{"a": "{ nothing }"}', "Cannot query field 'nothing'"),
        ("{", "cannot be"),
    ):
        (tmp_path / "documents.json").write_text(said)
        trusted = {"MATCHGRAPH_TRUSTED_DOCUMENTS": "documents.json"}
        found = run(tmp_path, "serve", "--no-catalogs", **ours, **trusted)
        assert found.returncode == 2, found
        assert "MATCHGRAPH_TRUSTED_DOCUMENTS: documents.json" in found.stderr
        assert told in " ".join(found.stderr.split())
        assert "Traceback" not in found.stderr


def test_a_manifest_is_imported_once(tmp_path: Path, ours: dict[str, str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    first = run(tmp_path, "import", "manifest", "good.yaml", **ours)
    assert first.returncode == 0, first
    assert "1 registered (1 events)" in first.stdout
    again = run(tmp_path, "import", "manifest", "good.yaml", **ours)
    assert again.returncode == 0
    assert "1 unchanged (0 events)" in again.stdout

    # And what it led to can be computed anew.
    found = run(tmp_path, "rebuild", "--all", **ours)
    assert found.returncode == 0, found
    assert "artifact_listing is rebuilt up to position 1.\n" in found.stdout
    assert found.stdout.count("is rebuilt up to position 1.") >= 4


async def test_an_import_that_loses_the_database_says_to_import_it_again(
    tmp_path: Path, ours: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    plan = [Cut.BEFORE]
    imports = partial(run, tmp_path, "import", "manifest", "good.yaml")
    at = (b"event_append_batch(",)
    async with Proxy(
        ours["DATABASE_URL"], tmp_path, lambda: plan.pop() if plan else None, at, tcp=True
    ) as proxy:
        cut = {**ours, "DATABASE_URL": proxy.url}
        lost = await asyncio.to_thread(imports, **cut)
        assert lost.returncode == 3, lost
        assert "Import it again" in lost.stderr
        assert "Traceback" not in lost.stderr
        again = await asyncio.to_thread(imports, **cut)
    assert again.returncode == 0, again
    assert "1 registered (1 events)" in again.stdout


def test_a_broken_manifest_is_named_by_file_and_line_and_the_rest_imported(
    tmp_path: Path, ours: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "half.yaml").write_text(HALF)
    (tmp_path / "broken.yaml").write_text("artifacts: [\n")
    clash = GOOD.replace("slug: parser", "slug: other, aliases: [parser]")
    (tmp_path / "clash.yaml").write_text(clash)
    files = ("half.yaml", "broken.yaml", "good.yaml", "clash.yaml")
    found = run(tmp_path, "import", "manifest", *files, **ours)
    assert found.returncode == 1, found
    assert "half.yaml:8" in found.stderr
    assert "broken.yaml:" in found.stderr
    assert "other: 'parser' is taken" in found.stderr
    assert "2 registered, 1 refused (2 events)" in found.stdout.replace(" \n", " ")
    assert "Traceback" not in found.stderr


SIGNALS = """slug,name,value,source,observed_at,method
parser,stars,8,github,2026-02-01,
parser,docs,1,https://example.org,2026-02-01,verified
parser,stars,7,github,2026-01-01,
"""


def test_signals_are_imported_once(tmp_path: Path, ours: dict[str, str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "seen.csv").write_text(SIGNALS)
    run(tmp_path, "import", "manifest", "good.yaml", **ours)
    first = run(tmp_path, "import", "signals", "seen.csv", **ours)
    assert (first.returncode, first.stdout) == (0, "seen.csv: 1 changed (3 events)\n"), first
    # The same again, as of a table that grows at its end, is no mistake.
    again = run(tmp_path, "import", "signals", "seen.csv", **ours)
    assert again.returncode == 0, again
    assert again.stdout.splitlines() == [
        "seen.csv: 1 unchanged (0 events)",
        "1 lines precede what was known already",
    ]


def test_signals_that_cannot_be_taken_are_named_by_line_and_the_rest_imported(
    tmp_path: Path, ours: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "new.csv").write_text(SIGNALS)
    (tmp_path / "old.csv").write_text(
        "slug,name,value,source,observed_at\n"
        "parser,stars,6,github,2026-01-15\n"
        "nobody,stars,6,github,2026-01-15\n"
        "parser,stars,-1,gitlab,2026-01-15\n"
    )
    line = {"slug": "parser", "name": "hosts", "value": 3, "source": "s"}
    (tmp_path / "more.jsonl").write_text(json.dumps({**line, "observed_at": "2026-01-15"}))
    run(tmp_path, "import", "manifest", "good.yaml", **ours)
    run(tmp_path, "import", "signals", "new.csv", **ours)
    found = run(tmp_path, "import", "signals", "old.csv", "more.jsonl", **ours)
    assert found.returncode == 1, found
    assert "1 changed, 1 left out (1 events)" in found.stdout
    assert [said for said in found.stderr.splitlines() if said.startswith("old.csv")] == [
        "old.csv:4: value: stars: -1 is refused, it must be from 0 to below 10^15.",
        "old.csv:3: slug: There is no artifact 'nobody'; register it first or check the spelling.",
        "old.csv:2: observed_at: stars: observed at 2026-01-15T00:00:00+00:00, but the same source "
        "is known as of 2026-02-01T00:00:00+00:00.",
    ]
    assert "Traceback" not in found.stderr


def test_a_database_that_nobody_migrated_is_not_worked_on(tmp_path: Path, servers: Servers) -> None:
    urls = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
    postgres = url_of(servers.database_url, "postgres")
    found = run(tmp_path, "rebuild", "--all", **{**urls, "DATABASE_URL": postgres})
    assert found.returncode == 1, found
    assert "run `matchgraph migrate` first" in found.stderr
    assert "Traceback" not in found.stderr


# serve


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Served:
    """`matchgraph serve` on a folder of its own."""

    def __init__(self, folder: Path, **said: str) -> None:
        self.folder = folder
        self.port = free_port()
        said = {"MATCHGRAPH_PORT": str(self.port), **said}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "matchgraph", "serve", "--no-catalogs"],
            env=environment(folder, **said),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        # Somebody has to read what it says, or it would wait for that.
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(self.process.stdout)

    def ask(self, query: str, **headers: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query}).encode(),
            {"content-type": "application/json", **headers},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)["data"]

    def wait(self) -> "Served":
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                self.ask("{ position { head } }")
                return self
            time.sleep(0.05)
        raise AssertionError("".join(self.said))

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self._reading.join(timeout=10)
        return code

    def left(self) -> list[psutil.Process]:
        """Whatever still works in the folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests below go on with, one after the other."""
    return tmp_path_factory.mktemp("served")


REGISTER = """mutation { registerArtifact(slug: "parser", kind: CLI, facts: {name: "Parser"},
  provenance: {source: "s", observedAt: "2026-01-01T00:00:00Z"}) {
  ... on Change { position artifact { slug } } } }"""


def test_it_serves_on_a_folder_of_its_own_and_ends_cleanly(folder: Path) -> None:
    served = Served(folder).wait()
    answer = served.ask(REGISTER)
    assert answer["registerArtifact"] == {"position": "1", "artifact": {"slug": "parser"}}
    assert f"http://localhost:{served.port}/graphql" in "".join(served.said)
    assert served.end(signal.SIGINT) == 0, "".join(served.said)
    assert served.left() == []
    assert "Traceback" not in "".join(served.said)


def test_it_goes_on_with_what_is_in_the_folder_and_once_at_a_time(folder: Path) -> None:
    served = Served(folder).wait()
    assert served.ask('{ artifact(slug: "parser") { name } }') == {"artifact": {"name": "Parser"}}
    second = Served(folder)
    assert second.process.wait(timeout=20) == 3
    second._reading.join(timeout=10)
    assert "is in use" in "".join(second.said)
    assert "Traceback" not in "".join(second.said)
    assert served.ask("{ artifacts { nodes { slug } } }")["artifacts"]["nodes"] == [
        {"slug": "parser"}
    ]
    assert served.end(signal.SIGTERM) == 0
    assert served.left() == []


def test_other_commands_work_on_the_servers_that_it_runs(folder: Path) -> None:
    served = Served(folder).wait()
    (folder / "more.yaml").write_text(GOOD.replace("parser", "beside"))
    imported = run(folder, "import", "manifest", "more.yaml")
    assert imported.returncode == 0, imported
    assert "1 registered" in imported.stdout
    rebuilt = run(folder, "rebuild", "artifact_listing")
    assert rebuilt.returncode == 0, rebuilt
    assert served.ask('{ artifact(slug: "beside") { slug } }') == {"artifact": {"slug": "beside"}}
    calibrated = run(folder, "calibrate")
    assert calibrated.returncode == 0, calibrated
    head = served.ask("{ position { head } }")["position"]["head"]
    assert f"calibrated at position {head}" in calibrated.stdout
    board = "{ rankBoard { nodes { slug rank { score place } } } }"
    before = served.ask(board)
    assert [node["slug"] for node in before["rankBoard"]["nodes"]]
    assert run(folder, "rebuild", "rank_board").returncode == 0
    assert served.ask(board) == before
    assert served.end() == 0
    assert served.left() == []


def test_killed_it_starts_again_with_everything_there(folder: Path) -> None:
    served = Served(folder).wait()
    served.end(signal.SIGKILL)
    again = Served(folder).wait()
    assert again.ask('{ artifact(slug: "parser") { name } }') == {"artifact": {"name": "Parser"}}
    assert again.end() == 0
    assert again.left() == []


def test_a_port_in_use_is_no_success(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = Served(folder, MATCHGRAPH_PORT=str(server.getsockname()[1]))
        code = served.process.wait(timeout=40)
    served._reading.join(timeout=10)
    assert code != 0
    assert "address already in use" in "".join(served.said)
    assert served.left() == []


# Likely duplicates


TWINS = """
matchgraph: 1
observed: 2026-01-01
artifacts:
  - {slug: parser-one, kind: cli, name: Parser One, source: "https://example.org"}
  - {slug: parserone, kind: cli, name: ParserOne, source: "https://example.org"}
  - {slug: parser-two, kind: cli, name: Parser Two, source: "https://example.org"}
"""


def test_duplicates_are_listed_merged_and_parted_again(tmp_path: Path) -> None:
    (tmp_path / "twins.yaml").write_text(TWINS)
    assert run(tmp_path, "import", "manifest", "twins.yaml").returncode == 0
    listed = run(tmp_path, "duplicates")
    assert listed.returncode == 0, listed
    assert "parserone" in listed.stdout
    assert "1 pairs of at least 0.8" in listed.stdout

    def pairs() -> list[tuple[str, str]]:
        found = run(tmp_path, "duplicates", "--json")
        assert found.returncode == 0, found
        lines = [json.loads(line) for line in found.stdout.splitlines()]
        assert all(line["confidence"] >= 0.8 and line["reasons"] for line in lines)
        return [(line["left"], line["right"]) for line in lines]

    assert pairs() == [("parser-one", "parserone")]
    assert run(tmp_path, "merge", "parserone", "parser-one").returncode == 0
    assert pairs() == []
    refused = run(tmp_path, "merge", "parser-one", "parserone")
    assert refused.returncode == 1
    assert "'parser-one' cannot be merged into 'parserone'" in refused.stderr
    assert run(tmp_path, "unmerge", "parserone").returncode == 0
    assert pairs() == [("parser-one", "parserone")]
    again = run(tmp_path, "unmerge", "parserone")
    assert (again.returncode, "nothing to undo" in again.stderr) == (1, True)
    assert run(tmp_path, "tell-apart", "parserone", "parser-one").returncode == 0
    assert pairs() == []
    assert run(tmp_path, "merge", "nothing", "parser-one").returncode == 1
    assert run(tmp_path, "duplicates", "--min-confidence", "2").returncode == 2


# Keys


def test_keys_are_issued_once_listed_and_revoked(tmp_path: Path, ours: dict[str, str]) -> None:
    issued = run(tmp_path, "keys", "issue", "--role", "operator", "--name", "[b]Ann[/b]", **ours)
    assert issued.returncode == 0, issued
    key = issued.stdout.strip()
    prefix, id, secret = key.split("_", 2)
    assert (prefix, len(id), len(secret)) == ("mg", 12, 43)
    assert secret not in issued.stderr
    assert id in issued.stderr
    expires = ("--expires", "2030-01-01")
    other = run(tmp_path, "keys", "issue", "--role", "auditor", "--name", "Bob", *expires, **ours)
    assert run(tmp_path, "keys", "revoke", id, **ours).returncode == 0
    again = run(tmp_path, "keys", "revoke", id, **ours)
    assert (again.returncode, "since position 3" in again.stdout) == (0, True)
    listed = run(tmp_path, "keys", "list", "--json", **ours)
    assert listed.returncode == 0, listed
    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(one["name"], one["role"], one["status"], one["expires"]) for one in lines] == [
        ("Bob", "auditor", "active", "2030-01-01T00:00:00Z"),
        ("[b]Ann[/b]", "operator", "revoked", None),
    ]
    assert {one["issued_by"] for one in lines} == {"command line"}
    table = run(tmp_path, "keys", "list", **ours, COLUMNS="160")
    for said in (id, "[b]Ann[/b]", "revoked", "2030-01-01"):
        assert said in table.stdout
    for one in (key, other.stdout.strip()):
        assert one.split("_", 2)[2] not in listed.stdout + table.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["issue", "--role", "king", "--name", "Ann"], 2, ["king", "curator", "operator"]),
        (["issue", "--role", "curator"], 2, ["--name"]),
        (["issue", "--role", "curator", "--name", "A", "--expires", "soon"], 2, ["--expires"]),
        (["issue", "--role", "curator", "--name", "A", "--expires", "2020-01-01"], 1, ["passed"]),
        (["issue", "--role", "curator", "--name", " "], 1, ["blank"]),
        (["revoke", "nothing"], 1, ["no key 'nothing'"]),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_plain_words(
    tmp_path: Path, ours: dict[str, str], arguments: list[str], code: int, words: list[str]
) -> None:
    found = run(tmp_path, "keys", *arguments, **ours)
    assert found.returncode == code, found
    assert "Traceback" not in found.stderr
    for word in words:
        assert word in found.stderr


def test_production_lets_nobody_change_anything_until_the_first_key_is_issued(
    tmp_path: Path,
) -> None:
    production = {
        "MATCHGRAPH_MODE": "production",
        "MATCHGRAPH_SECRET": "s" * 32,
        "MATCHGRAPH_SEARCH_KEYS": "k" * 32,
        "MATCHGRAPH_LEDGER_KEY": new_key(),
    }
    served = Served(tmp_path, **production).wait()
    with pytest.raises(TypeError):  # there is no data to look into
        served.ask(REGISTER)["registerArtifact"]
    issued = run(tmp_path, "keys", "issue", "--role", "operator", "--name", "Ann")
    assert issued.returncode == 0, issued
    answer = served.ask(REGISTER, authorization=f"Bearer {issued.stdout.strip()}")
    assert answer["registerArtifact"]["artifact"] == {"slug": "parser"}
    assert served.end() == 0
    assert issued.stdout.strip().split("_", 2)[2] not in "".join(served.said)
    assert served.left() == []


# The log against what is computed from it


def test_a_replay_writes_rows_whose_digests_anybody_can_check(
    tmp_path: Path, ours: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    run(tmp_path, "import", "manifest", "good.yaml", **ours)
    run(tmp_path, "rebuild", "--all", **ours)
    found = run(tmp_path, "replay", "--until", "1", "--out", "then", **ours)
    assert found.returncode == 0, found
    told = json.loads((tmp_path / "then" / "digests.json").read_text())
    for name, model in told.items():
        assert f"{model['digest']}  {name} at position 1\n" in found.stdout
        for table, one in model["tables"].items():
            rows = (tmp_path / "then" / f"{table}.tsv").read_bytes()
            assert hashlib.sha256(rows).hexdigest() == one["digest"]
            assert rows.count(b"\n") == one["rows"]
    assert told["artifact_listing"]["tables"]["artifact_listing"]["rows"] == 1
    # Nobody's folder is written over.
    again = run(tmp_path, "replay", "--out", "then", **ours)
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
    file = run(tmp_path, "replay", "--out", "good.yaml", **ours)
    assert (file.returncode, "is a file" in file.stderr) == (1, True)
    for until, words, code in [
        ("2", "Position 2 is in the future", 1),
        ("2999-01-01", "in the future", 1),
        ("2000-01-01T00:00Z", "before the first event", 1),
        ("yesterday", "neither a position", 2),
        ("-1", "neither a position", 2),
    ]:
        refused = run(tmp_path, "replay", f"--until={until}", "--out", "new", **ours)
        assert (refused.returncode, words in refused.stderr) == (code, True), refused
        assert not (tmp_path / "new").exists()


def test_a_replay_without_space_for_its_rows_says_so_and_leaves_nothing(
    tmp_path: Path, ours: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    run(tmp_path, "import", "manifest", "good.yaml", **ours)
    found = subprocess.run(
        # What a full disk says, said by a limit on the size of files: 0 bytes.
        [
            "/bin/sh",
            "-c",
            f"trap '' XFSZ; ulimit -f 0; exec {sys.executable} -m matchgraph replay --out then",
        ],
        env=environment(tmp_path, PYTHONDONTWRITEBYTECODE="1", **ours),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 1, found
    assert "no space left" in found.stderr
    assert not (tmp_path / "then").exists()


def test_verification_says_what_differs_and_where(tmp_path: Path, ours: dict[str, str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    run(tmp_path, "import", "manifest", "good.yaml", **ours)
    run(tmp_path, "rebuild", "--all", **ours)
    good = run(tmp_path, "verify", **ours)
    assert good.returncode == 0, good
    assert "rank_board agrees with the log up to position 1.\n" in good.stdout
    asyncio.run(_tamper(ours["DATABASE_URL"]))
    bad = run(tmp_path, "verify", **ours)
    assert bad.returncode == 1, bad
    assert "artifact_listing differs from the log at position 1:\n" in bad.stdout
    assert ": name is 'Wrong', should be 'Parser'\n" in bad.stdout
    assert "rank_board agrees" in bad.stdout
    assert "matchgraph rebuild" in bad.stderr
    run(tmp_path, "rebuild", "artifact_listing", **ours)
    assert run(tmp_path, "verify", **ours).returncode == 0


async def _tamper(url: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute("UPDATE artifact_listing SET name = 'Wrong'")
    await admin.close()
