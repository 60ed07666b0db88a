package retry

import (
	"net/http"
	"strconv"
	"time"
)

// maxAfter is the longest time that anybody is left alone because they asked for it.
const maxAfter = 24 * time.Hour

// After reads the header Retry-After (RFC 9110, section 10.2.3), in seconds or as a date: how long after now the far side asks to be left alone,
// at most a day; 0 if it does not ask, or nobody can read how long.
func After(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if d := Count(text, time.Second); d > 0 {
		return d
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxAfter)
}

// Count reads a number of units as headers have it: After's rules, for other headers in another unit.
func Count(text string, unit time.Duration) time.Duration {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0
	}
	return time.Duration(min(n, uint64(maxAfter/unit))) * unit
}

// Seconds writes a time as Retry-After has it, rounded up: too early is too early.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
