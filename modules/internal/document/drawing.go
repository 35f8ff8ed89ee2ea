package document

import "time"

// drawing is the time line as the page shows it, in thousandths of its width.
type drawing struct {
	From, To   time.Time
	Down, Wide int // where the downtime begins, and how wide it is; 0 wide: none
	Marks      []mark
}

// mark is an event.
type mark struct {
	X    int
	Text string
}

// Drawing is nil where fewer than two moments are known.
func (d *Report) Drawing() *drawing {
	if len(d.Timeline) < 2 {
		return nil
	}
	g := drawing{From: d.Timeline[0].Time, To: d.Timeline[len(d.Timeline)-1].Time}
	if up := d.Downtime.Healthy; up != nil && up.After(g.To) {
		g.To = *up
	}
	if !g.To.After(g.From) {
		return nil
	}
	at := func(t time.Time) int { return int(1000 * t.Sub(g.From) / g.To.Sub(g.From)) }
	for _, e := range d.Timeline {
		g.Marks = append(g.Marks, mark{at(e.Time), e.Time.UTC().Format("15:04:05") + " " + e.Module + " " + e.Event})
	}
	if down := d.Downtime.Stopped; down != nil {
		end := g.To // it is still down
		if d.Downtime.Healthy != nil {
			end = *d.Downtime.Healthy
		}
		g.Down = max(0, at(*down))
		g.Wide = max(3, at(end)-g.Down)
	}
	return &g
}
