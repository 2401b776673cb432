"""Tools that frontends are built with, on the schema that is checked in: graphql-codegen with the
compiler of TypeScript, and the linter of schemas."""

import json
import re
import shutil
from pathlib import Path

from matchgraph.servers import Servers
from tests.graphql.client import serving
from tests.graphql.moving import projected
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import served
from tests.http.node import CLIENTS, run

ROOT = Path(__file__).parents[2]
SCHEMA = (ROOT / "schema.graphql").read_text()
README = (ROOT / "README.md").read_text()
CODEGEN = "node_modules/@graphql-codegen/cli/cjs/bin.js"
TSC = "node_modules/typescript/bin/tsc"
ESLINT = "node_modules/eslint/bin/eslint.js"


def documents() -> list[str]:
    """What the README shows, each with a name, without which nobody could call it."""
    examples = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)
    named = []
    for number, example in enumerate(examples):
        kind, brace, rest = example.partition("{")
        name = f"Example{number}"
        named.append(f"{kind.strip() or 'query'} {name} {brace}{rest}")
    return named


async def generated(folder: Path, address: str = "http://localhost:8000") -> tuple[int, str]:
    """What generating and compiling a frontend in that folder ends with, and says."""
    shutil.copytree(CLIENTS / "codegen", folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "schema.graphql").write_text(SCHEMA)
    for number, document in enumerate(documents()):
        (folder / f"example{number}.graphql").write_text(document)
    app = folder / "app.ts"
    app.write_text(app.read_text().replace("http://localhost:8000", address))
    code, out, err = await run(CODEGEN, "--config", "codegen.mjs", cwd=folder)
    if code == 0:
        code, out, err = await run(TSC, "--project", ".", cwd=folder)
    return code, out + err


async def test_a_typed_frontend_is_generated_compiled_and_run(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        await call(api, "registerArtifact", **ARTIFACT)
    # The address is known before the frontend is, and the frontend's documents before the server.
    async with served(url, servers.redis_url) as live:
        await projected(live.pool, 1)
        port = live.port
    code, said = await generated(tmp_path, f"http://127.0.0.1:{port}")
    assert code == 0, said
    manifest = tmp_path / "gql" / "persisted-documents.json"
    assert len(json.loads(manifest.read_text())) == 2 + len(documents())
    async with served(url, servers.redis_url, port=port, trusted=[manifest]):
        code, out, err = await run(str(tmp_path / "built" / "app.js"))
    assert code == 0, err
    price, position = out.splitlines()
    assert re.fullmatch(r"nobody said \d+\.\d+", price)
    assert position == "2"


MISTAKES = [
    (TSC, "artifact?.startingPrice?.amount", "artifact?.startingPrice.amount", "possibly 'null'"),
    (TSC, "artifact?.rank?.score", "artifact?.rank?.place", "'place' does not exist"),
    (TSC, '{ slug: "parser" }', "{}", "'slug' is missing"),
    (CODEGEN, "amount\n", "cost\n", 'Cannot query field "cost"'),
]


async def test_what_does_not_go_with_the_schema_is_not_compiled(tmp_path: Path) -> None:
    code, said = await generated(tmp_path)
    assert code == 0, said
    app = tmp_path / "app.ts"
    right = app.read_text()
    for tool, one, another, told in MISTAKES:
        assert one in right
        app.write_text(right.replace(one, another))
        rest = ("--project", ".") if tool == TSC else ("--config", "codegen.mjs")
        code, out, err = await run(tool, *rest, cwd=tmp_path)
        assert code != 0, told
        assert told in out + err


async def linted(schema: str, folder: Path) -> tuple[int, str]:
    """What the linter says of that schema."""
    (folder / "schema.graphql").write_text(schema)
    config = str(CLIENTS / "eslint.config.mjs")
    code, out, err = await run(ESLINT, "--config", config, "schema.graphql", cwd=folder)
    return code, out + err


async def test_the_linter_finds_nothing_in_the_schema(tmp_path: Path) -> None:
    assert await linted(SCHEMA, tmp_path) == (0, "")


BAD = """
type query_root { getThing(Id: ID!): thing things: ThingConnection! }
schema { query: query_root }
type thing { id: ID! }
type ThingConnection { edges: [thing] }
enum E { lower }
"""


async def test_the_linter_would_find_it(tmp_path: Path) -> None:
    code, said = await linted(BAD, tmp_path)
    assert code == 1
    for rule in ("naming-convention", "require-description", "relay-connection-types"):
        assert rule in said
