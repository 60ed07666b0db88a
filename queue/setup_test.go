package queue_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/queue"
	"routinely/shared/fault"
)

// deployed are the settings of the job queue as another client writes them.
func deployed() mnsclient.Attributes {
	wanted := queue.JobQueueAttributes()
	return mnsclient.Attributes{
		VisibilityTimeout: &wanted.VisibilityTimeout, MessageRetentionPeriod: &wanted.MessageRetentionPeriod,
		MaximumMessageSize: &wanted.MaximumMessageSize, PollingWaitSeconds: &wanted.PollingWaitSeconds,
	}
}

func TestSetup(t *testing.T) {
	server, url := localtest.MNS(t, nil)
	client := newClient(t, url)
	setup := func(t *testing.T, dryRun bool, want ...string) {
		t.Helper()
		server.Faults().Reset()
		got, err := client.Setup(t.Context(), dryRun)
		must(t, err)
		same(t, "changes", got, want)
		calls := server.Faults().Count("CreateQueue") + server.Faults().Count("SetQueueAttributes")
		if wanted := len(want); dryRun && calls > 0 || !dryRun && calls != wanted {
			t.Errorf("%d calls that change something, for %q", calls, want)
		}
	}
	const (
		jobs    = "create queue jobs: VisibilityTimeout 3600, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 30"
		letters = "create queue jobs-dead: VisibilityTimeout 120, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 0"
		news    = "create queue jobs-callbacks: VisibilityTimeout 120, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 30"
	)
	t.Run("says what it would make", func(t *testing.T) {
		setup(t, true, jobs, letters, news)
		setup(t, true, jobs, letters, news)
	})
	t.Run("makes the queues, once", func(t *testing.T) {
		setup(t, false, jobs, letters, news)
		setup(t, false)
		setup(t, true)
	})
	t.Run("corrects what differs and resets nothing else", func(t *testing.T) {
		delay, poll := 7, 3
		other := newClient(t, url, func(c *queue.Config) { c.Queue, c.DeadLetterQueue = "odd", "odd-dead" })
		attributes := mnsclient.Attributes{DelaySeconds: &delay, PollingWaitSeconds: &poll}
		must(t, localtest.MNSClient(t, url).CreateQueue(t.Context(), "odd", attributes))
		want := []string{
			"change queue odd: VisibilityTimeout 3600 instead of 30, MessageRetentionPeriod 604800 instead of 345600, DelaySeconds 0 instead of 7, PollingWaitSeconds 30 instead of 3",
			"create queue odd-dead: VisibilityTimeout 120, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 0",
		}
		for _, dryRun := range []bool{true, false} {
			got, err := other.Setup(t.Context(), dryRun)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("error %v, changes -want +got:\n%s", err, diff)
			}
		}
		if got, err := other.Setup(t.Context(), false); len(got) > 0 || err != nil {
			t.Errorf("the second time: %q, %v", got, err)
		}
	})
	t.Run("finds a queue that somebody else made meanwhile", func(t *testing.T) {
		for _, race := range []struct {
			queue      string
			attributes mnsclient.Attributes
			want       []string
		}{
			{"race-1", mnsclient.Attributes{}, []string{
				"change queue race-1: VisibilityTimeout 3600 instead of 30, MessageRetentionPeriod 604800 instead of 345600, PollingWaitSeconds 30 instead of 0",
			}},
			{"race-2", deployed(), []string{
				"create queue race-2: VisibilityTimeout 3600, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 30",
			}},
		} {
			calls := 0
			other := newClient(t, url, func(c *queue.Config) {
				c.Queue, c.DeadLetterQueue = race.queue, "jobs-dead"
				c.Credentials = func() (string, string, string) {
					if calls++; calls == 2 {
						if err := localtest.MNSClient(t, url).CreateQueue(t.Context(), race.queue, race.attributes); err != nil {
							t.Error(err)
						}
					}
					return localtest.Credentials()
				}
			})
			got, err := other.Setup(t.Context(), false)
			if diff := cmp.Diff(race.want, got); diff != "" || err != nil {
				t.Errorf("error %v, changes -want +got:\n%s", err, diff)
			}
		}
	})
	t.Run("passes on what MNS refuses", func(t *testing.T) {
		denied := faults.Rule{Action: "GetQueueAttributes", Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"}}
		if _, err := server.Faults().Add(denied); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Setup(t.Context(), false); !fault.HasCode(err, "AccessDenied") || !fault.HasKind(err, fault.Account) {
			t.Errorf("got %v", err)
		}
	})
}
