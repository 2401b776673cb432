"""One view of the read models, and the connection that it has or does not get."""

import re
from pathlib import Path

import pytest

from matchgraph.eventstore.connection import open_pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.queries.snapshot import viewing
from tests.eventstore.histories import until
from tests.graphql.line import Line


async def test_a_view_that_got_no_connection_once_does_not_wait_for_one_again(
    url: str, tmp_path: Path
) -> None:
    line = Line(url, tmp_path)
    await line.mend()
    pool = await open_pool(line.url, "test", size=1)

    async def is_cut() -> bool:
        return pool.get_size() == 0

    try:
        async with viewing(pool) as view:
            await line.cut()
            await until(is_cut)
            with pytest.raises(Unavailable) as refused:
                await view.position()
            await line.mend()
            with pytest.raises(Unavailable, match=re.escape(str(refused.value))):
                await view.position()
        async with viewing(pool) as view:
            assert await view.position() == 0, "whoever asks anew is answered"
    finally:
        await pool.close()
        await line.cut()
