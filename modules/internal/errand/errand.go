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

// Errand is one thing to do with an argument A and an answer R, which are JSON; an
// answer that is an *os.File is handed over open.
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
func (e Errand[A, R]) Run(ctx context.Context, argument A) (result R, err error) {
	c, _ := ctx.Value(key{}).(*Caller)
	if c == nil {
		return e.do(ctx, argument)
	}
	a, file, err := c.ask(e.name, argument)
	if err != nil {
		return result, fmt.Errorf("errand %s: %w", e.name, err)
	}
	wanted, handed := any(&result).(**os.File)
	switch {
	case handed && file != nil:
		*wanted = file
		return result, nil
	case file != nil:
		file.Close()
	}
	switch {
	case len(a.Problems) > 0:
		return result, a.Problems
	case handed:
		return result, fmt.Errorf("errand %s: no file came", e.name)
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
	file     *os.File
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
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return nil // nobody asks any more
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("read errand: %w", err)
		}
		if err := send(unixConn, serveOne(ctx, q, errands)); err != nil {
			return fmt.Errorf("answer errand: %w", err)
		}
	}
}

// send writes an answer as a line, and the file that it may carry with it.
func send(socket *net.UnixConn, a answer) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if raw = append(raw, '\n'); a.file == nil {
		_, err = socket.Write(raw)
		return err
	}
	defer a.file.Close()
	_, _, err = socket.WriteMsgUnix(raw, unix.UnixRights(int(a.file.Fd())), nil)
	return err
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
		if f, ok := result.(*os.File); ok {
			return answer{file: f}
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
	file   *os.File // came with the answer under way
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
	c := &Caller{socket: conn.(*net.UnixConn)}
	c.in = bufio.NewReaderSize(c, 64<<10)
	return c, theirs, nil
}

// Close ends the child's service.
func (c *Caller) Close() error { return c.socket.Close() }

// ask puts one question, and returns the answer and the file that came with it.
func (c *Caller) ask(name string, argument any) (a answer, file *os.File, err error) {
	raw, err := json.Marshal(argument)
	if err == nil {
		raw, err = json.Marshal(question{Name: name, Argument: raw})
	}
	if err != nil {
		return a, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.file = nil
	if _, err := c.socket.Write(append(raw, '\n')); err != nil {
		return a, nil, fmt.Errorf("the child of the service user has gone: %w", err)
	}
	line, err := ReadLine(c.in, Longest)
	if err != nil {
		err = fmt.Errorf("the child of the service user gave no answer: %w", err)
	} else {
		err = json.Unmarshal(line, &a)
	}
	if err != nil && c.file != nil {
		c.file.Close()
		c.file = nil
	}
	return a, c.file, err
}

// Read reads the socket, and keeps the file that comes with what is read: one at a
// time, more the kernel drops for want of room.
func (c *Caller) Read(p []byte) (int, error) {
	room := make([]byte, unix.CmsgSpace(4))
	n, got, _, _, err := c.socket.ReadMsgUnix(p, room)
	if messages, _ := unix.ParseSocketControlMessage(room[:got]); len(messages) > 0 {
		if fds, _ := unix.ParseUnixRights(&messages[0]); len(fds) == 1 {
			if c.file != nil {
				c.file.Close()
			}
			c.file = os.NewFile(uintptr(fds[0]), "of an errand")
		}
	}
	return n, err
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
