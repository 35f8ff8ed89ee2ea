package cidxapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/problem"
)

// States of a server. CIDX says the first three; Answers is a release before
// 11.65, which has no anonymous probe: the process answers, no more is known.
const (
	Healthy   = "healthy"
	Degraded  = "degraded"
	Unhealthy = "unhealthy"
	Answers   = "answers"
)

// Liveness is what the anonymous probes tell.
type Liveness struct {
	Status   string // Healthy, Degraded, Unhealthy or Answers
	Endpoint string // the path that told: /healthz, /docs or /health
}

// Healthz asks without credentials whether the server is up: GET /healthz,
// and where that is unknown (before 11.65) whether /docs or /health answer.
// Releases 11.65 to 11.68 say unhealthy on every SQLite server; ask
// SystemHealth before believing it. A *NoAnswer means that nobody listens yet:
// CIDX opens its port when its start is complete.
func (c *Client) Healthz(ctx context.Context) (Liveness, error) {
	res, raw, err := c.send(ctx, http.MethodGet, "/healthz", "", nil)
	if err != nil {
		return Liveness{}, err
	}
	status := gjson.GetBytes(raw, "status").Str
	switch {
	case res.StatusCode == http.StatusNotFound:
		return c.answers(ctx)
	case res.StatusCode == http.StatusOK && (status == Healthy || status == Degraded),
		res.StatusCode == http.StatusServiceUnavailable && status == Unhealthy:
		return Liveness{Status: status, Endpoint: "/healthz"}, nil
	case res.StatusCode == http.StatusOK:
		return Liveness{}, c.stranger("/healthz")
	}
	return Liveness{}, statusError(http.MethodGet, c.Base()+"/healthz", res, raw)
}

// answers is the probe for releases without /healthz.
func (c *Client) answers(ctx context.Context) (Liveness, error) {
	res, _, err := c.send(ctx, http.MethodGet, "/docs", "", nil)
	if err != nil {
		return Liveness{}, err
	}
	if res.StatusCode == http.StatusOK {
		return Liveness{Status: Answers, Endpoint: "/docs"}, nil
	}
	res, _, err = c.send(ctx, http.MethodGet, "/health", "", nil)
	if err != nil {
		return Liveness{}, err
	}
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return Liveness{Status: Answers, Endpoint: "/health"}, nil
	}
	return Liveness{}, c.stranger("/healthz, /docs or /health")
}

func (c *Client) stranger(path string) error {
	return problem.Problem{What: "something answers there, but not as CIDX does at " + path, At: c.Base(),
		Fix: "set cidx_url to the address of the CIDX server"}
}

// SystemHealth is GET /api/system/health: the state with its reasons.
type SystemHealth struct {
	Status  string   // Healthy, Degraded or Unhealthy
	Reasons []string // failure_reasons, e.g. "disk /mnt/cidx is 91% full"
}

// SystemHealth asks for the reasons of a state; it needs a login.
func (c *Client) SystemHealth(ctx context.Context) (SystemHealth, error) {
	var answer struct {
		Status  string            `json:"status"`
		Reasons []json.RawMessage `json:"failure_reasons"`
	}
	if err := c.call(ctx, http.MethodGet, "/api/system/health", nil, &answer); err != nil {
		return SystemHealth{}, err
	}
	h := SystemHealth{Status: answer.Status}
	for _, r := range answer.Reasons {
		if text := clip(gjson.ParseBytes(r).String()); text != "" {
			h.Reasons = append(h.Reasons, text)
		}
	}
	return h, nil
}

// ServerHealth is GET /health. It calls itself degraded as soon as a failed job
// is on record, so its status proves nothing.
type ServerHealth struct {
	Status, Message, Version string
	ActiveJobs               int  // running now
	Maintenance              bool // maintenance_mode
}

// Health asks GET /health, which needs a login.
func (c *Client) Health(ctx context.Context) (ServerHealth, error) {
	var answer struct {
		Status      string          `json:"status"`
		Message     string          `json:"message"`
		Version     string          `json:"version"`
		ActiveJobs  int             `json:"active_jobs"`
		Maintenance json.RawMessage `json:"maintenance_mode"`
	}
	if err := c.call(ctx, http.MethodGet, "/health", nil, &answer); err != nil {
		return ServerHealth{}, err
	}
	return ServerHealth{
		Status: answer.Status, Message: answer.Message, Version: answer.Version,
		ActiveJobs:  answer.ActiveJobs,
		Maintenance: strings.TrimSpace(string(answer.Maintenance)) == "true",
	}, nil
}

// NodeHealth is the MCP tool check_health.
type NodeHealth struct {
	Version string // server_version, e.g. "11.79.0"
	NodeID  string // cluster.node_id; "" in standalone mode
	Status  string
}

// CheckHealth asks the node who it is.
func (c *Client) CheckHealth(ctx context.Context) (NodeHealth, error) {
	var answer struct {
		Version string  `json:"server_version"`
		NodeID  *string `json:"node_id"`
		Health  struct {
			Status string `json:"status"`
		} `json:"health"`
	}
	if err := c.Tool(ctx, "check_health", map[string]any{}, &answer); err != nil {
		return NodeHealth{}, err
	}
	h := NodeHealth{Version: answer.Version, Status: answer.Health.Status}
	if answer.NodeID != nil {
		h.NodeID = *answer.NodeID
	}
	return h, nil
}
