package service

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/jsonfile"
)

// DropInName is the file that holds a unit back; it sorts after other drop-ins.
const DropInName = "zz-cidx-cluster.conf"

// DropIns is where drop-ins are written.
type DropIns struct {
	Root string // "/etc/systemd/system"; "" means that
}

func (d DropIns) path(unit string) string {
	root := d.Root
	if root == "" {
		root = "/etc/systemd/system"
	}
	return filepath.Join(root, unit+".d", DropInName)
}

// content makes a unit's start depend on the absence of hold, and on the disk on
// which hold would be: at boot, a home that is not mounted yet has no hold.
// systemd expands "%" in both.
func content(hold string) []byte {
	hold = strings.ReplaceAll(hold, "%", "%%")
	return []byte("# Written by cidx-cluster: this unit rests while the file exists.\n" +
		"# The migration removes it; by hand: delete this file, then systemctl daemon-reload.\n" +
		"[Unit]\nRequiresMountsFor=\"" + filepath.Dir(hold) + "\"\nConditionPathExists=!" + hold + "\n")
}

// Has reports whether the drop-in of unit stands and names hold.
func (d DropIns) Has(unit, hold string) (bool, error) {
	raw, err := os.ReadFile(d.path(unit))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read drop-in: %w", err)
	}
	return bytes.Equal(raw, content(hold)), nil
}

// Present reports whether unit has a drop-in of ours, whatever it names.
func (d DropIns) Present(unit string) bool {
	_, err := os.Lstat(d.path(unit))
	return err == nil
}

// Write puts the drop-in of unit in place.
func (d DropIns) Write(unit, hold string) error {
	path := d.path(unit)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("hold unit %s: %w", unit, err)
	}
	if err := jsonfile.WriteAtomic(path, content(hold), nil); err != nil {
		return fmt.Errorf("hold unit %s: %w", unit, err)
	}
	// systemd warns of unit files that not everybody may read.
	if err := os.Chmod(path, 0o644); err != nil {
		return fmt.Errorf("hold unit %s: %w", unit, err)
	}
	return jsonfile.SyncFolder(filepath.Dir(filepath.Dir(path)))
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
	return jsonfile.SyncFolder(filepath.Dir(dir))
}
