package reach

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// init serves the paths when this process was started as a child. It has to be
// here: a test binary's main is not ours.
func init() {
	if len(os.Args) == 0 || os.Args[0] != childName || os.Getenv(childLabel) == "" {
		return
	}
	if err := serve(); err != nil {
		_ = json.NewEncoder(os.Stdout).Encode(Answer{Fault: err.Error()}) // the parent sees a missing answer as well
		os.Exit(2)
	}
	os.Exit(0)
}

func serve() error {
	var r request
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, path := range r.Paths {
		if err := out.Encode(look(path)); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return nil
}

func look(path string) Answer {
	a := Answer{Path: path}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(real); err == nil {
			a.Real, a.Folder = real, info.IsDir()
			// A folder has to be listed, too.
			if a.Folder {
				var d *os.File
				if d, err = os.Open(real); err == nil {
					_ = d.Close() // opened for reading only
				}
			}
		}
	}
	if err != nil {
		a.Real, a.Fault, a.Missing = "", err.Error(), errors.Is(err, fs.ErrNotExist)
	}
	return a
}
