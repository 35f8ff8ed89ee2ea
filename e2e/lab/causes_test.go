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

// killHelper kills the module that is at work, or the next one. What follows it
// for the controller is left alone: that finds out by itself.
func killHelper(s *stage, p *Playing) error {
	for {
		if killed, err := s.killHelpers(); err != nil || killed > 0 {
			return err
		}
		select {
		case <-p.done:
			return errors.New("kill helper: there is none")
		default:
		}
	}
}

// killHelpers kills the helper's jobs in the node, and counts those that had not
// replied yet.
func (s *stage) killHelpers() (killed int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	mine, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.node.init))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		space, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/pid"))
		if err != nil || space != mine {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		words := strings.Fields(commandOf(pid))
		if len(words) != 5 || words[1] != "job" || words[2] != "work" {
			continue
		}
		kill(pid)
		reply := filepath.Join(s.node.Changes(), "root/.cache/cidx-helper/jobs", words[4], "reply.json")
		if _, err := os.Stat(reply); err != nil { // one that has replied was as good as gone
			killed++
		}
	}
	return killed, nil
}

func cutPower(s *stage, p *Playing) error { return errors.Join(s.node.PowerCut(), p.Kill()) }

// bootAgain brings the node back. While a migration holds the server, neither
// the boot nor anybody else starts it.
func bootAgain(s *stage) error {
	if err := s.node.Boot(s.ctx); err != nil {
		return err
	}
	if _, err := os.Stat(s.node.State("hold")); err != nil {
		return nil // not held yet, or not any more
	}
	if _, err := s.node.Run(s.ctx, "systemctl", "start", "cidx-server", "cidx-auto-update.service"); err != nil {
		return err
	}
	if word, err := s.node.Unit(s.ctx, "cidx-server"); err != nil || word != "inactive" {
		return fmt.Errorf("the server is %s after the reboot, %v", word, err)
	}
	return nil
}

// bootAgainAndStop: nothing has held the server yet. It comes back as what
// cluster-join.sh has configured, a cluster node on an empty database; the
// precheck wants it stopped.
func bootAgainAndStop(s *stage) error {
	if err := s.node.Boot(s.ctx); err != nil {
		return err
	}
	if err := s.node.Healthy(s.ctx, 20*time.Second); err != nil {
		return err
	}
	s.says(s.play(2, "cluster-migrate.yml", "-l", "node1"), "a server runs in cluster mode already")
	_, err := s.node.Run(s.ctx, "systemctl", "stop", "cidx-server")
	return err
}

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

// secondController starts the same run elsewhere: it is refused and says why.
func secondController(s *stage, _ *Playing) error {
	other, err := s.lab.Controller("c2")
	if err != nil {
		return err
	}
	second, err := other.Play(s.ctx, "cluster-migrate.yml", "-l", "node1")
	if err != nil {
		return err
	}
	if second.Exit != 2 || !strings.Contains(second.Transcript, "another run is at work") {
		return fmt.Errorf("the second controller ended with %d:\n%s", second.Exit, tail([]byte(second.Transcript), 1000))
	}
	return nil
}

func unmountShare(s *stage, _ *Playing) error {
	_, err := s.node.Run(s.ctx, "umount", "-l", Share)
	return err
}

func mountShare(s *stage) error {
	_, err := s.node.Run(s.ctx, "mount", Share)
	return err
}

// hangShare makes every call to the share wait, as a hard mount of a dead file
// server does. The run has to say so soon.
func hangShare(s *stage, p *Playing) error {
	if err := s.lab.Hang(); err != nil || p == nil {
		return err
	}
	begun := time.Now()
	for !strings.Contains(p.out.String(), "the share does not answer") {
		select {
		case <-p.done:
			return errors.New("the run does not say that the share does not answer")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if took := time.Since(begun); took > toldWithin {
		return fmt.Errorf("the run says after %.1f s that the share does not answer", took.Seconds())
	}
	return nil
}

// toldWithin is when an operator must know that the share hangs: 10 s after the
// first call that waits, which on a busy machine comes some seconds later.
const toldWithin = 20 * time.Second

func recoverShare(s *stage) error { return s.lab.Recover() }

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
