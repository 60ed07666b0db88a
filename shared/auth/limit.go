package auth

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"routinely/shared/fault"
	"routinely/shared/retry"
)

// maxPerMinute is the largest limit, and the most that one request can count.
const maxPerMinute = 1_000_000

// Limit is the answer to whether a caller may go on, and what to tell it.
type Limit struct {
	// Allowed means that the requests may be worked on; they are counted.
	Allowed bool
	// RetryAfter is when to ask again if they may not, in whole seconds.
	RetryAfter time.Duration
	// PerMinute is how many requests the caller may send in a minute; 0 means as many as it likes.
	PerMinute int
	// Left is how many it may send at once now.
	Left int
	// Window is the time over which to spread what is left, in whole seconds; with nothing left, until there is something.
	Window time.Duration
}

// Err is nil if the requests are allowed, else a fault of kind Throttled.
func (l Limit) Err() error {
	if l.Allowed {
		return nil
	}
	return &fault.Error{
		Kind: fault.Throttled, Code: CodeTooManyRequests, RetryAfter: l.RetryAfter, Message: "the caller sends too many requests",
		Hint: "Send again after the time in the header Retry-After. RateLimit-Policy says how many requests a minute are possible.",
	}
}

// SetHeaders sets RateLimit-Policy and RateLimit as draft-ietf-httpapi-ratelimit-headers-11 has them, and Retry-After if the
// requests are not allowed. Without a limit it sets nothing.
func (l Limit) SetHeaders(header http.Header) {
	if !l.Allowed {
		header.Set("Retry-After", retry.Seconds(l.RetryAfter))
	}
	if l.PerMinute > 0 {
		header.Set("RateLimit-Policy", fmt.Sprintf(`"caller";q=%d;w=60`, l.PerMinute))
		header.Set("RateLimit", fmt.Sprintf(`"caller";r=%d;t=%d`, l.Left, int(l.Window.Seconds())))
	}
}

// Admit counts n requests of a caller, at least one, if it may send them now. A batch counts as many as it has items, because
// each becomes a job. One that is larger than the limit can be sent too, while the caller has used nothing; what comes next
// then waits the longer.
//
// Each caller has a bucket that holds what it may send in a minute and fills up evenly, so that a minute's requests may come
// at once. The bucket is in the memory of this instance: Function Compute may run many, each with its own.
func (g *Guard) Admit(caller Caller, n int, now time.Time) Limit { return g.admit(caller, 0, n, now) }

// AdmitMore counts n more requests of a call of which Admit has counted one, before it was known what it asks for. If it may not, RetryAfter is
// for the call as a whole.
func (g *Guard) AdmitMore(caller Caller, n int, now time.Time) Limit {
	return g.admit(caller, 1, n, now)
}

func (g *Guard) admit(caller Caller, counted, n int, now time.Time) Limit {
	if g.everybody {
		return Limit{Allowed: true}
	}
	for i := range g.accounts {
		if a := &g.accounts[i]; a.name == caller.Name {
			if a.limit == nil {
				return Limit{Allowed: true}
			}
			return a.limit.take(counted, min(max(n, 1), maxPerMinute), now)
		}
	}
	return Limit{RetryAfter: time.Minute} // not one of this guard's callers
}

// bucket is a token bucket, kept as the time at which it will be full again (the generic cell rate algorithm): whole numbers,
// and nothing to do while nobody calls.
type bucket struct {
	perMinute int
	// each is how long it takes for one request to become possible.
	each time.Duration

	mu     sync.Mutex
	fullAt time.Time
}

func newBucket(perMinute int) *bucket {
	return &bucket{perMinute: perMinute, each: time.Minute / time.Duration(perMinute)}
}

// take counts n requests if the bucket holds them, or is full but for those that the same call has taken already. Amounts are in the time that
// they take to come back.
func (b *bucket) take(counted, n int, now time.Time) Limit {
	b.mu.Lock()
	defer b.mu.Unlock()
	capacity, price := b.each*time.Duration(b.perMinute), b.each*time.Duration(n)
	fullAt := b.fullAt
	if fullAt.Before(now) {
		fullAt = now
	}
	held, paid := capacity-fullAt.Sub(now), b.each*time.Duration(counted)
	lacking := min(price, capacity-paid) - held
	if lacking <= 0 {
		held -= price
		b.fullAt = fullAt.Add(price)
	}
	left := max(held/b.each, 0)
	out := Limit{Allowed: lacking <= 0, PerMinute: b.perMinute, Left: int(left)}
	switch {
	case !out.Allowed: // Retry-After should not be earlier than the end of the window (section 6 of the draft)
		out.RetryAfter = wholeSeconds(lacking + paid) // which the call pays again
		out.Window = out.RetryAfter
	case left > 0:
		out.Window = wholeSeconds(left * b.each)
	default:
		out.Window = wholeSeconds(b.each - held)
	}
	return out
}

// wholeSeconds rounds up: a header has no room for fractions, and too early is too early.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
