package accept

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestHideURLs(t *testing.T) {
	const request = `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","callbackUrl":"https://hooks.example.com/a?token=hush&x=1"}`
	quoted := func(text string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	event := `[{"data":{"messageId":"M1","messageBody":` + quoted(request) + `}},{"data":{"messageId":"M2","messageBody":` + quoted(request) + `}}]`
	for name, body := range map[string]string{
		"a request":                     request,
		"a request in Base64":           base64.StdEncoding.EncodeToString([]byte(request)),
		"one that is not JSON":          strings.TrimSuffix(request, "}"),
		"one in ESA's spelling":         strings.Replace(request, "callbackUrl", "CallbackUrl", 1),
		"a callback":                    strings.Replace(request, "callbackUrl", "url", 1),
		"one with escapes":              strings.NewReplacer("?", `\u003F`, "hush", `hu\u0073h`, "/", `\/`).Replace(request),
		"an event":                      `{"data":{"messageId":"M1","messageBody":` + quoted(request) + `}}`,
		"an event with several":         event,
		"an event with several, twice":  quoted(event),
		"an event in Base64":            base64.StdEncoding.EncodeToString([]byte(event)),
		"one of which the secret looks": strings.Replace(request, "a?token", "a?callbackUrl", 1),
	} {
		t.Run("hides the query in "+name, func(t *testing.T) {
			shown := hideURLs(body)
			if decoded, err := base64.StdEncoding.DecodeString(shown); err == nil {
				shown = string(decoded)
			}
			for _, secret := range []string{"hush", "0073", "x=1"} {
				if strings.Contains(shown, secret) {
					t.Errorf("shown as %s", shown)
				}
			}
			if !strings.Contains(shown, "?***") || !strings.Contains(shown, "hooks.example.com") {
				t.Errorf("shown as %s", shown)
			}
		})
	}
	t.Run("changes nothing else", func(t *testing.T) {
		const body = `{"name":"pr-1","description":"why? because","callbackUrl":"https://hooks.example.com/a"}`
		if got := hideURLs(body); got != body {
			t.Errorf("shown as %s", got)
		}
	})
}
