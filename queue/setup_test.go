package queue_test

import (
	"testing"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/queue"
	"routinely/shared/fault"
)

func TestSetup(t *testing.T) {
	server, url := localtest.MNS(t, nil)
	client := newClient(t, url)
	setup := func(t *testing.T, client *queue.Client, dryRun bool, want ...string) {
		t.Helper()
		got, err := client.Setup(t.Context(), dryRun)
		must(t, err)
		same(t, "changes", got, want)
	}
	create := func(name string, attributes mnsclient.Attributes) error {
		return localtest.MNSClient(t, url).CreateQueue(t.Context(), name, attributes)
	}
	const (
		jobs    = ": VisibilityTimeout 3600, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 30"
		letters = ": VisibilityTimeout 120, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 0"
		news    = ": VisibilityTimeout 120, MessageRetentionPeriod 604800, MaximumMessageSize 65536, DelaySeconds 0, PollingWaitSeconds 30"
	)
	all := []string{"create queue jobs" + jobs, "create queue jobs-dead" + letters, "create queue jobs-callbacks" + news}
	t.Run("says what it would make, makes it, and then has nothing to do", func(t *testing.T) {
		changes := func() int { return server.Faults().Count("CreateQueue") + server.Faults().Count("SetQueueAttributes") }
		setup(t, client, true, all...)
		setup(t, client, true, all...)
		same(t, "calls that change something", changes(), 0)
		setup(t, client, false, all...)
		setup(t, client, false)
		setup(t, client, true)
		same(t, "calls that change something", changes(), 3)
	})
	t.Run("corrects what differs and resets nothing else", func(t *testing.T) {
		delay, poll := 7, 3
		other := newClient(t, url, func(c *queue.Config) { c.Queue, c.DeadLetterQueue = "odd", "odd-dead" })
		must(t, create("odd", mnsclient.Attributes{DelaySeconds: &delay, PollingWaitSeconds: &poll}))
		want := []string{
			"change queue odd: VisibilityTimeout 3600 instead of 30, MessageRetentionPeriod 604800 instead of 345600, DelaySeconds 0 instead of 7, PollingWaitSeconds 30 instead of 3",
			"create queue odd-dead" + letters,
		}
		setup(t, other, true, want...)
		setup(t, other, false, want...)
		setup(t, other, false)
	})
	right := queue.JobQueueAttributes()
	for name, race := range map[string]struct {
		attributes mnsclient.Attributes
		want       string
	}{
		"race-1": {mnsclient.Attributes{}, "change queue race-1: VisibilityTimeout 3600 instead of 30, MessageRetentionPeriod 604800 instead of 345600, PollingWaitSeconds 30 instead of 0"},
		"race-2": {mnsclient.Attributes{
			VisibilityTimeout: &right.VisibilityTimeout, MessageRetentionPeriod: &right.MessageRetentionPeriod,
			MaximumMessageSize: &right.MaximumMessageSize, PollingWaitSeconds: &right.PollingWaitSeconds,
		}, "create queue race-2" + jobs},
	} {
		t.Run("finds a queue that another program makes at the same time: "+name, func(t *testing.T) {
			calls := 0
			setup(t, newClient(t, url, func(c *queue.Config) {
				c.Queue, c.DeadLetterQueue = name, "jobs-dead"
				c.Credentials = func() (string, string, string) {
					if calls++; calls == 2 {
						must(t, create(name, race.attributes))
					}
					return localtest.Credentials()
				}
			}), false, race.want)
		})
	}
	t.Run("passes on what MNS refuses", func(t *testing.T) {
		breaks(t, server, "GetQueueAttributes", 1, faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"})
		if _, err := client.Setup(t.Context(), false); !fault.HasCode(err, "AccessDenied") || !fault.HasKind(err, fault.Account) {
			t.Errorf("got %v", err)
		}
	})
}
