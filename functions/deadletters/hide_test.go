package deadletters_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"routinely/queue"
)

// TestHiddenQuery looks for the secret of a callback URL in what is shown of dead letters.
func TestHiddenQuery(t *testing.T) {
	const request = `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","callbackUrl":"https://hooks.example.com/a?token=hush&x=1"}`
	event := `[{"data":{"messageId":"M1","messageBody":` + quoted(request) + `}},{"data":{"messageId":"M2","messageBody":` + quoted(request) + `}}]`
	for name, body := range map[string]string{
		"a request":                     request,
		"a request in Base64":           base64.StdEncoding.EncodeToString([]byte(request)),
		"one that breaks the rules":     strings.Replace(request, `"siteId":7`, `"siteId":-1`, 1),
		"one that is not JSON":          strings.TrimSuffix(request, "}"),
		"one in ESA's spelling":         strings.Replace(request, "callbackUrl", "CallbackUrl", 1),
		"one with escapes":              strings.NewReplacer("?", `\u003F`, "hush", `hu\u0073h`, "/", `\/`).Replace(request),
		"an event":                      `{"data":{"messageId":"M1","messageBody":` + quoted(request) + `}}`,
		"an event with several":         event,
		"an event with several, twice":  quoted(event),
		"an event in Base64":            base64.StdEncoding.EncodeToString([]byte(event)),
		"one of which the secret looks": strings.Replace(request, "a?token", "a?callbackUrl", 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.put(t, body)
			list := s.list(t, all().DeadLetterFilter, 10, "")
			if len(list.DeadLetters) != 1 {
				t.Fatalf("%d letters", len(list.DeadLetters))
			}
			one, err := s.Get(t.Context(), list.DeadLetters[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			shown := one.Received.Body
			if decoded, err := base64.StdEncoding.DecodeString(shown); err == nil {
				shown = string(decoded)
			}
			if strings.Contains(shown, "hush") || strings.Contains(shown, "0073") || strings.Contains(shown, "x=1") || !strings.Contains(shown, "?***") || !strings.Contains(shown, "hooks.example.com") {
				t.Errorf("shown as %s", shown)
			}
			for _, letter := range append(list.DeadLetters, one) {
				if r := letter.Request; r != nil && strings.Contains(r.CallbackURL, "hush") {
					t.Errorf("the request is shown with %s", r.CallbackURL)
				}
			}
		})
	}
	t.Run("and nothing else is changed", func(t *testing.T) {
		const body = `{"name":"pr-1","description":"why? because","callbackUrl":"https://hooks.example.com/a"}`
		s := newStage(t)
		s.put(t, body)
		one, err := s.Get(t.Context(), s.list(t, all().DeadLetterFilter, 10, "").DeadLetters[0].ID)
		if err != nil || one.Received.Body != body || one.Received.Encoding != queue.Text {
			t.Errorf("%+v, %v", one.Received, err)
		}
	})
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
