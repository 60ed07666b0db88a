package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"routinely/deploy/local/stack"
)

const (
	// callers is how many ask at a time, maxItems how long their batches are at most.
	callers, maxItems = 8, 100
	// Of so many calls one is a batch, of so many one is made twice, and of so many jobs one is for a site that the account has
	// not.
	batchEvery, repeatEvery, strangeEvery = 3, 20, 30
	// The site that is missing, until it is added for the redrive.
	strangeSite, strangeZone = 1, "example.net"
)

// submission is a call of accept that is made until all its jobs are accepted.
type submission struct {
	client
	wishes []*wish
	// repeated means that it is made once more after that.
	repeated bool
}

// calls makes the wishes of a soak and the calls that ask for them.
func (s *soak) calls() []*submission {
	var out []*submission
	for len(s.wishes) < s.jobs {
		c := &submission{repeated: s.random.IntN(repeatEvery) == 0}
		size := 1
		if s.random.IntN(batchEvery) == 0 {
			size += s.random.IntN(maxItems)
		}
		items := make([]string, min(size, s.jobs-len(s.wishes)))
		for i := range items {
			site, zone, want := int64(stack.SiteID), stack.SiteName, succeeded
			if s.random.IntN(strangeEvery) == 0 {
				site, zone, want = strangeSite, strangeZone, deadLettered
			}
			w := s.wish(site, zone, want)
			c.wishes, items[i] = append(c.wishes, w), w.body()
		}
		c.key = "call-" + c.wishes[0].name
		c.path, c.body = "/v1/routines:batch", "["+strings.Join(items, ",")+"]"
		if len(items) == 1 {
			c.path, c.body = "/v1/routines", items[0]
		}
		out = append(out, c)
	}
	return out
}

// traffic is what callers ask for.
type traffic struct {
	url   string
	http  *http.Client
	queue chan *submission

	// left are the calls that nobody has begun, which belong to whoever feeds.
	left []*submission

	mu sync.Mutex
	// open counts the calls that are not done, busy those that somebody waits for.
	open, busy int
	// ids are the jobs of the wishes, by name.
	ids    map[string]string
	count  counts
	failed error
}

// counts are requests, each item of a batch being one, except for again, the calls that did not accept all.
type counts struct{ items, duplicates, again int }

func newTraffic(url string, calls []*submission) *traffic {
	return &traffic{
		url: url, left: calls, open: len(calls), queue: make(chan *submission), ids: map[string]string{},
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit},
	}
}

// start lets the callers begin, and returns what ends them.
func (f *traffic) start(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			if err := f.work(ctx); err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.failed = cmp.Or(f.failed, err)
			}
		})
	}
	return func() {
		stop()
		running.Wait()
	}
}

// feed gives calls to the callers who are free.
func (f *traffic) feed() {
	for len(f.left) > 0 {
		select {
		case f.queue <- f.left[0]:
			if f.left = f.left[1:]; len(f.left) == 0 {
				close(f.queue)
			}
		default:
			return
		}
	}
}

// progress tells how many jobs are accepted, whether all calls are done, and what went wrong first.
func (f *traffic) progress() (accepted int, done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ids), f.open == 0, f.failed
}

// work is one caller.
func (f *traffic) work(ctx context.Context) error {
	for {
		select {
		case c, more := <-f.queue:
			if !more {
				return nil
			}
			if err := f.perform(ctx, c); err != nil {
				return fmt.Errorf("%s %s: %w", c.path, c.key, err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// perform makes a call until it has accepted all.
func (f *traffic) perform(ctx context.Context, c *submission) error {
	times := 1
	if c.repeated {
		times = 2
	}
	tick := time.NewTicker(between)
	defer tick.Stop()
	for times > 0 {
		whole, err := f.call(ctx, c)
		if err != nil {
			return err
		}
		if whole {
			times--
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	return nil
}

// verdict is what accept says of one request.
type verdict struct{ Status, JobID string }

// call makes a call once and reports whether it has accepted all.
func (f *traffic) call(ctx context.Context, c *submission) (whole bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+c.path, strings.NewReader(c.body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", c.key)
	f.waiting(1)
	verdicts, err := f.verdicts(req)
	f.waiting(-1)
	if err != nil {
		return false, err
	}
	return f.note(c, verdicts)
}

// waiting counts those who wait for an answer.
func (f *traffic) waiting(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy += n
}

// under reports whether a call is under way, or none will be any more.
func (f *traffic) under() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy > 0 || f.open == 0
}

// note takes the answer to a call in.
func (f *traffic) note(c *submission, verdicts []verdict) (whole bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count.items += len(c.wishes)
	accepted := 0
	for i, v := range verdicts {
		name := c.wishes[i].name
		switch known := f.ids[name]; {
		case v.Status == "failed":
			continue
		case v.Status != "accepted" && v.Status != "duplicate" || v.JobID == "" || known != "" && known != v.JobID:
			return false, fmt.Errorf("%s, known as job %q, is %+v", name, known, v)
		case known != "" || v.Status == "duplicate":
			f.count.duplicates++
		}
		f.ids[name] = v.JobID
		accepted++
	}
	if accepted < len(c.wishes) {
		f.count.again++
	}
	return accepted == len(c.wishes), nil
}

// verdicts makes the call and reads the answer; none if it was cut off or accept could not do it.
func (f *traffic) verdicts(req *http.Request) ([]verdict, error) {
	res, err := f.http.Do(req)
	if err != nil {
		return nil, req.Context().Err() // cut off
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, req.Context().Err()
	}
	var told struct {
		ID    string
		Items []verdict
	}
	switch {
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return nil, nil
	case res.StatusCode >= http.StatusBadRequest || json.Unmarshal(answer, &told) != nil:
		return nil, fmt.Errorf("%s: %s", res.Status, answer)
	case told.ID == "":
		return told.Items, nil
	case res.Header.Get("Idempotency-Replayed") == "true":
		return []verdict{{"duplicate", told.ID}}, nil
	}
	return []verdict{{"accepted", told.ID}}, nil
}
