package invocation_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"routinely/shared/invocation"
)

func TestCutEvents(t *testing.T) {
	connections := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	}))
	defer server.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	read := func(path string, limit int) int {
		res, err := (&http.Client{Transport: invocation.CutEvents(base, limit)}).Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return len(text)
	}
	const next = "/2020-11-11/runtime/invocation/next"
	for name, test := range map[string]struct {
		path        string
		limit, want int
	}{
		"reads an event that is as long as it may be": {next, 100_000, 100_000},
		"shows one byte more of a longer one":         {next, 99_998, 99_999},
		"leaves all other answers as they are":        {"/", 10, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			if got := read(test.path, test.limit); got != test.want {
				t.Errorf("%d bytes, want %d", got, test.want)
			}
		})
	}
	t.Run("keeps the connection", func(t *testing.T) {
		if len(connections) != 1 {
			t.Errorf("%d connections", len(connections))
		}
	})
}
