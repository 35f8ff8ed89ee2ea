package service

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/durable"
)

// DropInName is the file that holds a unit back; it sorts after other drop-ins.
const DropInName = "zz-cidx-cluster.conf"

// DropIns is where drop-ins are written.
type DropIns struct {
	Root string // "/etc/systemd/system"; "" means that
}

// Folder is where drop-ins are written.
func (d DropIns) Folder() string { return cmp.Or(d.Root, "/etc/systemd/system") }

func (d DropIns) path(unit string) string {
	return filepath.Join(d.Folder(), unit+".d", DropInName)
}

// Rule says when a unit may not start.
type Rule struct {
	Hold string // while this file exists
	// Config is the server's config.json. Where it is given, the server may
	// start all the same once an operator has gone back by hand: the file is
	// newer than Hold and does not name PostgreSQL. That is what the three
	// commands that every failure prints come to (stop, copy
	// config.json.pre-cluster over config.json, start). CIDX rewrites the file
	// when it starts, so it is not compared with the copy.
	Config string
}

// content makes a unit's start depend on rule, and on the disk on which the
// hold would be: at boot, a home that is not mounted yet has no hold.
func (r Rule) content() []byte {
	text := "# Written by cidx-cluster: this unit rests while a migration holds it.\n" +
		"# The migration removes it; by hand: delete this file, " +
		"then systemctl daemon-reload (of this unit's systemd: --user where it is a user's).\n" +
		"[Unit]\nRequiresMountsFor=" + quote(filepath.Dir(r.Hold)) + "\n"
	if r.Config == "" {
		return []byte(text + "ConditionPathExists=!" + percent(r.Hold) + "\n")
	}
	// With the rights of the unit's own user, to whom both files belong or are open.
	const may = `[ ! -e "$1" ] || { [ "$2" -nt "$1" ] && ! grep -q '"storage_mode" *: *"postgres"' "$2"; }`
	return []byte(text + "[Service]\nExecCondition=/bin/sh -c " + quote(may) + " sh " + quote(r.Hold) + " " + quote(r.Config) + "\n")
}

// quote writes one word of a unit file (systemd.service(5), "command lines"):
// systemd expands %, $ and backslashes.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", "$$").Replace(percent(word)) + `"`
}

func percent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// Has reports whether the drop-in of unit stands and says rule.
func (d DropIns) Has(unit string, rule Rule) (bool, error) {
	raw, err := os.ReadFile(d.path(unit))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read drop-in: %w", err)
	}
	return bytes.Equal(raw, rule.content()), nil
}

// Present reports whether unit has a drop-in of ours, whatever it names.
func (d DropIns) Present(unit string) bool {
	_, err := os.Lstat(d.path(unit))
	return err == nil
}

// Write puts the drop-in of unit in place.
func (d DropIns) Write(unit string, rule Rule) error {
	path := d.path(unit)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("hold unit %s: %w", unit, err)
	}
	if err := durable.Write(path, rule.content(), nil); err != nil {
		return fmt.Errorf("hold unit %s: %w", unit, err)
	}
	// systemd warns of unit files that not everybody may read.
	if err := os.Chmod(path, 0o644); err != nil {
		return fmt.Errorf("hold unit %s: %w", unit, err)
	}
	return durable.SyncFolder(filepath.Dir(filepath.Dir(path)))
}

// Remove takes the drop-in of unit away, and its folder if that is empty then.
func (d DropIns) Remove(unit string) error {
	path := d.path(unit)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release unit %s: %w", unit, err)
	}
	dir := filepath.Dir(path)
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		if err := os.Remove(dir); err != nil {
			return fmt.Errorf("release unit %s: %w", unit, err)
		}
	}
	if _, err := os.Stat(filepath.Dir(dir)); err != nil {
		return nil
	}
	return durable.SyncFolder(filepath.Dir(dir))
}
