package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
)

// record is <state>/service.json: the units before the first change.
type record struct {
	Time    time.Time `json:"time"`
	Manager string    `json:"manager"`
	service.Units
}

// readRecord reads the record; known is false where there is none.
func readRecord(state home.State) (r record, known bool, err error) {
	raw, err := os.ReadFile(state.Units())
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return record{}, false, problem.Problem{
			What: "read the record of the units: " + err.Error(), At: state.Units(),
			Fix: "it says how the units were before the stop; restore it, or remove it and see to the timers yourself",
		}
	}
	return r, true, nil
}

// with adds units that were found later to a record.
func (r record) with(found record) record {
	r.Services = merge(r.Services, found.Services)
	r.Triggers = merge(r.Triggers, found.Triggers)
	return r
}

func merge(known, found []service.Unit) []service.Unit {
	for _, u := range found {
		if !slices.ContainsFunc(known, func(k service.Unit) bool { return k.ID == u.ID }) {
			known = append(known, u)
		}
	}
	return known
}

// write stores the record durably; an equal one is not written again.
func (r record) write(state home.State) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode record of the units: %w", err)
	}
	if err := makePlace(state); err != nil {
		return err
	}
	return writeOpen(state.Units(), append(raw, '\n'))
}

// resting lists the units that rest besides the server.
func (r record) resting() []string {
	ids := []string{}
	for _, u := range r.Others() {
		ids = append(ids, u.ID)
	}
	return ids
}

// ids lists all units.
func (r record) ids() []string {
	var ids []string
	for _, u := range r.All() {
		if u.ID != "" {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

func forget(state home.State) error {
	if err := os.Remove(state.Units()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the record of the units: %w", err)
	}
	if err := durable.SyncFolder(string(state)); err != nil {
		return err
	}
	return leavePlace(state)
}

// writeHold makes a hold file.
func writeHold(path string) error {
	const text = "Made by cidx-cluster: while this file exists, a migration keeps a unit from starting.\n" +
		"Run cluster-migrate.yml again to finish it, or cluster-rollback.yml to undo it.\n"
	return writeOpen(path, []byte(text))
}

func removeHold(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the hold: %w", err)
	}
	return nil
}

// inForce reports whether a hold is there and older than nothing that would lift
// it: an operator's way back by hand leaves a newer config.json behind, which was
// changed at that time (zero: there is none).
func inForce(hold string, changed time.Time) (bool, error) {
	h, err := os.Lstat(hold)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for hold: %w", err)
	}
	return !changed.After(h.ModTime()), nil
}
