package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/errand"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
)

// Errands are what cidx_service lets the server's user do.
func Errands() []errand.Any {
	return []errand.Any{readSigns, readHome, note, alive, openLog}
}

// Home is how a home stands, as the server's user reads it.
type Home struct {
	Real     string        // its path without links
	Mode     string        // storage mode of config.json
	Changed  time.Time     // of config.json; zero where there is none
	Mount    string        // the share, "" where none is named
	Standing home.Standing // without the journal's entries
	Problems problem.List  // what could not be read
}

var readHome = errand.New("home", func(ctx context.Context, c home.Common) (Home, error) {
	h := Home{Real: c.Home, Mode: cidx.ModeSQLite, Mount: c.KnownMount(ctx)} // a mode as CIDX takes a missing file
	if real, err := filepath.EvalSymlinks(c.Home); err == nil {
		h.Real = real
	}
	path := c.ConfigPath()
	if info, err := os.Stat(path); err == nil {
		h.Changed = info.ModTime()
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		config, err := c.Config(ctx)
		h.Problems.Add(err)
		h.Mode = config.StorageMode
	}
	standing, err := c.Standing()
	h.Problems.Add(err)
	h.Standing, h.Standing.Entries = standing, nil
	return h, nil
})

// ReadHome asks the server's user how the home stands.
func (c Control) ReadHome(ctx context.Context) (Home, error) { return readHome.Run(ctx, c.Common) }

type entry struct {
	Journal, Module, Event string
	Data                   map[string]any
}

var note = errand.New("note", func(_ context.Context, e entry) (struct{}, error) {
	return struct{}{}, journal.Append(e.Journal, e.Module, e.Event, e.Data)
})

// Note lets the server's user add a line to the journal.
func (c Control) Note(ctx context.Context, module, event string, data map[string]any) error {
	// Also of an interrupted run: what was done has to stand there.
	_, err := note.Run(context.WithoutCancel(ctx), entry{c.Common.State().Journal(), module, event, data})
	return err
}

type mount struct {
	Path     string
	Deadline time.Duration
}

var alive = errand.New("share", func(ctx context.Context, m mount) (struct{}, error) {
	return struct{}{}, share.Alive(ctx, m.Path, m.Deadline)
})

// ShareAlive lets the server's user ask whether the share at path reacts.
func ShareAlive(ctx context.Context, path string, deadline time.Duration) error {
	_, err := alive.Run(ctx, mount{path, deadline})
	return err
}

// openLog opens the file that takes the start command's output.
var openLog = errand.New("log", func(_ context.Context, path string) (*os.File, error) {
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
})
