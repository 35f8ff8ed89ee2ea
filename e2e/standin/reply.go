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
	Status    int
	Detail    any
	Wait      time.Duration
	Challenge string         // header WWW-Authenticate
	More      map[string]any // members of the answer beside detail
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %v", r.Status, r.Detail) }

func refuse(status int, detail any) error { return &refusal{Status: status, Detail: detail} }

// unauthorized is a 401 that says how to log in.
func unauthorized(detail string) error {
	return &refusal{Status: http.StatusUnauthorized, Detail: detail, Challenge: "Bearer"}
}

// missing is the 422 for members of the body that are not there: FastAPI's list, wrapped in CIDX's own members.
func missing(fields ...string) error {
	list := make([]any, 0, len(fields))
	for _, f := range fields {
		list = append(list, map[string]any{"type": "missing", "loc": []any{"body", f}, "msg": "Field required"})
	}
	return unprocessable(list)
}

func unprocessable(list []any) error {
	more := incident("validation_error", "Request validation failed")
	more["details"] = map[string]any{}
	return &refusal{Status: http.StatusUnprocessableEntity, Detail: list, More: more}
}

// incident are the members of an answer of CIDX's own error handler.
func incident(kind, message string) map[string]any {
	return map[string]any{
		"error": kind, "message": message, "correlation_id": fmt.Sprintf("%x", time.Now().UnixNano()), "timestamp": stamp(time.Now()),
	}
}

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
			send(w, http.StatusInternalServerError, incident("internal_server_error", "An internal error occurred"))
			return
		}
		no.send(w)
	}
}

func (r *refusal) send(w http.ResponseWriter) {
	if r.Wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(math.Ceil(r.Wait.Seconds()))))
	}
	if r.Challenge != "" {
		w.Header().Set("WWW-Authenticate", r.Challenge)
	}
	body := map[string]any{"detail": r.Detail}
	for name, value := range r.More {
		body[name] = value
	}
	send(w, r.Status, body)
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
		return unprocessable([]any{map[string]any{"type": "json_invalid", "loc": []any{"body"}, "msg": "JSON decode error"}})
	}
	return nil
}
