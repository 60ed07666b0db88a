package endpoint_test

import (
	"net/url"
	"strings"
	"testing"

	"routinely/shared/endpoint"
)

func TestEndpoints(t *testing.T) {
	const no = "error"
	for text, want := range map[string]struct{ parsed, origin, hostOrOrigin string }{
		"https://a.example.com":       {"https://a.example.com", "https://a.example.com", "https://a.example.com"},
		"http://127.0.0.1:8080/":      {"http://127.0.0.1:8080/", "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		"https://[::1]:1":             {"https://[::1]:1", "https://[::1]:1", "https://[::1]:1"},
		"https://a.example.com/path":  {"https://a.example.com/path", no, no},
		"a.example.com":               {no, no, "https://a.example.com"},
		"a.example.com:8443":          {no, no, "https://a.example.com:8443"},
		"":                            {no, no, no},
		"ftp://a.example.com":         {no, no, no},
		"https://":                    {no, no, no},
		"https://:443":                {no, no, no},
		"https://a.example.com:0":     {no, no, no},
		"https://a.example.com:65536": {no, no, no},
		"https://a.example.com?a=b":   {no, no, no},
		"https://a.example.com#a":     {no, no, no},
		"https://user@a.example.com":  {no, no, no},
		"https://a b":                 {no, no, no},
	} {
		shown := func(u *url.URL, err error) string {
			if err != nil {
				return no
			}
			return u.String()
		}
		got := []string{shown(endpoint.Parse(text)), shown(endpoint.Origin(text)), shown(endpoint.HostOrOrigin(text))}
		if got[0] != want.parsed || got[1] != want.origin || got[2] != want.hostOrOrigin {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	t.Run("shows no password", func(t *testing.T) {
		for _, text := range []string{"https://user:secret@host", "https://user:secret@host:0", "user:secret@host", "https://user:secret@host/%zz"} {
			if _, err := endpoint.Parse(text); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}
