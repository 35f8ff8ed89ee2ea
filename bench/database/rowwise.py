"""Load SQLite tables into PostgreSQL row by row, in the manner of the vendor's
migrator: each table is read whole into memory as dictionaries, each row is one
INSERT ... ON CONFLICT DO NOTHING. Made for the benchmark; the DSN is in
CIDX_POSTGRES_DSN. Usage: rowwise.py FILE TABLE..."""
import json
import os
import sqlite3
import sys

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb


def convert(value, kind):
    if value is None:
        return None
    if kind == "boolean":
        return bool(value)
    if kind == "jsonb":
        return Jsonb(json.loads(value))
    return value


def main(path, tables):
    source = sqlite3.connect(path)
    source.row_factory = sqlite3.Row
    with psycopg.connect(os.environ["CIDX_POSTGRES_DSN"]) as target:
        for table in tables:
            rows = [dict(r) for r in source.execute(f'SELECT * FROM "{table}"')]
            if not rows:
                continue
            kinds = dict(target.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = %s", (table,)).fetchall())
            names = [n for n in rows[0] if n in kinds]
            insert = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) ON CONFLICT DO NOTHING").format(
                sql.Identifier(table), sql.SQL(",").join(map(sql.Identifier, names)),
                sql.SQL(",").join(sql.Placeholder() * len(names)))
            for row in rows:
                target.execute(insert, [convert(row[n], kinds[n]) for n in names])
        target.commit()


main(sys.argv[1], sys.argv[2:])
