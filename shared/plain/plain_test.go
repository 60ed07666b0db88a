package plain_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"routinely/shared/plain"
)

func TestClip(t *testing.T) {
	for _, test := range []struct {
		name, given string
		most        int
		want        string
	}{
		{"leaves what fits as it is", "123456", 6, "123456"},
		{"counts the ellipsis", "1234567", 6, "123…"},
		{"cuts between characters", "1ééé", 6, "1é…"},
		{"cuts between long characters", "𝄞𝄞", 6, "…"},
		{"takes bytes that are no characters", strings.Repeat("\xbf", 7), 6, "…"},
		{"leaves control characters", "\x00\x1b", 6, "\x00\x1b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := plain.Clip(test.given, test.most); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestClean(t *testing.T) {
	if got, want := plain.Clean("a\x00\x1b\x7f\r\n\tb\xffü"), "a\ufffd\ufffd\ufffd\ufffd\n\tb\ufffdü"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLine(t *testing.T) {
	if got, want := plain.Line(" a\r\n\tb\x1b[31m\u2028\u202e ü\xff ", 20), "a b [31m ü?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := plain.Line(strings.Repeat("ü ", 100), 20); got != "ü ü ü ü ü ü…" {
		t.Errorf("got %q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x00b", 9)
	f.Fuzz(func(t *testing.T, given string, most int) {
		most = 3 + max(most, -most, 0)%100
		if got := plain.Line(given, most); len(got) > most || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x1b") {
			t.Errorf("got %q of at most %d bytes", got, most)
		}
	})
}
