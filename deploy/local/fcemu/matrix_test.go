package fcemu_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/fcemu"
)

// broken is a way in which an invocation goes wrong.
type broken struct {
	// fault is injected into the platform, says is what the function does with the event.
	fault fcemu.FaultKind
	says  string
	// late means that the call runs into its time limit, harmless that the trigger does not notice.
	late, harmless bool
}

// TestMatrix breaks each call of the runtime API, and the function between them, once and for ever, under a queue trigger. What
// becomes of the message is the trigger's promise: it is deleted after an invocation that has reported, or dead-lettered
// as it was received, and never lost.
func TestMatrix(t *testing.T) {
	for name, b := range map[string]broken{
		"the instance is killed when it reports": {fault: fcemu.KillBeforeResponse},
		"the report is lost":                     {fault: fcemu.DropResponse, late: true},
		"the event is delivered twice":           {fault: fcemu.DuplicateDelivery, harmless: true},
		"the function fails":                     {says: "error no"},
		"the function panics":                    {says: "panic no"},
		"the instance ends in the middle":        {says: "exit"},
		"the function takes too long":            {late: true},
	} {
		t.Run(name+" once", func(t *testing.T) { b.check(t, 1, 2, []string{}) })
		t.Run(name+" for ever", func(t *testing.T) {
			if b.harmless {
				b.check(t, -1, 2, []string{})
				return
			}
			b.check(t, -1, 4, []string{"a"})
		})
	}
}

// check breaks so many invocations with the message, -1 for all, and wants so many deliveries of it and these dead letters.
func (b broken) check(t *testing.T, times, deliveries int, dead []string) {
	// With a long lease the five minutes that a call takes too long pass without many heartbeats.
	s := trigger(t, func(q *fcemu.QueueTrigger) { q.DeadLetterQueue, q.Lease = "dead", time.Hour })
	if b.fault != "" {
		addFault(t, s.host, fcemu.Fault{Kind: b.fault, Times: times})
	}
	s.mns.send("jobs", "a")
	end, delivered := fcemu.TriggerEvent{Kind: fcemu.Retrying}, 0
	for ; end.Kind == fcemu.Retrying; delivered++ {
		b.deliver(s, times < 0 || delivered < times)
		end = waitFor(t, s.steps, "the end or a retry", func(e fcemu.TriggerEvent) bool {
			return e.Kind == fcemu.Retrying || e.Kind == fcemu.Deleted || e.Kind == fcemu.DeadLettered
		})
		s.clock.Advance(end.Delay)
	}
	if b.fault == fcemu.DuplicateDelivery {
		s.next().say("return null")
		delivered++
	}
	left := s.mns.stored("jobs")
	if diff := cmp.Diff(dead, s.mns.bodies("dead")); diff != "" || delivered != deliveries || len(left) > 0 {
		t.Errorf("delivered %d times, want %d, left %q; dead letters -want +got:\n%s", delivered, deliveries, left, diff)
	}
	t.Logf("FC  delivered %d times, %s", delivered, end.Kind)
}

// deliver lets the function have the event once.
func (b broken) deliver(s *triggered, breaks bool) {
	v := s.next()
	switch {
	case breaks && b.says != "":
		v.say("%s", b.says)
	case breaks && b.late && b.fault == "":
		s.clock.Advance(5 * time.Minute)
	default:
		v.say("return null")
	}
	if breaks && b.fault == fcemu.DropResponse {
		s.line("FC Invoke End")
		s.clock.Advance(5 * time.Minute)
	}
}
