package accept

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"routinely/shared/fault"
	"routinely/shared/logging"
)

// maxRefusals is how many lines about refused callers are logged in a minute: the lines of a flood would cost more than they say.
const maxRefusals = 20

// refusals logs the requests of callers who are not known, or who send too many: who tries tokens must leave a trace. It counts for one instance of the function.
type refusals struct {
	mu sync.Mutex
	// since is when the first line of the current minute was written.
	since         time.Time
	told, leftOut int
}

// log writes one line with where a request came from, the status of its answer and why it is refused, and in it how many lines were left out before. Errors of package
// auth quote nothing of what was sent.
func (f *refusals) log(r *http.Request, err error, status int, now time.Time) {
	leftOut, wanted := f.take(now)
	if !wanted {
		return
	}
	failure := fault.From(err)
	logging.From(r.Context()).WithFields(logging.Fields{
		logging.Event: logging.CallerRefused, logging.Status: status, logging.LeftOut: leftOut,
		"source":       fmt.Sprintf("%.45s", r.RemoteAddr), // the longest text of an IPv6 address
		logging.Reason: failure.Code, logging.Error: failure.Message,
	}).Warn("caller refused")
}

// take reports whether there is room for a line, and how many found none since the last one.
func (f *refusals) take(now time.Time) (leftOut int, wanted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) >= time.Minute {
		f.since, f.told = now, 0
	}
	if f.told >= maxRefusals {
		f.leftOut++
		return 0, false
	}
	leftOut, f.leftOut = f.leftOut, 0
	f.told++
	return leftOut, true
}
