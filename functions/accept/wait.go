package accept

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"routinely/shared/routine"
)

// How long a caller may be kept waiting: less than a minute, since each waiting request has an instance of its own, and with
// answerTime left of the invocation's time.
const (
	maxWait    = 50 * time.Second
	answerTime = 3 * time.Second
)

// LongestWait is how long a call may take for a caller who waits for a job, the time to answer included.
const LongestWait = maxWait + answerTime

// preferredWait is how long the client wants to wait for the job to end (RFC 7240), as far as that is possible; 0 is not at
// all. The preference of a signed request is not signed, and counts for nothing.
func (s *Service) preferredWait(r *http.Request) time.Duration {
	wanted := waitPreference(r.Header.Get("Prefer"))
	if wanted == 0 || callerOf(r.Context()).Signed() {
		return 0
	}
	if deadline, ok := r.Context().Deadline(); ok {
		wanted = min(wanted, (deadline.Sub(s.Now()) - answerTime).Truncate(time.Second))
	}
	return max(0, wanted)
}

// waitPreference finds wait=SECONDS among the preferences of a header, at most maxWait. The first one counts.
func waitPreference(header string) time.Duration {
	quoted := false
	for part := range strings.FieldsFuncSeq(header, func(c rune) bool {
		quoted = quoted != (c == '"')
		return c == ',' && !quoted
	}) {
		preference, _, _ := strings.Cut(part, ";") // parameters follow
		name, value, _ := strings.Cut(preference, "=")
		value = strings.Trim(value, ` "`)
		if !strings.EqualFold(strings.TrimSpace(name), "wait") || value == "" || strings.Trim(value, "0123456789") != "" {
			continue
		}
		if seconds, err := strconv.Atoi(value); err == nil && seconds < int(maxWait.Seconds()) {
			return time.Duration(seconds) * time.Second
		}
		return maxWait
	}
	return 0
}

// How often a job is looked at while somebody waits for it.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 2 * time.Second
)

// What waiting costs: it holds an instance as long as several requests would.
const (
	// waitPrice is the time that counts as one request more.
	waitPrice = 10 * time.Second
	// maxWaits is how many requests of a caller an instance keeps waiting at a time.
	maxWaits = 4
)

// await looks at a job until it has ended or the time is over, and returns it as it was seen last. A caller who has waits enough under way, or not
// enough left of its rate, is answered at once: a preference is no condition, and the job is accepted either way.
func (s *Service) await(ctx context.Context, job routine.Job, limit time.Duration) (seen routine.Job, waited bool) {
	if job.State.Final() {
		return job, true
	}
	caller := callerOf(ctx)
	if !s.waits.begin(caller.Name) {
		return job, false
	}
	defer s.waits.end(caller.Name)
	price := int((limit + waitPrice - 1) / waitPrice)
	left := s.Guard.AdmitMore(caller, price, s.Now())
	if !left.Allowed {
		return job, false
	}
	left.SetHeaders(visitOf(ctx).header)
	return s.look(ctx, job, limit), true
}

// look looks at a job until it has ended or the time is over, and returns it as it was seen last.
func (s *Service) look(ctx context.Context, job routine.Job, limit time.Duration) routine.Job {
	end := s.Now().Add(limit)
	for pause := firstLook; !job.State.Final() && s.Now().Before(end); pause = min(pause*3/2, lastLook) {
		s.Sleep(ctx, min(pause, end.Sub(s.Now())))
		if ctx.Err() != nil {
			break
		}
		if seen, err := s.Ledger.Job(ctx, job.ID); err == nil {
			job = seen
		}
	}
	return job
}

// waits counts the requests that are kept waiting, by their callers.
type waits struct {
	mu  sync.Mutex
	now map[string]int
}

// begin reports whether one more of the caller's may wait. If so, end must be called.
func (w *waits) begin(caller string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now[caller] == maxWaits {
		return false
	}
	w.now[caller]++
	return true
}

func (w *waits) end(caller string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now[caller]--; w.now[caller] == 0 {
		delete(w.now, caller)
	}
}
