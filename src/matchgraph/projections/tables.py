"""Empty tables like those of a read model, for a rebuild or a replay beside it.

They have the same columns, indexes and constraints under the same names, the same settings, grants
and triggers, so that they can take the place of the others and the next migration finds what it
expects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from matchgraph.eventstore.connection import Connection

TEMPORARY = "pg_temp"
_ON = " ON public."

_COLUMNS = """
SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
  a.attnotnull, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)), ', '
  ORDER BY a.attnum)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_SETTINGS = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = $1::text::regclass"
_CONSTRAINTS = """
SELECT format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)),
  contype IN ('p', 'u', 'x', 'f')
FROM pg_constraint WHERE conrelid = $1::text::regclass ORDER BY conname
"""
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = $1::text::regclass
AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
ORDER BY i.indexrelid::regclass::text
"""
_TRIGGERS = """
SELECT pg_get_triggerdef(oid) FROM pg_trigger
WHERE tgrelid = $1::text::regclass AND NOT tgisinternal ORDER BY tgname
"""
_GRANTS = """
SELECT format('GRANT %s ON %%s TO %s%s', privilege_type,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = $1::text::regclass AND grantee <> relowner
ORDER BY 1
"""


@dataclass(frozen=True)
class Definition:
    """What a table is like. Of its constraints, `checks` come with the columns by themselves."""

    table: str
    columns: str
    settings: str | None
    checks: Sequence[str]
    constraints: Sequence[str]
    indexes: Sequence[str]
    triggers: Sequence[str]

    def statements(self, schema: str) -> list[str]:
        """What creates such a table in that schema, but for the indexes that are no keys."""
        new = f'{schema}."{self.table}"'
        kept = f" WITH ({self.settings})" if self.settings else ""
        return [
            f'CREATE TABLE {new} (LIKE public."{self.table}"'
            f" INCLUDING ALL EXCLUDING INDEXES){kept}",
            *(f"ALTER TABLE {new} {constraint}" for constraint in self.constraints),
            *(one.replace(_ON, f" ON {schema}.", 1) for one in self.triggers),
        ]

    def indexing(self, schema: str) -> list[str]:
        """What creates those of its other indexes that are not there yet."""
        return [
            one.replace(_ON, f" ON {schema}.", 1).replace("INDEX", "INDEX IF NOT EXISTS", 1)
            for one in self.indexes
        ]


async def definitions(db: Connection, tables: Sequence[str]) -> list[Definition]:
    """What these tables are like. Raises: asyncpg.UndefinedTableError."""
    # Names are written out with their schema where that is not searched.
    async with db.transaction():
        await db.execute("SET LOCAL search_path = pg_catalog")
        return [await _definition(db, table) for table in tables]


async def _definition(db: Connection, table: str) -> Definition:
    name = f'public."{table}"'
    constraints = await db.fetch(_CONSTRAINTS, name)
    return Definition(
        table,
        await db.fetchval(_COLUMNS, name),
        await db.fetchval(_SETTINGS, name),
        [said for said, apart in constraints if not apart],
        [said for said, apart in constraints if apart],
        [row[0] for row in await db.fetch(_INDEXES, name)],
        [row[0] for row in await db.fetch(_TRIGGERS, name)],
    )


def digest(found: Sequence[Definition]) -> str:
    """What is the same only as long as the tables are."""
    return sha256(repr(found).encode()).hexdigest()


async def create(
    db: Connection, found: Sequence[Definition], schema: str, *, indexes: bool = True
) -> None:
    """Creates empty tables like these in that schema, all or none. Without `indexes` that is left
    to `index`, but for keys."""
    async with db.transaction():
        for one in found:
            for statement in one.statements(schema):
                await db.execute(statement)
        if indexes:
            await index(db, found, schema)


async def index(db: Connection, found: Sequence[Definition], schema: str) -> None:
    """Creates those of their indexes in that schema that are not there yet."""
    for one in found:
        for statement in one.indexing(schema):
            await db.execute(statement)


async def grant(db: Connection, table: str, schema: str) -> None:
    """Lets those use the table in that schema who may use the one in `public`."""
    for row in await db.fetch(_GRANTS, f'public."{table}"'):
        await db.execute(row[0].replace("%s", f'{schema}."{table}"'))


async def drop(db: Connection, tables: Sequence[str], schema: str) -> None:
    """Drops the tables in that schema, as far as there are any."""
    for table in tables:
        await db.execute(f'DROP TABLE IF EXISTS {schema}."{table}"')
