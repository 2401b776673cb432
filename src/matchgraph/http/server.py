"""uvicorn, as `matchgraph serve` and the tests run it."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from matchgraph.http.app import Application
from matchgraph.http.at_once import quick
from matchgraph.http.deadlines import Deadlines, HastyWebSocket

# Units: seconds that operations have to end, and that this process has, when it is told to.
ANSWERING = 6
ENDING = 9.0

log = logging.getLogger(__name__)


def configured(
    app: Application,
    host: str,
    port: int,
    *,
    proxies: Sequence[str] = (),
    deadlines: Deadlines = Deadlines(),  # noqa: B008 (it cannot be changed)
) -> uvicorn.Config:
    """How the application is served. http/live.py relies on the choice of WebSockets.

    `proxies` are the addresses and networks whose word is taken for where a request comes from.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=quick(deadlines, app.at_once),
        ws=HastyWebSocket,
        timeout_keep_alive=deadlines.idle,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        ws_max_size=1_000_000,
        # It would take more memory for each client than everything else together.
        ws_per_message_deflate=False,
        # Together with what is closed after that, it is over within ten seconds.
        timeout_graceful_shutdown=ANSWERING,
        log_config=None,
        # Below that it logs what clients say, keys included.
        log_level="info",
        access_log=False,
        server_header=False,
    )


def settle() -> None:
    """Leaves what this process has made as it started, and keeps for good, out of every later
    search for garbage, which takes a tenth of a second in which nobody is answered."""
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """Tells when it is there, and has clients come back elsewhere when it ends."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn starts, and a word more."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends as uvicorn does, which is no failure: it does not die of the signal afterwards."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn ends, which waits for every answer; those that never end are ended first.
        What a server that hangs keeps from being closed is left to the operating system."""
        app = self.config.app
        assert isinstance(app, Application), "as `configured` was given"
        app.state.clients.hang_up()
        for connection in self.server_state.connections:
            # uvicorn would say good-bye to who is saying it already, and stumble over that.
            if (
                isinstance(connection, WebSocketsSansIOProtocol)
                and connection.handshake_complete
                and connection.conn.state is not State.OPEN
            ):
                connection.close_sent = True
        try:
            async with asyncio.timeout(ENDING):
                await super().shutdown(sockets)
        except TimeoutError:
            log.warning("something did not end in time, and is left as it is")
