package console_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLines(t *testing.T) {
	for name, test := range map[string]struct{ written, want string }{
		"shows a JSON line as time, function, level, message and fields": {
			`{"time":"not a time","level":"info","function":"provision","msg":"job succeeded","recordId":3227405728754049,"zone":"z","jobId":"j1","requestId":"R1","attempt":1}` + "\n",
			"provision info    job succeeded  jobId=j1  attempt=1  recordId=3227405728754049  zone=z\n",
		},
		"keeps a value with line breaks on its line": {
			`{"level":"error","function":"accept","msg":"a\nb","error":"x\n  y"}` + "\n", "accept    error   a b  error=x y\n",
		},
		"leaves out the platform's notes":     {"2026/01/15 06:28:17.1 FC Invoke Start RequestId: R1\n", ""},
		"keeps everything else as it is":      {"panic: oh\n\n{\"no\":\"message\"}\n", "panic: oh\n\n{\"no\":\"message\"}\n"},
		"takes several lines at once":         {"a\nb\n", "a\nb\n"},
		"takes a last line without an ending": {"a", "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			n, err := console.NewLines(&out).Write([]byte(test.written))
			if err != nil || n != len(test.written) {
				t.Errorf("wrote %d of %d: %v", n, len(test.written), err)
			}
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("reports that nothing can be shown any more", func(t *testing.T) {
		if _, err := console.NewLines(broken{}).Write([]byte("a\n")); err == nil {
			t.Error("no error")
		}
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }
