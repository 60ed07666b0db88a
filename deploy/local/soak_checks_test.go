package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// wanted counts the wishes whose jobs must end in the state.
func (s *soak) wanted(state string) int {
	n := 0
	for _, w := range s.wishes {
		if w.want == state {
			n++
		}
	}
	return n
}

// check waits until the ledger is complete and nothing fails any more, and checks everything from the outside: what became of
// each wish by ledger, dead letters and ESA, and what accept tells of it.
func (s *soak) check() {
	s.t.Helper()
	s.completeLedger()
	s.heal()
	s.settle()
	s.checkJobs()
	s.checkLetterCount()
}

// checkJobs checks that accept lists each accepted job once, in the state in which it must have ended, with a reason if it was
// given up.
func (s *soak) checkJobs() {
	s.t.Helper()
	wants, told := map[string]*wish{}, map[string]int{}
	for _, w := range s.wishes {
		wants[w.name] = w
	}
	for _, state := range []string{"queued", succeeded, deadLettered, cancelled} {
		for _, job := range s.jobsIn(state) {
			told[job.ID]++
			w, id := wants[job.Request.Name], s.traffic.ids[job.Request.Name]
			if w == nil || w.want != state || id != "" && id != job.ID || state == deadLettered && (job.Code == "" || job.Reason == "") {
				s.t.Errorf("accept lists %+v as %s, want %+v and job %s", job, state, w, id)
			}
		}
	}
	s.missing, s.doubled = 0, 0
	for name, id := range s.traffic.ids {
		switch n := told[id]; {
		case n == 0:
			s.t.Errorf("%s: job %s was accepted, and accept does not list it", name, id)
			s.missing++
		case n > 1:
			s.t.Errorf("%s: accept lists job %s %d times", name, id, n)
			s.doubled++
		}
	}
}

// jobsIn lists all jobs in a state.
func (s *soak) jobsIn(state string) []story {
	s.t.Helper()
	var out []story
	for cursor := ""; ; {
		var page struct {
			Jobs []story
			Next string
		}
		path := fmt.Sprintf("/v1/jobs?limit=100&state=%s&cursor=%s", state, url.QueryEscape(cursor))
		decode(s.t, send(s.t, http.MethodGet, s.http+path, ""), &page)
		out = append(out, page.Jobs...)
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

// checkLetterCount checks that accept sees as many dead letters as there must be, at the end of their queue.
func (s *soak) checkLetterCount() {
	s.t.Helper()
	var letters struct {
		Total    int
		Complete bool
	}
	decode(s.t, send(s.t, http.MethodGet, s.http+"/v1/dead-letters?limit=1", ""), &letters)
	if want := s.wanted(deadLettered); letters.Total != want || !letters.Complete {
		s.t.Errorf("accept tells of %d dead letters (all: %t), want %d", letters.Total, letters.Complete, want)
	}
}

// report tells what was done and how long it took.
func (s *soak) report() {
	s.t.Helper()
	c := s.traffic.count
	s.t.Logf(`seed %d
submitted   %d requests; calls that were cut off, refused or failed in part, and made again: %d
accepted    %d jobs
duplicates  %d requests, %d messages
refused     %d calls of ESA for the lock, %d failed
answers     %d lost
kills       %d
redriven    %d dead letters
ended       all after %s, %.0f jobs/s; with the redrive and the checks %s
jobs lost   %d
duplicated  %d`,
		s.seed, c.items, c.again, len(s.traffic.ids), c.duplicates, s.copies, s.refused, s.failed, s.lost, s.kills, s.redriven,
		s.quiet.Round(time.Second), float64(s.jobs)/s.quiet.Seconds(), time.Since(s.began).Round(time.Second), s.missing, s.doubled)
}
