"""A frontend on Relay: its compiler accepts the schema, its runtime what the server answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from matchgraph.graphql.schema import sdl
from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.graphql.moving import projected
from tests.graphql.mutations import ARTIFACT, CAPABILITY, call
from tests.graphql.subscribers import served
from tests.http.node import CLIENTS, run

COMPILER = "node_modules/relay-compiler/cli.js"


async def compiled(folder: Path, change: tuple[str, str] = ("", "")) -> tuple[int, str]:
    """What the compiler ends with and says of the frontend in that folder."""
    shutil.copytree(CLIENTS / "relay", folder, dirs_exist_ok=True)
    (folder / "schema.graphql").write_text(sdl())
    (folder / "persisted.json").write_text("{}")
    app = folder / "app.js"
    app.write_text(app.read_text().replace(*change))
    code, out, err = await run(COMPILER, "relay.config.json", cwd=folder)
    return code, out + err


async def test_a_frontend_on_relay_runs_with_trusted_documents(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    code, said = await compiled(tmp_path)
    assert code == 0, said
    manifest = tmp_path / "persisted.json"
    assert len(json.loads(manifest.read_text())) == 7
    async with serving(url, servers.redis_url, project=False) as api:
        await register(api)
    async with served(url, servers.redis_url, trusted=[manifest]) as live:
        await projected(live.pool, await live.store.head())
        address = f"http://127.0.0.1:{live.port}/graphql"
        code, out, err = await run("relay.mjs", str(tmp_path), address, "parser")
        assert code == 0, err
    shown: dict[str, Any] = {one["what"]: one["said"] for one in map(json.loads, out.splitlines())}
    assert shown["header"]["slug"] == "parser"
    assert len(shown["header"]["rank"]["parts"]) == 5
    assert shown["capabilities"] == [["parse-tables"], ["parse-tables", "parse-trees"]]
    assert shown["list"] == ["other", "parser"]
    assert shown["artifact"] == shown["header"]
    assert shown["capability"]["description"] == "Reads tables."
    assert shown["retired"] == "RETIRED"
    assert shown["told"] == "parser"


async def register(api: Api) -> None:
    """Two artifacts, the first with two capabilities."""
    await call(api, "registerArtifact", **ARTIFACT)
    await call(api, "registerArtifact", **{**ARTIFACT, "slug": "other"})
    for key in ("parse-tables", "parse-trees"):
        await call(api, "addCapability", slug="parser", capability={**CAPABILITY, "key": key})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("status\n", "state\n"), "state"),
        (('key: "app_artifacts"', 'key: "app_things"'), "app_things"),
        (
            ("fragment appHeader_artifact on Artifact", "fragment appHeader_artifact on Rank"),
            "Rank",
        ),
    ],
)
async def test_the_compiler_refuses_what_the_schema_does_not_have(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    code, said = await compiled(tmp_path, change)
    assert code != 0
    assert told in said
