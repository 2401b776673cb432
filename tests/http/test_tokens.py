"""Tokens of an identity provider: who signed them, for whom, until when, and as what."""

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from matchgraph.domain.role import Role
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.tasks import stop
from matchgraph.http.tokens import LEEWAY, BadToken, Tokens, TokenSettings, role_in
from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.client import JSON
from tests.graphql.mutations import ARTIFACT, document
from tests.graphql.subscribers import Served, served

ISSUER, AUDIENCE = "https://id.example", "matchgraph"
# Units: seconds. Some tokens below are made long before they are used.
DAY = 86_400
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = Ed25519PrivateKey.generate()


def published(key: Any, kid: str | None, **said: str) -> dict[str, Any]:
    """The public half of a key, as a provider publishes it."""
    algorithm = (
        RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm
        if isinstance(key, ec.EllipticCurvePrivateKey)
        else OKPAlgorithm
    )
    found: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return {**found, **({} if kid is None else {"kid": kid}), **said}


def claims(**said: Any) -> dict[str, Any]:
    found = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "exp": int(time.time()) + DAY,
        "role": "curator",
        **said,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Any = RSA, kid: str | None = "one", algorithm: str = "RS256", **said: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**said), key, algorithm=algorithm, headers=headers)


@dataclass
class Provider:
    """Publishes keys over HTTP, and counts how often it was asked."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    status: int = 200
    body: bytes | None = None
    address: str = ""

    def settings(self, claim: str = "role") -> TokenSettings:
        return TokenSettings(issuer=ISSUER, audience=AUDIENCE, jwks=self.address, role_claim=claim)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider([published(RSA, "one")])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            body = provider.body or json.dumps({"keys": provider.keys}).encode()
            self.send_response(provider.status)
            if provider.status == 302:
                self.send_header("location", "/elsewhere")
                provider.status = 200
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    provider.address = f"http://127.0.0.1:{server.server_port}/keys"
    yield provider
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")]
)
async def test_a_token_is_read_by_the_key_that_it_names(
    provider: Provider, key: Any, algorithm: str
) -> None:
    provider.keys = [published(OTHER, "other"), published(key, "one", alg=algorithm, use="sig")]
    tokens = Tokens(provider.settings())
    until = time.monotonic() + DAY
    token = await tokens.read(signed(key, algorithm=algorithm))
    assert (token.subject, token.role) == ("ann", Role.CURATOR)
    assert abs(token.until - until - LEEWAY) < 30
    await tokens.read(signed(key, algorithm=algorithm, aud=[AUDIENCE, "others"]))
    assert provider.asked == 1


def unsigned(header: dict[str, Any], **said: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims(**said))}."


def symmetric(secret: bytes, kid: str) -> str:
    """A token signed by what everybody knows."""
    start = unsigned({"alg": "HS256", "kid": kid})
    digest = hmac.digest(secret, start[:-1].encode(), "sha256")
    return start + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


BAD: dict[str, tuple[str, str]] = {
    "by another key": (signed(OTHER), "not by its key"),
    "by an unknown key": (signed(OTHER, kid="two"), "nobody here knows the key"),
    "no algorithm": (unsigned({"alg": "none", "kid": "one"}), "algorithm"),
    "a symmetric algorithm": (
        symmetric(json.dumps(published(RSA, "one")).encode(), "one"),
        "algorithm",
    ),
    "another algorithm of the same key": (signed(algorithm="RS512"), "algorithm"),
    "expired": (signed(exp=int(time.time()) - LEEWAY - 5), "expired"),
    "not yet": (signed(nbf=int(time.time()) + DAY // 2), "not come"),
    "for somebody else": (signed(aud="others"), "aud"),
    "for nobody": (signed(aud=None), "aud"),
    "by somebody else": (signed(iss="https://evil.example"), "iss"),
    "by nobody": (signed(iss=None), "iss"),
    "for ever": (signed(exp=None), "exp"),
    "of nobody": (signed(sub=None), "sub"),
    "of a blank": (signed(sub=""), "subject"),
    "of a long name": (signed(sub="x" * 201), "subject"),
    "of what cannot be stored": (signed(sub="a\0b"), "subject"),
    "cut": (signed()[:-2], "key|malformed"),
    "nonsense": ("nonsense", "neither"),
    "two parts": ("a.b", "neither"),
    "nested deeply": (
        base64.urlsafe_b64encode(b"[" * 6_000).rstrip(b"=").decode() + ".e30.",
        "neither",
    ),
    "a long number": (
        base64.urlsafe_b64encode(b'{"alg": ' + b"9" * 5_000 + b"}").rstrip(b"=").decode() + ".e30.",
        "neither",
    ),
    "a kid that is no text": (unsigned({"alg": "RS256", "kid": 5}), "kid|neither"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_with_a_token_is_said_in_plain_words(
    provider: Provider, name: str
) -> None:
    token, said = BAD[name]
    with pytest.raises(BadToken, match=said) as refused:
        await Tokens(provider.settings()).read(token)
    assert token[:40] not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_clocks_may_differ_a_little(provider: Provider) -> None:
    tokens = Tokens(provider.settings())
    assert await tokens.read(signed(exp=int(time.time()) - LEEWAY + 10))
    assert await tokens.read(signed(nbf=int(time.time()) + LEEWAY - 10))


async def test_keys_for_other_uses_sign_nothing(provider: Provider) -> None:
    provider.keys = [
        published(RSA, "one", use="enc"),
        {"kty": "oct", "kid": "two", "k": base64.urlsafe_b64encode(b"x" * 64).decode()},
        published(OTHER, "three"),
    ]
    tokens = Tokens(provider.settings())
    with pytest.raises(BadToken):
        await tokens.read(signed())
    with pytest.raises(BadToken):
        await tokens.read(symmetric(b"x" * 64, "two"))
    assert await tokens.read(signed(OTHER, kid="three"))


async def test_a_provider_with_one_key_need_not_name_it(provider: Provider) -> None:
    tokens = Tokens(provider.settings())
    assert (await tokens.read(signed(kid=None))).subject == "ann"
    provider.keys.append(published(OTHER, "two"))
    both = Tokens(provider.settings())
    with pytest.raises(BadToken):
        await both.read(signed(kid=None))


async def test_a_new_key_is_asked_for_at_once_and_unknown_ones_not_again_and_again(
    provider: Provider,
) -> None:
    tokens = Tokens(provider.settings(), at_most_every=0.5)
    await tokens.read(signed())
    for _ in range(20):
        with pytest.raises(BadToken):
            await tokens.read(signed(OTHER, kid="two"))
    assert provider.asked == 1
    provider.keys = [published(OTHER, "two")]
    await asyncio.sleep(0.6)
    found = await asyncio.gather(*(tokens.read(signed(OTHER, kid="two")) for _ in range(20)))
    assert len(found) == 20
    assert provider.asked == 2
    with pytest.raises(BadToken, match="nobody here knows"):
        await tokens.read(signed())


async def test_keys_are_read_now_and_then_and_kept_while_the_provider_is_away(
    provider: Provider,
) -> None:
    tokens = Tokens(provider.settings(), refresh=0.05, retry=0.05, at_most_every=0)
    running = asyncio.create_task(tokens.run())

    async def asked_again() -> bool:
        return provider.asked > 2

    await until(asked_again)
    provider.status = 500
    provider.asked = 0
    await until(asked_again)
    assert await tokens.read(signed()), "the keys that are known hold"
    with pytest.raises(Unavailable):
        await tokens.read(signed(OTHER, kid="two"))
    provider.status, provider.keys = 200, [published(OTHER, "two")]
    provider.asked = 0
    await until(asked_again)
    assert await tokens.read(signed(OTHER, kid="two"))
    await stop(running)


@pytest.mark.parametrize(
    "body", [b" ", b"[]", b'{"keys": []}', b'{"keys": [5]}', b"[" * 50_000, b"\xff"]
)
async def test_without_keys_nobody_can_tell(provider: Provider, body: bytes) -> None:
    provider.body = body
    with pytest.raises(Unavailable):
        await Tokens(provider.settings()).read(signed())


async def test_the_keys_are_where_the_operator_said_and_nowhere_else(provider: Provider) -> None:
    provider.status = 302
    with pytest.raises(Unavailable):
        await Tokens(provider.settings()).read(signed())
    assert provider.asked == 1


async def test_keys_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    settings = TokenSettings(issuer=ISSUER, audience=AUDIENCE, jwks=str(file), role_claim="role")
    tokens = Tokens(settings, at_most_every=0)
    with pytest.raises(Unavailable):
        await tokens.read(signed())
    file.write_text(json.dumps({"keys": [published(RSA, "one")]}))
    assert (await tokens.read(signed())).role is Role.CURATOR


@pytest.mark.parametrize(
    ("claim", "said", "role"),
    [
        ("role", {"role": "operator"}, Role.OPERATOR),
        ("role", {"role": ["reader", "contributor", "auditor", 5]}, Role.AUDITOR),
        ("role", {"role": "OPERATOR"}, Role.ANONYMOUS),
        ("role", {"role": "admin"}, Role.ANONYMOUS),
        ("role", {"role": {"operator": True}}, Role.ANONYMOUS),
        ("role", {"role": 4}, Role.ANONYMOUS),
        ("role", {}, Role.ANONYMOUS),
        ("https://x.example/role", {"https://x.example/role": "curator"}, Role.CURATOR),
        ("access.roles", {"access": {"roles": ["curator"]}}, Role.CURATOR),
        ("access.roles", {"access": "curator"}, Role.ANONYMOUS),
    ],
)
def test_the_role_is_what_the_claim_says(claim: str, said: dict[str, Any], role: Role) -> None:
    assert role_in(said, claim) is role


# Through the doors


@asynccontextmanager
async def with_tokens(url: str, servers: Servers, provider: Provider) -> AsyncIterator[Served]:
    async with served(
        url, servers.redis_url, development=False, tokens=provider.settings()
    ) as live:
        yield live


async def test_whoever_has_a_token_is_let_in_as_its_subject(
    url: str, servers: Servers, provider: Provider
) -> None:
    async with with_tokens(url, servers, provider) as live:
        said = json.dumps({"query": document("registerArtifact"), "variables": ARTIFACT})
        headers = {**JSON, "authorization": f"Bearer {signed()}"}
        response = await live.http.post("/graphql", content=said, headers=headers)
        assert "errors" not in response.json()
        assert [one.actor for one in await live.store.read(0)] == ["jwt:ann"]
        keys = json.dumps({"query": "{ keys { nodes { id } } }"})
        refused = await live.http.post("/graphql", content=keys, headers=headers)
        assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        for token in (signed(OTHER), "nonsense", signed(exp=1)):
            headers["authorization"] = f"Bearer {token}"
            response = await live.http.post("/graphql", content=said, headers=headers)
            assert response.status_code == 401
            assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_token_that_expires_ends_its_socket(
    url: str, servers: Servers, provider: Provider
) -> None:
    async with with_tokens(url, servers, provider) as live:
        soon = signed(exp=int(time.time()) - LEEWAY + 4)
        async with live.socket({"authorization": f"Bearer {soon}"}) as socket:
            await asyncio.wait_for(socket.connection.wait_closed(), 20)
            assert socket.connection.close_code == 4403
            assert socket.connection.close_reason == "The token has expired."


async def test_while_the_provider_is_away_keys_of_this_catalog_are_good(
    url: str, servers: Servers, provider: Provider
) -> None:
    provider.status = 500
    async with with_tokens(url, servers, provider) as live:
        said = json.dumps({"query": "{ __typename }"})
        headers = {**JSON, "authorization": f"Bearer {signed()}"}
        response = await live.http.post("/graphql", content=said, headers=headers)
        assert response.status_code == 503
        assert response.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        assert (await live.http.post("/graphql", content=said, headers=JSON)).status_code == 200
