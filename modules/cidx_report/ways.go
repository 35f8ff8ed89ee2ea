package report

import (
	"cmp"
	"context"
	"fmt"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/service"
)

// scope says whose systemd runs the server.
func (a args) scope(ctx context.Context, byRoot bool) service.Scope {
	return service.New(service.Args{Manager: a.Manager, Unit: a.Unit}, a.Common).In(ctx, byRoot).Scope
}

// ways are the commands for what may come next.
func (d *gathering) ways(a args, scope service.Scope) {
	limit := ""
	if a.Host != "" {
		limit = " -l " + human.Word(a.Host)
	}
	d.Resume = cmp.Or(a.Resume, "ansible-playbook cluster-migrate.yml"+limit)
	stop, start := a.Stop, a.Start
	if a.Manager != "command" {
		systemctl := scope.Systemctl("sudo ")
		stop, start = systemctl+" stop "+human.Word(a.Unit), systemctl+" start "+human.Word(a.Unit)
	}
	config := a.ConfigPath()
	if d.Rollback.Final != "" {
		d.Rollback.ByHand = []string{}
		return
	}
	d.Rollback = document.Commands{
		Playbook: cmp.Or(a.Back, "ansible-playbook cluster-rollback.yml"+limit),
	}
	// Without a standalone configuration the third command would start a server in
	// cluster mode, on whatever PostgreSQL holds.
	if !d.Further() && leadsBack(config+home.PreCluster) {
		d.Rollback.ByHand = []string{stop, fmt.Sprintf("cp %s %s", human.Word(config+home.PreCluster), human.Word(config)), start}
	}
}

// leadsBack reports whether a file is the configuration of a standalone server.
func leadsBack(path string) bool {
	config, err := home.ReadConfig(context.Background(), path)
	return err == nil && config.StorageMode == cidx.ModeSQLite
}
