// Package errand is what cidx_service, as root, lets the server's own user do:
// whatever touches a path that this user controls. The errands run in a child
// that is that user for good; without such a child they run in place, so that
// the module does not know the difference.
//
// The child and its answers are not trusted: a line has a limit, and an answer
// is shown or compared, never acted on as a path.
package errand

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/problem"
)

// Longest is the longest line, in bytes, that either side takes.
const Longest = 4 << 20

// Errand is one thing to do with an argument A and an answer R, which are JSON.
type Errand[A, R any] struct {
	name string
	do   func(context.Context, A) (R, error)
}

// New names an errand.
func New[A, R any](name string, do func(context.Context, A) (R, error)) Errand[A, R] {
	return Errand[A, R]{name, do}
}

// Run does the errand: in ctx's child where there is one, else in place. Errors
// of the child are problem.List.
func (e Errand[A, R]) Run(ctx context.Context, argument A) (R, error) {
	c, _ := ctx.Value(key{}).(*Caller)
	if c == nil {
		return e.do(ctx, argument)
	}
	var result R
	raw, err := json.Marshal(argument)
	if err != nil {
		return result, fmt.Errorf("encode errand %s: %w", e.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.ask(question{Name: e.name, Argument: raw})
	if err != nil {
		return result, fmt.Errorf("errand %s: %w", e.name, err)
	}
	if len(a.Problems) > 0 {
		return result, a.Problems
	}
	if err := json.Unmarshal(a.Result, &result); err != nil {
		return result, fmt.Errorf("read answer to errand %s: %w", e.name, err)
	}
	return result, nil
}

// Name is the errand's name.
func (e Errand[A, R]) Name() string { return e.name }

func (e Errand[A, R]) serve(ctx context.Context, raw json.RawMessage) (any, error) {
	var argument A
	if err := json.Unmarshal(raw, &argument); err != nil {
		return nil, fmt.Errorf("read errand %s: %w", e.name, err)
	}
	return e.do(ctx, argument)
}

// Any is an errand of whatever types.
type Any interface {
	Name() string
	serve(context.Context, json.RawMessage) (any, error)
}

type question struct {
	Name     string          `json:"name"`
	Argument json.RawMessage `json:"argument"`
}

type answer struct {
	Problems problem.List    `json:"problems,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
}

// Serve answers questions on the socket until the other side has gone.
func Serve(ctx context.Context, socket *os.File, errands []Any) error {
	conn, err := net.FileConn(socket)
	if err != nil {
		return fmt.Errorf("serve errands: %w", err)
	}
	defer conn.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("serve errands: not a local socket")
	}
	ctx = context.WithValue(ctx, socketKey{}, unixConn)
	in, out := bufio.NewReader(conn), json.NewEncoder(conn)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return nil // nobody asks any more
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("read errand: %w", err)
		}
		if err := out.Encode(serveOne(ctx, q, errands)); err != nil {
			return fmt.Errorf("answer errand: %w", err)
		}
	}
}

func serveOne(ctx context.Context, q question, errands []Any) answer {
	for _, e := range errands {
		if e.Name() != q.Name {
			continue
		}
		result, err := e.serve(ctx, q.Argument)
		if err != nil {
			return answer{Problems: problem.Of(err)}
		}
		raw, err := json.Marshal(result)
		if err != nil {
			return answer{Problems: problem.Of(err)}
		}
		return answer{Result: raw}
	}
	return answer{Problems: problem.Of(fmt.Errorf("unknown errand %q", q.Name))}
}

// Caller is the side that asks, one question at a time.
type Caller struct {
	mu     sync.Mutex
	socket *net.UnixConn
	in     *bufio.Reader
}

type key struct{}

// With lets the errands of ctx be done by the child at the other end.
func With(ctx context.Context, c *Caller) context.Context { return context.WithValue(ctx, key{}, c) }

// Pair makes a caller and the child's end of its socket.
func Pair() (*Caller, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "errands"), os.NewFile(uintptr(fds[1]), "errands")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	socket := conn.(*net.UnixConn)
	return &Caller{socket: socket, in: bufio.NewReaderSize(socket, 64<<10)}, theirs, nil
}

// Close ends the child's service.
func (c *Caller) Close() error { return c.socket.Close() }

func (c *Caller) ask(q question) (answer, error) {
	if err := c.send(q); err != nil {
		return answer{}, err
	}
	return c.answer()
}

func (c *Caller) send(q question) error {
	raw, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if _, err := c.socket.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("the child of the service user has gone: %w", err)
	}
	return nil
}

func (c *Caller) answer() (a answer, err error) {
	line, err := ReadLine(c.in, Longest)
	if err != nil {
		return a, fmt.Errorf("the child of the service user gave no answer: %w", err)
	}
	return a, json.Unmarshal(line, &a)
}

// ReadLine reads a line of at most limit bytes, its end included.
func ReadLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit {
			return nil, fmt.Errorf("a line of more than %d bytes", limit)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
