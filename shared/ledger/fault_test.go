package ledger_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/ledger"
)

// everyMethod calls each method once and returns its error.
func everyMethod(ctx context.Context, l *ledger.Ledger) map[string]error {
	_, _, claimed := l.Claim(ctx, newJob(1))
	_, appended := l.Append(ctx, newJob(1), started(1))
	_, read := l.Job(ctx, newJob(1).ID)
	_, history := l.History(ctx, newJob(1).ID)
	_, _, listed := l.Jobs(ctx, ledger.Filter{}, 10, "")
	_, setUp := l.Setup(ctx, false)
	return map[string]error{"Claim": claimed, "Append": appended, "Job": read, "History": history, "Jobs": listed, "Setup": setUp}
}

func wantEvery(t *testing.T, ctx context.Context, l *ledger.Ledger, want string, unknown bool) {
	t.Helper()
	for method, err := range everyMethod(ctx, l) {
		var f *fault.Error
		if !errors.As(err, &f) {
			t.Errorf("%s: %v, want a fault", method, err)
			continue
		}
		if codeOf(err) != want || f.OutcomeUnknown != unknown || f.Hint == "" || f.Step == "" {
			t.Errorf("%s: %s, unknown %t, step %q, hint %q; want %s, unknown %t", method, codeOf(err), f.OutcomeUnknown, f.Step, f.Hint, want, unknown)
		}
	}
}

func TestFaults(t *testing.T) {
	l, server := newLedger(t)
	for _, test := range []struct {
		name, want string
		fault      faults.Fault
		unknown    bool
	}{
		{"the service is busy", "unavailable OTSServerBusy", faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}, true},
		{"the service breaks", "unavailable OTSInternalServerError", faults.Fault{Answer: faults.Error, Status: 500, Code: "OTSInternalServerError"}, true},
		{"the service breaks in a new way", "unavailable OTSNews", faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSNews"}, true},
		{"the service refuses in a new way", "internal OTSNews", faults.Fault{Answer: faults.Error, Status: 400, Code: "OTSNews"}, false},
		{"the table is not ready", "unavailable OTSTableNotReady", faults.Fault{Answer: faults.Error, Status: 404, Code: "OTSTableNotReady"}, false},
		{"capacity is used up", "throttled OTSNotEnoughCapacityUnit", faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSNotEnoughCapacityUnit"}, false},
		{"the role may not", "operator OTSNoPermissionAccess", faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSNoPermissionAccess"}, false},
		{"a proxy answers", "unavailable HTTP502", faults.Fault{Answer: faults.HTML}, true},
		{"a proxy answers 200", "unavailable UnusableAnswer", faults.Fault{Answer: faults.WrongType}, true},
		{"the answer is empty", "unavailable UnusableAnswer", faults.Fault{Answer: faults.Empty}, true},
		{"the answer breaks off", "unavailable TruncatedAnswer", faults.Fault{Answer: faults.Truncated}, true},
		{"the connection breaks", "unavailable ConnectionBroken", faults.Fault{Answer: faults.Reset}, true},
	} {
		t.Run("are reported when "+test.name, func(t *testing.T) {
			breakNext(t, server, faults.Rule{Fault: test.fault, Times: -1})
			defer server.Faults().Clear()
			wantEvery(t, t.Context(), l, test.want, test.unknown)
		})
	}
	t.Run("carry the service's request id", func(t *testing.T) {
		breakNext(t, server, faults.Rule{Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}})
		_, err := l.Job(t.Context(), "x")
		if fault.From(err).RequestID == "" {
			t.Error("no request id")
		}
	})
	t.Run("come from one call, never repeated", func(t *testing.T) {
		breakNext(t, server, faults.Rule{Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}})
		server.Faults().Reset()
		if _, err := l.Job(t.Context(), "x"); err == nil {
			t.Error("no error")
		}
		if calls := len(server.Faults().Calls()); calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
	t.Run("are reported when nobody listens", func(t *testing.T) {
		nowhere := connect(t, "http://127.0.0.1:1", nil)
		wantEvery(t, t.Context(), nowhere, "unavailable NotReached", false)
	})
	t.Run("are reported when nobody answers in time", func(t *testing.T) {
		breakNext(t, server, faults.Rule{Fault: faults.Fault{Answer: faults.Hang}, Times: -1})
		defer server.Faults().Clear()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantEvery(t, ctx, l, "unavailable Timeout", true)
	})
	t.Run("are reported when a call takes longer than it may", func(t *testing.T) {
		slow, url := localtest.OTS(t, nil)
		breakNext(t, slow, faults.Rule{Fault: faults.Fault{Answer: faults.Hang}, Times: -1})
		wantEvery(t, t.Context(), connect(t, url, func(c *ledger.Config) { c.Timeout = 20 * time.Millisecond }), "unavailable Timeout", true)
	})
	t.Run("are reported when an answer was changed on its way", func(t *testing.T) {
		url := localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ots-requestid", "R1")
			w.Header().Set("x-ots-contentmd5", "1B2M2Y8AsgTpgAmY7PhCfg==") // of nothing
			_, _ = w.Write([]byte("something"))
		}), nil)
		wantEvery(t, t.Context(), connect(t, url, nil), "unavailable UnusableAnswer", true)
	})
	t.Run("are read when an error comes without a sum", func(t *testing.T) {
		url := localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ots-requestid", "R1")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("\x0a\x0dOTSAuthFailed\x12\x04nope")) // fields 1 and 2 of the protocol's Error
		}), nil)
		wantEvery(t, t.Context(), connect(t, url, nil), "operator OTSAuthFailed", false)
	})
	t.Run("are reported when an answer lacks what the SDK expects", func(t *testing.T) {
		url := localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ots-requestid", "R1")
			w.Header().Set("x-ots-contentmd5", "1B2M2Y8AsgTpgAmY7PhCfg==") // of nothing
		}), nil)
		wantEvery(t, t.Context(), connect(t, url, nil), "unavailable UnusableAnswer", true)
	})
	t.Run("are reported when the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantEvery(t, ctx, l, "unavailable Canceled", true)
	})
}

func TestRefusals(t *testing.T) {
	server, url := localtest.OTS(t, nil)
	t.Run("name the missing table", func(t *testing.T) {
		l := connect(t, url, nil)
		_, err := l.Job(t.Context(), "x")
		if codeOf(err) != "operator OTSObjectNotExist" {
			t.Error(err)
		}
	})
	t.Run("name the credentials", func(t *testing.T) {
		l := connect(t, url, func(c *ledger.Config) {
			c.Credentials = func() (string, string, string) { return localtest.AccessKeyID, "wrong", "" }
		})
		wantEvery(t, t.Context(), l, "operator OTSAuthFailed", false)
	})
	for _, test := range []struct{ name, message, hint string }{
		{"name the clock", "Mismatch between system time and x-ots-date: 2001.", "clock"},
		{"name the network", "Request denied by instance ACL policies.", "the internet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			breakNext(t, server, faults.Rule{Fault: faults.Fault{
				Answer: faults.Error, Status: 403, Code: "OTSAuthFailed", Message: test.message,
			}})
			_, err := connect(t, url, nil).Job(t.Context(), "x")
			if codeOf(err) != "operator OTSAuthFailed" || !strings.Contains(fault.From(err).Hint, test.hint) {
				t.Errorf("%s, hint %q", codeOf(err), fault.From(err).Hint)
			}
		})
	}
	t.Run("do not come for a session's token", func(t *testing.T) {
		l := connect(t, url, func(c *ledger.Config) {
			c.Credentials = func() (string, string, string) { return localtest.AccessKeyID, localtest.AccessKeySecret, "token" }
		})
		if _, err := l.Setup(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
	t.Run("come for keys that cannot be signed with", func(t *testing.T) {
		l := connect(t, url, func(c *ledger.Config) { c.Credentials = func() (string, string, string) { return "", "", "" } })
		if _, err := l.Job(t.Context(), "x"); err == nil {
			t.Error("no error")
		}
	})
}
