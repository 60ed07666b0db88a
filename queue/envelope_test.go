package queue_test

import (
	"strings"
	"testing"
	"time"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/fault"
)

func TestEnvelopeSize(t *testing.T) {
	t.Run("a message that could be sent once can be sent again, whatever its numbers and its key", func(t *testing.T) {
		first := queue.Envelope{JobID: "job-1", AcceptedAt: time.Unix(1_772_000_000, 0), Number: 1}
		body, err := sim.Keys(t, strings.Repeat("k", 32)).Seal(first)
		if err != nil {
			t.Fatal(err)
		}
		room := queue.MaxEnvelopeBytes - len(body)
		first.Caller = strings.Repeat("c", room-len(`"caller":"",`))
		later := first
		later.Round, later.Number = 123, 4567
		for _, e := range []queue.Envelope{first, later} {
			if _, err := sim.Keys(t, sim.Key).Seal(e); err != nil {
				t.Errorf("round %d, number %d: %v", e.Round, e.Number, err)
			}
			e.Caller += "c"
			if _, err := sim.Keys(t, sim.Key).Seal(e); !fault.HasCode(err, "MessageTooLarge") {
				t.Errorf("round %d, number %d: one byte more is no fault: %v", e.Round, e.Number, err)
			}
		}
	})
}
