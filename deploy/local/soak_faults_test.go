package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"routinely/deploy/local/stack"
)

const (
	// Of so many calls ESA refuses one for its lock, of so many it fails one, and of so many all servers lose the answer to one.
	lockEvery, failEvery, loseEvery = 20, 100, 50
	// After so many jobs, so many messages are put on the queue a second time.
	copyEvery, copySize = 160, 4
)

// victims are all processes, each twice.
func victims() []string {
	all := []string{accept, worker, messageService, edgeService, tableService, functionCompute}
	return slices.Concat(all, all)
}

// Codes that ESA answers with.
const (
	locked  = "UserOperationStatusIsLocked"
	failing = "ServiceUnavailable"
)

// brittle are the servers that break answers.
func brittle() []string { return []string{messageService, edgeService, tableService} }

// breakAnswers lets servers break answers from now on.
func (s *soak) breakAnswers(servers ...string) {
	s.t.Helper()
	for _, server := range servers {
		rules := []map[string]any{s.rule("", loseEvery, map[string]any{"answer": "reset", "execute": true})}
		if server == edgeService {
			for _, action := range []string{"CreateRoutine", "CreateRoutineRelatedRecord"} {
				rules = append(rules,
					s.rule(action, lockEvery, map[string]any{"answer": "error", "code": locked}),
					s.rule(action, failEvery, map[string]any{"answer": "error", "status": http.StatusServiceUnavailable, "code": failing}))
			}
		}
		text, err := json.Marshal(rules)
		if err != nil {
			s.t.Fatal(err)
		}
		send(s.t, http.MethodPost, s.url(server)+"/_local/faults", string(text))
	}
}

// rule breaks one of so many calls for ever, beginning somewhere.
func (s *soak) rule(action string, every int, fault map[string]any) map[string]any {
	return map[string]any{"action": action, "skip": s.random.IntN(every), "every": every, "times": -1, "fault": fault}
}

// heal ends what breakAnswers began.
func (s *soak) heal() {
	s.t.Helper()
	s.countFaults()
	for _, server := range brittle() {
		send(s.t, http.MethodDelete, s.url(server)+"/_local/faults", "")
	}
}

// countFaults takes the calls off the servers' logs, which are bounded and end with their process, and counts those that were
// broken.
func (s *soak) countFaults() {
	s.t.Helper()
	for _, server := range brittle() {
		var log struct {
			Calls []struct{ Code, Fault string }
		}
		decode(s.t, send(s.t, http.MethodGet, s.url(server)+"/_local/calls", ""), &log)
		send(s.t, http.MethodDelete, s.url(server)+"/_local/calls", "")
		for _, call := range log.Calls {
			switch {
			case call.Fault == "reset":
				s.lost++
			case call.Code == locked:
				s.refused++
			case call.Code == failing:
				s.failed++
			}
		}
	}
}

// kill kills the next victim who may die with SIGKILL; servers are started again, functions with the next event.
func (s *soak) kill() {
	s.t.Helper()
	missing := s.recordsMissing()
	next := slices.IndexFunc(s.victims, func(name string) bool { return s.mayDie(name, missing) })
	if next < 0 {
		if s.depth(stack.Queue) == 0 {
			s.submit(s.normal(succeeded)) // the worker tells the ledger along with a job
		}
		return
	}
	s.countFaults()
	switch victim := s.victims[next]; victim {
	case accept, worker:
		s.renew(victim)
	case functionCompute:
		s.restart(victim)
	default:
		s.restart(victim)
		s.breakAnswers(victim)
	}
	s.victims, s.kills = slices.Delete(s.victims, next, next+1), s.kills+1
}

// mayDie reports whether the function has an instance at work, or any if there is no work left. The worker must not have in its
// memory what happened while the ledger was down: it would die with it, since the ledger is evidence and promises no more.
func (s *soak) mayDie(name string, recordsMissing bool) bool {
	s.t.Helper()
	switch name {
	case accept, worker:
		_, done, _ := s.traffic.progress()
		atWork := func(in instance) bool { return in.Function == name && (in.State == "busy" || done) }
		return slices.ContainsFunc(s.instances(s.t), atWork) && !(name == worker && recordsMissing)
	case functionCompute:
		return !recordsMissing
	}
	return true
}

// recordsMissing reports whether the worker has something to tell the ledger, by its log.
func (s *soak) recordsMissing() bool {
	down := false
	for line := range strings.Lines(s.programs[functionCompute].said.String()) {
		switch {
		case !strings.Contains(line, `"function":"provision"`):
		case strings.Contains(line, "the ledger fails"):
			down = true
		case strings.Contains(line, "the ledger is back"):
			down = false
		}
	}
	return down
}

// completeLedger asks for more jobs until the worker has told the ledger everything: it does so along with later jobs.
func (s *soak) completeLedger() {
	s.t.Helper()
	s.until("the ledger is complete", func() bool {
		if !s.recordsMissing() {
			return true
		}
		s.submit(s.normal(succeeded))
		s.awaitEmpty(stack.Queue)
		return false
	})
}

// copyMessages puts messages that are waiting on the queue a second time. Those taken come back later: some jobs are delivered
// three times.
func (s *soak) copyMessages() {
	s.t.Helper()
	messages, err := s.copier.Receive(s.t.Context(), stack.Queue, copySize, 0)
	if err != nil {
		return // the answer was lost
	}
	for _, m := range messages {
		_, err := s.copier.Send(s.t.Context(), stack.Queue, m.Body, 0)
		if err == nil {
			s.copies++
		}
	}
}
