package esa_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"routinely/shared/trace"
)

func TestUserAgent(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.UserAgent())
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"RequestId":"R1","Status":"OK"}`))
	}))
	t.Cleanup(server.Close)
	client := newClient(t, server.URL)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := trace.Into(t.Context(), parent)
	for _, err := range []error{
		client.CreateRoutine(t.Context(), "pr-1", nil, nil), client.CreateRoutine(ctx, "pr-1", nil, nil), client.CreateRoutine(t.Context(), "pr-1", nil, nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got[0] == "" || strings.Contains(got[0], "traceparent") || got[2] != got[0] {
		t.Errorf("without a span: %q and %q", got[0], got[2])
	}
	if want := got[0] + " traceparent/" + parent; got[1] != want {
		t.Errorf("got %q, want %q", got[1], want)
	}
}
