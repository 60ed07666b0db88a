package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/stack"
)

// submitters is how many requests for routines are under way at a time.
const submitters = 16

// patience is how long a benchmark waits for jobs before it calls them lost.
const patience = 2 * time.Minute

// deployment is a running stack that reports each job once it succeeded.
type deployment struct {
	*stack.Stack
	http *http.Client
	// succeeded gets the moment of each job's first success; it has room for all jobs.
	succeeded chan time.Time
	// bound is how many host names bind has bound.
	bound int

	mu sync.Mutex
	// done are the ids of the jobs that succeeded, odd the outcomes of the others, with their reasons.
	done map[string]bool
	odd  []string
}

// deploy runs the whole local stack with freshly built binaries until the benchmark ends.
func deploy(b *testing.B, cfg stack.Config, jobs int) *deployment {
	b.Helper()
	d := &deployment{succeeded: make(chan time.Time, jobs), done: make(map[string]bool, jobs)}
	transport := &http.Transport{MaxIdleConnsPerHost: submitters}
	d.http = &http.Client{Transport: transport}
	binaries := b.TempDir()
	// What a queue misses costs up to a long poll, by chance: calm figures can be compared.
	cfg.Dir, cfg.OnInvocation, cfg.CalmQueue = b.TempDir(), d.note, true
	cfg.Addresses = stack.Addresses{HTTP: "127.0.0.1:0", MNS: "127.0.0.1:0", ESA: "127.0.0.1:0", OTS: "127.0.0.1:0", FC: "127.0.0.1:0"}
	cfg.Accept, cfg.Provision = build(b, binaries, "functions/accept/main"), build(b, binaries, "functions/provision/main")
	cfg.Notify, cfg.Janitor = build(b, binaries, "functions/notify/main"), build(b, binaries, "functions/janitor/main")
	var err error
	if d.Stack, err = stack.New(cfg); err != nil {
		b.Fatal(err)
	}
	stop, err := d.Start()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := stop(); err != nil {
			b.Error(err)
		}
	})
	return d
}

// note takes in what the worker reports of its jobs.
func (d *deployment) note(i fcemu.Invocation) {
	if i.Function != stack.FunctionWorker {
		return
	}
	var report struct {
		Messages []struct{ JobID, Outcome, Error string }
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := json.Unmarshal(i.Result, &report); err != nil || i.Err != nil {
		d.odd = append(d.odd, string(i.Result))
		return
	}
	for _, m := range report.Messages {
		if m.Outcome != "succeeded" {
			d.odd = append(d.odd, m.Outcome+" "+m.Error)
			continue
		}
		if !d.done[m.JobID] {
			d.done[m.JobID] = true
			d.succeeded <- time.Now()
		}
	}
}

// submit posts the jobs over HTTP, as fast as accept takes them, and returns their ids.
func (d *deployment) submit(wishes []wish) ([]string, error) {
	return each(len(wishes), func(i int) (string, error) { return d.post(wishes[i]) })
}

// each does something n times, some at a time, and returns the ids of the jobs that come of it.
func each(n int, do func(i int) (id string, err error)) ([]string, error) {
	ids := make([]string, n)
	failures := make(chan error, submitters)
	var next atomic.Int64
	var running sync.WaitGroup
	for range submitters {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				var err error
				if ids[i], err = do(i); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	running.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
		return ids, nil
	}
}

// post asks for a routine and returns the job's id.
func (d *deployment) post(w wish) (string, error) {
	return d.ask(http.MethodPost, "", fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q}`, w.name, stack.SiteID, w.record))
}

// ask makes a call about routines that accept accepts, and returns the job's id.
func (d *deployment) ask(method, path, body string) (string, error) {
	req, err := http.NewRequest(method, d.HTTPURL()+"/v1/routines"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := d.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var job struct{ ID string }
	if err := json.Unmarshal(answer, &job); err != nil || res.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("%s %s %.100s: HTTP %d: %s", method, path, body, res.StatusCode, answer)
	}
	return job.ID, nil
}

// await returns the moment at which n more jobs have succeeded.
func (d *deployment) await(b *testing.B, n int) time.Time {
	b.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	var at time.Time
	for i := range n {
		select {
		case at = <-d.succeeded:
		case <-late.C:
			d.mu.Lock()
			defer d.mu.Unlock()
			b.Fatalf("after %s %d of %d jobs have succeeded; other outcomes: %v; triggers %+v; instances %+v",
				patience, i, n, d.odd, d.FC().Triggers(), d.FC().Instances())
		}
	}
	return at
}

// check stops the benchmark if a job was lost on the way: accepted, but not done, or if ESA has anything else than what was wished for.
func (d *deployment) check(b *testing.B, ids []string, wishes []wish) {
	b.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, id := range ids {
		if !d.done[id] {
			b.Errorf("job %d (%s) was accepted and is not done", i, id)
		}
	}
	for _, outcome := range d.odd {
		b.Logf("other outcome: %s", outcome)
	}
	checkESA(b, d.ESA(), wishes)
}
