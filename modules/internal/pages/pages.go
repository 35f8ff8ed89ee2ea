// Package pages finds the rows of a SQLite table that differ between two copies of
// the database, from the pages that do.
//
// It promises: a row that it does not name is the same in both copies. It never
// writes.
package pages

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/sqlite"
)

// Pages says which pages differ between two copies of one database. A table of
// which no page differs is not looked at any further; of the others only pages
// that differ are.
type Pages struct {
	before, after *side
	differ        bits // pages that are not the same, or that one of them lacks
	loose         bool // with some of them a row may go on that begins on a page that is the same
	alike         bool // false: other page size or encoding; nothing can be said
}

// Compare reads both files once, block by block, and of what their logs hold the
// pages that these name.
func Compare(ctx context.Context, before, after *sqlite.Conn) (*Pages, error) {
	p := &Pages{}
	var err error
	if p.before, err = newSide(before); err != nil {
		return nil, err
	}
	if p.after, err = newSide(after); err != nil {
		return nil, err
	}
	if p.alike = p.before.form == p.after.form; !p.alike {
		return p, nil
	}
	p.differ = newBits(max(p.before.count, p.after.count))
	for _, look := range []func(context.Context) error{p.blocks, p.logs, p.scattered} {
		if err := look(ctx); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// blocks compares the files without their logs.
func (p *Pages) blocks(ctx context.Context) error {
	old, err := regular.Open(p.before.conn.Path())
	if err != nil {
		return err
	}
	defer old.Close()
	fresh, err := regular.Open(p.after.conn.Path())
	if err != nil {
		return err
	}
	defer fresh.Close()
	size, all := p.before.form.size, max(p.before.count, p.after.count)
	per := max(1, 1<<18/size)
	a, b := make([]byte, per*size), make([]byte, per*size)
	for first := int64(1); first <= all && ctx.Err() == nil; first += per {
		n, err := old.ReadAt(a, (first-1)*size)
		if err != nil && err != io.EOF {
			return err
		}
		m, err := fresh.ReadAt(b, (first-1)*size)
		if err != nil && err != io.EOF {
			return err
		}
		if n == len(a) && m == len(b) && first+per <= all && bytes.Equal(a, b) {
			continue
		}
		there := int64(min(n, m))
		for page := first; page < min(first+per, all+1); page++ {
			from := (page - first) * size
			p.differ.put(page, from+size > there || !bytes.Equal(a[from:from+size], b[from:from+size]))
		}
	}
	return ctx.Err()
}

// logs compares the pages that are in a log of either side, as SQLite reads them.
func (p *Pages) logs(context.Context) error {
	all, both := max(p.before.count, p.after.count), min(p.before.count, p.after.count)
	named := newBits(all)
	for _, s := range []*side{p.before, p.after} {
		if err := s.logged(named); err != nil {
			return err
		}
	}
	for page := int64(1); page <= all; page++ {
		if !named.has(page) {
			continue
		}
		if page > both {
			p.differ.put(page, true)
			continue
		}
		old, err := p.before.page(page)
		if err != nil {
			return err
		}
		fresh, err := p.after.page(page)
		if err != nil {
			return err
		}
		p.differ.put(page, !bytes.Equal(old, fresh))
	}
	return nil
}

// scattered finds out whether a page differs that may hold the rest of a row in
// both copies. Where the first page of a row is the same in both, so is the number
// of the next one, and so on up to the first that differs: it holds a rest in both.
// Pages of trees and free ones do not, nor does page 1, nor one that a copy lacks.
func (p *Pages) scattered(ctx context.Context) error {
	known := newBits(int64(len(p.differ)) * 64)
	known.put(1, true)
	for _, s := range []*side{p.before, p.after} {
		if err := s.mark(ctx, known); err != nil {
			return err
		}
	}
	for page := int64(2); page <= min(p.before.count, p.after.count) && !p.loose; page++ {
		p.loose = p.differ.has(page) && !known.has(page)
	}
	return nil
}

// Close ends what reads from the copies; they stay open.
func (p *Pages) Close() {
	p.before.close()
	p.after.close()
}

// Rows lists the ids of the rows of a table that may differ, in their order:
// every row of either copy that is not in the list is in the other one as well,
// with the same values. ok is false if the pages do not tell: the table has no
// row ids, is in one copy only, or is defined in another way.
func (p *Pages) Rows(table string) (ids []int64, ok bool, err error) {
	if !p.alike {
		return nil, false, nil
	}
	rootBefore, sqlBefore, err := p.before.table(table)
	if err != nil {
		return nil, false, err
	}
	rootAfter, sqlAfter, err := p.after.table(table)
	if err != nil || rootBefore == 0 || rootAfter == 0 || sqlBefore != sqlAfter {
		return nil, false, err
	}
	before, ok, err := p.before.tree(rootBefore)
	if !ok || err != nil {
		return nil, false, err
	}
	after, ok, err := p.after.tree(rootAfter)
	if !ok || err != nil {
		return nil, false, err
	}
	wide, err := p.wide(before)
	if err != nil {
		return nil, false, err
	}
	// A page that is a leaf of the table in both copies, and the same, holds the
	// same rows.
	same := func(page int64) bool {
		return before.leaf.has(page) && after.leaf.has(page) && !p.differ.has(page) && !wide.has(page)
	}
	ids, err = differing(newCursor(p.before, before, same), newCursor(p.after, after, same))
	if err != nil {
		return nil, false, fmt.Errorf("compare pages of table %s: %w", table, err)
	}
	return ids, true, nil
}

// wide are the pages of a table that are the same and hold a row whose rest may
// differ.
func (p *Pages) wide(t *tree) (bits, error) {
	if !p.loose {
		return nil, nil
	}
	wide := newBits(p.before.count)
	var cells []cell
	for _, page := range t.leaves {
		if p.differ.has(page) {
			continue
		}
		data, err := p.before.page(page)
		if err == nil {
			cells, err = p.before.cells(cells, page, data)
		}
		if err != nil {
			return nil, err
		}
		wide.put(page, slices.ContainsFunc(cells, func(c cell) bool { return c.wide }))
	}
	return wide, nil
}

// differing merges the rows of the pages that are not the same, in the order of
// their ids. A wide row is named: what it goes on with was not looked at.
func differing(before, after *cursor) (ids []int64, err error) {
	old, fresh := before.next(), after.next()
	for old != nil || fresh != nil {
		switch {
		case fresh == nil || old != nil && old.id < fresh.id:
			ids = append(ids, old.id)
			old = before.next()
		case old == nil || fresh.id < old.id:
			ids = append(ids, fresh.id)
			fresh = after.next()
		default:
			if old.wide || fresh.wide || !bytes.Equal(old.payload, fresh.payload) {
				ids = append(ids, old.id)
			}
			old, fresh = before.next(), after.next()
		}
	}
	if before.err != nil {
		return nil, before.err
	}
	return ids, after.err
}

// bits is a set of page numbers.
type bits []uint64

func newBits(pages int64) bits { return make(bits, pages/64+1) }

func (b bits) has(page int64) bool { return page/64 < int64(len(b)) && b[page/64]&(1<<(page%64)) != 0 }

func (b bits) put(page int64, in bool) {
	switch at := page / 64; {
	case at >= int64(len(b)):
	case in:
		b[at] |= 1 << (page % 64)
	default:
		b[at] &^= 1 << (page % 64)
	}
}
