package esaemu

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const latency = 20 * time.Millisecond
	t.Run("learns what follows the pause, until a write takes the latency", func(t *testing.T) {
		var p pace
		const commit = 900 * time.Microsecond
		var whole time.Duration
		for range 100 {
			whole = p.pause(latency) + commit
			p.took(latency, whole)
		}
		if late := (whole - latency).Abs(); late > 10*time.Microsecond {
			t.Errorf("a write takes %s, want %s", whole, latency)
		}
	})
	t.Run("does not let one long commit shorten the pauses for long", func(t *testing.T) {
		var p pace
		p.took(latency, time.Hour)
		if got := p.pause(latency); got < latency*9/10 {
			t.Errorf("paused %s", got)
		}
		for range 1000 {
			p.took(latency, time.Hour)
		}
		if got, least := p.pause(latency), latency*3/4; got < least || got > least+time.Microsecond {
			t.Errorf("paused %s, want %s at least", got, least)
		}
	})
	t.Run("leaves an ESA without latency alone", func(t *testing.T) {
		var p pace
		p.took(0, time.Second)
		if got := p.pause(0); got != 0 {
			t.Errorf("paused %s", got)
		}
	})
}
