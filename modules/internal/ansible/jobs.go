package ansible

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// jobRun answers mistakes in the arguments at once and starts or joins a job
// otherwise.
func (p program) jobRun(m Module) int {
	input, err := io.ReadAll(p.in)
	if err != nil {
		return p.refuse("cidx-helper: read arguments: " + err.Error())
	}
	ctx := context.Background()
	if _, _, _, err := m.Decode(input); err != nil {
		return p.tell(job.News{Done: true, Reply: m.Run(ctx, input, nil)})
	}
	news, err := m.startJob(ctx, input)
	if err != nil {
		news = job.News{Done: true, Reply: refusal(err)}
	}
	return p.tell(news)
}

func (m Module) startJob(ctx context.Context, input []byte) (job.News, error) {
	self, err := os.Executable()
	if err != nil {
		return job.News{}, fmt.Errorf("find helper: %w", err)
	}
	store, err := job.Open()
	if err != nil {
		return job.News{}, err
	}
	id, err := store.Start(ctx, request(m, input), []string{self, "job", "work", m.Name}, input)
	if err != nil {
		return job.News{}, err
	}
	return store.Follow(ctx, id, 0)
}

// request describes a call whose input is known to decode.
func request(m Module, input []byte) job.Request {
	arguments, _ := object(input) // Decode has read it before
	r := job.NewRequest(m.Name, arguments)
	r.Lists = m.Lists
	r.Run.Lease = cmp.Or(r.Run.Lease, m.Lease, job.Take)
	return r
}

func (p program) jobFollow(id, from string) int {
	offset, err := strconv.ParseInt(from, 10, 64)
	if err != nil || offset < 0 {
		return p.refuse("cidx-helper: not an offset: " + strconv.Quote(from))
	}
	store, err := job.Open()
	var news job.News
	if err == nil {
		news, err = store.Follow(context.Background(), id, offset)
	}
	if err != nil {
		news = job.News{Job: id, Offset: offset, Done: true, Reply: refusal(err)}
	}
	return p.tell(news)
}

// jobWork is how a job starts itself.
func (p program) jobWork(m Module, id string) int {
	store, err := job.Open()
	if err == nil {
		err = store.Work(id, m.perform)
	}
	if err != nil {
		return p.refuse("cidx-helper: " + err.Error())
	}
	return 0
}

// tell prints news as one line.
func (p program) tell(news job.News) int {
	if news.Events == nil {
		news.Events = []job.Told{}
	}
	raw, err := json.Marshal(news)
	if err != nil {
		return p.refuse("cidx-helper: encode news: " + err.Error())
	}
	return p.write(raw)
}

// refusal is the reply of a call that did not come to its module.
func refusal(err error) []byte {
	problems := problem.Of(err)
	out := map[string]any{"changed": false, "failed": true, "msg": problems.Error(), "problems": problems}
	var held job.Held
	if errors.As(err, &held) {
		out["lease"] = held.Lease
	}
	raw, _ := json.Marshal(each(out, secret.New())) // strings always encode
	return raw
}
