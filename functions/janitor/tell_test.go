package janitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"routinely/functions/janitor"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

const day = 24 * time.Hour

// lines makes one run and returns the lines that it logs.
func (h *house) lines(t *testing.T) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	log, err := logging.New(&out, "info", "janitor")
	must(t, err)
	report, err := h.Run(logging.Into(context.Background(), log))
	if (err == nil) != (report.Failed == nil) {
		t.Fatalf("%+v, %v", report, err)
	}
	var lines []map[string]any
	for text := range strings.Lines(out.String()) {
		var line map[string]any
		must(t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

// jobs lists the jobs that lines with the message name.
func jobs(lines []map[string]any, message string) (out []string) {
	for _, line := range lines {
		if line["msg"] == message {
			out = append(out, line["jobId"].(string))
		}
	}
	return out
}

func TestTelling(t *testing.T) {
	const dead, unfinished = "a dead letter is forgotten soon", "an unfinished job is forgotten soon"
	t.Run("of a dead letter once, a week before it is forgotten, with a hint", func(t *testing.T) {
		h := start(t)
		h.job(t, "first")
		h.change(t, "first", h.die)
		h.clock.Advance(day)
		h.job(t, "second")
		h.change(t, "second", h.die)
		h.clock.Advance(22 * day)
		same(t, "told on the 23rd day", jobs(h.lines(t), dead), nil)
		h.clock.Advance(time.Hour)
		lines := h.lines(t)
		same(t, "told", jobs(lines, dead), []string{"first"})
		line := lines[0]
		if line["code"] != "Taken" || line["deadAt"] != "2026-03-01T12:00:00Z" || line["forgottenAt"] != "2026-03-31T12:00:00Z" ||
			line["hint"] != "routinely dead-letters redrive first, or routinely dead-letters drop first" || line["level"] != "warning" {
			t.Errorf("%v", line)
		}
		h.clock.Advance(day)
		same(t, "told", jobs(h.lines(t), dead), []string{"second"})
		h.clock.Advance(day)
		same(t, "told again", jobs(h.lines(t), dead), nil)
	})
	t.Run("of an unfinished job once, ten days before it is forgotten", func(t *testing.T) {
		h := start(t)
		h.job(t, "waits")
		h.job(t, "news")
		h.clock.Advance(day)
		h.change(t, "news", func(r *ledger.Row) { r.Begin(1, r.Progress, h.clock.Now()) })
		h.clock.Advance(19*day + time.Hour)
		for _, want := range [][]string{{"waits"}, {"news"}, nil} {
			same(t, "told", jobs(h.lines(t), unfinished), want)
			h.clock.Advance(day)
		}
	})
	t.Run("of nothing if jobs are kept for ever", func(t *testing.T) {
		h := start(t)
		cfg := h.Config
		cfg.Retention = 0
		h.remake(t, cfg)
		h.job(t, "job-1")
		h.change(t, "job-1", h.die)
		h.clock.Advance(1000 * day)
		lines := h.lines(t)
		same(t, "told", append(jobs(lines, dead), jobs(lines, unfinished)...), nil)
	})
}

func TestLog(t *testing.T) {
	t.Run("has a line for each thing done and one for the run, also if there was nothing to do", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", h.due)
		h.put(t, "garbage")
		lines := h.lines(t)
		if len(lines) != 3 || lines[0]["msg"] != "sent what was due" || lines[0]["jobId"] != "job-1" || lines[1]["outcome"] != "filed" ||
			lines[2]["msg"] != "the janitor is done" || lines[2]["sent"] != 1.0 || lines[2]["filed"] != 1.0 {
			t.Errorf("%v", lines)
		}
		if lines = h.lines(t); len(lines) != 1 || lines[0]["event"] != "account.seen" || lines[0]["sent"] != 0.0 {
			t.Errorf("%v", lines)
		}
	})
	t.Run("says of the lane, the jobs that wait, the dead letters and the quota how they are", func(t *testing.T) {
		h := start(t)
		cfg := h.Config
		cfg.Retention = 0
		h.remake(t, cfg)
		h.job(t, "dead")
		h.change(t, "dead", h.die)
		h.job(t, "waits")
		h.clock.Advance(2 * time.Hour)
		h.change(t, "waits", func(row *ledger.Row) {
			row.Waiting = &routine.Waiting{For: routine.ForAccountLock, Since: h.clock.Now()}
		})
		_, err := h.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
			a.Stop(&routine.Park{Since: h.clock.Now().Add(-time.Minute)}, nil, h.clock.Now())
			a.Quota = &routine.Quota{Limit: 50, Used: 46, ReadAt: h.clock.Now()}
			return nil
		})
		must(t, err)
		lines := h.lines(t)
		got := lines[len(lines)-1]
		for name, want := range map[string]any{
			"lane": "parked", "parked": 1.0, "parkedSeconds": 60.0, "paused": 0.0, "waitingJobs": 1.0, "waitingMore": false, "waitingAccountLock": 1.0,
			"waitingQueue": 0.0, "oldestJobAgeSeconds": 7200.0, "deadLetters": 1.0, "deadLettersMore": false, "deadLetterQueueMessages": 0.0,
			"quotaLimit": 50.0, "quotaUsed": 46.0, "quotaUsedPercent": 92.0, "failedTasks": 0.0,
		} {
			same(t, name, got[name], want)
		}
	})
	t.Run("leaves out what it could not read, and says that it could not", func(t *testing.T) {
		h := start(t)
		fail(t, h.mns.Faults(), "GetQueueAttributes")
		lines := h.lines(t)
		got := lines[len(lines)-1]
		if _, there := got["deadLetterQueueMessages"]; there || got["failedTasks"] != 1.0 || lines[0]["event"] != "task.failed" || !strings.HasPrefix(lines[0]["step"].(string), "GetQueueAttributes") {
			t.Errorf("%v", lines)
		}
	})
	t.Run("names a task that failed, with its code", func(t *testing.T) {
		h := start(t)
		fail(t, h.mns.Faults(), "BatchReceiveMessage")
		if line := h.lines(t)[0]; line["task"] != "empty the dead-letter queue" || line["code"] == "" || line["hint"] == "" {
			t.Errorf("%v", line)
		}
	})
	t.Run("is about a run for each event of the timer", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", h.due)
		out, err := h.Handle(t.Context(), json.RawMessage(`{"triggerTime":"2026-03-01T12:00:00Z","triggerName":"minute","payload":""}`))
		if err != nil || out.Sent != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestNew(t *testing.T) {
	h := start(t)
	for name, change := range map[string]func(*janitor.Config){
		"no queue": func(c *janitor.Config) { c.Queue = nil }, "no ledger": func(c *janitor.Config) { c.Ledger = nil },
		"no ESA": func(c *janitor.Config) { c.ESA = nil }, "no time to settle": func(c *janitor.Config) { c.ExpirySettle = 0 },
		"no grace": func(c *janitor.Config) { c.ExpiryGrace = 0 }, "no job an hour": func(c *janitor.Config) { c.ExpiryPerHour = 0 },
		"no clock": func(c *janitor.Config) { c.Now = nil }, "no bits": func(c *janitor.Config) { c.Bits = nil },
		"a short retention": func(c *janitor.Config) { c.Retention = day },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			cfg := h.Config
			change(&cfg)
			if _, err := janitor.New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}
