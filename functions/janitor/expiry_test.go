package janitor_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// The brakes of the janitor in these tests.
const (
	settle  = 10 * time.Minute
	grace   = 24 * time.Hour
	perHour = 3
)

// claim is the claim of a routine.
func (h *house) claim(t *testing.T, name string) routine.Claim {
	t.Helper()
	return h.holding(t, name).Claim.Claim
}

func (h *house) holding(t *testing.T, name string) ledger.Holding {
	t.Helper()
	holdings, err := h.Ledger.Holdings(t.Context(), []ledger.Wanted{{Name: name}})
	must(t, err)
	return holdings[0]
}

// changeClaim writes the claim of a routine, as a worker does.
func (h *house) changeClaim(t *testing.T, name string, alter func(*routine.Claim)) {
	t.Helper()
	_, err := h.Ledger.ChangeClaim(t.Context(), h.holding(t, name).Claim, func(c *routine.Claim) error {
		alter(c)
		return nil
	})
	must(t, err)
}

// own makes a routine of caller ci whose time is over now, and its claim.
func (h *house) own(t *testing.T, name string) {
	t.Helper()
	h.plant(t, name)
	now := h.clock.Now()
	number := now.UnixMilli()
	h.changeClaim(t, name, func(c *routine.Claim) {
		c.State, c.Ownership, c.Caller, c.CreateTime, c.ExpiresAt, c.CallbackURL = routine.Live, routine.Owned, "ci", now, now, hook
		c.CreateNumber, c.ExpiryNumber = number, number
	})
}

// overdue makes such a routine of which the janitor has seen long enough ago that its time is over.
func (h *house) overdue(t *testing.T, name string) {
	t.Helper()
	h.own(t, name)
	h.changeClaim(t, name, func(c *routine.Claim) { c.Expiry = &routine.Expiry{SeenAt: h.clock.Now().Add(-settle)} })
}

// unbound is what the worker writes once it has unbound the host names.
func (h *house) unbound(t *testing.T, name string) {
	t.Helper()
	h.changeClaim(t, name, func(c *routine.Claim) {
		c.State = routine.Expiring
		next := *c.Expiry
		next.UnboundAt, next.Try = h.clock.Now(), 0
		c.Expiry = &next
	})
}

// made lists the jobs of the janitor, as action, name and state.
func (h *house) made(t *testing.T) []string {
	t.Helper()
	rows, _, err := h.Ledger.Jobs(t.Context(), ledger.Filter{Caller: routine.JanitorCaller}, ledger.MaxPage, "")
	must(t, err)
	out := make([]string, 0, len(rows))
	for _, job := range rows {
		out = append(out, fmt.Sprintf("%s %s %s", job.Request.Action, job.Request.Name, job.State))
	}
	slices.Sort(out)
	return out
}

// makes lets time pass, makes a run and checks which jobs of the janitor there are then.
func (h *house) makes(t *testing.T, after time.Duration, want ...string) {
	t.Helper()
	h.clock.Advance(after)
	h.run(t)
	if want == nil {
		want = []string{}
	}
	same(t, "jobs of the janitor", h.made(t), want)
}

// end ends the latest job of the janitor about a routine.
func (h *house) end(t *testing.T, name string, change func(*ledger.Row)) {
	t.Helper()
	h.change(t, h.claim(t, name).Expiry.JobID, change)
}

func TestExpiry(t *testing.T) {
	t.Run("makes a job that unbinds the host names, and a grace later one that deletes the routine", func(t *testing.T) {
		h := start(t)
		h.own(t, "pr-1")
		h.makes(t, 0)
		same(t, "first seen", h.claim(t, "pr-1").Expiry, &routine.Expiry{SeenAt: noon})
		h.makes(t, settle, "expire pr-1 queued")
		h.makes(t, settle, "expire pr-1 queued")
		h.end(t, "pr-1", func(r *ledger.Row) { r.Succeed(routine.Result{}, r.Progress, h.clock.Now(), h.clock.Now()) })
		h.unbound(t, "pr-1")
		h.makes(t, grace-time.Second, "expire pr-1 succeeded")
		h.makes(t, 5*time.Minute, "expire pr-1 succeeded", "remove pr-1 queued")
	})
	t.Run("each job is the janitor's own, tells the owner, and is sent", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		out := h.run(t)
		same(t, "counted", out, janitor.Report{Expired: 1})
		expiry := h.claim(t, "pr-1").Expiry
		row := h.row(t, expiry.JobID)
		same(t, "request", row.Request, routine.Request{Action: routine.Expire, Name: "pr-1", CallbackURL: hook})
		if row.Caller != routine.JanitorCaller || row.Owner != "ci" || !row.Operate || row.IntentNumber() <= noon.UnixMilli() || !row.DueAt.IsZero() {
			t.Errorf("%+v", row)
		}
		same(t, "claim", expiry, &routine.Expiry{SeenAt: noon.Add(-settle), Try: 1, JobID: row.ID, TriedAt: noon})
		same(t, "number of a deletion", h.claim(t, "pr-1").DeleteNumber, 0)
		h.sends(t, row.ID+"/0.1")
	})
	t.Run("a job whose message MNS does not confirm is sent later", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		fail(t, h.mns.Faults(), "")
		h.fails(t)
		h.mns.Faults().Clear()
		h.clock.Advance(time.Minute)
		same(t, "sent by the next run", h.run(t).Sent, 1)
		h.sends(t, h.claim(t, "pr-1").Expiry.JobID+"/0.1")
	})
	t.Run("a try that died or was cancelled is made again a day later", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		h.makes(t, 0, "expire pr-1 queued")
		h.end(t, "pr-1", h.die)
		h.makes(t, day-time.Minute, "expire pr-1 dead-lettered")
		h.makes(t, 5*time.Minute, "expire pr-1 dead-lettered", "expire pr-1 queued")
		h.end(t, "pr-1", func(r *ledger.Row) { must(t, r.Cancel("op", "", h.clock.Now())) })
		h.makes(t, day-time.Minute, "expire pr-1 cancelled", "expire pr-1 dead-lettered")
		h.makes(t, 5*time.Minute, "expire pr-1 cancelled", "expire pr-1 dead-lettered", "expire pr-1 queued")
	})
	t.Run("a try that somebody redrives is waited for", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		h.makes(t, 0, "expire pr-1 queued")
		h.end(t, "pr-1", h.die)
		h.redrive(t, h.claim(t, "pr-1").Expiry.JobID)
		h.makes(t, day, "expire pr-1 queued")
	})
	t.Run("after a try that was overtaken all begins again", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		h.makes(t, 0, "expire pr-1 queued")
		h.end(t, "pr-1", func(r *ledger.Row) { r.Supersede("job-1", r.Progress, h.clock.Now(), h.clock.Now()) })
		h.makes(t, settle, "expire pr-1 superseded")
		same(t, "claim", h.claim(t, "pr-1").Expiry, &routine.Expiry{SeenAt: noon.Add(settle), Try: 1})
		h.makes(t, settle, "expire pr-1 queued", "expire pr-1 superseded")
	})
}

// TestExpiryBrakes: each of these keeps a routine whose time is over as it is, for as long as it lasts.
func TestExpiryBrakes(t *testing.T) {
	for _, test := range []struct {
		name  string
		brake func(*testing.T, *house)
	}{
		{"the deployment does not delete what has expired", func(t *testing.T, h *house) {
			cfg := h.Config
			cfg.MayExpire = false
			h.remake(t, cfg)
		}},
		{"its time is not over", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.ExpiresAt = noon.Add(time.Second) })
		}},
		{"it was renewed for ever", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.ExpiresAt = time.Time{} })
		}},
		{"it was first seen a moment ago", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.Expiry.SeenAt = noon.Add(time.Second - settle) })
		}},
		{"its host names were unbound a moment ago", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.Expiry.UnboundAt = noon.Add(time.Second - grace) })
		}},
		{"ESA does not show it", func(t *testing.T, h *house) { must(t, h.esa.RemoveRoutine("pr-1")) }},
		{"somebody has made it again", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.CreateTime = noon.Add(-time.Second) })
		}},
		{"its CreateTime was never read", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.CreateTime = time.Time{} })
		}},
		{"it is not proven to be ours", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.Ownership = routine.Unproven })
		}},
		{"it was adopted", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.Ownership = routine.AdoptedThing })
		}},
		{"it is being made", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.State = routine.Creating })
		}},
		{"it is being deleted", func(t *testing.T, h *house) {
			h.changeClaim(t, "pr-1", func(c *routine.Claim) { c.State = routine.Deleting })
		}},
		{"the lane is paused", func(t *testing.T, h *house) { h.stop(t, nil, &routine.Pause{Since: noon, By: "op"}) }},
		{"somebody's job about it is unfinished", func(t *testing.T, h *house) { h.job(t, "job-1") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := start(t)
			h.overdue(t, "pr-1")
			test.brake(t, h)
			h.makes(t, 0)
		})
	}
	t.Run("the lane is parked", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		h.stop(t, &routine.Park{Since: noon, ToldAt: noon, Kind: string(fault.Account)}, nil)
		h.makes(t, 0)
	})
	t.Run("the list of routines is not whole", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		h.shorten(t)
		h.fails(t)
		same(t, "jobs of the janitor", h.made(t), []string{})
	})
	t.Run("the list of routines is not of this run", func(t *testing.T) {
		h := start(t)
		h.run(t)
		h.overdue(t, "pr-1")
		h.makes(t, 4*time.Minute)
		h.makes(t, time.Minute, "expire pr-1 queued")
	})
	t.Run("a job of somebody else keeps it no longer once it has ended", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		h.job(t, "job-1")
		h.makes(t, 0)
		h.change(t, "job-1", h.die)
		h.makes(t, settle, "expire pr-1 queued")
	})
	t.Run("renewed after it was seen, it begins again once its new time is over", func(t *testing.T) {
		h := start(t)
		h.own(t, "pr-1")
		h.makes(t, 0)
		h.changeClaim(t, "pr-1", func(c *routine.Claim) {
			c.ExpiresAt, c.ExpiryNumber, c.Expiry = noon.Add(time.Hour), c.ExpiryNumber+1, nil
		})
		h.makes(t, time.Hour-time.Minute)
		h.makes(t, 5*time.Minute)
		h.makes(t, settle-time.Minute)
		h.makes(t, 5*time.Minute, "expire pr-1 queued")
	})
}

// crowd makes routines whose time is over and was seen to be, and others that are live.
func (h *house) crowd(t *testing.T, over, live int) {
	t.Helper()
	for i := range over {
		h.overdue(t, fmt.Sprintf("over-%02d", i))
	}
	for i := range live {
		h.own(t, fmt.Sprintf("live-%02d", i))
		h.changeClaim(t, fmt.Sprintf("live-%02d", i), func(c *routine.Claim) { c.ExpiresAt = time.Time{} })
	}
}

func TestExpiryPerHour(t *testing.T) {
	t.Run("few jobs are made in an hour, for those first whose time was over first", func(t *testing.T) {
		h := start(t)
		h.crowd(t, 5, 0)
		h.changeClaim(t, "over-04", func(c *routine.Claim) { c.ExpiresAt = noon.Add(-time.Hour) })
		h.changeClaim(t, "over-03", func(c *routine.Claim) { c.ExpiresAt = noon.Add(-time.Minute) })
		first := []string{"expire over-00 queued", "expire over-03 queued", "expire over-04 queued"}
		h.makes(t, 0, first...)
		h.makes(t, time.Hour-time.Second, first...)
		h.makes(t, 5*time.Minute, "expire over-00 queued", "expire over-01 queued", "expire over-02 queued", "expire over-03 queued", "expire over-04 queued")
	})
	t.Run("or a tenth of the live routines", func(t *testing.T) {
		h := start(t)
		h.crowd(t, 5, 35)
		h.makes(t, 0, "expire over-00 queued", "expire over-01 queued", "expire over-02 queued", "expire over-03 queued")
	})
	t.Run("what cannot be done yet is still seen", func(t *testing.T) {
		h := start(t)
		h.crowd(t, 4, 0)
		h.own(t, "seen")
		h.run(t)
		same(t, "jobs", len(h.made(t)), perHour)
		same(t, "first seen", h.claim(t, "seen").Expiry, &routine.Expiry{SeenAt: noon})
	})
}

func TestJanitorsAtOnceMakeOneJob(t *testing.T) {
	h := start(t)
	h.crowd(t, 5, 0)
	h.atOnce(t, 4)
	same(t, "jobs", h.made(t), []string{"expire over-00 queued", "expire over-01 queued", "expire over-02 queued"})
	for i := range perHour {
		name := fmt.Sprintf("over-%02d", i)
		want := routine.Expiry{SeenAt: noon.Add(-settle), Try: 1, TriedAt: noon}
		want.JobID = queue.ExpiryJobID(name, h.claim(t, name).ExpiryNumber, routine.Expire, 1)
		same(t, "claim of "+name, h.claim(t, name).Expiry, &want)
	}
}

// atEachMoment makes runs in each of which something happens at a later moment: whenever the janitor asks what time it is.
func atEachMoment(t *testing.T, arrange func(*house), happen, check func(*house)) {
	t.Helper()
	for moment := 1; ; moment++ {
		h, asked := start(t), 0
		arrange(h)
		cfg := h.Config
		cfg.Now = func() time.Time {
			if asked++; asked == moment {
				happen(h)
			}
			return h.clock.Now()
		}
		h.remake(t, cfg)
		h.run(t)
		if asked < moment {
			if moment < 10 {
				t.Errorf("a run has only %d moments", moment)
			}
			return
		}
		if check(h); t.Failed() {
			t.Fatalf("at moment %d", moment)
		}
	}
}

func TestExpiryIsOvertaken(t *testing.T) {
	renew := func(h *house) {
		h.changeClaim(t, "pr-1", func(c *routine.Claim) {
			c.State, c.ExpiresAt, c.ExpiryNumber, c.Expiry = routine.Live, noon.Add(time.Hour), c.ExpiryNumber+1, nil
		})
	}
	renewed := func(h *house) {
		c := h.claim(t, "pr-1")
		same(t, "end", c.ExpiresAt, noon.Add(time.Hour))
		same(t, "what the janitor knows of it", c.Expiry, nil)
	}
	t.Run("by a renewal, before the janitor has noted that the time is over", func(t *testing.T) {
		atEachMoment(t, func(h *house) { h.own(t, "pr-1") }, renew, renewed)
	})
	t.Run("by a renewal, before the janitor has made its job", func(t *testing.T) {
		atEachMoment(t, func(h *house) { h.overdue(t, "pr-1") }, renew, renewed)
	})
	t.Run("by a worker, who has unbound the host names", func(t *testing.T) {
		atEachMoment(t, func(h *house) { h.overdue(t, "pr-1") }, func(h *house) { h.unbound(t, "pr-1") }, func(h *house) {
			if e := h.claim(t, "pr-1").Expiry; !e.UnboundAt.Equal(noon) || e.Try != 0 {
				t.Errorf("%+v", e)
			}
		})
	})
}
