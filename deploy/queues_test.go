package deploy_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

// longestRetention is the upper end of MessageRetentionPeriod, in seconds (limits page of Simple Message Queue).
const longestRetention = 604800

// checkQueues returns where the queues, as the setup makes them, do not fit the functions.
func checkQueues(jobs, letters queue.Attributes, accept, provision time.Duration, worker config.Provision) []string {
	var out report
	duration := func(seconds int) time.Duration { return time.Duration(seconds) * time.Second }
	out.want(duration(jobs.VisibilityTimeout) > provision, "jobs show again after %d s, an invocation takes up to %s", jobs.VisibilityTimeout, provision)
	out.want(duration(letters.VisibilityTimeout) > accept, "dead letters show again after %d s, a redrive takes up to %s", letters.VisibilityTimeout, accept)
	out.want(duration(jobs.MessageRetentionPeriod) > worker.RetryMaxAge, "jobs are kept %d s, they are tried for %s", jobs.MessageRetentionPeriod, worker.RetryMaxAge)
	out.want(letters.MessageRetentionPeriod == longestRetention, "dead letters are kept %d s, %d are possible", letters.MessageRetentionPeriod, longestRetention)
	for name, a := range map[string]queue.Attributes{"jobs": jobs, "letters": letters} {
		out.want(a.MaximumMessageSize == queue.MaxMessageBytes, "%s: at most %d bytes, the functions send %d", name, a.MaximumMessageSize, queue.MaxMessageBytes)
		out.want(a.DelaySeconds == 0, "%s: messages are delayed", name)
		out.want(a.VisibilityTimeout <= 43200 && a.PollingWaitSeconds <= 30, "%s: MNS refuses %+v", name, a)
	}
	return out
}

func TestQueues(t *testing.T) {
	accept, provision := properties(t, read(t, "s.yaml"), account)
	worker, err := config.LoadProvision(environment(provision))
	if err != nil {
		t.Fatal(err)
	}
	check := func(jobs, letters queue.Attributes) []string {
		return checkQueues(jobs, letters, seconds(accept), seconds(provision), worker)
	}
	t.Run("fit the functions", func(t *testing.T) {
		if diff := cmp.Diff([]string(nil), check(queue.JobQueueAttributes(), queue.DeadLetterQueueAttributes())); diff != "" {
			t.Errorf("violations (-want +got):\n%s", diff)
		}
	})
	for _, test := range []struct {
		name, want string
		damage     func(jobs, letters *queue.Attributes)
	}{
		{
			"must not show a job again while it is worked on", "jobs show again after 300 s, an invocation takes up to 5m0s",
			func(jobs, _ *queue.Attributes) { jobs.VisibilityTimeout = 300 },
		},
		{
			"must not show a dead letter again while it is redriven", "dead letters show again after 60 s, a redrive takes up to 1m0s",
			func(_, letters *queue.Attributes) { letters.VisibilityTimeout = 60 },
		},
		{
			"must not drop a job that is still tried", "jobs are kept 86400 s, they are tried for 24h0m0s",
			func(jobs, _ *queue.Attributes) { jobs.MessageRetentionPeriod = 86400 },
		},
		{
			"must not drop a dead letter early", "dead letters are kept 345600 s, 604800 are possible",
			func(_, letters *queue.Attributes) { letters.MessageRetentionPeriod = 345600 },
		},
		{
			"must not refuse a full message", "letters: at most 65535 bytes, the functions send 65536",
			func(_, letters *queue.Attributes) { letters.MaximumMessageSize = 65535 },
		},
		{"must not delay", "jobs: messages are delayed", func(jobs, _ *queue.Attributes) { jobs.DelaySeconds = 1 }},
		{"must not ask for what MNS refuses", "jobs: MNS refuses", func(jobs, _ *queue.Attributes) { jobs.PollingWaitSeconds = 31 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			jobs, letters := queue.JobQueueAttributes(), queue.DeadLetterQueueAttributes()
			test.damage(&jobs, &letters)
			got := check(jobs, letters)
			if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, test.want) }) {
				t.Errorf("violations %q lack %q", got, test.want)
			}
		})
	}
}

// attributeRows returns what the document's table says of each queue: the beginning of a row for each attribute.
func attributeRows(jobs, letters queue.Attributes) []string {
	var out []string
	for i := range reflect.TypeFor[queue.Attributes]().NumField() {
		name := reflect.TypeFor[queue.Attributes]().Field(i).Name
		out = append(out, fmt.Sprintf(`(?m)^\| %s \| %d\b[^|]*\| %d\b`, name, reflect.ValueOf(jobs).Field(i).Int(), reflect.ValueOf(letters).Field(i).Int()))
	}
	return out
}

// missingRows returns the rows of the table of attributes that a document lacks.
func missingRows(document string) []string {
	var out []string
	for _, row := range attributeRows(queue.JobQueueAttributes(), queue.DeadLetterQueueAttributes()) {
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
		damaged := strings.NewReplacer("| 600 s | 120 s |", "| 600 s | 121 s |", "| DelaySeconds |", "| Delay |").Replace(document)
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
	_, provision := properties(t, read(t, "s.yaml"), given)
	functions := object(provision["environmentVariables"])
	t.Run("are in the document what s.yaml gives to the functions", func(t *testing.T) {
		for _, variable := range config.Variables(config.Setup{}) {
			if want, ok := functions[variable.Name]; ok && given[variable.Name] != want {
				t.Errorf("%s is %q, the functions have %q", variable.Name, given[variable.Name], want)
			}
		}
	})
	t.Run("name the table that the functions use", func(t *testing.T) {
		worker, err := config.LoadProvision(environment(provision))
		if err != nil {
			t.Fatal(err)
		}
		if given["TABLE"] != worker.Ledger.Table || given["TABLE"] != ledger.DefaultTable {
			t.Errorf("the document says %q, the functions %q, the ledger %q", given["TABLE"], worker.Ledger.Table, ledger.DefaultTable)
		}
	})
}
