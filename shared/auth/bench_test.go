package auth_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

// BenchmarkAuthenticate measures a request of the last of ten callers, each with one secret of each kind, with a body of 1 KB.
func BenchmarkAuthenticate(b *testing.B) {
	var configs []map[string]any
	var last holder
	for i := range 10 {
		last = newHolder(fmt.Sprintf("caller-%d", i))
		configs = append(configs, last.config)
	}
	guard, body := parse(b, configure(configs...)), bytes.Repeat([]byte("x"), 1024)
	for name, header := range map[string]http.Header{
		"bearer": last.bearer(), "webhook": last.webhook("msg_1", now, body), "github": last.github("d-1", body),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := guard.Authenticate(header, body, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
