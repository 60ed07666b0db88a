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

func TestCheckURL(t *testing.T) {
	t.Run("accepts full names and public addresses, in their normal form", func(t *testing.T) {
		for text, want := range map[string]string{
			"https://hooks.example.com":                         "https://hooks.example.com",
			"HTTPS://Hooks.Example.COM:443/In?a=b&c":            "https://hooks.example.com/In?a=b&c",
			"https://hooks.example.com./a%2Fb/%C3%BC":           "https://hooks.example.com/a%2Fb/%C3%BC",
			"https://hooks.example.com:/":                       "https://hooks.example.com/",
			"https://hooks.example.com:8443/":                   "https://hooks.example.com:8443/",
			"https://hooks.example.com:00443/":                  "https://hooks.example.com/",
			"https://hooks.example.com:1024/":                   "https://hooks.example.com:1024/",
			"https://hooks.example.com:65535/":                  "https://hooks.example.com:65535/",
			"https://bücher.example/":                           "https://xn--bcher-kva.example/",
			"https://ｈｏｏｋｓ。example。com/":                        "https://hooks.example.com/",
			"https://8.8.8.8/":                                  "https://8.8.8.8/",
			"https://８．８．８．８/":                                  "https://8.8.8.8/",
			"https://[2606:4700:0::1111]:8443/":                 "https://[2606:4700::1111]:8443/",
			"https://[::ffff:8.8.8.8]/":                         "https://8.8.8.8/",
			"https://[64:ff9b::8.8.8.8]/":                       "https://[64:ff9b::808:808]/",
			"https://0x7f.example.com/":                         "https://0x7f.example.com/",
			"https://local.example.com/":                        "https://local.example.com/",
			"https://R3---sn-4g5e.example.com/":                 "https://r3---sn-4g5e.example.com/",
			"https://" + strings.Repeat("a.", 125) + "com/":     "https://" + strings.Repeat("a.", 125) + "com/",
			"https://a.example/" + strings.Repeat("x", 2048-18): "https://a.example/" + strings.Repeat("x", 2048-18),
		} {
			if _, _, got, err := callback.Target(text, callback.Policy{}); err != nil || got != want {
				t.Errorf("%s: got %q, %v", text, got, err)
			}
		}
	})
	t.Run("refuses everything else and says what is wrong", func(t *testing.T) {
		for text, want := range map[string]string{
			"":                                                     "scheme",
			"hooks.example.com":                                    "scheme",
			"//hooks.example.com/":                                 "scheme",
			"http://hooks.example.com/":                            "scheme",
			"ftp://hooks.example.com/":                             "scheme",
			"javascript:alert(1)":                                  "scheme",
			"https:hooks.example.com":                              "no host",
			"https:///hook":                                        "no host",
			"https://:443/":                                        "no host",
			"https://user@hooks.example.com/":                      "user or password",
			"https://user:hush@hooks.example.com/":                 "user or password",
			"https://@hooks.example.com/":                          "user or password",
			"https://hooks.example.com:hush/":                      "cannot be read",
			"https://hooks.example.com/%zz":                        "cannot be read",
			"https://hooks.example.com\\@10.0.0.1/":                "cannot be read",
			"https://hooks%2eexample.com/":                         "cannot be read",
			"https://[::1/":                                        "cannot be read",
			"https://hooks.example.com/#a":                         "fragment",
			"https://hooks.example.com/#":                          "fragment",
			"https://hooks.example.com/?a b":                       "spaces",
			"https://hooks.example.com/\r\nX: y":                   "spaces",
			"https://hooks.example.com/\x00":                       "spaces",
			"https://hooks.example.com/\xff":                       "spaces",
			"https://hooks.example.com/ü":                          "percent-encoded",
			"https://hooks.example.com/a%2Fb\"":                    "percent-encoded",
			"https://hooks.example.com/?ü":                         "percent-encoded",
			"https://hooks.example.com:22/":                        "port",
			"https://hooks.example.com:80/":                        "port",
			"https://hooks.example.com:0/":                         "port",
			"https://hooks.example.com:1023/":                      "port",
			"https://hooks.example.com:65536/":                     "port",
			"https://hooks.example.com:65979/":                     "port", // 443 and 2^16
			"https://hooks.example.com:-443/":                      "cannot be read",
			"https://hooks_1.example.com/":                         "not a host name",
			"https://-a.example.com/":                              "not a host name",
			"https://a..example.com/":                              "not a host name",
			"https://.example.com/":                                "not a host name",
			"https://hooks.example.com../":                         "not a host name",
			"https://./":                                           "not a host name",
			"https://*.example.com/":                               "not a host name",
			"https://xn--a.example.com/":                           "not a host name",
			"https://" + strings.Repeat("a", 64) + ".example.com/": "not a host name",
			"https://" + strings.Repeat("a.", 125) + "coms/":       "not a host name",
			"https://[2606:4700::1111%25eth0]/":                    "zone",
			"https://[::ffff:8.8.8.8%25eth0]/":                     "zone",
			"https://[8.8.8.8]/":                                   "cannot be read",
			"https://127.0.0.祝%800000/":                            "not a host name",
			"https://localhost/":                                   "leads anywhere",
			"https://LOCALHOST./":                                  "leads anywhere",
			"https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/":                                   "leads anywhere",
			"https://a.localhost/":                                 "leads anywhere",
			"https://metadata/":                                    "leads anywhere",
			"https://metadata.google.internal/":                    "leads anywhere",
			"https://printer.local/":                               "leads anywhere",
			"https://printer。local/":                               "leads anywhere",
			"https://nas.home.arpa/":                               "leads anywhere",
			"https://home.arpa/":                                   "leads anywhere",
			"https://wiki.corp/":                                   "leads anywhere",
			"https://a.example/" + strings.Repeat("x", 2049-len("https://a.example/")): "2048",
		} {
			err := callback.CheckURL(text, callback.Policy{})
			if got := failed(t, err, fault.Invalid, callback.CodeURL); !strings.Contains(got.Message, want) || strings.Contains(got.Message, "hush") {
				t.Errorf("%q: got %s, want %s", text, got.Message, want)
			}
		}
	})
	t.Run("allows http, with its own port, where the policy does", func(t *testing.T) {
		policy := callback.Policy{AllowHTTP: true}
		for text, want := range map[string]uint16{"http://a.example/": 80, "http://a.example:8080/": 8080, "https://a.example/": 443} {
			if _, got, _, err := callback.Target(text, policy); err != nil || got != want {
				t.Errorf("%s: got %d, %v", text, got, err)
			}
		}
		for _, text := range []string{"http://a.example:443/", "https://a.example:80/"} {
			failed(t, callback.CheckURL(text, policy), fault.Invalid, callback.CodeURL)
		}
	})
	t.Run("allows inner names where the policy has networks", func(t *testing.T) {
		policy := callback.Policy{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		for _, text := range []string{"https://hooks/", "https://hooks.internal/", "https://10.1.2.3/", "https://[::ffff:10.1.2.3]/"} {
			if err := callback.CheckURL(text, policy); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		failed(t, callback.CheckURL("https://192.168.1.1/", policy), fault.Denied, callback.CodeForbidden)
	})
}

// mark stands for a secret.
const mark = "hushhushhush"

// FuzzCheckURL: a URL is refused with a fault that does not show its query, or it leads to a public address, or to a name that no resolver
// reads as an address. Its normal form is accepted too and means the same, also to net/url.
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
			failure := fault.From(err)
			if code := failure.Code; code != callback.CodeURL && code != callback.CodeForbidden || failure.Kind.Retryable() || len(err.Error()) > 600 {
				t.Fatalf("got %+v", failure)
			}
			// A host may be shown, and it can be the mark.
			_, query, _ := strings.Cut(text, "?")
			if strings.Contains(query, mark) && strings.Count(text, mark) == 1 && strings.Contains(err.Error(), mark) {
				t.Fatalf("%q: the refusal shows the query: %v", text, err)
			}
			return
		}
		again, samePort, same, err := callback.Target(normal, callback.Policy{})
		if err != nil || again != host || samePort != port || same != normal {
			t.Fatalf("%q became %q, then %q: %v", text, normal, same, err)
		}
		u, err := url.Parse(normal)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() != host {
			t.Fatalf("%q: got %+v, %v", normal, u, err)
		}
		if given := u.Port(); given != "" && given != strconv.Itoa(int(port)) || port != 443 && port < 1024 {
			t.Fatalf("%q: got port %d", normal, port)
		}
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
