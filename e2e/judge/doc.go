// Package judge decides whether a migrated cluster holds what the standalone
// server held, and whether a source is untouched.
//
// It shares no code with what it judges, nor with what made the data: SQLite is
// read by the sqlite3 program on a private copy of file and -wal, PostgreSQL by
// psql and pg_dump, trees by lstat and SHA-256. Its rules (what a time means,
// which paths move, which rows a running server may add) are stated here once
// more, from CIDX 11.79. What it does not know is a difference.
//
// It writes nothing but its own temporary folder and the file it is told to.
package judge
