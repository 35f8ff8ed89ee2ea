// Package warm loads rows while a server runs and brings them up to what the
// server left when it stopped: it applies the rows that differ between two copies
// of the databases to PostgreSQL, and proves that nobody else has written there
// since.
//
// It promises: what it counts in PostgreSQL is every row of the table; what does
// not fit is Unfit, and everything is loaded anew. It knows tables, not CIDX.
package warm
