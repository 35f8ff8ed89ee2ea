package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// refusal is an answer that is not 200; Detail is text or an object, as FastAPI sends both.
type refusal struct {
	Status int
	Detail any
	Wait   time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %v", r.Status, r.Detail) }

func refuse(status int, detail any) error { return &refusal{Status: status, Detail: detail} }

// withStatus is a success other than 200.
type withStatus struct {
	code  int
	value any
}

// handler answers with a value or refuses with an error; an error that is no refusal is a 500.
type handler func(r *http.Request) (any, error)

func (s *Server) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := h(r)
		if err == nil {
			if v, ok := value.(withStatus); ok {
				send(w, v.code, v.value)
				return
			}
			send(w, http.StatusOK, value)
			return
		}
		var no *refusal
		if !errors.As(err, &no) {
			s.log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
			send(w, http.StatusInternalServerError, map[string]any{
				"error": "internal_server_error", "message": "An internal error occurred",
				"correlation_id": fmt.Sprintf("%x", time.Now().UnixNano()), "timestamp": stamp(time.Now()),
			})
			return
		}
		if no.Wait > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(int(math.Ceil(no.Wait.Seconds()))))
		}
		if no.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		send(w, no.Status, map[string]any{"detail": no.Detail})
	}
}

func send(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // the client may be gone
}

// body reads a JSON request, 422 if it is none.
func body(r *http.Request, into any) error {
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(into); err != nil {
		return refuse(http.StatusUnprocessableEntity, []any{map[string]any{"type": "json_invalid", "loc": []any{"body"}, "msg": "JSON decode error"}})
	}
	return nil
}
