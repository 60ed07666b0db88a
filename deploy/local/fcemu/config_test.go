package fcemu_test

import (
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/fcemu"
)

func TestNew(t *testing.T) {
	valid := func() fcemu.Config {
		return fcemu.Config{AccountID: "1", Region: "r", Functions: []fcemu.Function{function("f")}}
	}
	trigger := func(change func(*fcemu.QueueTrigger)) func(*fcemu.Config) {
		return func(c *fcemu.Config) {
			q := fcemu.QueueTrigger{Name: "t", Function: "f", Queue: "q", Endpoint: "http://127.0.0.1:1", AccessKeyID: "i", AccessKeySecret: "s"}
			change(&q)
			c.Triggers = append(c.Triggers, q)
		}
	}
	for name, c := range map[string]struct {
		change func(*fcemu.Config)
		want   string
	}{
		"no account":        {func(c *fcemu.Config) { c.AccountID = "" }, "account id and region"},
		"half a credential": {func(c *fcemu.Config) { c.AccessKeyID = "x" }, "together"},
		"no function":       {func(c *fcemu.Config) { c.Functions = nil }, "at least one function"},
		"a name twice":      {func(c *fcemu.Config) { c.Functions = append(c.Functions, function("f")) }, "used twice"},
		"a bad name":        {func(c *fcemu.Config) { c.Functions[0].Name = "1f" }, "name"},
		"no such binary":    {func(c *fcemu.Config) { c.Functions[0].Command = []string{"/no/such"} }, "no such file"},
		"half seconds":      {func(c *fcemu.Config) { c.Functions[0].Timeout = 1500 * time.Millisecond }, "whole seconds"},
		"odd memory":        {func(c *fcemu.Config) { c.Functions[0].MemoryMB = 129 }, "steps of 64"},
		"a platform variable": {func(c *fcemu.Config) {
			c.Functions[0].Env = map[string]string{"FC_X": ""}
		}, "FC_"},
		"too much environment": {func(c *fcemu.Config) {
			c.Functions[0].Env = map[string]string{"X": strings.Repeat("x", 4096)}
		}, "at most 4096"},
		"an unknown function":      {trigger(func(q *fcemu.QueueTrigger) { q.Function = "g" }), `function "g"`},
		"a bad endpoint":           {trigger(func(q *fcemu.QueueTrigger) { q.Endpoint = "127.0.0.1" }), "endpoint"},
		"a bad queue":              {trigger(func(q *fcemu.QueueTrigger) { q.Queue = "a/b" }), "queue name"},
		"batches of single events": {trigger(func(q *fcemu.QueueTrigger) { q.Mode, q.BatchSize = fcemu.EventDriven, 2 }), "single objects"},
		"a long window":            {trigger(func(q *fcemu.QueueTrigger) { q.BatchWindow = 16 * time.Second }), "window"},
		"its own dead letters":     {trigger(func(q *fcemu.QueueTrigger) { q.DeadLetterQueue = "q" }), "another queue"},
		"an unknown strategy":      {trigger(func(q *fcemu.QueueTrigger) { q.RetryStrategy = "x" }), "retry strategy"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			config := valid()
			c.change(&config)
			if _, err := fcemu.New(config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one about %q", err, c.want)
			}
		})
	}
}
