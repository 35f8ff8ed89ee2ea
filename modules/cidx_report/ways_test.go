package report

import (
	"testing"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/service"
)

// A unit of the user's own systemd is none of root's: what is printed can be pasted.
func TestTheWayBackByHandIsOfTheSystemdThatRunsTheServer(t *testing.T) {
	home := newHome(t)
	for name, row := range map[string]struct {
		scope service.Scope
		want  string
	}{
		"the machine's":  {service.Scope{Allowed: true}, "sudo systemctl stop cidx-server"},
		"the user's own": {service.Scope{User: true, Allowed: true}, "systemctl --user stop cidx-server"},
	} {
		t.Run(name, func(t *testing.T) {
			var d document
			d.ways(args{Common: cidx.Common{Home: home}, Manager: service.BySystemd, Unit: "cidx-server"}, row.scope)
			if len(d.Rollback.ByHand) != 3 || d.Rollback.ByHand[0] != row.want {
				t.Errorf("%q", d.Rollback.ByHand)
			}
		})
	}
}
