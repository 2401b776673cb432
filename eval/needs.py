"""How well the search answers judged needs, against BM25 and vectors alone in the same run.

python -m eval needs                          everything: tables, and whether the goals are met
python -m eval needs --split tune --worst 20  and the needs that were answered worst
python -m eval needs --keep FOLDER            leaves data and vectors there for the next run
python -m eval needs --write docs/relevance.md

The halves: `tune` may be looked at while the search is changed; of `held`, only means are ever
printed. What is measured, and how it was judged, is in docs/relevance.md.
"""

import argparse
import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import uvloop
from numpy.typing import NDArray

from eval import baselines, catalog, metrics
from eval.judging import GROUPS, Judged, needs
from matchgraph import embedding, migrate
from matchgraph.commands.catalog import take_in
from matchgraph.domain.need import Need
from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import Pool, connect, open_pool
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.http.upkeep import calibrate_if_due
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.rebuild import rebuild
from matchgraph.projections.runner import Runner
from matchgraph.projections.search_index import SEARCH_INDEX
from matchgraph.projections.text_vectors import fill
from matchgraph.queries.artifact import by_ids
from matchgraph.queries.need import Contradiction, EmptyNeed, UnknownExample
from matchgraph.queries.searching import Searching
from matchgraph.queries.snapshot import viewing
from matchgraph.servers import running

OURS, BM25, VECTORS = "matchgraph", "BM25", "vectors"
SYSTEMS = (OURS, BM25, VECTORS)
# What reads 1.00 (and is not for a sum of floats).
FULL = 0.9995
HALVES = {"tune": "The half that was looked at", "held": "The half that was never looked at"}
Answers = Callable[[Need], Awaitable[list[str]]]


@dataclass(frozen=True)
class Answered:
    """What every system answered to one need, best first."""

    judged: Judged
    found: Mapping[str, Sequence[str]]

    def ndcg(self, system: str) -> float:
        """The share of the best gain there could be."""
        return metrics.ndcg(self.found[system], self.judged.grades)

    @property
    def is_short(self) -> bool:
        """Whether our page has room for something relevant that is not on it."""
        return len(self.found[OURS]) < min(metrics.DEPTH, len(self.judged.grades))


def run(arguments: list[str]) -> None:
    """Measures, prints, and writes where told."""
    parser = argparse.ArgumentParser(prog="eval needs", description="Measures the search.")
    parser.add_argument("--split", choices=("tune", "held", "all"), default="all")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="the tuned half alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for servers and vectors")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="whose tables to replace")
    options = parser.parse_args(arguments)
    if options.write and (options.split != "all" or options.group):
        parser.error("--write is for everything at once, without --split and --group")
    asked = [
        judged
        for judged in needs()
        if options.split in ("all", judged.split) and options.group in (None, judged.group)
    ]
    with ExitStack() as stack:
        folder = options.keep or Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="mg-eval-", ignore_cleanup_errors=True)
            )
        )
        servers = stack.enter_context(running(folder / "servers", durable=False, on_status=_say))
        answered = uvloop.run(_answered(servers.database_url, folder, asked))
    report = "\n\n".join(_sections(answered))
    print(report)
    for line in _worst(answered, options.worst):
        print(line)
    if options.write:
        options.write.write_text(replaced(options.write.read_text(), report))


async def _answered(url: str, folder: Path, asked: Sequence[Judged]) -> list[Answered]:
    embedder = await asyncio.to_thread(embedding.load)
    known = catalog.entries()
    _say(f"Embedding {len(known)} artifacts for {VECTORS}")
    remember = Remembered(embedder, folder / "vectors.npz")
    by_words = baselines.bm25(known)
    by_meaning = await asyncio.to_thread(baselines.vectors, known, remember.embed)
    remember.save()
    answered = []
    async with searching(url, embedder) as ours:
        for judged in asked:
            found = {
                OURS: await ours(judged.need),
                BM25: by_words(judged.need),
                VECTORS: by_meaning(judged.need),
            }
            answered.append(Answered(judged, found))
    return answered


class Remembered:
    """An embedder that keeps what it embedded in a file, by model and text."""

    def __init__(self, embedder: Embedder, file: Path) -> None:
        self._embedder, self._file = embedder, file
        self._known: dict[str, NDArray[np.float32]] = {}
        if file.exists():
            with np.load(file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the embedder's, from the file where it is there."""
        keys = [
            hashlib.sha256(f"{self._embedder.model}\0{text}".encode()).hexdigest() for text in texts
        ]
        new = [text for key, text in zip(keys, texts, strict=True) if key not in self._known]
        if new:
            vectors = dict(zip(new, self._embedder.embed(new), strict=True))
            self._known |= {
                key: vectors[text] for key, text in zip(keys, texts, strict=True) if text in vectors
            }
        return np.stack([self._known[key] for key in keys])

    def save(self) -> None:
        """Writes the file anew."""
        np.savez(
            self._file, keys=np.array(list(self._known)), vectors=np.stack([*self._known.values()])
        )


# The search


@asynccontextmanager
async def searching(url: str, embedder: Embedder) -> AsyncIterator[Answers]:
    """The search over the bundled catalog in that database, whatever of it is there already."""
    await migrate.apply(url)
    async with open_store(url) as store:
        pool = await open_pool(url, "eval", size=2)
        try:
            if await store.head():
                # The index may be of another day's code.
                await rebuild(url, SEARCH_INDEX)
            else:
                await _import(store)
            await _project(url, store)
            await calibrate_if_due(store, pool)
            await _project(url, store)
            await _embed(url, embedder)
            yield _answers(pool, embedder)
        finally:
            await pool.close()


async def _import(store: Store) -> None:
    request = Request(actor="eval", request_id=uuid4().hex)
    for drafts in catalog.drafts():
        _say(f"Importing {len(drafts)} drafts")
        await take_in(store, request, drafts)


async def _project(url: str, store: Store) -> None:
    runner = Runner(url, store.listener, PROJECTIONS)
    connection = await connect(url, "eval projector", synchronous_commit="off")
    try:
        while await runner.advance(connection):
            pass
    finally:
        await connection.close()


async def _embed(url: str, embedder: Embedder) -> None:
    connection = await connect(url, "eval vectors")
    try:
        _say(f"Embedded {await fill(connection, embedder)} texts of the search")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _answers(pool: Pool, embedder: Embedder) -> Answers:
    search = Searching(embedder)
    today = datetime.now(UTC).date()

    async def ours(need: Need) -> list[str]:
        async with viewing(pool) as snapshot:
            try:
                found = await search.search(snapshot, need, today=today)
            except (EmptyNeed, UnknownExample, Contradiction) as refused:
                # Whoever asks that gets no results, so none are counted.
                _say(f"Refused {need.text!r}: {refused}")
                return []
            best = found.answer.results[: metrics.DEPTH]
            listed = await by_ids(snapshot, [one.candidate.artifact_id for one in best])
            return [listing.slug for listing in listed if listing is not None]

    return ours


# Figures


class Goal(NamedTuple):
    """What has to be reached, and what was."""

    what: str
    met: bool
    measured: str


def _sections(answered: Sequence[Answered]) -> list[str]:
    sections = []
    for split, title in HALVES.items():
        half = [one for one in answered if one.judged.split == split]
        if half:
            goals = "\n".join(
                f"- {goal.what}: {'met' if goal.met else '**missed**'}, {goal.measured}."
                for goal in _goals(half)
            )
            sections += [f"### {title}", _gain_table(half), _other_table(half), goals]
    return sections


def _rows(answered: Iterable[Answered]) -> dict[str, list[Answered]]:
    rows: dict[str, list[Answered]] = {}
    for one in answered:
        rows.setdefault(one.judged.row, []).append(one)
    return rows


def _mean(answered: Sequence[Answered], system: str) -> float:
    return fmean(one.ndcg(system) for one in answered)


def _better(answered: Sequence[Answered]) -> str:
    """The baseline that answers these better."""
    return max(BM25, VECTORS, key=lambda system: _mean(answered, system))


def _gain_table(answered: Sequence[Answered]) -> str:
    lines = [
        "| nDCG@10 | needs | matchgraph | BM25 | vectors | ahead of the better by |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row, some in _rows(answered).items():
        ours, better = ([one.ndcg(system) for one in some] for system in (OURS, _better(some)))
        low, high = metrics.interval(ours, better)
        values = " | ".join(f"{_mean(some, system):.3f}" for system in SYSTEMS)
        lead = fmean(ours) - fmean(better)
        lines.append(f"| {row} | {len(some)} | {values} | {lead:+.3f} [{low:+.3f}, {high:+.3f}] |")
    return "\n".join(lines)


def _other_table(answered: Sequence[Answered]) -> str:
    lines = [
        "| matchgraph / BM25 / vectors | recall@10 | MRR | forbidden results |",
        "|---|---|---|---|",
    ]
    for row, some in _rows(answered).items():
        recalls, ranks, unwanted = [], [], []
        for system in SYSTEMS:
            pairs = [(one.found[system], one.judged.grades) for one in some]
            recalls.append(f"{fmean(metrics.recall(*pair) for pair in pairs):.3f}")
            ranks.append(f"{fmean(metrics.reciprocal_rank(*pair) for pair in pairs):.3f}")
            unwanted.append(_forbidden(some, system))
        shares = ["–" if share is None else f"{share:.1%}" for share in unwanted]
        lines.append(
            f"| {row} | {' / '.join(recalls)} | {' / '.join(ranks)} | {' / '.join(shares)} |"
        )
    return "\n".join(lines)


def _forbidden(answered: Sequence[Answered], system: str) -> float | None:
    """The share of the results shown that may not be, where anything is forbidden."""
    counted = [
        metrics.forbidden(one.found[system], one.judged.forbidden)
        for one in answered
        if one.judged.forbidden
    ]
    if not counted:
        return None
    return sum(bad for bad, _ in counted) / max(1, sum(shown for _, shown in counted))


def _goals(answered: Sequence[Answered]) -> list[Goal]:
    goals = []
    rows = _rows(answered)
    # Where a baseline leaves nothing to gain, level is all there can be.
    behind = [
        row
        for row, some in rows.items()
        if _mean(some, OURS) < FULL and _mean(some, OURS) <= _mean(some, _better(some))
    ]
    goals.append(
        Goal(
            "Ahead of the better of the two in every group",
            not behind,
            f"behind in {', '.join(behind)}" if behind else f"in all {len(rows)}",
        )
    )
    if some := rows.get(GROUPS["plain"]):
        lead = _mean(some, OURS) - _mean(some, BM25)
        goals.append(Goal("Plain words at least BM25 + .08", lead >= 0.08, f"{lead:+.3f}"))
    if some := rows.get(GROUPS["typos"]):
        correct = {one.judged.id: one for one in answered}
        pairs = [(one, correct[one.judged.of]) for one in some if one.judged.of in correct]
        if pairs:
            as_meant = fmean(meant.ndcg(OURS) for _, meant in pairs)
            share = fmean(one.ndcg(OURS) for one, _ in pairs) / as_meant if as_meant else 0.0
            what = "Typos at least 93 % of their correct spelling"
            goals.append(Goal(what, share >= 0.93, f"{share:.1%} of {as_meant:.3f}"))
    if some := rows.get(GROUPS["negation"]):
        wrong = _forbidden(some, OURS) or 0.0
        goals.append(
            Goal("At most 2 % forbidden results in negations", wrong <= 0.02, f"{wrong:.1%}")
        )
    if some := rows.get(f"{GROUPS['attributes']}, given as filters"):
        gain, short = _mean(some, OURS), sum(one.is_short for one in some)
        goals.append(
            Goal(
                "Attributes given as filters 1.00 and no page short",
                gain >= FULL and not short,
                f"{gain:.3f}, {short} short",
            )
        )
    if some := rows.get(GROUPS["paraphrases"]):
        lead = _mean(some, OURS) - _mean(some, VECTORS)
        goals.append(Goal("Paraphrases beyond vectors by .05", lead >= 0.05, f"{lead:+.3f}"))
    return goals


def _worst(answered: Sequence[Answered], most: int) -> Iterable[str]:
    """The needs of the tuned half that we answer worst, with what came and what should have."""
    seen = [one for one in answered if one.judged.split == "tune"]
    for one in sorted(seen, key=lambda one: one.ndcg(OURS))[:most]:
        grades = one.judged.grades
        wanted = sorted(grades, key=lambda slug: (-grades[slug], slug))[:6]
        yield (
            f"\n{one.judged.id}  {' '.join(f'{name} {one.ndcg(name):.2f}' for name in SYSTEMS)}"
            f"\n  asked   {one.judged.need.text} {one.judged.need.where.said() or ''}"
            f"{' like ' + ', '.join(one.judged.need.like) if one.judged.need.like else ''}"
            f"\n  came    {_graded(one.found[OURS], one.judged)}"
            f"\n  wanted  {', '.join(f'{slug} {grades[slug]}' for slug in wanted)}"
        )


def _graded(found: Sequence[str], judged: Judged) -> str:
    return ", ".join(
        f"{slug} {'forbidden' if slug in judged.forbidden else judged.grades.get(slug, 0)}"
        for slug in found
    )


BEGIN, END = "<!-- eval:needs -->", "<!-- /eval:needs -->"


def replaced(page: str, report: str) -> str:
    """The page with what stands between the marks new, and the day on which it was measured."""
    before, marked, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    day = f"Measured on {datetime.now(UTC):%Y-%m-%d} with `make eval`."
    section = f"{BEGIN}\n{day}\n\n{report}\n{END}"
    return before + section + after if marked else f"{page.rstrip()}\n\n{section}\n"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
