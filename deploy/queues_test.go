package deploy_test

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/fault"
)

// longestRetention is the upper end of MessageRetentionPeriod, in seconds (limits page of Simple Message Queue).
const longestRetention = 604800

// queues are the settings of the three queues.
type queues struct{ jobs, callbacks, letters queue.Attributes }

// asSetUp are the settings that the setup gives them.
func asSetUp() queues {
	return queues{queue.JobQueueAttributes(), queue.CallbackQueueAttributes(), queue.DeadLetterQueueAttributes()}
}

// checkQueues returns where the queues do not fit the functions.
func checkQueues(q queues, f functions, worker config.Provision) []string {
	var out report
	duration := func(seconds int) time.Duration { return time.Duration(seconds) * time.Second }
	provision, notify, janitor := seconds(f.provision), seconds(f.notify), seconds(f.janitor)
	out.want(duration(q.jobs.VisibilityTimeout) > provision, "jobs show again after %d s, an invocation takes up to %s", q.jobs.VisibilityTimeout, provision)
	out.want(duration(q.callbacks.VisibilityTimeout) > notify, "callbacks show again after %d s, an invocation takes up to %s", q.callbacks.VisibilityTimeout, notify)
	out.want(duration(q.letters.VisibilityTimeout) > janitor, "dead letters show again after %d s, a run of the janitor takes up to %s", q.letters.VisibilityTimeout, janitor)
	out.want(duration(q.jobs.MessageRetentionPeriod) > worker.RetryMaxAge, "jobs are kept %d s, they are tried for %s", q.jobs.MessageRetentionPeriod, worker.RetryMaxAge)
	// Each attempt is a message of its own, so the longest pause counts, and the day that EventBridge tries for.
	pause := longestPause() + 24*time.Hour
	out.want(duration(q.callbacks.MessageRetentionPeriod) > pause, "callbacks are kept %d s, an attempt may come after %s", q.callbacks.MessageRetentionPeriod, pause)
	out.want(q.letters.MessageRetentionPeriod == longestRetention, "dead letters are kept %d s, %d are possible", q.letters.MessageRetentionPeriod, longestRetention)
	for name, a := range map[string]queue.Attributes{"jobs": q.jobs, "callbacks": q.callbacks, "letters": q.letters} {
		out.want(a.MaximumMessageSize == queue.MaxMessageBytes, "%s: at most %d bytes, the functions send %d", name, a.MaximumMessageSize, queue.MaxMessageBytes)
		out.want(a.DelaySeconds == 0, "%s: messages are delayed", name)
		out.want(a.VisibilityTimeout <= 43200 && a.PollingWaitSeconds <= 30, "%s: MNS refuses %+v", name, a)
	}
	return out
}

// longestPause is the longest that a callback waits for its next attempt.
func longestPause() time.Duration {
	var longest time.Duration
	for attempt := 1; attempt <= callback.MaxAttempts; attempt++ {
		pause, _ := callback.Next(&fault.Error{Kind: fault.Throttled, RetryAfter: math.MaxInt64}, attempt, 1)
		longest = max(longest, pause)
	}
	return longest
}

func TestQueues(t *testing.T) {
	deployed := properties(t, read(t, "s.yaml"), account)
	worker, err := config.LoadProvision(environment(deployed.provision))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("fit the functions", func(t *testing.T) {
		if diff := cmp.Diff([]string(nil), checkQueues(asSetUp(), deployed, worker)); diff != "" {
			t.Errorf("violations (-want +got):\n%s", diff)
		}
	})
	for _, test := range []struct {
		name, want string
		damage     func(*queues)
	}{
		{
			"must not show a job again while it is worked on", "jobs show again after 300 s, an invocation takes up to 5m0s",
			func(q *queues) { q.jobs.VisibilityTimeout = 300 },
		},
		{
			"must not show a dead letter again while a run works on it", "dead letters show again after 50 s, a run of the janitor takes up to 50s",
			func(q *queues) { q.letters.VisibilityTimeout = 50 },
		},
		{
			"must not show a callback again while it is posted", "callbacks show again after 60 s, an invocation takes up to 1m0s",
			func(q *queues) { q.callbacks.VisibilityTimeout = 60 },
		},
		{
			"must not drop a callback before its next attempt", "callbacks are kept 181440 s, an attempt may come after 50h24m0s",
			func(q *queues) { q.callbacks.MessageRetentionPeriod = 181440 },
		},
		{
			"must not drop a job that is still tried", "jobs are kept 86400 s, they are tried for 24h0m0s",
			func(q *queues) { q.jobs.MessageRetentionPeriod = 86400 },
		},
		{
			"must not drop a dead letter early", "dead letters are kept 345600 s, 604800 are possible",
			func(q *queues) { q.letters.MessageRetentionPeriod = 345600 },
		},
		{
			"must not refuse a full message", "letters: at most 65535 bytes, the functions send 65536",
			func(q *queues) { q.letters.MaximumMessageSize = 65535 },
		},
		{"must not delay", "jobs: messages are delayed", func(q *queues) { q.jobs.DelaySeconds = 1 }},
		{"must not ask for what MNS refuses", "jobs: MNS refuses", func(q *queues) { q.jobs.PollingWaitSeconds = 31 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			damaged := asSetUp()
			test.damage(&damaged)
			got := checkQueues(damaged, deployed, worker)
			if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, test.want) }) {
				t.Errorf("violations %q lack %q", got, test.want)
			}
		})
	}
}

// attributeRows returns what the document's table says of each queue: the beginning of a row for each attribute.
func attributeRows(q queues) []string {
	var out []string
	for i := range reflect.TypeFor[queue.Attributes]().NumField() {
		row := `(?m)^\| ` + reflect.TypeFor[queue.Attributes]().Field(i).Name
		for _, each := range []queue.Attributes{q.jobs, q.callbacks, q.letters} {
			row += fmt.Sprintf(` \| %d\b[^|]*`, reflect.ValueOf(each).Field(i).Int())
		}
		out = append(out, row)
	}
	return out
}

// missingRows returns the rows of the table of attributes that a document lacks.
func missingRows(document string) []string {
	var out []string
	for _, row := range attributeRows(asSetUp()) {
		if !regexp.MustCompile(row).MatchString(document) {
			out = append(out, row)
		}
	}
	return out
}

func TestQueueTable(t *testing.T) {
	document := string(read(t, "deploy", "README.md"))
	t.Run("says what the setup makes of the queues", func(t *testing.T) {
		if missing := missingRows(document); len(missing) > 0 {
			t.Errorf("the document lacks rows like %q", missing)
		}
	})
	t.Run("must say it of each attribute and queue", func(t *testing.T) {
		damaged := strings.NewReplacer("| 3600 s | 120 s | 120 s |", "| 3600 s | 121 s | 120 s |", "| DelaySeconds |", "| Delay |").Replace(document)
		if missing := missingRows(damaged); len(missing) != 2 {
			t.Errorf("missing: %q", missing)
		}
	})
}

var export = regexp.MustCompile(`(?m)^export ([A-Z_]+)=([^ \n]+)`)

// exports returns the variables that the document's commands set, as a shell does.
func exports(document string) map[string]string {
	out := map[string]string{}
	for _, match := range export.FindAllStringSubmatch(document, -1) {
		out[match[1]] = os.Expand(match[2], func(name string) string { return out[name] })
	}
	return out
}

func TestSetupVariables(t *testing.T) {
	given := exports(string(read(t, "deploy", "README.md")))
	deployed := properties(t, read(t, "s.yaml"), given)
	t.Run("make of the document's names the queues and tables that the functions use", func(t *testing.T) {
		var environ []string
		for name, value := range given {
			environ = append(environ, name+"="+value)
		}
		setup, err := config.LoadSetup(environ)
		if err != nil {
			t.Fatal(err)
		}
		worker, err := config.LoadProvision(environment(deployed.provision))
		if err != nil {
			t.Fatal(err)
		}
		accept, err := config.LoadAccept(environment(deployed.accept))
		if err != nil {
			t.Fatal(err)
		}
		// The functions reach the tables from inside the region, the setup from outside.
		worker.Ledger.Endpoint = strings.Replace(worker.Ledger.Endpoint, ".ots-internal.", ".ots.", 1)
		if setup.Prefix != worker.Prefix || setup.Queue != worker.Queue || setup.Ledger != worker.Ledger || setup.Retention != accept.Retention {
			t.Errorf("the setup uses %+v, %+v and %+v, the functions %+v, %+v and %+v", setup.Prefix, setup.Queue, setup.Ledger, worker.Prefix, worker.Queue, worker.Ledger)
		}
	})
}
