package precheck

import (
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/pgtest"
)

const online = "INSERT INTO cluster_nodes VALUES ('%', 'online', now()) ON CONFLICT (node_id) DO UPDATE SET last_heartbeat = now()"

func TestANodeThatWorksOnTheDatabaseIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		beats, node string // who is online; what our server says that it is
		stopped     bool
		want        string
	}{
		"another one":                              {"node-2", "", false, `another node of the cluster is online: "node-2"`},
		"our own, restarted after the join":        {"node-1", "node-1", false, ""},
		"our own id, but our server is standalone": {"node-1", "", false, "a server on another machine runs in the cluster under this node's id"},
		"our own id, but our server is stopped":    {"node-1", "", true, "a server on another machine runs in the cluster under this node's id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			pgtest.Exec(t, s.DSN, "CREATE TABLE cluster_nodes (node_id text PRIMARY KEY, status text, last_heartbeat timestamptz)")
			s.node = c.node
			if c.stopped {
				s.args.StatusCommand = "exit 3"
				s.api.Close()
			}
			beat := strings.Replace(online, "%", c.beats, 1)
			pgtest.Exec(t, s.DSN, beat)
			stop, stopped := make(chan bool), make(chan bool)
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Second):
						pgtest.Exec(t, s.DSN, beat)
					}
				}
			}()
			defer func() { close(stop); <-stopped }()
			_, _, err := s.run(true)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
