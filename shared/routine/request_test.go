package routine_test

import (
	"strings"
	"testing"

	"routinely/shared/routine"
)

func TestShownURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                                        "",
		"https://hooks.example.com":               "https://hooks.example.com",
		"https://hooks.example.com:8443/a%2Fb/":   "https://hooks.example.com:8443/a%2Fb/",
		"https://h.example.com/a?token=hush":      "https://h.example.com/a?***",
		"https://h.example.com/a?":                "https://h.example.com/a?***",
		"https://h.example.com/a#hush":            "https://h.example.com/a?***",
		"https://hush:hush@h.example.com/a":       "https://h.example.com/a",
		"https://hush@h.example.com/a?hush#hush":  "https://h.example.com/a?***",
		"https://h.example.com/a?x=https://y/z#w": "https://h.example.com/a?***",
		"https:/hush:hush@h.example.com/a":        "***",
		"hush:hush@h.example.com":                 "***",
		`https://hush:hush\@h.example.com/a`:      "***",
		"https://h.example.com/%zz?hush":          "***",
	} {
		t.Run("of "+url, func(t *testing.T) {
			got := routine.Request{CallbackURL: url}.Shown().CallbackURL
			if got != want || strings.Contains(got, "hush") {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
