package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// indexChild is a process `cidx index` of the joined server that goes on when the
// server is stopped: it writes to PostgreSQL, with a connection for every row.
type indexChild struct {
	stop    context.CancelFunc
	done    chan struct{}
	rows    int
	longest time.Duration
	failed  error
}

// patience is how long a row of an index child may take.
const patience = time.Second

// indexes runs an index child: child start, child stop. It fails where a row could
// not be written, or not at once.
func (st *stage) indexes(c *call) error {
	if len(c.args) != 1 || (c.args[0] == "start") != (st.child == nil) {
		return errors.New("start, or stop of one that runs, please")
	}
	if c.args[0] == "start" {
		ctx, stop := context.WithCancel(context.Background())
		st.child = &indexChild{stop: stop, done: make(chan struct{})}
		go st.child.run(ctx, st.box.Postgres.DSN())
		return nil
	}
	child := st.child
	st.child = nil
	err := child.end()
	fmt.Fprintf(c.out, "%d rows, the longest took %s\n", child.rows, child.longest)
	return err
}

func (i *indexChild) end() error {
	i.stop()
	<-i.done
	if i.failed == nil && i.longest > patience {
		return fmt.Errorf("a row of an index child took %s", i.longest)
	}
	return i.failed
}

func (i *indexChild) run(ctx context.Context, dsn string) {
	defer close(i.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		begun := time.Now()
		if i.failed = i.write(dsn); i.failed != nil {
			return
		}
		i.rows++
		i.longest = max(i.longest, time.Since(begun))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (i *indexChild) write(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("index child: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `INSERT INTO embedding_call_stats (provider, call_type, model, item_count, token_count, batch_size,
		purpose, golden_repo_alias, job_id, success, latency_ms, occurred_at, node_id)
		VALUES ('voyage-ai', 'document', 'voyage-code-3', 1, 1000, 1, 'index', 'billing', $1, true, 100, extract(epoch FROM now()), 'node1')`,
		fmt.Sprintf("index-child-late-%d", i.rows))
	if err != nil {
		return fmt.Errorf("index child, row %d: %w", i.rows, err)
	}
	return nil
}
