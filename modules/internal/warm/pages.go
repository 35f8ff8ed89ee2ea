package warm

import (
	"bytes"
	"context"
	"fmt"
	mathbits "math/bits"
	"slices"

	"cidx-cluster/modules/internal/sqlite"
)

// Pages says which pages differ between two copies of one database. A table of
// which no page differs is not looked at any further; of the others only pages
// that differ are.
type Pages struct {
	before, after *side
	differ        bits // pages that are not the same, or that one of them lacks
	wide          bits // pages that are the same and hold a row that goes on elsewhere
	alike         bool // false: other page size; nothing can be said
}

// Compare reads both copies once, page by page, with what their logs hold.
func Compare(ctx context.Context, before, after *sqlite.Conn) (*Pages, error) {
	p := &Pages{}
	var err error
	if p.before, err = newSide(before); err != nil {
		return nil, err
	}
	if p.after, err = newSide(after); err != nil {
		return nil, err
	}
	if p.alike = p.before.size == p.after.size && p.before.reserved == p.after.reserved; !p.alike {
		return p, nil
	}
	n := max(p.before.count, p.after.count)
	p.differ, p.wide = newBits(n), newBits(n)
	return p, p.scan(ctx)
}

// scan walks both copies side by side.
func (p *Pages) scan(ctx context.Context) error {
	const all = "SELECT data FROM sqlite_dbpage ORDER BY pgno"
	old, err := p.before.conn.Query(all)
	if err != nil {
		return err
	}
	defer old.Close()
	fresh, err := p.after.conn.Query(all)
	if err != nil {
		return err
	}
	defer fresh.Close()
	var cells []cell
	there, here := true, true // a statement that is stepped on after its end begins anew
	for page := int64(1); ; page++ {
		if page%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		there, here = there && old.Next(), here && fresh.Next()
		if !there && !here {
			break
		}
		if !there || !here || !bytes.Equal(old.Value(0).Bytes, fresh.Value(0).Bytes) {
			p.differ.set(page)
			continue
		}
		if data := old.Value(0).Bytes; data[start(page)] == tableLeaf {
			cells, err = p.before.cells(cells, page, data)
			if err != nil || slices.ContainsFunc(cells, func(c cell) bool { return c.wide }) {
				p.wide.set(page)
			}
		}
	}
	if err := old.Err(); err != nil {
		return err
	}
	return fresh.Err()
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
	// A page that is a leaf of the table in both copies, and the same, holds the
	// same rows; the rest of a wide row may lie on any page that differs.
	elsewhere := p.differ.countBut(before, after) > 0
	same := func(page int64) bool {
		return before.leaf.has(page) && after.leaf.has(page) && !p.differ.has(page) && !(elsewhere && p.wide.has(page))
	}
	ids, err = differing(newCursor(p.before, before, same), newCursor(p.after, after, same))
	if err != nil {
		return nil, false, fmt.Errorf("compare pages of table %s: %w", table, err)
	}
	return ids, true, nil
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

func (b bits) set(page int64)      { b[page/64] |= 1 << (page % 64) }
func (b bits) has(page int64) bool { return page/64 < int64(len(b)) && b[page/64]&(1<<(page%64)) != 0 }

// countBut counts the pages that are in neither of the trees, nor the first one,
// which changes with every transaction and holds no row of a table.
func (b bits) countBut(trees ...*tree) (n int) {
	for i, word := range b {
		for _, t := range trees {
			if i < len(t.page) {
				word &^= t.page[i]
			}
		}
		if i == 0 {
			word &^= 1 << 1
		}
		n += mathbits.OnesCount64(word)
	}
	return n
}
