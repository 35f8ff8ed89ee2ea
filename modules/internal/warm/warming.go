package warm

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"cidx-cluster/modules/internal/copies"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
)

// A warm load is the load while the server still runs: the same rows by the same
// code in one transaction, every value compared, committed with a record of its
// own that no cluster starts on. After the stop only what has changed since is
// moved (catchup.go). docs/decisions/0007 says why that is as good as a load.

// Unfit is why a warm load cannot be built upon. It is no fault: everything is
// loaded after the stop.
type Unfit struct{ Why error }

func (e Unfit) Error() string { return e.Why.Error() }

func unfit(format string, args ...any) error { return Unfit{fmt.Errorf(format, args...)} }

// Warming is the transaction of a warm load.
type Warming struct {
	*load.Passage
	Record *Record // of what is loaded
	terms  Terms
	dir    string // of the copies that it is loaded from
}

// Warming chooses what is loaded before the stop: all but the tables that are
// loaded as a whole after it, and those that refer to them. cold says why the
// caller wants a table to be one of these; "" if it does not.
func (f Found) Warming(ctx context.Context, w load.Work, dir string, moment time.Time,
	cold func(*load.Table) string) (*Warming, error) {
	record := &Record{Source: filepath.Base(dir), State: stateWarm, Home: f.Terms.Home, Host: f.Terms.Host,
		Database: f.database, Started: moment, Tables: map[string]Mark{}}
	plan := w.Plan
	w.Plan = nil
	for _, t := range plan {
		why, above, err := cold(t), int64(0), error(nil)
		if why == "" {
			if why, above, err = f.cold(ctx, w.Session, t); err != nil {
				return nil, err
			}
		}
		for _, k := range t.To.ForeignKeys {
			if mark, known := record.Tables[k.Table]; known && mark.Cold != "" && k.Table != t.Name && why == "" {
				why = "refers to " + k.Table
			}
		}
		record.Tables[t.Name] = Mark{Rules: f.rules(t), Cold: why, Above: above}
		if why == "" {
			w.Plan = append(w.Plan, t)
		}
	}
	return &Warming{w.Passage(), record, f.Terms, dir}, nil
}

// cold says why a table is not loaded before the stop; "" if it is.
func (f Found) cold(ctx context.Context, s *load.Session, t *load.Table) (why string, above int64, err error) {
	switch {
	case t.Conn == nil:
		return "not in the source", 0, nil
	case t.From.RowID == "":
		return "has no row ids", 0, nil
	case !t.Grows:
		return "", 0, nil
	case !t.Numbered():
		return "index runs write to it", 0, nil
	}
	return reserve(ctx, s, f.Record, t)
}

// Clear makes room for the rows. What index runs have written is out of the way.
func (w *Warming) Clear(p *load.Passage, ctx context.Context) error {
	all := p.Tables
	defer func() { p.Tables = all }()
	p.Tables = slices.DeleteFunc(slices.Clone(all), func(t *load.Transfer) bool { return t.Grows })
	if err := p.ClearTarget(ctx); err != nil {
		return err
	}
	for _, t := range all {
		if !t.Grows {
			continue
		}
		t.Status, t.Guests = load.StatusEmpty, &load.Guests{Above: w.Record.Tables[t.Name].Above}
		if err := postgres.Run(ctx, p.Conn, "DELETE FROM "+t.To.Qualified()+t.Ours()); err != nil {
			return fmt.Errorf("delete replaced rows of %s: %w", t.Name, err)
		}
	}
	return nil
}

// Keep writes down what was loaded. Every row must carry the id of this
// transaction, by which it is known again: those that a trigger writes within a
// block of its own carry another one.
func (w *Warming) Keep(p *load.Passage, ctx context.Context) (err error) {
	r := w.Record
	if r.Xid, err = Current(ctx, p.Conn); err != nil {
		return err
	}
	for _, t := range p.Every {
		count, err := targetOf(t).count(ctx, p.Conn, r.Xid, 0)
		if err != nil {
			return err
		}
		if count.Earlier != t.Sum.Rows || count.Others > 0 {
			return unfit("rows of %s are written by triggers in transactions of their own", t.Name)
		}
		mark := r.Tables[t.Name]
		mark.Mark = load.Mark{Rows: t.Sum.Rows, Digest: t.Sum.String()}
		mark.Tally = t.Tally
		r.Tables[t.Name] = mark
	}
	if r.Files, err = copies.Stamps(w.dir); err != nil {
		return err
	}
	r.Warnings = p.Warnings
	return w.terms.write(ctx, p.Session, r)
}
