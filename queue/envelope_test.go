package queue_test

import (
	"strings"
	"testing"
	"time"

	"routinely/queue"
	"routinely/shared/fault"
)

func TestEnvelopeSize(t *testing.T) {
	t.Run("a message that could be sent once can be sent again, whatever its numbers", func(t *testing.T) {
		first := queue.Envelope{JobID: "job-1", AcceptedAt: time.Unix(1_772_000_000, 0), Number: 1}
		body, err := first.Encode()
		if err != nil {
			t.Fatal(err)
		}
		room := queue.MaxEnvelopeBytes - len(body) + 2*len("0.1")
		first.Caller = strings.Repeat("c", room-len(`"caller":"",`))
		later := first
		later.Round, later.Number = 123, 4567
		for _, e := range []queue.Envelope{first, later} {
			if _, err := e.Encode(); err != nil {
				t.Errorf("round %d, number %d: %v", e.Round, e.Number, err)
			}
			e.Caller += "c"
			if _, err := e.Encode(); !fault.HasCode(err, "MessageTooLarge") {
				t.Errorf("round %d, number %d: one byte more is no fault: %v", e.Round, e.Number, err)
			}
		}
	})
}
