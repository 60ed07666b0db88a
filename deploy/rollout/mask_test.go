package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMask(t *testing.T) {
	const hash, key = "Zm9vYmFyYmF6cXV4Zm9v", "whsec_e57Dom2p9KYclb2uQBHEPjThzIAuPliyQ97RIhlFI80="
	secrets := []string{"{\n  \"callers\": [{\"name\": \"ops\", \"tokenHash\": \"" + hash + "\"}]\n}", key + ",whsec_older2p9KYclb2uQBHEPjThzIAuPliyQ97RIhlFI80=", "short"}
	for _, test := range []struct{ name, text, want string }{
		{"a secret as it is", "AUTH=" + secrets[0] + " end", "AUTH={\n  \"***\"}]\n} end"},
		{"one that is escaped as JSON", `{"a": "{\n  \"callers\": [{\"name\": \"ops\", \"tokenHash\": \"` + hash + `\"}]\n}"}`, `{"a": "{\n  \"***\"}]\n}"}`},
		{"one that is wrapped and indented", "key: >-\n  " + key[:20] + "\n  " + key[20:], "key: >-\n  ***="},
		{"one with colours in it", key[:9] + "\x1b[31m" + key[9:], "***="},
		{"one of a list", "only " + key + ".", "only ***=."},
		{"a text inside a document", "old " + hash + " new", "old *** new"},
		{"each of several", hash + " " + hash, "*** ***"},
		{"no word of the language", "a short name: ops", "a short name: ops"},
	} {
		t.Run("hides "+test.name, func(t *testing.T) {
			got := mask(test.text, secrets)
			if strings.Contains(got, hash) || strings.Contains(got, key[9:40]) {
				t.Errorf("left in %q", got)
			}
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	const printed = "url:\n  system_intranet_url: https://accept-abc.cn-hangzhou-vpc.fcapp.run\n  system_url: https://accept-abc.cn-hangzhou.fcapp.run\n"
	if got := address(printed); got != "https://accept-abc.cn-hangzhou.fcapp.run" {
		t.Errorf("address %q", got)
	}
	if got := address("url:\n"); got != "" {
		t.Errorf("address %q of nothing", got)
	}
}
