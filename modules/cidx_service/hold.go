package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// holdSteps makes the hold files and drop-ins that are missing.
func (m bySystemd) holdSteps(ctx context.Context, r record) ([]step, error) {
	var steps []step
	state := m.Place()
	home, err := m.ReadHome(ctx)
	if err != nil {
		return nil, err
	}
	for _, hold := range []string{state.Hold(), state.HoldUpdates()} {
		holds, err := inForce(hold, home.Changed)
		if err != nil {
			return nil, err
		}
		if !holds {
			steps = append(steps, step{"make " + hold, func(context.Context) error { return writeHold(hold) }})
		}
	}
	rules, err := m.rules(ctx, r)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, u := range r.All() {
		has, err := m.Drops.Has(u.ID, rules[u.ID])
		if err != nil {
			return nil, err
		}
		if !has {
			missing = append(missing, u.ID)
		}
	}
	if len(missing) == 0 {
		return steps, nil
	}
	return append(steps, step{"hold " + strings.Join(missing, ", "), func(ctx context.Context) error {
		err := m.shareAnswers(ctx)
		if err != nil && (home.Standing.Migrated() || home.Standing.Node()) { // the way back must not need it
			progress.Line(ctx, "  The share does not answer: units are stopped, not held. Start none of them.")
			return nil
		}
		if err != nil {
			return err
		}
		for _, id := range missing {
			if err := m.Drops.Write(id, rules[id]); err != nil {
				return problem.Problem{What: err.Error(), At: id, Fix: "make " + m.Drops.Folder() + " writable"}
			}
		}
		return m.systemd.Reload(ctx)
	}}), nil
}

// rules says by what each unit is held: the server is let go before the others,
// and by an operator who goes back by hand. systemd before 243 has no
// ExecCondition; there the hold file alone decides.
func (m bySystemd) rules(ctx context.Context, r record) (map[string]service.Rule, error) {
	version, err := m.systemd.Version(ctx)
	if err != nil {
		return nil, err
	}
	state, rules := m.Place(), map[string]service.Rule{}
	for _, u := range r.All() {
		rules[u.ID] = service.Rule{Hold: state.HoldUpdates()}
	}
	own := service.Rule{Hold: state.Hold()}
	if version >= 243 {
		own.Config = m.config()
	}
	rules[m.Server()] = own
	return rules, nil
}

func (m bySystemd) config() string { return m.Common.ConfigPath() }

// shareAnswers must hold before a daemon-reload: systemd looks at every mount
// then, and a share that hangs makes it deaf for a minute or more.
func (m bySystemd) shareAnswers(ctx context.Context) error {
	home, err := m.ReadHome(ctx)
	if err != nil || home.Mount == "" {
		return nil // what is wrong with the home is told elsewhere
	}
	return service.ShareAlive(ctx, home.Mount, sharePatience)
}

const sharePatience = 4 * time.Second

// letGo removes a hold and the drop-ins of units. Without its hold a drop-in
// holds nothing: a share that hangs is no reason to stop, since a rollback does
// without it.
func (m bySystemd) letGo(hold string, ids []string) ([]step, error) {
	var steps []step
	there, err := durable.Exists(hold)
	if err != nil {
		return nil, err
	}
	if there {
		steps = append(steps, step{"remove " + hold, func(context.Context) error { return removeHold(hold) }})
	}
	held := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !m.Drops.Present(id) })
	if len(held) == 0 {
		return steps, nil
	}
	return append(steps, step{"let go " + strings.Join(held, ", "), func(ctx context.Context) error {
		for _, id := range held {
			if err := m.Drops.Remove(id); err != nil {
				return err
			}
		}
		if err := m.shareAnswers(ctx); err != nil {
			return warning(fmt.Sprintf("%v; when it answers again: %s daemon-reload "+
				"(until then systemd remembers drop-ins that hold nothing)", err, m.Scope.Systemctl("")))
		}
		return m.systemd.Reload(ctx)
	}}), nil
}
