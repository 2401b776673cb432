"""Which pages of other origins may ask, and read the answers: of CORS and of WebSockets."""

from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from strawberry.http.websocket_origin import normalize_origin

ANY, LOCAL = "*", "local"
# What a browser has to ask for before it sends it.
HEADERS = ("authorization", "content-type", "x-request-id", "x-searcher")


class Origins:
    """The origins that are let in; none by default."""

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        """Each of these as `https://example.org`, `*` for any, or `local` for this machine's."""
        self._allowed = frozenset(allowed)

    def allow(self, origin: str) -> bool:
        """Whether pages of that origin may ask."""
        found = normalize_origin(origin)
        return found is not None and (
            ANY in self._allowed
            or found in self._allowed
            or (LOCAL in self._allowed and urlsplit(found).hostname in LOCAL_HOSTS)
        )


LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class Cors(CORSMiddleware):
    """Starlette's, for these origins. Nothing that a browser adds by itself lets anybody in, so
    credentials in the sense of CORS are not among what may be sent."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        super().__init__(
            app,
            allow_methods=("GET", "POST"),
            allow_headers=HEADERS,
            expose_headers=("X-Request-Id",),
        )
        self._origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether the answer may be read by pages of that origin."""
        return self._origins.allow(origin)
