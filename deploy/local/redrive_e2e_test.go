package main_test

import (
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
	http string
}

func run(t *testing.T) account {
	t.Helper()
	a := account{process: start(t, "run", t.TempDir(), onFreePorts...)}
	a.http = a.await(`HTTP trigger\)\s+(http\S+)`)[1]
	a.mns = a.await(`MNS\s+(http\S+)`)[1]
	a.esa = a.await(`ESA\s+(http\S+)`)[1]
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
func (a account) killWhileHanging(method, path, body string) {
	a.t.Helper()
	ended := make(chan int, 1)
	go func() {
		req, err := http.NewRequestWithContext(a.t.Context(), method, a.http+path, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "e2e")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			ended <- 0
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		ended <- res.StatusCode
	}()
	for len(send(a.t, http.MethodGet, a.mns+"/_local/faults", "")) > len("[]\n") && !a.t.Failed() {
	}
	kill(a.t, a.busy(a.t, accept).PID)
	if status := <-ended; status < http.StatusInternalServerError {
		a.t.Errorf("the call whose instance was killed ended with %d", status)
	}
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
	for began := time.Now(); a.count(state) != want; {
		if time.Since(began) > limit {
			a.t.Fatalf("%d jobs are %s, want %d", a.count(state), state, want)
		}
	}
}

// checkHolds checks that ESA has each routine with its one record, and nothing else.
func (a account) checkHolds(want int) {
	a.t.Helper()
	var state struct {
		Routines []struct {
			Name    string
			Records []struct{ RecordName string }
		}
	}
	decode(a.t, send(a.t, http.MethodGet, a.esa+"/_local/state", ""), &state)
	for _, r := range state.Routines {
		if len(r.Records) != 1 || !strings.HasPrefix(r.Records[0].RecordName, r.Name+".") {
			a.t.Errorf("routine %+v", r)
		}
	}
	if len(state.Routines) != want {
		a.t.Errorf("%d routines, want %d", len(state.Routines), want)
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

func TestKilled(t *testing.T) {
	const (
		site  = 54362329990032
		other = 54362329990033
		jobs  = 40
	)
	t.Run("in the middle of a batch, that is sent again", func(t *testing.T) {
		t.Parallel()
		a := run(t)
		a.hang("BatchSendMessage", "routinely-jobs", 1, true)
		a.killWhileHanging(http.MethodPost, "/v1/routines:batch", wishes(jobs, site, "example.com"))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.http+"/v1/routines:batch", strings.NewReader(wishes(jobs, site, "example.com")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "e2e")
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil || res.StatusCode != http.StatusAccepted {
			t.Fatalf("%+v, %v", res, err)
		}
		_ = res.Body.Close()
		a.awaitJobs("succeeded", jobs)
		a.checkHolds(jobs)
	})
	for name, execute := range map[string]bool{"before": false, "after": true} {
		t.Run("in the middle of a redrive, "+name+" dead letters were deleted", func(t *testing.T) {
			t.Parallel()
			a := run(t)
			send(t, http.MethodPost, a.http+"/v1/routines:batch", wishes(jobs, other, "example.net"))
			a.awaitJobs("dead-lettered", jobs)
			send(t, http.MethodPost, a.esa+"/_local/sites", fmt.Sprintf(`{"id":%d,"name":"example.net"}`, int64(other)))
			a.hang("BatchDeleteMessage", "routinely-jobs-dead", 1, execute)
			a.killWhileHanging(http.MethodPost, "/v1/dead-letters:redrive", `{"code":"SiteParameterNotMatch","reason":"site added"}`)
			for began := time.Now(); a.count("succeeded") < jobs && time.Since(began) < limit; {
				// What the dead instance held comes back when its leases end.
				send(t, http.MethodPost, a.http+"/v1/dead-letters:redrive", `{"all":true}`)
			}
			a.awaitJobs("succeeded", jobs)
			a.checkHolds(jobs)
		})
	}
}
