package mnsemu

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
)

// localHandler serves /_local/.
func (s *Server) localHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/_local/", http.StripPrefix("/_local", s.faults.Handler()))
	mux.Handle("GET /_local/queues", s.view(s.showQueues))
	mux.Handle("GET /_local/queues/{queue}/messages", s.view(s.showMessages))
	mux.Handle("DELETE /_local/queues/{queue}/messages", s.view(s.purge))
	mux.Handle("GET /_local/pushes", s.view(s.showPushes))
	return mux
}

// view answers with what show returns as JSON, or with 204 for nil. show is called with the lock held, and what it changed is on disk
// before the answer. An error has the protocol's status.
func (s *Server) view(show func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text []byte
		changes, err := s.locked(func() (err error) {
			shown, err := show(r)
			text, _ = json.Marshal(shown) // strings and numbers always marshal
			return err
		})
		if err == nil {
			err = s.store.wait(changes)
		}
		w.Header().Set("Content-Type", "application/json")
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			w.WriteHeader(refused.status)
			text, _ = json.Marshal(map[string]string{"error": err.Error()})
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
			text, _ = json.Marshal(map[string]string{"error": err.Error()})
		case string(text) == "null":
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(append(text, '\n'))
	})
}

type queueView struct {
	queueRecord
	DeadLetter       *DeadLetterPolicy `json:"deadLetter,omitempty"`
	ActiveMessages   int               `json:"activeMessages"`
	InactiveMessages int               `json:"inactiveMessages"`
	DelayMessages    int               `json:"delayMessages"`
	// LongPolls is how many receives wait for a message right now.
	LongPolls int `json:"longPolls"`
}

type messageView struct {
	*message
	State string `json:"state"`
}

func (s *Server) showQueues(*http.Request) (any, error) {
	views := []queueView{}
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[name]
		s.settle(q)
		counts := q.counts(s.nowMillis())
		view := queueView{q.queueRecord, nil, counts["active"], counts["inactive"], counts["delayed"], len(q.polls)}
		if policy, buries := s.config.DeadLetter[name]; buries {
			view.DeadLetter = &policy
		}
		views = append(views, view)
	}
	return views, nil
}

func (s *Server) showMessages(r *http.Request) (any, error) {
	q, err := s.settled(&request{queue: r.PathValue("queue")})
	if err != nil {
		return nil, err
	}
	views := []messageView{}
	for _, m := range q.messages {
		views = append(views, messageView{m, m.state(s.nowMillis())})
	}
	return views, nil
}

// purge deletes a queue's messages and keeps the queue.
func (s *Server) purge(r *http.Request) (any, error) {
	q, err := s.settled(&request{queue: r.PathValue("queue")})
	if err == nil {
		s.drop(q, func(*message) bool { return true })
	}
	return nil, err
}

func (s *Server) showPushes(*http.Request) (any, error) {
	views := []*push{}
	for _, number := range slices.Sorted(maps.Keys(s.pushes)) {
		views = append(views, s.pushes[number])
	}
	return views, nil
}
