package database

import "fmt"

// order sorts the tables so that parents come first, else as the catalogue has
// them.
func (p *plan) order() error {
	var sorted []*table
	state := map[string]int{} // 1: being visited, 2: done
	var visit func(t *table) error
	visit = func(t *table) error {
		if state[t.Name] == 2 {
			return nil
		}
		if state[t.Name] == 1 {
			return fmt.Errorf("order tables: %s refers to itself through other tables", t.Name)
		}
		state[t.Name] = 1
		for _, f := range t.to.ForeignKeys {
			if parent := p.table(f.Table); parent != nil && parent != t {
				if err := visit(parent); err != nil {
					return err
				}
			}
		}
		state[t.Name] = 2
		sorted = append(sorted, t)
		return nil
	}
	for _, t := range p.tables {
		if err := visit(t); err != nil {
			return err
		}
	}
	p.tables = sorted
	return nil
}

func (p *plan) table(name string) *table {
	for _, t := range p.tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}
