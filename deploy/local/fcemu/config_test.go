package fcemu_test

import (
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/fcemu"
)

func TestNew(t *testing.T) {
	trigger := func(change func(*fcemu.QueueTrigger)) func(*fcemu.Config) {
		return func(c *fcemu.Config) {
			q := fcemu.QueueTrigger{Name: "t", Function: "f", Queue: "q", Endpoint: "http://127.0.0.1:1", AccessKeyID: "i", AccessKeySecret: "s"}
			change(&q)
			c.Triggers = append(c.Triggers, q)
		}
	}
	timer := func(function, schedule string) func(*fcemu.Config) {
		return func(c *fcemu.Config) {
			c.Timers = append(c.Timers, fcemu.TimerTrigger{Name: "t", Function: function, Schedule: schedule})
		}
	}
	env := func(key, value string) func(*fcemu.Config) {
		return func(c *fcemu.Config) { c.Functions[0].Env = map[string]string{key: value} }
	}
	for name, c := range map[string]struct {
		change func(*fcemu.Config)
		want   string
	}{
		"no account":                     {func(c *fcemu.Config) { c.AccountID = "" }, "account id and region"},
		"half a credential":              {func(c *fcemu.Config) { c.AccessKeyID = "x" }, "together"},
		"no function":                    {func(c *fcemu.Config) { c.Functions = nil }, "at least one function"},
		"a name twice":                   {func(c *fcemu.Config) { c.Functions = append(c.Functions, function("f")) }, "used twice"},
		"no such binary":                 {func(c *fcemu.Config) { c.Functions[0].Command = []string{"/no/such"} }, "no such file"},
		"half seconds":                   {func(c *fcemu.Config) { c.Functions[0].Timeout = 1500 * time.Millisecond }, "whole seconds"},
		"a platform variable":            {env("FC_X", ""), "FC_"},
		"too much environment":           {env("X", strings.Repeat("x", 4096)), "at most 4096"},
		"an unknown function":            {trigger(func(q *fcemu.QueueTrigger) { q.Function = "g" }), `function "g"`},
		"a bad endpoint":                 {trigger(func(q *fcemu.QueueTrigger) { q.Endpoint = "127.0.0.1" }), "endpoint"},
		"a bad queue":                    {trigger(func(q *fcemu.QueueTrigger) { q.Queue = "a/b" }), "queue name"},
		"a large batch":                  {trigger(func(q *fcemu.QueueTrigger) { q.CountBasedWindow = 10001 }), "count based window"},
		"a long window":                  {trigger(func(q *fcemu.QueueTrigger) { q.TimeBasedWindow = 16 * time.Second }), "time based window"},
		"its own dead letters":           {trigger(func(q *fcemu.QueueTrigger) { q.DeadLetterQueue = "q" }), "another queue"},
		"a timer of an unknown function": {timer("g", "@every 1m"), `function "g"`},
		"a cron expression":              {timer("f", "0 * * * * *"), "cron expressions do not work locally"},
		"half minutes":                   {timer("f", "@every 90s"), "whole minutes"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			config := fcemu.Config{AccountID: "1", Region: "r", Functions: []fcemu.Function{function("f")}}
			c.change(&config)
			if _, err := fcemu.New(config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one about %q", err, c.want)
			}
		})
	}
}
