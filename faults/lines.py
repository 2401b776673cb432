"""Lines between the API and PostgreSQL that break."""

from faults.frame import Broken, fault
from faults.proxy import Cut
from faults.system import Cuts, Run


@fault("cut-commit", times=200, few=10)
async def cut_commit(run: Run) -> None:
    """Connection cut around a COMMIT: before it arrives, half-way, while PostgreSQL commits, when
    only the answer is missing"""
    cuts = Cuts(run.choices, [run.choices.choice(list(Cut)) for _ in range(run.times)])
    planned = len(cuts.plan)
    async with run.catalog(cuts=cuts) as catalog:
        while cuts.plan:
            await catalog.load.more(5)
        assert cuts.proxy is not None, "opened with the catalog"
        run.seen.injected = cuts.proxy.cuts
        if cuts.proxy.cuts != planned:
            raise Broken(f"{cuts.proxy.cuts} of {planned} cuts were made")
        codes = catalog.load.account.codes
    # The server found out by itself, so nobody had to ask again.
    run.note(f"{codes['OUTCOME_UNKNOWN']} callers had to ask for the outcome themselves")


@fault("reset-lines", times=50, few=2)
async def reset_lines(run: Run) -> None:
    """Every connection of the API's pools reset at once"""
    cuts = Cuts(run.choices)
    reset = 0
    async with run.catalog(cuts=cuts) as catalog:
        for _ in run.injections():
            await catalog.load.more(10, 10)
            assert cuts.proxy is not None, "opened with the catalog"
            reset += cuts.proxy.cut_all()
            with run.seen.recovery(goal=10):
                await catalog.load.more(1, 1)
    run.note(f"{reset} connections")


@fault("restart-postgres")
async def restart_postgres(run: Run) -> None:
    """PostgreSQL restarted in good order with open pools"""
    postgres = run.system.postgres
    async with run.catalog() as catalog:
        for _ in run.injections():
            await catalog.load.more(10, 10)
            await postgres.stop()
            await postgres.start()
            with run.seen.recovery(goal=10):
                await catalog.load.more(1, 1)
