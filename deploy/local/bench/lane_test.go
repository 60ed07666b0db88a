package bench_test

import (
	"cmp"
	"slices"
	"strconv"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
)

const (
	// laneJobs is how many jobs the lane gets.
	laneJobs = 100
	// laneLatency is how long each ESA write holds the account lock where nothing else is said.
	laneLatency = 20 * time.Millisecond
	// laneRuns is how often each measurement is made; the median counts.
	laneRuns = 5
)

// lane is one way to load the lane.
type lane struct {
	name string
	// wishes are what the jobs ask for.
	wishes func() []wish
	// write is how long an ESA write holds the account lock, and slow how much later MNS and the ledger answer each call.
	write, slow time.Duration
	// writes is how many writes it takes, and limit the longest time, in times of the bare caller; 0 if it is for comparison only.
	writes int
	limit  float64
	// window is the trigger's; 0 means that of s.yaml.
	window time.Duration
}

func lanes() []lane {
	return []lane{
		{"100 routines, 20 ms a write", routines, 20 * time.Millisecond, 0, 200, 1.10, 0},
		{"100 routines, 200 ms a write", routines, 200 * time.Millisecond, 0, 200, 1.03, 0},
		{"100 routines, 200 ms a write, 5 ms later answers", routines, 200 * time.Millisecond, 5 * time.Millisecond, 200, 1.08, 0},
		{"100 host names of one routine, 20 ms a write", hostNames, 20 * time.Millisecond, 0, 101, 1.10, 0},
		{"100 routines, 20 ms a write, interval 0 s", routines, 20 * time.Millisecond, 0, 200, 0, stack.RealTime},
	}
}

// routines are wishes for a routine and a host name each.
func routines() []wish { return wishes(laneJobs) }

// hostNames are wishes for host names of one routine.
func hostNames() []wish {
	wishes := routines()
	for i := range wishes {
		wishes[i].name = "shop"
	}
	return wishes
}

// BenchmarkLane brings jobs through the whole local stack with the settings of s.yaml: posted over HTTP 16 at a time while the lane already works
// on the first ones, queued, delivered by the trigger, carried out under the account lock. Then one bare caller of the official SDK makes the
// very calls that ESA got, reads included, in the same order, on an ESA of its own: nobody can do the work with these calls in less time. The
// figure is the time from the first request to the last success, in times of the bare caller's. The functions are warm: one job came before. The
// local MNS and ledger do not wait for this machine's disk; that the cloud's answers take their time is what the lane with later answers shows.
func BenchmarkLane(b *testing.B) {
	for _, l := range lanes() {
		b.Run(l.name, func(b *testing.B) {
			for b.Loop() {
				var ratios []float64
				var ours effort
				for range laneRuns {
					ours = runLane(b, l)
					ratios = append(ratios, over(ours.makespan, replay(b, l.write, nil, ours.calls)))
				}
				slices.Sort(ratios)
				median := number("makespan/bare", ratios[laneRuns/2])
				if l.limit > 0 {
					median = atMost("makespan/bare", ratios[laneRuns/2], l.limit)
				}
				report(b,
					median, number("seconds", ours.makespan.Seconds()),
					number("best", ratios[0]), number("worst", ratios[laneRuns-1]),
					exactly("esa-writes", float64(ours.writes), float64(l.writes)),
					number("esa-reads", float64(len(ours.calls)-ours.writes)),
					exactly("refusals", float64(ours.refusals), 0),
				)
			}
		})
	}
}

// BenchmarkPeers does the work of the first lane without a queue: callers of the official SDK, whom the lock refuses.
func BenchmarkPeers(b *testing.B) {
	for b.Loop() {
		ours, peers := runLane(b, lanes()[0]), runCallers(b, peerCallers)
		report(b,
			number("peers-esa-writes", float64(peers.writes)),
			below("makespan/peers", over(ours.makespan, peers.makespan), 1),
			below("esa-writes/peers", float64(ours.writes)/float64(peers.writes), 1),
		)
	}
}

// BenchmarkLoneJob tells how long one job takes from its 202 to its success, for an interval of the trigger of 0 and of 1 second.
func BenchmarkLoneJob(b *testing.B) {
	for _, window := range []time.Duration{stack.RealTime, time.Second} {
		b.Run("interval "+strconv.Itoa(int(max(0, window.Seconds())))+" s", func(b *testing.B) {
			for b.Loop() {
				d := deploy(b, stack.Config{ESALatency: laneLatency, BatchWindow: window}, 1+laneRuns)
				var took []time.Duration
				for i := range 1 + laneRuns { // the first starts the functions
					w := wishNumber(i)
					if _, err := d.post(w); err != nil {
						b.Fatal(err)
					}
					accepted := time.Now()
					took = append(took, d.await(b, 1).Sub(accepted))
				}
				warm := took[1:]
				slices.Sort(warm)
				report(b, number("ms-to-success", float64(warm[laneRuns/2].Milliseconds())), number("ms-cold", float64(took[0].Milliseconds())))
			}
		})
	}
}

func over(d, floor time.Duration) float64 { return float64(d) / float64(floor) }

// effort is what it took to bring all jobs through.
type effort struct {
	ids              []string
	makespan         time.Duration
	writes, refusals int
	// calls are those that ESA got, in their order.
	calls []faults.Record
}

func runLane(b *testing.B, l lane) effort {
	b.Helper()
	d := deploy(b, stack.Config{ESALatency: l.write, BatchWindow: l.window, RoutineQuota: laneJobs + 1, NoSync: true}, laneJobs+1)
	d.slowDown(b, l.slow)
	wishes := l.wishes()
	if _, err := d.post(warm()); err != nil {
		b.Fatal(err)
	}
	d.await(b, 1)
	ours := d.measure(b, len(wishes), func(i int) (string, error) { return d.post(wishes[i]) })
	d.check(b, ours.ids, append(wishes, warm()))
	return ours
}

// warm is the wish of the job that comes before those that are measured.
func warm() wish { return wish{"warm", "warm." + stack.SiteName} }

// slowDown lets MNS and the ledger answer each call so much later.
func (d *deployment) slowDown(b *testing.B, by time.Duration) {
	b.Helper()
	if by == 0 {
		return
	}
	late := faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Slow, DelayMillis: int(by.Milliseconds())}}
	for _, set := range []*faults.Set{d.MNS().Faults(), d.OTS().Faults()} {
		if _, err := set.Add(late); err != nil {
			b.Fatal(err)
		}
	}
}

// measure asks for n jobs and waits until they have succeeded.
func (d *deployment) measure(b *testing.B, n int, ask func(i int) (id string, err error)) effort {
	b.Helper()
	d.ESA().Faults().Reset()
	began := time.Now()
	ids, err := each(n, ask)
	if err != nil {
		b.Fatal(err)
	}
	ended := d.await(b, n)
	writes, refusals := traffic(d.ESA())
	return effort{ids: ids, makespan: ended.Sub(began), writes: writes, refusals: refusals, calls: d.ESA().Faults().Calls()}
}

// replay makes calls with the official SDK, one after the other, on an ESA of their own, and returns the time that takes. The calls before are made
// first, and their time does not count.
func replay(b *testing.B, write time.Duration, before, calls []faults.Record) time.Duration {
	b.Helper()
	server, url := localtest.ESA(b, nil, 0)
	caller := bareCaller{client: newSDK(b, url), versions: map[string]string{}}
	change := func(to esaemu.AccountChange) {
		if err := server.SetAccount(to); err != nil {
			b.Fatal(err)
		}
	}
	all := func(calls []faults.Record) {
		for _, call := range calls {
			if err := caller.replay(call); err != nil {
				b.Fatal(err)
			}
		}
	}
	quota, latency := laneJobs+1, write.Milliseconds()
	change(esaemu.AccountChange{RoutineQuota: &quota})
	all(before)
	change(esaemu.AccountChange{LatencyMillis: &latency})
	began := time.Now()
	all(calls)
	return time.Since(began)
}

// bareCaller makes calls that were made before, one after the other, with the official SDK.
type bareCaller struct {
	client *esa.Client
	// form is what ESA hands out for the next upload, and versions are the versions of code that it has made last, by routine: they have other numbers here.
	form     map[string]any
	versions map[string]string
}

func (c *bareCaller) replay(call faults.Record) error {
	client := c.client
	name, recordName := tea.String(call.Params["Name"]), tea.String(call.Params["RecordName"])
	number := func(param string) int64 {
		n, _ := strconv.ParseInt(call.Params[param], 10, 64)
		return n
	}
	site := tea.Int64(cmp.Or(number("SiteId"), stack.SiteID))
	var err error
	switch call.Action {
	case "ListSites":
		_, err = client.ListSites(&esa.ListSitesRequest{PageNumber: tea.Int32(1), PageSize: tea.Int32(500)})
	case "ListUserRoutines":
		_, err = client.ListUserRoutines(&esa.ListUserRoutinesRequest{PageNumber: tea.Int64(1), PageSize: tea.Int64(1)})
	case "GetRoutine":
		_, err = client.GetRoutine(&esa.GetRoutineRequest{Name: name})
	case "CreateRoutine":
		_, err = client.CreateRoutine(&esa.CreateRoutineRequest{Name: name})
	case "CreateRoutineRelatedRecord":
		_, err = client.CreateRoutineRelatedRecord(&esa.CreateRoutineRelatedRecordRequest{Name: name, SiteId: site, RecordName: recordName})
	case "ListRoutineRoutes":
		_, err = client.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: tea.String(call.Params["RoutineName"])})
	case "ListRoutineRelatedRecords":
		_, err = client.ListRoutineRelatedRecords(&esa.ListRoutineRelatedRecordsRequest{Name: name, PageNumber: tea.Int64(1), PageSize: tea.Int64(20)})
	case "DeleteRoutineRelatedRecord":
		_, err = client.DeleteRoutineRelatedRecord(&esa.DeleteRoutineRelatedRecordRequest{
			Name: name, SiteId: site, RecordId: tea.Int64(number("RecordId")), RecordName: recordName,
		})
	case "DeleteRoutine":
		_, err = client.DeleteRoutine(&esa.DeleteRoutineRequest{Name: name})
	default:
		return c.replayCode(call)
	}
	if refused, ok := err.(*tea.SDKError); ok && tea.StringValue(refused.Code) == call.Code {
		return nil
	}
	return err
}
