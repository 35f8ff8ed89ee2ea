package standin

import (
	"errors"
	"fmt"
	"net/http"
)

// routes are the parts of CIDX's HTTP API that a migration meets, and one address of the stand-in's own:
// /api/admin/tokens/check.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!DOCTYPE html><title>CIDX Multi-User Server - Swagger UI</title>"))
	})
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("POST /auth/login", s.answer(s.login))
	mux.HandleFunc("POST /auth/mfa/verify", s.answer(s.verifyMFA))
	mux.HandleFunc("GET /health", s.answer(s.as(anyone, s.jobHealth)))
	mux.HandleFunc("GET /api/system/health", s.answer(s.as(anyone, s.systemHealth)))
	mux.HandleFunc("GET /api/repos", s.answer(s.as(anyone, s.listActivated)))
	mux.HandleFunc("GET /api/repos/golden/{alias}", s.answer(s.as(anyone, s.showGolden)))
	mux.HandleFunc("POST /api/query", s.answer(s.as(anyone, s.query)))
	mux.HandleFunc("POST /mcp", s.answer(s.as(anyone, s.mcp)))
	mux.HandleFunc("GET /api/admin/golden-repos", s.answer(s.as(admins, s.listGolden)))
	mux.HandleFunc("POST /api/admin/golden-repos/{alias}/refresh", s.answer(s.as(admins, s.refreshGolden)))
	mux.HandleFunc("POST /api/admin/users", s.answer(s.as(admins, s.createUser)))
	mux.HandleFunc("GET /api/admin/tokens/check", s.answer(s.as(admins, s.reportTokens)))
	mux.HandleFunc("/", s.answer(func(*http.Request) (any, error) {
		return nil, refuse(http.StatusNotFound, "Not Found")
	}))
	return mux
}

const (
	anyone = false
	admins = true
)

// as lets only authenticated users through, or only administrators.
func (s *Server) as(adminOnly bool, h func(*http.Request, user) (any, error)) handler {
	return func(r *http.Request) (any, error) {
		u, err := s.authenticate(r)
		var no *refusal
		if errors.As(err, &no) && no.Status == http.StatusUnauthorized && r.URL.Path == "/mcp" {
			return nil, &refusal{Status: no.Status, Detail: "Authentication required",
				Challenge: fmt.Sprintf(`Bearer realm="mcp", resource_metadata="http://%s/.well-known/oauth-protected-resource"`, r.Host)}
		}
		if err != nil {
			return nil, err
		}
		if adminOnly && u.role != "admin" {
			return nil, refuse(http.StatusForbidden, "Admin access required")
		}
		return h(r, u)
	}
}
