package retry_test

import (
	"net/http"
	"testing"
	"time"

	"routinely/shared/retry"
)

func TestAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "+5": 0, "1.5": 0, "soon": 0, "120, 5": 0,
		"86400": 24 * time.Hour, "86401": 24 * time.Hour, "4294967296": 24 * time.Hour, "99999999999999999999": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Sunday, 01-Mar-26 12:01:00 GMT": time.Minute, "Fri, 01 Mar 2199 12:00:00 GMT": 24 * time.Hour,
	} {
		if got := retry.After(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", 1: "1", time.Second: "1", time.Second + 1: "2", time.Hour: "3600"} {
		if got := retry.Seconds(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
