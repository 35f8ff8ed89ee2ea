// Package warm brings rows that were loaded while a server ran up to what the
// server left when it stopped: it finds the rows of a SQLite table that differ
// between two copies of the database, applies them to PostgreSQL, and proves
// that nobody else has written there since.
//
// It promises: a row that it does not name is the same in both copies; what it
// counts in PostgreSQL is every row of the table. It knows tables, not CIDX; it
// never writes to SQLite.
package warm
