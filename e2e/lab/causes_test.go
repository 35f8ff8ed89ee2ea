package lab

// What can happen to a migration under way, and how it is mended.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

func killController(_ *stage, p *Playing) error { return p.Kill() }

func killBoth(s *stage, p *Playing) error { return errors.Join(s.killHelper(), p.Kill()) }

// killHelper kills the helper's processes in the node, and what they started.
func (s *stage) killHelper() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	mine, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.node.init))
	if err != nil {
		return err
	}
	killed := 0
	for _, e := range entries {
		space, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/pid"))
		if err != nil || space != mine {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		program, _, _ := strings.Cut(commandOf(pid), " ")
		if base := filepath.Base(program); strings.HasPrefix(base, "h-") || base == "rsync" {
			kill(pid)
			killed++
		}
	}
	if killed == 0 {
		return errors.New("kill helper: there is none")
	}
	return nil
}

func cutPower(s *stage, p *Playing) error { return errors.Join(s.node.PowerCut(), p.Kill()) }

func bootAgain(s *stage) error { return s.node.Boot(s.ctx) }

// resetSSH kills the server's side of every connection.
func resetSSH(s *stage, _ *Playing) error {
	_, err := s.node.Run(s.ctx, "pkill", "-KILL", "-u", "ops", "sshd") // inside the node's own process space
	return err
}

func networkGone(s *stage, _ *Playing) error {
	if err := s.lab.net.cut(s.ctx, s.node.place, true); err != nil {
		return err
	}
	time.Sleep(45 * time.Second)
	return s.lab.net.cut(s.ctx, s.node.place, false)
}

func stopDatabase(s *stage, _ *Playing) error { return s.lab.DB.Stop() }

func startDatabase(s *stage) error { return s.lab.DB.Start(s.ctx) }

// stopDatabaseInLoad waits until the load has written something that is not
// committed yet.
func stopDatabaseInLoad(s *stage, p *Playing) error {
	conn, err := pgx.Connect(s.ctx, s.lab.DB.fromHere("cidx"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(s.ctx))
	for {
		var writers int
		err := conn.QueryRow(s.ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cidx' AND backend_xid IS NOT NULL").Scan(&writers)
		if err != nil {
			return err
		}
		if writers > 0 {
			return s.lab.DB.Stop()
		}
		select {
		case <-p.done:
			return errors.New("the load was not seen")
		default:
		}
	}
}

func unmountShare(s *stage, _ *Playing) error {
	_, err := s.node.Run(s.ctx, "umount", "-l", Share)
	return err
}

func mountShare(s *stage) error {
	_, err := s.node.Run(s.ctx, "mount", Share)
	return err
}

// hangShare makes every write to the share wait for a minute, as a hard mount
// does whose server is restarted. A job that writes cannot be killed meanwhile.
func hangShare(s *stage, p *Playing) error {
	if err := s.lab.Freeze(s.ctx); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
	}
	return s.lab.Thaw(context.WithoutCancel(s.ctx))
}

func fillShare(s *stage, _ *Playing) error { return fill(s.lab.share()) }

func emptyShare(s *stage) error { return os.Remove(filepath.Join(s.lab.share(), filler)) }

func fillDisk(s *stage, _ *Playing) error { return fill(s.node.Disk()) }

func emptyDisk(s *stage) error { return os.Remove(filepath.Join(s.node.Disk(), filler)) }

const filler = "filler"

// fill leaves no room on a file system.
func fill(at string) error {
	f, err := os.Create(filepath.Join(at, filler))
	if err != nil {
		return err
	}
	defer f.Close()
	block := bytes.Repeat([]byte{1}, 1<<20)
	for {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// standin breaks the server in cluster mode.
func standin(how string) func(*stage, *Playing) error {
	return func(s *stage, _ *Playing) error { return s.node.Write("/etc/cidx-standin.faults", how+"\n", 0o644) }
}

// standinHealed takes the fault away and restarts the server, which may still
// run with it.
func standinHealed(s *stage) error {
	if err := os.Remove(filepath.Join(s.node.root(), "etc/cidx-standin.faults")); err != nil {
		return err
	}
	_, err := s.node.Run(s.ctx, "systemctl", "restart", "cidx-server")
	return err
}
