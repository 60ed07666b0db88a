package sim

import (
	"encoding/json"
	"fmt"
	"testing"

	"routinely/deploy/local/mnsclient"
)

// Event wraps message bodies as the trigger does.
func Event(t testing.TB, bodies ...string) []byte {
	t.Helper()
	type data struct {
		MessageID   string `json:"messageId"`
		MessageBody string `json:"messageBody"`
	}
	var elements []map[string]any
	for i, text := range bodies {
		elements = append(elements, map[string]any{"specversion": "1.0", "id": fmt.Sprint(i), "data": data{fmt.Sprintf("M%d", i+1), text}})
	}
	event, err := json.Marshal(elements)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// Take removes and returns the visible messages of a queue, in no order. One empty receive does not mean that there are none, but a message is
// never missed twice in a row.
func Take(t testing.TB, client *mnsclient.Client, name string) []string {
	t.Helper()
	var out []string
	for empty := 0; empty < 2; {
		messages, err := client.Receive(t.Context(), name, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		if empty++; len(messages) > 0 {
			empty = 0
		}
		for _, m := range messages {
			out = append(out, m.Body)
			if err := client.Delete(t.Context(), name, m.ReceiptHandle); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}
