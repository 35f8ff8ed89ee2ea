package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// News is what happened to a job since an offset: one line of JSON for the
// action plugin.
type News struct {
	Job    string          `json:"job"`
	Offset int64           `json:"offset"` // where to go on
	Done   bool            `json:"done"`
	Events []Told          `json:"events"`          // lines in order; of the statuses the last, unless a line came after it
	Reply  json.RawMessage `json:"reply,omitempty"` // when done
}

// Patience of Follow: the longest wait, and how long news are gathered before
// they are told (every telling costs the controller a round trip).
const (
	longest      = 5 * time.Second
	gatherLines  = 100 * time.Millisecond
	gatherStatus = time.Second
	glance       = 10 * time.Millisecond
	batch        = 256 << 10
)

// Follow waits for news of a job, at most 5 s. A job whose process died without
// a reply is done, with a reply that says so. An unknown job is a Problem.
func (s Store) Follow(ctx context.Context, id string, offset int64) (News, error) {
	folder, err := s.folder(id)
	if err != nil {
		return News{}, err
	}
	request, known := s.request(id)
	if !known {
		return News{}, problem.Problem{What: fmt.Sprintf("no job %q", id), At: s.jobs(), Fix: "run the playbook again"}
	}
	started, first := time.Now(), time.Time{}
	for {
		// The order matters: what was alive before the reading cannot have
		// written after it.
		alive := s.living(id)
		reply, replied, err := readReply(folder)
		if err != nil {
			return News{}, err
		}
		news, more, err := since(folder, offset)
		if err != nil {
			return News{}, err
		}
		news.Job = id
		ended := replied || !alive
		if ended && !more {
			news.Done, news.Reply = true, reply
			if !replied {
				news.Reply = s.killed(id, folder, request)
			}
			return news, nil
		}
		if len(news.Events) > 0 && first.IsZero() {
			first = time.Now()
		}
		if tell(news, first) || ended || time.Since(started) >= longest || ctx.Err() != nil {
			return news, nil
		}
		time.Sleep(glance)
	}
}

// tell decides whether news have been gathered long enough.
func tell(n News, first time.Time) bool {
	if first.IsZero() {
		return false
	}
	pause := gatherStatus
	for _, e := range n.Events {
		if e.Line != nil {
			pause = gatherLines
		}
	}
	return time.Since(first) >= pause
}

func readReply(folder string) (reply []byte, replied bool, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, "reply.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read reply: %w", err)
	case !json.Valid(raw):
		return nil, false, fmt.Errorf("read reply: not JSON: %s", filepath.Join(folder, "reply.json"))
	}
	return raw, true, nil
}

// since reads whole events from offset on, not more than one batch; more says
// that the batch was full.
func since(folder string, offset int64) (news News, more bool, err error) {
	news = News{Offset: offset, Events: []Told{}}
	f, err := os.Open(filepath.Join(folder, "events.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return news, false, nil
	}
	if err != nil {
		return news, false, fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.NewSectionReader(f, offset, batch))
	if err != nil {
		return news, false, fmt.Errorf("read events: %w", err)
	}
	end := bytes.LastIndexByte(raw, '\n') + 1
	if end == 0 && len(raw) == batch {
		end = len(raw) // a line longer than a batch is skipped
	}
	news.Offset += int64(end)
	var status *Told
	for line := range bytes.Lines(raw[:end]) {
		var e progress.Event
		switch {
		case json.Unmarshal(line, &e) != nil:
		case e.Line != nil:
			news.Events = append(news.Events, told(e))
			status = nil // older than the line, which may be the end of it
		case e.Status != nil:
			last := told(e)
			status = &last
		}
	}
	if status != nil {
		news.Events = append(news.Events, *status)
	}
	return news, len(raw) == batch, nil
}

// killed is the reply of a job that could not give one itself.
func (s Store) killed(id, folder string, r Request) []byte {
	var lines []string
	for offset := int64(0); ; {
		news, _, err := since(folder, offset)
		if err != nil || news.Offset == offset {
			break
		}
		offset = news.Offset
		for _, e := range news.Events {
			if e.Line != nil {
				lines = append(lines, *e.Line)
			}
		}
	}
	msg := fmt.Sprintf("helper was killed: job %s ended without a reply", id)
	if len(lines) > 0 {
		msg += "; the last it said: " + lines[len(lines)-1]
	}
	what := msg
	crash := filepath.Join(folder, "crash")
	if raw, err := os.ReadFile(crash); err == nil && len(raw) > 0 {
		text := CrashText(string(raw))
		_ = durable.Write(crash, []byte(text), nil) // the withheld text must not stay on disk either
		msg += "\n" + text
	}
	raw, _ := json.Marshal(map[string]any{ // strings always encode
		"changed": !r.Check, "failed": true, "check_mode": r.Check, "msg": printable.Text(msg), "lines": lines,
		"problems": problem.List{{
			What: printable.Line(what), At: r.Module, Fix: "run the same command again: it goes on where this one stopped",
		}},
		"hint": "run the same command again: it goes on where this one stopped (if the node ran out of memory, dmesg says so)",
	})
	return raw
}

// CrashText is what may be shown of a Go crash: the stack, and the message of
// run-time errors. The text of any other panic may hold a secret.
func CrashText(text string) string {
	var kept []string
	stack := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "goroutine "):
			stack = true
		case !stack && strings.HasPrefix(line, "panic: "):
			if !strings.HasPrefix(line, "panic: runtime error:") {
				line = "panic: (text withheld)"
			}
		case !stack && !strings.HasPrefix(line, "fatal error: "):
			continue
		}
		if kept = append(kept, line); len(kept) >= 40 {
			break
		}
	}
	return strings.Join(kept, "\n")
}
