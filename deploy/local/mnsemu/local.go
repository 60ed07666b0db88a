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
	mux.HandleFunc("GET /_local/queues", s.showQueues)
	mux.HandleFunc("GET /_local/queues/{queue}/messages", s.showMessages)
	mux.HandleFunc("DELETE /_local/queues/{queue}/messages", s.purge)
	mux.HandleFunc("GET /_local/pushes", s.showPushes)
	return mux
}

type queueView struct {
	Name       string            `json:"name"`
	Attributes queueAttributes   `json:"attributes"`
	DeadLetter *DeadLetterPolicy `json:"deadLetter,omitempty"`
	// CreateTime and LastModifyTime are seconds.
	CreateTime       int64 `json:"createTime"`
	LastModifyTime   int64 `json:"lastModifyTime"`
	ActiveMessages   int   `json:"activeMessages"`
	InactiveMessages int   `json:"inactiveMessages"`
	DelayMessages    int   `json:"delayMessages"`
	// LongPolls is how many receives wait for a message right now.
	LongPolls int `json:"longPolls"`
}

type messageView struct {
	ID           string `json:"id"`
	Body         string `json:"body"`
	State        string `json:"state"`
	DequeueCount int64  `json:"dequeueCount"`
	Priority     int64  `json:"priority"`
	GroupID      string `json:"groupId,omitempty"`
	// EnqueueTime and NextVisibleTime are milliseconds.
	EnqueueTime      int64      `json:"enqueueTime"`
	NextVisibleTime  int64      `json:"nextVisibleTime"`
	SystemProperties []property `json:"systemProperties,omitempty"`
	UserProperties   []property `json:"userProperties,omitempty"`
}

type pushView struct {
	Topic        string `json:"topic"`
	Subscription string `json:"subscription"`
	Endpoint     string `json:"endpoint"`
	MessageID    string `json:"messageId"`
	// Attempts is how many were made; the next is due at NextAttemptTime, in milliseconds.
	Attempts        int   `json:"attempts"`
	NextAttemptTime int64 `json:"nextAttemptTime"`
}

func (s *Server) showQueues(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	views := []queueView{}
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[name]
		s.settle(q)
		view := queueView{
			Name: name, Attributes: q.Attributes, CreateTime: q.Created, LastModifyTime: q.Modified,
			ActiveMessages: q.ready.Len(), InactiveMessages: q.waiting.Len() - q.delayed, DelayMessages: q.delayed,
			LongPolls: len(q.polls),
		}
		if policy, buries := s.config.DeadLetter[name]; buries {
			view.DeadLetter = &policy
		}
		views = append(views, view)
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, views)
}

func (s *Server) showMessages(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	q, err := s.settled(r.PathValue("queue"))
	if err != nil {
		s.mu.Unlock()
		writeError(w, err)
		return
	}
	now := s.nowMillis()
	views := []messageView{}
	for _, number := range slices.Sorted(maps.Keys(q.messages)) {
		m := q.messages[number]
		views = append(views, messageView{
			ID: m.ID, Body: m.Body, State: m.state(now), DequeueCount: m.dequeues, Priority: m.Priority, GroupID: m.GroupID,
			EnqueueTime: m.Enqueued, NextVisibleTime: m.visible, SystemProperties: m.System, UserProperties: m.User,
		})
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, views)
}

// purge deletes a queue's messages and keeps the queue.
func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	err := s.alter(func() ([]change, error) {
		q, err := s.settled(r.PathValue("queue"))
		if err != nil {
			return nil, err
		}
		var changes []change
		for _, m := range q.messages {
			q.drop(m)
			changes = append(changes, m.removed()...)
		}
		return changes, nil
	})
	if err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) showPushes(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	views := []pushView{}
	for _, number := range slices.Sorted(maps.Keys(s.pushes)) {
		p := s.pushes[number]
		views = append(views, pushView{p.Topic, p.Subscription, p.Endpoint, p.MessageID, p.Attempts, p.Due})
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, views)
}

// writeError answers with the status the protocol has for the error.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var refused *refusal
	if errors.As(err, &refused) {
		status = refused.status
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
