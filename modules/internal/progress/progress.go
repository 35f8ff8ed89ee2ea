// Package progress carries what a step wants to tell while it runs. A line is
// part of the run's transcript and is kept; a status replaces the one before it.
package progress

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Status says how far a long piece of work is.
type Status struct {
	What  string  `json:"what"`            // e.g. "audit_logs"
	Done  int64   `json:"done"`            // in Unit
	Total int64   `json:"total"`           // in Unit; 0 if unknown
	Unit  string  `json:"unit"`            // "rows", "bytes", "files"
	Rate  float64 `json:"rate,omitempty"`  // Unit per second
	ETA   float64 `json:"eta,omitempty"`   // seconds; 0 if unknown
	Whole float64 `json:"whole,omitempty"` // of what What is a part of: how much is done, up to 1; ETA is then of all of it
	Note  string  `json:"note,omitempty"`  // e.g. "12 of 40 files"
}

// Event is one message of a running step: exactly one of Line and Status is set.
type Event struct {
	Time   time.Time `json:"time"`
	Line   *string   `json:"line,omitempty"`
	Status *Status   `json:"status,omitempty"`
}

// Sink receives events, possibly from several goroutines at once.
type Sink func(Event)

type key struct{}

// With returns a context whose events go to sink.
func With(ctx context.Context, sink Sink) context.Context {
	return context.WithValue(ctx, key{}, sink)
}

// Line adds a line to the transcript.
func Line(ctx context.Context, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	send(ctx, Event{Line: &text})
}

// Report tells the state of a long piece of work. Callers send at least one a
// second while it lasts.
func Report(ctx context.Context, s Status) { send(ctx, Event{Status: &s}) }

// Every calls tell at each tick until stop is called; none is under way after that.
func Every(ctx context.Context, tick time.Duration, tell func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				tell()
			}
		}
	})
	return func() {
		cancel()
		telling.Wait()
	}
}

func send(ctx context.Context, e Event) {
	if sink, ok := ctx.Value(key{}).(Sink); ok && sink != nil {
		e.Time = time.Now().UTC()
		sink(e)
	}
}
