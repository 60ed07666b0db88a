package callback_test

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// FuzzCheckURL: a URL is refused with a fault that does not show its query, or it leads to a public address, or to a name that no resolver
// reads as an address. Its normal form is accepted too and means the same.
func FuzzCheckURL(f *testing.F) {
	for _, addr := range []string{"127.0.0.1", "100.100.100.200", "fe80::1"} {
		for _, host := range spellings(addr) {
			f.Add("https://" + host + ":8443/a?b=" + mark)
		}
	}
	for _, text := range []string{
		"", "https://bücher.example/ü?" + mark, "https://user:" + mark + "@a.example", "https://xn--bcher-kva.example:443", "http://a.example:80/#",
		"https://a.example\\@b.example", "https://a.example:" + mark, "https://%E3%80%82.example", "https://[::ffff:8.8.8.8]", "https://localhost。",
		"https://0．0Ｂ0", "https://120.7.0b1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, port, normal, err := callback.Target(text, callback.Policy{})
		if err != nil {
			checkRefusal(t, text, err)
			return
		}
		again, samePort, same, err := callback.Target(normal, callback.Policy{})
		if err != nil || again != host || samePort != port || same != normal {
			t.Fatalf("%q became %q, then %q: %v", text, normal, same, err)
		}
		checkURL(t, normal, host, port)
		if addr, err := netip.ParseAddr(host); err == nil {
			if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Is4In6() || addr.Zone() != "" {
				t.Fatalf("%q leads to %s", text, addr)
			}
			return
		}
		if looksLikeAddress(host) || !strings.Contains(host, ".") || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Fatalf("%q has the host %q", text, host)
		}
	})
}

// mark stands for a secret.
const mark = "hushhushhush"

func checkRefusal(t *testing.T, text string, err error) {
	t.Helper()
	failure := fault.From(err)
	if code := failure.Code; code != callback.CodeURL && code != callback.CodeForbidden || failure.Kind.Retryable() || len(err.Error()) > 600 {
		t.Fatalf("got %+v", failure)
	}
	// Only a host may be shown, and a mark may be made one.
	if _, after, found := strings.Cut(text, "?"); found && strings.Contains(after, mark) && strings.Count(text, mark) == 1 &&
		strings.Contains(err.Error(), mark) {
		t.Fatalf("%q: the refusal shows the query: %v", text, err)
	}
}

// checkURL holds the normal form to what net/url reads in it.
func checkURL(t *testing.T, normal, host string, port uint16) {
	t.Helper()
	u, err := url.Parse(normal)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() != host {
		t.Fatalf("%q: got %+v, %v", normal, u, err)
	}
	if given := u.Port(); given != "" && given != strconv.Itoa(int(port)) || port != 443 && port < 1024 {
		t.Fatalf("%q: got port %d", normal, port)
	}
}

// looksLikeAddress reports whether inet_aton would read the text: 1 to 4 numbers, each decimal, octal or hexadecimal. Go reads binary numbers
// (0b0) and octal ones with a letter (0o0) too, which inet_aton does not (inet(3)).
func looksLikeAddress(text string) bool {
	parts := strings.Split(strings.TrimSuffix(text, "."), ".")
	for _, part := range parts {
		digits, hex := strings.CutPrefix(part, "0x")
		base := 10
		if hex {
			base = 16
		}
		if _, err := strconv.ParseUint(digits, base, 64); err != nil {
			return false
		}
	}
	return len(parts) <= 4
}
