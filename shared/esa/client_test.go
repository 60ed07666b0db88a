package esa_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

func start(t *testing.T) (*esaemu.Server, *esa.Client) {
	t.Helper()
	server, url := localtest.ESA(t, nil, 0)
	return server, newClient(t, url)
}

func newClient(t *testing.T, endpoint string, change ...func(*esa.Config)) *esa.Client {
	t.Helper()
	cfg := esa.Config{Endpoint: endpoint, Credentials: localtest.Credentials, Timeout: 10 * time.Second}
	for _, c := range change {
		c(&cfg)
	}
	client, err := esa.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func inject(t *testing.T, server *esaemu.Server, rule faults.Rule) {
	t.Helper()
	if _, err := server.Faults().Add(rule); err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestActions(t *testing.T) {
	t.Run("creates a routine with what is given and reads it back", func(t *testing.T) {
		_, client := start(t)
		if err := client.CreateRoutine(t.Context(), "pr-1", ptr("日本 & <b>+%"), ptr(true)); err != nil {
			t.Fatal(err)
		}
		got, err := client.GetRoutine(t.Context(), "pr-1")
		if err != nil || got.Routine == nil || got.Routine.CreateTime.IsZero() {
			t.Fatalf("%+v, %v", got, err)
		}
		got.Routine.CreateTime = time.Time{}
		if diff := cmp.Diff(&esa.Routine{Description: "日本 & <b>+%", HasAssets: true}, got.Routine); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("does not send what is not given", func(t *testing.T) {
		server, client := start(t)
		if err := client.CreateRoutine(t.Context(), "pr-1", nil, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"Name": "pr-1"}, server.Faults().Calls()[0].Params); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("binds a record and finds it on a later page, in any case", func(t *testing.T) {
		server, client := start(t)
		if err := client.CreateRoutine(t.Context(), "pr-1", nil, nil); err != nil {
			t.Fatal(err)
		}
		ids := map[string]int64{}
		for i := range 45 {
			name := fmt.Sprintf("www-%02d.example.com", i)
			id, err := client.CreateRoutineRelatedRecord(t.Context(), "pr-1", localtest.SiteID, name)
			if err != nil {
				t.Fatal(err)
			}
			ids[name] = id
		}
		server.Faults().Reset()
		// The fuzzy search for "www-" would match all of them; what counts is the exact name.
		record, found, err := client.FindRelatedRecord(t.Context(), "pr-1", localtest.SiteID, "WWW-44.example.com")
		if err != nil || !found || record.RecordID != ids["www-44.example.com"] || record.RequestID == "" {
			t.Errorf("got %+v, %t, %v; want %d", record, found, err, ids["www-44.example.com"])
		}
		for name, site := range map[string]int64{"ww-44.example.com": localtest.SiteID, "www-44.example.com": 1} {
			if _, found, err := client.FindRelatedRecord(t.Context(), "pr-1", site, name); found || err != nil {
				t.Errorf("%s on site %d: %t, %v", name, site, found, err)
			}
		}
	})
	t.Run("walks all pages of a search that matches more than it should", func(t *testing.T) {
		server, client := start(t)
		if err := client.CreateRoutine(t.Context(), "pr-1", nil, nil); err != nil {
			t.Fatal(err)
		}
		for i := range 41 {
			if _, err := client.CreateRoutineRelatedRecord(t.Context(), "pr-1", localtest.SiteID, fmt.Sprintf("a%02d.b.example.com", i)); err != nil {
				t.Fatal(err)
			}
		}
		server.Faults().Reset()
		if _, found, err := client.FindRelatedRecord(t.Context(), "pr-1", localtest.SiteID, "b.example.com"); found || err != nil {
			t.Errorf("%t, %v", found, err)
		}
		if n := server.Faults().Count("ListRoutineRelatedRecords"); n != 3 {
			t.Errorf("%d pages read, want 3", n)
		}
	})
}

func TestAnswersThatAreNotAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		fault   faults.Fault
		code    string
		created bool
	}{
		"a lost answer, not executed": {faults.Fault{Answer: faults.Reset}, "ConnectionBroken", false},
		"a lost answer, executed":     {faults.Fault{Answer: faults.Reset, Execute: true}, "ConnectionBroken", true},
		"a proxy's page":              {faults.Fault{Answer: faults.HTML, Execute: true}, "HTTP502", true},
		"a proxy's refusal":           {faults.Fault{Answer: faults.HTML, Status: 403}, "HTTP403", false},
		"an empty 200":                {faults.Fault{Answer: faults.Empty}, "UnusableAnswer", false},
		"a 200 in plain text":         {faults.Fault{Answer: faults.WrongType, Execute: true}, "UnusableAnswer", true},
		"half an answer":              {faults.Fault{Answer: faults.Truncated}, "TruncatedAnswer", true},
		"no answer in time":           {faults.Fault{Answer: faults.Hang, Execute: true}, "Timeout", true},
		"an answer that drips":        {faults.Fault{Answer: faults.Drip, DelayMillis: 60_000}, "Timeout", true},
		"an answer that is late":      {faults.Fault{Answer: faults.Slow, DelayMillis: 60_000}, "Timeout", true},
	} {
		t.Run(name, func(t *testing.T) {
			server, url := localtest.ESA(t, nil, 0)
			client := newClient(t, url, func(c *esa.Config) {
				if test.code == "Timeout" {
					c.Timeout = 400 * time.Millisecond // the call must arrive on a busy machine too
				}
			})
			inject(t, server, faults.Rule{Action: "CreateRoutine", Fault: test.fault})
			failure := fault.From(client.CreateRoutine(t.Context(), "pr-1", nil, nil))
			if failure == nil || failure.Kind != fault.Unavailable || failure.Code != test.code || !failure.OutcomeUnknown || failure.Hint == "" {
				t.Fatalf("got %+v", failure)
			}
			state, err := server.State()
			if err != nil || (len(state.Routines) == 1) != test.created {
				t.Errorf("%d routines, %v", len(state.Routines), err)
			}
			if n := server.Faults().Count("CreateRoutine"); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
	t.Run("a 200 of CreateRoutine that does not say OK", func(t *testing.T) {
		for _, body := range []string{`{}`, `{"Status":"Fail","RequestId":"R7"}`} {
			url := localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }), nil)
			failure := fault.From(newClient(t, url).CreateRoutine(t.Context(), "pr-1", nil, nil))
			if failure == nil || failure.Code != "UnusableAnswer" || !failure.OutcomeUnknown || (body != `{}` && failure.RequestID != "R7") {
				t.Errorf("%s: got %+v", body, failure)
			}
		}
	})
	t.Run("a 200 of CreateRoutineRelatedRecord that does not say OK", func(t *testing.T) {
		for _, body := range []string{`{}`, `{"Status":"Fail","RequestId":"R7"}`, `{"Status":"OK","RequestId":"R7"}`} {
			url := localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }), nil)
			_, err := newClient(t, url).CreateRoutineRelatedRecord(t.Context(), "pr-1", 1, "a.example.com")
			failure := fault.From(err)
			if failure == nil || failure.Code != "UnusableAnswer" || !failure.OutcomeUnknown || (body != `{}` && failure.RequestID != "R7") {
				t.Errorf("%s: got %+v", body, failure)
			}
		}
	})
	t.Run("a 200 without end", func(t *testing.T) {
		url := localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"Status":"OK","Filler":"%s"}`, strings.Repeat("x", 2<<20))
		}), nil)
		failure := fault.From(newClient(t, url).CreateRoutine(t.Context(), "pr-1", nil, nil))
		if failure == nil || failure.Code != "UnusableAnswer" || !failure.OutcomeUnknown {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("nobody at the address", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		_ = listener.Close()
		failure := fault.From(newClient(t, "http://"+address).CreateRoutine(t.Context(), "pr-1", nil, nil))
		if failure == nil || failure.Code != "NotReached" || failure.OutcomeUnknown {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("a caller who gives up", func(t *testing.T) {
		_, client := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		failure := fault.From(client.CreateRoutine(ctx, "pr-1", nil, nil))
		if failure == nil || failure.Kind != fault.Unavailable || failure.Code != "Canceled" {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestThrottleHints(t *testing.T) {
	for name, test := range map[string]struct {
		headers map[string]string
		want    time.Duration
	}{
		"in milliseconds":            {map[string]string{"x-acs-retry-after": "1500"}, 1500 * time.Millisecond},
		"as a time left":             {map[string]string{"x-ratelimit-user-api": "TimeLeft:700,Remain:0", "x-ratelimit-user": "Remain:0,TimeLeft:900"}, 900 * time.Millisecond},
		"in seconds":                 {map[string]string{"Retry-After": "7"}, 7 * time.Second},
		"the longest of several":     {map[string]string{"Retry-After": "1", "x-acs-retry-after": "2500"}, 2500 * time.Millisecond},
		"not when it makes no sense": {map[string]string{"Retry-After": "soon", "x-acs-retry-after": "-5"}, 0},
		"at most a day":              {map[string]string{"Retry-After": "9223372036854775807"}, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := start(t)
			inject(t, server, faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "Throttling.User", Headers: test.headers}})
			if failure := fault.From(client.CreateRoutine(t.Context(), "pr-1", nil, nil)); failure.RetryAfter != test.want {
				t.Errorf("got %s, want %s", failure.RetryAfter, test.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*esa.Config){
		"no endpoint":                     func(c *esa.Config) { c.Endpoint = "" },
		"an endpoint with a path":         func(c *esa.Config) { c.Endpoint = "https://esa.cn-hangzhou.aliyuncs.com/x" },
		"an endpoint of another protocol": func(c *esa.Config) { c.Endpoint = "ftp://esa.cn-hangzhou.aliyuncs.com" },
		"no credentials":                  func(c *esa.Config) { c.Credentials = nil },
		"no time limit":                   func(c *esa.Config) { c.Timeout = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := esa.Config{Endpoint: "esa.cn-hangzhou.aliyuncs.com", Credentials: localtest.Credentials, Timeout: time.Second}
			if _, err := esa.New(cfg); err != nil {
				t.Fatal(err)
			}
			spoil(&cfg)
			if _, err := esa.New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}
