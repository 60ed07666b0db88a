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
	timer := func(function, schedule, payload string) func(*fcemu.Config) {
		return func(c *fcemu.Config) {
			c.Timers = append(c.Timers, fcemu.TimerTrigger{Name: "t", Function: function, Schedule: schedule, Payload: payload})
		}
	}
	async := func(retries int, age time.Duration) func(*fcemu.Config) {
		return func(c *fcemu.Config) {
			c.Functions[0].Async = &fcemu.AsyncConfig{MaxRetryAttempts: retries, MaxEventAge: age}
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
		"an unknown function":            {trigger(func(q *fcemu.QueueTrigger) { q.Function = "g" }), `function "g"`},
		"a bad endpoint":                 {trigger(func(q *fcemu.QueueTrigger) { q.Endpoint = "127.0.0.1" }), "endpoint"},
		"a bad queue":                    {trigger(func(q *fcemu.QueueTrigger) { q.Queue = "a/b" }), "queue name"},
		"batches of single events":       {trigger(func(q *fcemu.QueueTrigger) { q.Mode, q.CountBasedWindow = fcemu.EventDriven, 2 }), "single objects"},
		"a long window":                  {trigger(func(q *fcemu.QueueTrigger) { q.TimeBasedWindow = 16 * time.Second }), "window"},
		"its own dead letters":           {trigger(func(q *fcemu.QueueTrigger) { q.DeadLetterQueue = "q" }), "another queue"},
		"an unknown strategy":            {trigger(func(q *fcemu.QueueTrigger) { q.RetryStrategy = "x" }), "retry strategy"},
		"a timer of an unknown function": {timer("g", "@every 1m", ""), `function "g"`},
		"a cron expression":              {timer("f", "0 * * * * *", ""), "cron expressions do not work locally"},
		"half minutes":                   {timer("f", "@every 90s", ""), "whole minutes"},
		"seconds":                        {timer("f", "@every 30s", ""), "whole minutes"},
		"no minutes":                     {timer("f", "@every 0m", ""), "whole minutes"},
		"a schedule without a unit":      {timer("f", "@every 5", ""), "whole minutes"},
		"a large payload":                {timer("f", "@every 1m", strings.Repeat("x", 128<<10)), "at most 131072"},
		"a timer without a name": {func(c *fcemu.Config) {
			c.Timers = []fcemu.TimerTrigger{{Function: "f", Schedule: "@every 1m"}}
		}, "name"},
		"a timer with a queue trigger's name": {func(c *fcemu.Config) {
			trigger(func(*fcemu.QueueTrigger) {})(c)
			timer("f", "@every 1m", "")(c)
		}, "used twice"},
		"many asynchronous retries":   {async(9, 0), "want 0 to 8"},
		"half seconds of an event":    {async(0, 1500*time.Millisecond), "whole seconds"},
		"an event older than a month": {async(0, 31*24*time.Hour), "whole seconds"},
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
