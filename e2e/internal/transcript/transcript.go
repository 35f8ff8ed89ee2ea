// Package transcript keeps what a program under test prints, while it still
// prints: its streams write it, in the order in which they do, and a test may
// read it at any moment.
package transcript

import (
	"bytes"
	"io"
	"sync"
)

// Buffer is a transcript, empty at first. Several goroutines may use it at once;
// it must not be copied.
type Buffer struct {
	guard sync.Mutex
	text  bytes.Buffer
}

var _ io.Writer = (*Buffer)(nil)

// Write adds to the transcript; it always takes everything.
func (b *Buffer) Write(p []byte) (int, error) {
	b.guard.Lock()
	defer b.guard.Unlock()
	return b.text.Write(p)
}

// String is all that has been written so far.
func (b *Buffer) String() string {
	b.guard.Lock()
	defer b.guard.Unlock()
	return b.text.String()
}
