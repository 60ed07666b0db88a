package jobs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGetOfAJobThatWaitsForTheLane(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"job-1","state":"queued","acceptedAt":"2026-03-01T12:00:00Z","kind":"account","code":"Overdue","hint":"Pay.",`+
			`"waiting":{"for":"parked","since":"2026-03-01T12:00:00Z"}}`)
	}))
	defer server.Close()
	var stdout, stderr strings.Builder
	app := &cli.App{Environ: []string{"ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}}
	code := app.Run(t.Context(), []string{"jobs", "get", "job-1"}, jobs.Command(app))
	if code != 0 || stderr.String() != "next: routinely account show\n" {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
	for _, line := range []string{"waiting      for the lane, which is parked, since ", "outcome      account Overdue: Pay."} {
		if !strings.Contains(stdout.String(), line) {
			t.Errorf("not shown: %q", line)
		}
	}
}
