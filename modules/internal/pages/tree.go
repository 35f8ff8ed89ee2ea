package pages

import "encoding/binary"

// Types of b-tree pages (https://sqlite.org/fileformat2.html, 1.6).
const (
	indexInterior = 0x02
	tableInterior = 0x05
	indexLeaf     = 0x0a
	tableLeaf     = 0x0d
)

// tree is where the rows of a table are.
type tree struct {
	leaves []int64 // in the order of their rows
	leaf   bits
}

// tree finds the leaves of a table. ok is false if it is no tree of rows with ids.
func (s *side) tree(root int64) (t *tree, ok bool, err error) {
	t = &tree{leaf: newBits(s.count)}
	kind, err := s.walk(root, t.leaf, func(level []int64) {
		for _, page := range t.leaves {
			t.leaf.put(page, false)
		}
		t.leaves = level
	})
	return t, kind == tableLeaf, err
}

// deepest is how many levels a tree of SQLite's has at most.
const deepest = 20

// walk visits the pages of a tree, level by level from the root, and puts their
// numbers into seen. Of the leaves it reads only one, whose kind it returns; 0 if
// it is no tree.
func (s *side) walk(root int64, seen bits, visit func(level []int64)) (kind byte, err error) {
	level := []int64{root}
	for range deepest {
		for _, page := range level {
			if page < 1 || page > s.count {
				return 0, nil
			}
			seen.put(page, true)
		}
		visit(level)
		first, err := s.page(level[0])
		if err != nil {
			return 0, err
		}
		switch kind := first[start(level[0])]; kind {
		case tableLeaf, indexLeaf:
			return kind, nil
		case tableInterior, indexInterior:
			if level, err = s.children(level, kind); err != nil {
				return 0, err
			}
		default:
			return 0, nil
		}
	}
	return 0, errPage
}

// children lists what the interior pages of one level lead to.
func (s *side) children(level []int64, kind byte) (below []int64, err error) {
	for _, number := range level {
		data, err := s.page(number)
		if err != nil {
			return nil, err
		}
		at := start(number)
		cells := int(binary.BigEndian.Uint16(data[at+3:]))
		if data[at] != kind || at+12+2*cells > len(data) || int64(len(below)+cells) > s.count {
			return nil, errPage
		}
		for i := range cells {
			cell := int(binary.BigEndian.Uint16(data[at+12+2*i:]))
			if cell+4 > len(data) {
				return nil, errPage
			}
			below = append(below, int64(binary.BigEndian.Uint32(data[cell:])))
		}
		below = append(below, int64(binary.BigEndian.Uint32(data[at+8:])))
	}
	return below, nil
}

// start is where a page's own header begins: the first one has the file's before it.
func start(page int64) int {
	if page == 1 {
		return 100
	}
	return 0
}

// cell is a row as it lies on a page.
type cell struct {
	id      int64
	payload []byte // what lies here
	wide    bool   // it goes on elsewhere
}

// cells reads the rows of a leaf into list.
func (s *side) cells(list []cell, number int64, data []byte) ([]cell, error) {
	at := start(number)
	n := int(binary.BigEndian.Uint16(data[at+3:]))
	if data[at] != tableLeaf || at+8+2*n > len(data) {
		return nil, errPage
	}
	list = list[:0]
	for i := range n {
		from := int(binary.BigEndian.Uint16(data[at+8+2*i:]))
		size, used := varint(data, from)
		id, more := varint(data, from+used)
		local, wide := s.local(size)
		body := from + used + more
		if used == 0 || more == 0 || local < 0 || int64(body)+local > int64(len(data)) {
			return nil, errPage
		}
		list = append(list, cell{id: id, payload: data[body : int64(body)+local], wide: wide})
	}
	return list, nil
}

// local is how much of a row of that size lies on its leaf.
func (s *side) local(size int64) (n int64, wide bool) {
	usable := s.form.size - s.form.reserved
	most := usable - 35
	if size <= most {
		return size, false
	}
	least := (usable-12)*32/255 - 23
	if n = least + (size-least)%(usable-4); n > most {
		n = least
	}
	return n, true
}

// varint reads one of SQLite's; n is 0 if it does not end.
func varint(data []byte, from int) (value int64, n int) {
	for n = range 9 {
		if from+n >= len(data) {
			return 0, 0
		}
		b := data[from+n]
		if n == 8 {
			return value<<8 | int64(b), 9
		}
		value = value<<7 | int64(b&0x7f)
		if b < 0x80 {
			return value, n + 1
		}
	}
	return 0, 0
}

// cursor walks the rows of the leaves that are not the same in both copies.
type cursor struct {
	s      *side
	leaves []int64
	same   func(page int64) bool
	buf    []byte
	page   []cell // all rows of the page
	cells  []cell // those that are still to come
	err    error
}

func newCursor(s *side, t *tree, same func(int64) bool) *cursor {
	return &cursor{s: s, leaves: t.leaves, same: same}
}

// next returns the next row, nil at the end or on an error.
func (c *cursor) next() *cell {
	for c.err == nil && len(c.cells) == 0 {
		if len(c.leaves) == 0 {
			return nil
		}
		page := c.leaves[0]
		c.leaves = c.leaves[1:]
		if c.same(page) {
			continue
		}
		data, err := c.s.page(page)
		if err == nil {
			c.buf = append(c.buf[:0], data...)
			c.page, err = c.s.cells(c.page, page, c.buf)
			c.cells = c.page
		}
		c.err = err
	}
	if c.err != nil {
		return nil
	}
	first := &c.cells[0]
	c.cells = c.cells[1:]
	return first
}
