package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/stack"
)

// troubles are what happens to the deployment, in a random order.
func (s *soak) troubles() (all []func()) {
	times := 2
	if testing.Short() {
		times = 1
	}
	for range times {
		for _, function := range []string{accept, worker, notify, janitor} {
			all = append(all, func() { // it has no process if it was killed a moment ago
				request(s.t.Context(), http.MethodPost, s.url[functionCompute]+"/_local/instances/kill", fmt.Sprintf(`{"function":%q}`, function))
				s.kills++
			})
		}
		for _, program := range append(programNames(), everything) {
			all = append(all, func() {
				s.countFaults()
				if s.kills++; program == everything {
					s.restart(programNames()...)
				} else {
					s.restart(program)
				}
				s.breakAnswers()
			})
		}
		for _, server := range []string{messageService, tableService} {
			all = append(all, func() {
				end := s.outage(server)
				<-time.After(outageTime)
				end()
				s.outages++
				s.breakAnswers()
			}, s.copyMessages)
		}
	}
	s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// copyMessages puts some messages that are on the queue there a second time.
func (s *soak) copyMessages() {
	client := s.queues()
	messages := s.messages(stack.Queue)
	for _, body := range messages[:min(copied, len(messages))] {
		if _, err := client.Send(s.t.Context(), stack.Queue, body, 0); err == nil {
			s.copies++
		}
	}
}

// breakAnswers lets servers break answers from now on, each in its own way and no other.
func (s *soak) breakAnswers() {
	s.t.Helper()
	s.heal()
	for _, server := range []string{messageService, edgeService, tableService} {
		rules := []string{fmt.Sprintf(`{"skip":%d,"every":%d,"times":-1,"fault":{"answer":"reset","execute":true}}`, s.random.IntN(loseEvery), loseEvery)}
		for _, action := range []string{"CreateRoutine", "CreateRoutineRelatedRecord"} {
			if server == edgeService {
				rules = append(rules,
					fmt.Sprintf(`{"action":%q,"every":%d,"times":-1,"fault":{"answer":"error","code":%q}}`, action, lockEvery, locked),
					fmt.Sprintf(`{"action":%q,"every":%d,"times":-1,"fault":{"answer":"error","status":503,"code":"ServiceUnavailable"}}`, action, failEvery))
			}
		}
		s.send(http.MethodPost, s.url[server]+"/_local/faults", "["+strings.Join(rules, ",")+"]")
	}
}

// countFaults takes the calls off the servers' logs, which end with their process, and counts those that were broken.
func (s *soak) countFaults() {
	s.t.Helper()
	for _, server := range []string{messageService, edgeService, tableService} {
		var log struct {
			Calls []struct{ Code, Fault string }
		}
		s.read(s.url[server]+"/_local/calls", &log)
		s.send(http.MethodDelete, s.url[server]+"/_local/calls", "")
		for _, call := range log.Calls {
			switch {
			case call.Fault == "reset":
				s.lost++
			case call.Code == locked:
				s.refused++
			case call.Fault == "error":
				s.failed++
			}
		}
	}
}

// heal ends what breakAnswers began.
func (s *soak) heal() {
	s.t.Helper()
	s.countFaults()
	for _, server := range []string{messageService, edgeService, tableService} {
		s.send(http.MethodDelete, s.url[server]+"/_local/faults", "")
	}
}
