package standin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	healthLife  = 2 * time.Second // how long an answer of /healthz is repeated
	listTimeout = 3 * time.Second
)

type healthCache struct {
	mu      sync.Mutex
	at      time.Time
	status  string
	reasons []string
	lasting []string // complaints of this process, which stay
}

// complain degrades the health until the server ends.
func (h *healthCache) complain(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.lasting, reason) {
		h.lasting, h.at = append(h.lasting, reason), time.Time{}
	}
}

// healthz is the anonymous probe: 200 healthy or degraded, 503 unhealthy.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	status, _ := s.checkHealth()
	code := http.StatusOK
	if status == "unhealthy" {
		code = http.StatusServiceUnavailable
	}
	send(w, code, map[string]any{"status": status})
}

func (s *Server) systemHealth(r *http.Request, _ user) (any, error) {
	status, reasons := s.checkHealth()
	row, err := s.store.Row1(r.Context(), "golden_repo_reconcile_auto_heal_event", "SELECT * FROM golden_repo_reconcile_auto_heal_event")
	if err != nil {
		s.log.Printf("system health: %v", err)
	}
	var healed any
	if row != nil {
		healed = map[string]any{"removed_aliases": row.Text("removed_aliases"), "occurred_at": row.Text("occurred_at")}
	}
	return map[string]any{
		"status": status, "timestamp": stamp(time.Now()), "services": map[string]any{}, "system": map[string]any{},
		"failure_reasons": reasons, "last_golden_repo_reconcile_auto_heal": healed,
	}, nil
}

// checkHealth probes every open database and the golden-repos directory; a database probe writes, as CIDX's does.
// The caller's context does not count: a client that hangs up must not leave a bad answer in the cache.
func (s *Server) checkHealth() (status string, reasons []string) {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < healthLife {
		return h.status, h.reasons
	}
	sick, worn := []string{}, slices.Clone(h.lasting)
	if s.faults.NeverHealthy {
		sick = append(sick, "fault -never-healthy")
	}
	if s.faults.BusyCPU > 0 {
		sick = append(sick, fmt.Sprintf("CPU: %d%% sustained >60s", s.faults.BusyCPU))
	}
	for _, name := range s.store.Databases() {
		probe, done := context.WithTimeout(context.Background(), 3*time.Second)
		if err := s.store.Probe(probe, name); err != nil {
			sick = append(sick, fmt.Sprintf("database %s does not answer", orName(name)))
		}
		done()
	}
	moreSick, moreWorn := s.checkStorage()
	sick, worn = append(sick, moreSick...), append(worn, moreWorn...)
	if s.tripped != "" {
		worn = append(worn, s.tripped)
	}
	h.at, h.reasons, h.status = time.Now(), append(sick, worn...), "healthy"
	if len(worn) > 0 {
		h.status = "degraded"
	}
	if len(sick) > 0 {
		h.status = "unhealthy"
	}
	return h.status, h.reasons
}

func (s *Server) checkStorage() (sick, worn []string) {
	listed := make(chan error, 1)
	go func() {
		_, err := os.ReadDir(s.layout.Golden)
		listed <- err
	}()
	select {
	case err := <-listed:
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, []string{"golden-repos: the storage is away"}
		case err != nil:
			return []string{"golden-repos cannot be listed"}, nil
		}
	case <-time.After(listTimeout):
		return []string{"golden-repos cannot be listed within 3 s"}, nil
	}
	if s.cfg.cluster && !s.sameDevice() {
		worn = append(worn, "activated-repos is not on the file system of golden-repos")
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.layout.Golden, &fs); err == nil && fs.Blocks > 0 {
		used := int(100 - 100*fs.Bavail/fs.Blocks)
		reason := fmt.Sprintf("volume of golden-repos is %d %% full", used)
		if s.opt.VolumeSick > 0 && used >= s.opt.VolumeSick {
			sick = append(sick, reason)
		} else if s.opt.VolumeDegraded > 0 && used >= s.opt.VolumeDegraded {
			worn = append(worn, reason)
		}
	}
	return sick, worn
}

// sameDevice compares the volumes of golden-repos and activated-repos; without activated-repos there is no conflict.
func (s *Server) sameDevice() bool {
	var golden, activated syscall.Stat_t
	if syscall.Stat(s.layout.Golden, &golden) != nil || syscall.Stat(s.layout.Activated, &activated) != nil {
		return true
	}
	return golden.Dev == activated.Dev
}

// jobHealth is GET /health: degraded as soon as any failed job is recorded, so it proves little.
func (s *Server) jobHealth(r *http.Request, _ user) (any, error) {
	rows, err := s.store.Rows(r.Context(), "background_jobs", "SELECT status, count(*) AS n FROM background_jobs GROUP BY status")
	if err != nil {
		return nil, err
	}
	count := map[string]int64{}
	for _, row := range rows {
		count[row.Text("status")] = row.Int("n")
	}
	status, message := "healthy", "System is healthy"
	if count["failed"] > 0 {
		status, message = "degraded", fmt.Sprintf("%d failed jobs", count["failed"])
	}
	return map[string]any{
		"status": status, "message": message, "uptime": time.Since(s.started).Seconds(), "active_jobs": count["running"],
		"job_queue": map[string]any{"active_jobs": count["running"], "pending_jobs": count["pending"], "failed_jobs": count["failed"]},
		"database":  map[string]any{"status": "healthy"}, "system_resources": map[string]any{"cpu_usage": float64(s.faults.BusyCPU)},
		"started_at": stamp(s.started), "maintenance_mode": false, "version": Version,
	}, nil
}

func orName(database string) string {
	if database == "" {
		return "PostgreSQL"
	}
	return filepath.Base(database)
}
