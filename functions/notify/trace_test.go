package notify

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"routinely/deploy/sim"
	"routinely/shared/logging"
	"routinely/shared/trace"
)

func TestTraces(t *testing.T) {
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	const parent = trace.Parent("00-" + traceID + "-00f067aa0ba902b7-01")
	t.Run("are named to the receiver, each attempt as a span of its own, and in the log", func(t *testing.T) {
		b := start(t, http.StatusServiceUnavailable)
		news := b.news(t)
		news.Trace = parent
		var out bytes.Buffer
		log, err := logging.New(&out, "info", "notify")
		must(t, err)
		for next := []string{b.body(t, news)}; len(next) > 0; next = b.take(t, sim.CallbackQueue) {
			_, err := b.Handle(logging.Into(t.Context(), log), sim.Event(t, next...))
			must(t, err)
			b.clock.Advance(24 * 3600e9)
		}
		spans := map[string]bool{string(parent): true}
		for _, header := range b.got {
			got, valid := trace.Parse(header.Get("traceparent"))
			if !valid || got.ID() != traceID || spans[string(got)] {
				t.Errorf("got %v", header)
			}
			spans[string(got)] = true
		}
		if len(b.got) != 2 || strings.Count(out.String(), `"traceId":"`+traceID+`"`) != 2 {
			t.Errorf("%d attempts, log %s", len(b.got), &out)
		}
	})
	t.Run("are none of callbacks of older versions", func(t *testing.T) {
		b := start(t)
		b.rings(t, b.news(t), delivered, "")
		if _, named := b.got[0]["Traceparent"]; named {
			t.Errorf("got %v", b.got[0])
		}
	})
}
