package standin

import (
	"context"
	"errors"
	"os"
	"syscall"

	"cidx-cluster/e2e/standin/internal/schema"
)

// endsUnclean says whether this server, told to stop, ends as a killed process does.
func (s *Server) endsUnclean() bool {
	mode := "standalone"
	if s.cfg.cluster {
		mode = "cluster"
	}
	return s.opt.EndUnclean == mode || s.opt.EndUnclean == "both"
}

// killSelf ends the process as a stop's time-out, the kernel's memory killer or a power cut does. A standalone server
// leaves rows in the WALs, a hot journal of a transaction that was half written, and a running job; a cluster node its
// row as online. The error is why it still lives.
func (s *Server) killSelf() error {
	var err error
	if !s.cfg.cluster {
		err = errors.Join(s.writeRows(context.Background(), 0), schema.Tear(s.home, "oauth.db"))
	}
	return errors.Join(err, syscall.Kill(os.Getpid(), syscall.SIGKILL))
}
