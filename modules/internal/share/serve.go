package share

import (
	"errors"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/process"

	"golang.org/x/sys/unix"
)

// server is the child's side.
type server struct {
	request request
	answer  answer
	tell    func(answer)
}

func (s *server) serve() {
	switch s.request.Do {
	case "resolve":
		s.step("resolve", func() error {
			real, err := filepath.EvalSymlinks(s.request.Mount)
			s.answer.Real = real
			return err
		})
	case "alive":
		s.step("statfs", s.statfs)
		s.step("stat", func() error { _, err := os.Stat(s.request.Dir); return err })
	case "look":
		s.look()
	case "write":
		s.write()
	case "remove":
		s.step("clean up", func() error { return os.RemoveAll(s.request.Work) })
	}
}

// step announces a probe, runs it and notes its outcome.
func (s *server) step(name string, probe func() error) bool {
	s.answer.Doing = name
	s.tell(s.answer)
	err := probe()
	s.result(name, err)
	return err == nil
}

func (s *server) result(name string, err error) {
	r := Result{Name: name, As: process.UserName(os.Geteuid()), OK: err == nil}
	if err != nil {
		r.Detail = Cause(err).Error() // without the temporary path
	}
	s.answer.Results = append(s.answer.Results, r)
}

// look fills in what can be seen without writing.
func (s *server) look() {
	if !s.step("statfs", s.statfs) {
		return
	}
	s.answer.Looked = true
	s.step("list", func() error {
		d, err := os.Open(s.existing())
		if err != nil {
			return err
		}
		defer d.Close()
		if _, err = d.Readdirnames(1); err != nil && err.Error() != "EOF" {
			return err
		}
		return nil
	})
	s.step("access", func() error { return unix.Access(s.existing(), unix.W_OK|unix.X_OK) })
}

func (s *server) statfs() error {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(s.request.Mount, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	size := uint64(st.Frsize)
	if size == 0 {
		size = uint64(st.Bsize)
	}
	i := &s.answer.Info
	i.BytesTotal, i.BytesFree = st.Blocks*size, st.Bavail*size
	i.InodesTotal, i.InodesFree = st.Files, st.Ffree
	i.ReadOnly = st.Flags&unix.ST_RDONLY != 0
	return nil
}

// existing is the probed folder, or its nearest parent that exists, at most the
// mount point.
func (s *server) existing() string {
	for dir := s.request.Dir; len(dir) > len(s.request.Mount); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return s.request.Mount
}
