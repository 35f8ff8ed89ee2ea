package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Opened is an errand that opens a file at a path, which the child hands over.
type Opened struct {
	name string
	do   func(context.Context, string) (*os.File, error)
}

// NewFile names an errand that opens a file.
func NewFile(name string, do func(context.Context, string) (*os.File, error)) Opened {
	return Opened{name, do}
}

// Name is the errand's name.
func (o Opened) Name() string { return o.name }

// Run opens the file: in ctx's child where there is one, else in place.
func (o Opened) Run(ctx context.Context, path string) (*os.File, error) {
	c, _ := ctx.Value(key{}).(*Caller)
	if c == nil {
		return o.do(ctx, path)
	}
	raw, err := json.Marshal(path)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.send(question{Name: o.name, Argument: raw}); err != nil {
		return nil, err
	}
	f, err := c.receive(path)
	if err != nil {
		return nil, fmt.Errorf("errand %s: %w", o.name, err)
	}
	a, err := c.answer()
	if err == nil && len(a.Problems) > 0 {
		err = a.Problems
	}
	if err == nil && f == nil {
		err = errors.New("no file came")
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("errand %s: %w", o.name, err)
	}
	return f, nil
}

// receive takes the one byte before the answer, and the file that may come with it.
func (c *Caller) receive(path string) (*os.File, error) {
	room := make([]byte, unix.CmsgSpace(4))
	n, got, _, _, err := c.socket.ReadMsgUnix(make([]byte, 1), room)
	if err != nil || n != 1 {
		return nil, fmt.Errorf("the child of the service user gave no answer: %w", errors.Join(err))
	}
	messages, err := unix.ParseSocketControlMessage(room[:got])
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(err, errors.New("not one file"))
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), path), nil
}

// serve opens the file and sends it ahead of the answer.
func (o Opened) serve(ctx context.Context, raw json.RawMessage) (any, error) {
	var path string
	if err := json.Unmarshal(raw, &path); err != nil {
		return nil, fmt.Errorf("read errand %s: %w", o.name, err)
	}
	socket, ok := ctx.Value(socketKey{}).(*net.UnixConn)
	if !ok {
		return nil, errors.New("no socket to send a file by")
	}
	f, err := o.do(ctx, path)
	if err != nil {
		_, _, sent := socket.WriteMsgUnix([]byte{0}, nil, nil)
		return nil, errors.Join(err, sent)
	}
	defer f.Close()
	_, _, err = socket.WriteMsgUnix([]byte{1}, unix.UnixRights(int(f.Fd())), nil)
	return struct{}{}, err
}

type socketKey struct{}
