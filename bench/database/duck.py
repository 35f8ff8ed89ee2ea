"""Load SQLite tables into PostgreSQL with DuckDB, as its manual shows it: both
attached, INSERT INTO ... SELECT with the casts written by hand. Made for the
benchmark; the DSN is in CIDX_POSTGRES_DSN, DuckDB and its two extensions in
DUCKDB. With "best" as first argument the secondary indexes are dropped before
and made again afterwards. Usage: duck.py (plain|best) FILE TABLE..."""
import glob
import os
import sys

sys.path.insert(0, os.environ["DUCKDB"])
import duckdb  # noqa: E402

SECONDARY = """SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = 'public' AND i.tablename IN (%s)
AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = format('%%I.%%I', i.schemaname, i.indexname)::regclass)"""


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def cast(name, have, want):
    column = f'"{name}"'
    if want == "TIMESTAMP WITH TIME ZONE" and have == "DOUBLE":
        return f"to_timestamp({column})"
    return f"CAST({column} AS {want})"


def main(mode, path, tables):
    db = duckdb.connect(config={"allow_unsigned_extensions": True, "threads": 2})
    for name in ("sqlite_scanner", "postgres_scanner"):
        db.load_extension(glob.glob(f'{os.environ["DUCKDB"]}/duckdb_extension_{name}/extensions/*/{name}.duckdb_extension')[0])
    db.execute(f"ATTACH {quoted(path)} AS s (TYPE sqlite, READ_ONLY)")
    db.execute(f"ATTACH {quoted(os.environ['CIDX_POSTGRES_DSN'])} AS pg (TYPE postgres)")
    db.execute("BEGIN")
    indexes = []
    if mode == "best":
        names = ",".join(map(quoted, tables))
        indexes = db.execute(f"SELECT * FROM postgres_query('pg', {quoted(SECONDARY % names)})").fetchall()
    for name, _ in indexes:
        db.execute(f"CALL postgres_execute('pg', {quoted('DROP INDEX public.' + name)})")
    for table in tables:
        have = {r[0]: r[1] for r in db.execute(f'DESCRIBE s."{table}"').fetchall()}
        want = [(r[0], r[1]) for r in db.execute(f'DESCRIBE pg.public."{table}"').fetchall() if r[0] in have]
        columns = ",".join(f'"{n}"' for n, _ in want)
        values = ",".join(cast(n, have[n], kind) for n, kind in want)
        db.execute(f'INSERT INTO pg.public."{table}" ({columns}) SELECT {values} FROM s."{table}"')
    for _, definition in indexes:
        db.execute(f"CALL postgres_execute('pg', {quoted(definition)})")
    db.execute("COMMIT")


main(sys.argv[1], sys.argv[2], sys.argv[3:])
