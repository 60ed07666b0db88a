package deadletters_test

import (
	"io"
	"slices"
	"testing"
	"time"

	"routinely/deploy/sim"
	"routinely/functions/deadletters"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/logging"
)

const (
	// benchFew and benchMany are the lengths of the queues that are compared.
	benchFew, benchMany = 1_000, 10_000
	// benchRounds is how often each is measured, in turns: a machine's speed drifts.
	benchRounds = 5
)

// BenchmarkRedrive measures what the redrive of one dead letter costs on a long queue and on a short one, with a local MNS on a
// socket that stores each change on disk: no letter may cost more because others wait beside it. A round of few redrives as
// many letters as one of many, in several turns.
func BenchmarkRedrive(b *testing.B) {
	s := newStage(b, func(c *deadletters.Config) { c.Record, c.Now = nil, time.Now })
	for b.Loop() {
		s.perLetter(b, benchFew, 1)
		var ratios, few, many []float64
		for range benchRounds {
			f, m := s.perLetter(b, benchFew, benchMany/benchFew), s.perLetter(b, benchMany, 1)
			ratios, few, many = append(ratios, m/f), append(few, f), append(many, m)
		}
		b.ReportMetric(middle(few), "us/letter-of-1000")
		b.ReportMetric(middle(many), "us/letter-of-10000")
		b.ReportMetric(middle(ratios), "ratio")
		b.ReportMetric(0, "ns/op")
		verdict := ""
		if middle(ratios) > 1.3 {
			verdict = " MISSED"
		}
		b.Logf("\nratio  %.4g  <= 1.3%s", middle(ratios), verdict)
	}
}

// perLetter fills the queue with n dead letters and redrives them, several times, and returns microseconds per letter.
func (s *stage) perLetter(b *testing.B, n, times int) float64 {
	b.Helper()
	log, err := logging.New(io.Discard, "info", "accept")
	if err != nil {
		b.Fatal(err)
	}
	ctx := logging.Into(b.Context(), log)
	var took time.Duration
	for range times {
		s.die(b, n)
		began := time.Now()
		done, err := s.Redrive(ctx, api.Redrive{All: true}, "bench")
		took += time.Since(began)
		if err != nil || done.Count != n || done.More {
			b.Fatalf("redrove %d of %d, more %t, %v", done.Count, n, done.More, err)
		}
		s.empty(b)
	}
	return float64(took.Microseconds()) / float64(n*times)
}

// empty deletes what the job queue holds, so that both sides find it alike.
func (s *stage) empty(b *testing.B) {
	b.Helper()
	jobs := sim.Queue(b, queue.Config{Endpoint: s.url, Queue: "unused", DeadLetterQueue: "jobs"}).SweepDead(0)
	for {
		messages, err := jobs.Next(b.Context(), queue.SweepBatch)
		if err != nil {
			b.Fatal(err)
		}
		if len(messages) == 0 {
			return
		}
		ids := make([]string, 0, len(messages))
		for _, m := range messages {
			ids = append(ids, m.ID)
		}
		for _, err := range jobs.Delete(b.Context(), ids) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
