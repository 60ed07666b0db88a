package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// account is a running stack with the addresses that its banner tells.
type account struct {
	*process
	servers
	http, ots string
}

func run(t *testing.T, args ...string) account {
	t.Helper()
	return begun(start(t, "run", t.TempDir(), append(args, onFreePorts...)...))
}

// begun reads the addresses of a stack that starts.
func begun(p *process) account {
	p.t.Helper()
	a := account{process: p}
	a.http = a.await(`HTTP trigger\)\s+(http\S+)`)[1]
	a.mns = a.await(`MNS\s+(http\S+)`)[1]
	a.esa = a.await(`ESA\s+(http\S+)`)[1]
	a.ots = a.await(`Tablestore\s+(http\S+)`)[1]
	a.fc = a.await(`Function Compute\s+(http\S+)`)[1]
	a.await(`Ctrl-C`)
	return a
}

// hang makes MNS hold back an answer to accept: what was asked takes effect or not, and nobody is told.
func (a account) hang(action, queue string, skip int, execute bool) {
	a.t.Helper()
	send(a.t, http.MethodPost, a.mns+"/_local/faults",
		fmt.Sprintf(`{"action":%q,"match":{"queue":%q},"skip":%d,"fault":{"answer":"hang","execute":%t}}`, action, queue, skip, execute))
}

// killWhileHanging makes a call, and kills the instance that answers it once MNS holds back.
func (a account) killWhileHanging(path, body string) {
	a.t.Helper()
	ended := ask(a.t.Context(), a.http+path, "e2e", body)
	until(a.t, "MNS holds back", func() bool { return len(send(a.t, http.MethodGet, a.mns+"/_local/faults", "")) <= len("[]\n") })
	kill(a.t, a.busy(a.t, accept).PID)
	if status := <-ended; status < http.StatusInternalServerError {
		a.t.Errorf("the call whose instance was killed ended with %d", status)
	}
}

// noAnswer is the status of a call that was cut off: one that a client makes again, as it does after any from 500 on.
const noAnswer = 599

// ask posts a request under an idempotency key and tells the status of the answer, noAnswer also when it takes too long.
func ask(ctx context.Context, url, key, body string) <-chan int {
	ended := make(chan int, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
		res, err := client.Do(req)
		if err != nil {
			ended <- noAnswer
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		ended <- res.StatusCode
	}()
	return ended
}

// count is how many jobs are in the state, up to 100.
func (a account) count(state string) int {
	a.t.Helper()
	var list struct{ Jobs []struct{ ID string } }
	decode(a.t, send(a.t, http.MethodGet, a.http+"/v1/jobs?limit=100&state="+state, ""), &list)
	return len(list.Jobs)
}

// awaitJobs waits until so many jobs are in the state.
func (a account) awaitJobs(state string, want int) {
	a.t.Helper()
	until(a.t, fmt.Sprintf("%d jobs are %s", want, state), func() bool { return a.count(state) == want })
}

// routine is a routine that ESA has.
type routine struct {
	Name    string
	Records []struct{ RecordName string }
}

func (s servers) routines(t *testing.T) []routine {
	t.Helper()
	var state struct{ Routines []routine }
	decode(t, send(t, http.MethodGet, s.esa+"/_local/state", ""), &state)
	return state.Routines
}

// checkHolds checks that ESA has each routine with its one record, and nothing else.
func (a account) checkHolds(want int) {
	a.t.Helper()
	routines := a.routines(a.t)
	for _, r := range routines {
		if len(r.Records) != 1 || !strings.HasPrefix(r.Records[0].RecordName, r.Name+".") {
			a.t.Errorf("routine %+v", r)
		}
	}
	if len(routines) != want {
		a.t.Errorf("%d routines, want %d", len(routines), want)
	}
}

// wishes is a batch of requests for a site.
func wishes(count int, site int64, zone string) string {
	items := make([]string, count)
	for n := range items {
		items[n] = fmt.Sprintf(`{"name":"job-%d","siteId":%d,"recordName":"job-%d.%s"}`, n, site, n, zone)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// within looks again and again until something is done, for so long at most. The longer it takes, the longer are the pauses.
func within(t *testing.T, most, longestPause time.Duration, what string, done func() bool) {
	t.Helper()
	late := time.After(most)
	for pause := shortest; !done(); pause = min(pause*4/3, longestPause) {
		select {
		case <-time.After(pause):
		case <-late:
			t.Fatalf("waited %s in vain: %s", most, what)
		}
	}
}
