package nfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/seed"
)

// stage is one scenario under way.
type stage struct {
	t    *testing.T
	ctx  context.Context
	how  shared
	dsn  string // as node1 reaches PostgreSQL
	last played
}

// shared is how the share is exported and mounted.
type shared struct {
	export string // options of exports(5)
	mount  string // options of nfs(5)
	owner  string // of the export's top folder, and its mode
}

// proper is as docs/operator.md asks for.
var proper = shared{export: "rw,no_root_squash", mount: "hard", owner: "cidx:cidx 755"}

// soft gives up after some seconds, where hard waits for ever.
const soft = "soft,timeo=30,retrans=2"

// scenario begins with a fresh home, share and database, and a standalone
// server that runs and was joined by what cluster-join.sh does.
func scenario(t *testing.T, s shared) *stage {
	t.Helper()
	if skipped != "" {
		t.Skip(skipped)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	st := &stage{t: t, ctx: ctx, how: s, dsn: postgres.Database(t)}
	st.must(seed.ApplySchema(ctx, st.dsn, false))
	st.dsn = strings.NewReplacer("127.0.0.1", "10.0.2.2", ":test@", ":Pw-lab-nfs-51c0@").Replace(st.dsn) // any password is good
	t.Cleanup(func() {
		if t.Failed() {
			st.explain()
		}
	})
	st.node("systemctl start nfs-server; rm -f /etc/systemd/system/*.d/zz-cidx*; systemctl daemon-reload; systemctl stop cidx-server\n" +
		"umount -f -l " + share + " || true\n" +
		"rm -rf " + home + " " + before + "; cp -a " + template + "/. /home/cidx/")
	st.exported(s)
	st.node("systemctl start cidx-server")
	st.must(node1.healthy(ctx, time.Minute))
	st.node(`CIDX_POSTGRES_DSN='` + st.dsn + `' setpriv --reuid cidx --regid cidx --init-groups env HOME=/home/cidx \
		cidx-seed join -home ` + home + ` -share ` + share + ` -node-id node-1`)
	return st
}

// exported makes an empty export and mounts it.
func (s *stage) exported(how shared) {
	s.t.Helper()
	owner, mode, _ := strings.Cut(how.owner, " ")
	s.node(fmt.Sprintf(`rm -rf %[1]s; mkdir %[1]s; chown %[2]s %[1]s; chmod %[3]s %[1]s
		echo '%[1]s 127.0.0.1(%[4]s,sync,fsid=0,no_subtree_check)' > /etc/exports; exportfs -ra; exportfs -f
		mount -t nfs4 -o %[5]s 127.0.0.1:/ %[6]s`, export, owner, mode, how.export, how.mount, share))
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// node runs a script as root on node1.
func (s *stage) node(script string) string {
	s.t.Helper()
	out, err := node1.run(s.ctx, script)
	s.must(err)
	return out
}

// play runs a playbook and wants this exit code.
func (s *stage) play(exit int, args ...string) played {
	s.t.Helper()
	p, err := node1.play(s.ctx, args...)
	s.must(err)
	return s.ended(p, exit)
}

func (s *stage) ended(p *playing, exit int) played {
	s.t.Helper()
	var err error
	s.last, err = p.wait()
	s.must(err)
	s.t.Logf("%s: exit code %d after %.0f s", s.last.command, s.last.exit, s.last.took.Seconds())
	if s.last.exit != exit {
		s.t.Fatalf("exit code %d, want %d", s.last.exit, exit)
	}
	return s.last
}

var migrate = []string{"cluster-migrate.yml", "-l", "node1"}

// says wants a line of the transcript to match, and returns what that line says.
func (s *stage) says(p played, expression string) string {
	s.t.Helper()
	found := regexp.MustCompile(`(?m)^.*(?:` + expression + `).*$`).FindString(p.transcript)
	if found == "" {
		s.t.Errorf("the transcript has nothing like %q", expression)
	}
	return strings.TrimSpace(found)
}

// unchanged wants the recap of a run that had nothing to do.
func (s *stage) unchanged(p played) {
	s.t.Helper()
	s.says(p, `^node1 +: .*changed=0 .*failures=0`)
}

// judge runs cidx-judge on node1, as root where root may read the share; what it
// finds ends the test.
func (s *stage) judge(verb string, args ...string) {
	s.t.Helper()
	as := ""
	if slices.Contains(strings.Split(s.how.export, ","), "root_squash") {
		as = "setpriv --reuid cidx --regid cidx --init-groups env HOME=/home/cidx "
	}
	s.node("CIDX_POSTGRES_DSN='" + s.dsn + "' " + as + "cidx-judge " + verb + " -home " + home + " " + strings.Join(args, " "))
}

const before = "/var/tmp/before.hash"

// remember hashes home, share and database as they are.
func (s *stage) remember() {
	s.t.Helper()
	s.judge("hash", "-share", share, "-out", before)
}

// What a server that answers writes into its databases, and what the prechecks'
// probe does to the share's top folder: time stamps.
const (
	serving = "home,home/*.db,home/*.db-wal,home/*.db-journal,home/data"
	probed  = "share"
)

// untouched wants home, share and database to be as remembered.
func (s *stage) untouched(except ...string) {
	s.t.Helper()
	s.judge("same", "-share", share, "-before", before, "-except", "'"+strings.Join(except, ",")+"'")
}

// sameAgain wants the home to be as remembered, after a rollback.
func (s *stage) sameAgain() {
	s.t.Helper()
	s.judge("same", "-share", share, "-before", before, "-rollback", "-except", "'postgres*,share,share/*,"+serving+"'")
}

// process names the server that runs now; "" if none does.
func (s *stage) process() string {
	s.t.Helper()
	return s.node("systemctl show -p MainPID --value cidx-server; systemctl show -p NRestarts cidx-server")
}

// running wants the very same server as was.
func (s *stage) running(was string) {
	s.t.Helper()
	if is := s.process(); is != was {
		s.t.Errorf("the server was restarted: %q, was %q", is, was)
	}
	s.must(node1.healthy(s.ctx, 10*time.Second))
}

// stopServer and startServer are the file server's.
func (s *stage) stopServer() { s.t.Helper(); s.node("systemctl stop nfs-server") }

// startServer waits until the share answers again.
func (s *stage) startServer() {
	s.t.Helper()
	s.node("systemctl start nfs-server; for i in $(seq 60); do timeout -s KILL 2 stat -t " + share + " && exit; sleep 1; done; exit 1")
}

// explain shows what somebody needs who looks into a failure.
func (s *stage) explain() {
	s.t.Logf("last transcript:\n%s", tail(s.last.transcript, 8000))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	log, err := node1.run(ctx, "cat "+state+"/journal.jsonl || true; journalctl -n 40 --no-pager; cat /proc/mounts | grep nfs; ps -eo pid,stat,wchan:20,args | grep -v '\\[' | tail -50")
	s.t.Logf("node1: %s", log)
	if err = errors.Join(err, ctx.Err()); err != nil {
		s.t.Logf("node1 answered: %v\n%s", err, node1.console())
	}
	if os.Getenv("KEEP") != "" {
		fmt.Fprintf(os.Stderr, "nfs: kept for 30 minutes: ssh -i %[1]s/key -o UserKnownHostsFile=%[1]s/known_hosts -p %[2]d ops@127.0.0.1\n", node1.dir, node1.ssh)
		time.Sleep(30 * time.Minute)
	}
}
