"""A line to PostgreSQL that can be cut and mended."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path


class Line:
    """Forwards bytes between a unix socket of its own and that of the server."""

    def __init__(self, url: str, folder: Path) -> None:
        found = re.search(r"host=([^&]+)", url)
        assert found, "the server answers on a unix socket"
        self.url = url.replace(found[0], f"host={folder}")
        self._server = f"{found[1]}/.s.PGSQL.5432"
        self._socket = folder / ".s.PGSQL.5432"
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Takes connections from now on."""
        self._listening = await asyncio.start_unix_server(self._serve, self._socket)

    async def cut(self) -> None:
        """Breaks every connection and takes no more."""
        self._listening.close()
        self._socket.unlink(missing_ok=True)
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        self._writers |= {writer, to_server}
        await asyncio.gather(self._copy(reader, to_server), self._copy(from_server, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while said := await reader.read(65_536):
                writer.write(said)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
