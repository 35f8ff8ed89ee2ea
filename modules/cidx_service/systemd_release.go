package service

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/problem"
)

// releaseSteps gives back what rested: drop-ins away, and what was active
// before the stop started again. A oneshot is left to its timer.
func (m bySystemd) releaseSteps(ctx context.Context, r record) ([]step, error) {
	steps, err := m.letGo(m.Place().HoldUpdates(), r.resting())
	if err != nil || len(r.Others()) == 0 {
		return steps, err
	}
	now, err := m.systemd.Show(ctx, r.resting()...)
	if err != nil {
		return nil, err
	}
	var back []string
	for _, was := range r.Others() {
		for _, u := range now {
			if u.ID == was.ID && was.Active == "active" && was.Type != "oneshot" && u.Stopped() {
				back = append(back, u.ID)
			}
		}
	}
	if len(back) == 0 {
		return steps, nil
	}
	return append(steps, step{"start " + strings.Join(back, ", "), func(ctx context.Context) error {
		if err := m.systemd.Start(ctx, m.Limit(), back...); err != nil {
			return problem.Problem{
				What: err.Error(), At: strings.Join(back, ", "),
				Fix: "start it by hand (" + m.Scope.Systemctl("") + " start); the migration itself is complete",
			}
		}
		return nil
	}}), nil
}

// differences names units that are not as they were.
func (m bySystemd) differences(ctx context.Context, r record) ([]string, error) {
	ids := r.resting()
	if len(ids) == 0 {
		return nil, nil
	}
	now, err := m.systemd.Show(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, was := range r.Others() {
		for _, u := range now {
			if u.ID != was.ID {
				continue
			}
			if u.Enabled != was.Enabled {
				list = append(list, fmt.Sprintf("%s is %s, it was %s before the stop", u.ID, u.Enabled, was.Enabled))
			}
			if was.Type != "oneshot" && u.Stopped() != was.Stopped() {
				list = append(list, fmt.Sprintf("%s is %s, it was %s before the stop", u.ID, u.Active, was.Active))
			}
		}
	}
	return list, nil
}
