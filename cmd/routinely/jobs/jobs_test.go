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

// get shows a job that a server answers with.
func get(t *testing.T, job string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, job)
	}))
	defer server.Close()
	var out, told strings.Builder
	app := &cli.App{Environ: []string{"COLUMNS=200", "ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told}}
	code = app.Run(t.Context(), []string{"jobs", "get", "job-1"}, jobs.Command(app))
	return code, out.String(), told.String()
}

func TestGet(t *testing.T) {
	for _, test := range []struct {
		name, job string
		lines     []string
		next      string
	}{
		{
			"a job that waits for the lane",
			`{"id":"job-1","state":"queued","acceptedAt":"2026-03-01T12:00:00Z","kind":"account","code":"Overdue","hint":"Pay.",` +
				`"waiting":{"for":"parked","since":"2026-03-01T12:00:00Z"}}`,
			[]string{"waiting      for the lane, which is parked, since ", "outcome      account Overdue: Pay."},
			"routinely account show",
		},
		{
			"a job that a newer one has overtaken",
			`{"id":"job-1","state":"superseded","request":{"name":"hello","recordName":"a.example.com"},"supersededBy":"job-2"}`,
			[]string{"action       create\n", "outcome      overtaken by job job-2\n"},
			"routinely jobs get job-2",
		},
		{
			"a job of the janitor that found nothing to end",
			`{"id":"job-1","state":"superseded","request":{"action":"expire","name":"hello"}}`,
			[]string{"action       expire\n", "outcome      nothing was left to end\n"},
			"",
		},
		{
			"a deletion with what it has overtaken",
			`{"id":"job-1","state":"dead-lettered","request":{"action":"delete","name":"hello"},"overtook":["job-0"]}`,
			[]string{"action       delete\n", "overtook     job job-0\n"},
			"routinely dead-letters redrive job-1",
		},
		{
			"a job about several host names, with what became of each",
			`{"id":"job-1","state":"succeeded","request":{"name":"hello","records":[{"recordName":"a.example.com"},{"recordName":"b.example.com"}],"expiresIn":"72h","labels":{"team":"web"}},` +
				`"result":{"routine":"created","records":[{"recordName":"a.example.com","siteId":7,"recordId":8,"outcome":"created"},` +
				`{"recordName":"b.example.com","siteId":7,"outcome":"adopted","needsCname":true}],"note":"b.example.com gets traffic later."}}`,
			[]string{
				"outcome      routine created, 1 record adopted, 1 record created, a CNAME record is needed\n", "labels       team=web\n", "expires in   72h\n",
				"host name    a.example.com created with id 8, site 7\n", "host name    b.example.com adopted, site 7, needs a CNAME record\n", "note         b.example.com gets traffic later.\n",
			},
			"",
		},
	} {
		t.Run("shows "+test.name, func(t *testing.T) {
			code, stdout, stderr := get(t, test.job)
			if _, next, _ := strings.Cut(strings.Split(stderr, "\n")[0], "next: "); code != 0 || next != test.next {
				t.Errorf("exit code %d, %s", code, stderr)
			}
			for _, line := range test.lines {
				if !strings.Contains(stdout, line) {
					t.Errorf("not shown: %q in\n%s", line, stdout)
				}
			}
		})
	}
}
