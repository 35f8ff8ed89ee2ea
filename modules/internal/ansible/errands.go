package ansible

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"cidx-cluster/modules/internal/errand"
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/reach"
)

// turnAnswer is what taking a turn in the child has come to.
type turnAnswer struct {
	Busy string     `json:"busy,omitempty"`
	Held *job.Lease `json:"held,omitempty"`
}

// turnErrands take and leave the turn of one run.
func turnErrands() (try errand.Errand[job.Request, turnAnswer], leave errand.Errand[struct{}, struct{}]) {
	var turn *job.Turn
	try = errand.New("take turn", func(_ context.Context, r job.Request) (turnAnswer, error) {
		if turn == nil {
			turn = job.NewTurn(r)
		}
		busy, err := turn.Try()
		if held, ok := errors.AsType[job.Held](err); ok {
			return turnAnswer{Held: &held.Lease}, nil
		}
		return turnAnswer{Busy: busy}, err
	})
	leave = errand.New("leave turn", func(context.Context, struct{}) (struct{}, error) {
		return struct{}{}, turn.Leave()
	})
	return try, leave
}

// withErrands runs a module that stays root beside a child that is the server's
// user and does its errands.
func (m Module) withErrands(ctx context.Context, user reach.Identity, r job.Request, input []byte, sink progress.Sink) []byte {
	caller, socket, err := errand.Pair()
	if err != nil {
		return refusal(err)
	}
	defer caller.Close()
	child := command(user, "errands", m.Name)
	child.Stdin = socket
	err = start(child)
	socket.Close()
	if err != nil {
		return refusal(fmt.Errorf("start child as %s: %w", user, err))
	}
	go child.Wait() //nolint:errcheck // reaps; its answers tell how it went
	ctx = errand.With(ctx, caller)
	return m.inTurn(ctx, r, sink, func() []byte {
		return m.serve(ctx, input, sink, Mode{ByRoot: true, For: user.UID})
	})
}

// errands serves a module's errands on standard input, a socket, until the
// parent has gone.
func (p program) errands(m Module) int {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	try, leave := turnErrands()
	if err := errand.Serve(ctx, os.Stdin, append([]errand.Any{try, leave}, m.Errands...)); err != nil {
		return p.refuse("cidx-helper: " + err.Error())
	}
	return 0
}
