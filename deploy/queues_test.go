package deploy_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"routinely/queue"
	"routinely/shared/config"
)

var (
	createQueue    = regexp.MustCompile(`CreateQueue [^\n]*--QueueName "([^"]+)" \\\n([^\n]+)`)
	queueAttribute = regexp.MustCompile(`--(\w+) (\d+)`)
)

// queueAttributes returns the attributes of each queue that the document's commands create.
func queueAttributes(document string) map[string]map[string]int {
	out := map[string]map[string]int{}
	for _, command := range createQueue.FindAllStringSubmatch(document, -1) {
		attributes := map[string]int{}
		for _, match := range queueAttribute.FindAllStringSubmatch(command[2], -1) {
			// The expression matches digits; a number too long for an int is refused by the limits below.
			attributes[match[1]], _ = strconv.Atoi(match[2])
		}
		out[command[1]] = attributes
	}
	return out
}

// longestRetention is the upper end of MessageRetentionPeriod, in seconds (limits page of Simple Message Queue).
const longestRetention = 604800

// checkQueues returns where the queues do not fit the functions.
func checkQueues(document string, timeout time.Duration, worker config.Provision) []string {
	var out report
	queues := queueAttributes(document)
	jobs, letters := queues["$ROUTINELY_QUEUE"], queues["$ROUTINELY_QUEUE-dead"]
	out.want(len(queues) == 2 && jobs != nil && letters != nil, "queues: %v", queues)
	out.want(time.Duration(jobs["VisibilityTimeout"])*time.Second > timeout, "jobs show again after %d s, an invocation takes up to %s", jobs["VisibilityTimeout"], timeout)
	out.want(time.Duration(jobs["MessageRetentionPeriod"])*time.Second > worker.RetryMaxAge, "jobs are kept %d s, they are tried for %s", jobs["MessageRetentionPeriod"], worker.RetryMaxAge)
	out.want(letters["MessageRetentionPeriod"] == longestRetention, "dead letters are kept %d s, %d are possible", letters["MessageRetentionPeriod"], longestRetention)
	for name, attributes := range queues {
		out.want(attributes["MaximumMessageSize"] == queue.MaxMessageBytes, "%s takes %d bytes, the functions send %d", name, attributes["MaximumMessageSize"], queue.MaxMessageBytes)
		out.want(attributes["DelaySeconds"] == 0, "%s delays messages", name)
		out.want(attributes["VisibilityTimeout"] <= 43200 && attributes["PollingWaitSeconds"] <= 30, "%s: MNS refuses %v", name, attributes)
	}
	return out
}

func TestQueueCommands(t *testing.T) {
	document := string(read(t, "deploy", "README.md"))
	_, provision := properties(t, read(t, "s.yaml"), account)
	worker, err := config.LoadProvision(environment(provision))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("create queues that fit the functions", func(t *testing.T) {
		for _, line := range checkQueues(document, seconds(provision), worker) {
			t.Error(line)
		}
	})
	for _, test := range []struct{ name, from, to string }{
		{"must not show a job again while it is worked on", "--VisibilityTimeout 600", "--VisibilityTimeout 300"},
		{"must not drop a job that is still tried", "600 --MessageRetentionPeriod 604800", "600 --MessageRetentionPeriod 86400"},
		{"must not drop a dead letter early", "120 --MessageRetentionPeriod 604800", "120 --MessageRetentionPeriod 345600"},
		{"must not refuse a full message", "--MaximumMessageSize 65536", "--MaximumMessageSize 65535"},
		{"must not delay", "--DelaySeconds 0", "--DelaySeconds 1"},
		{"must not ask for what MNS refuses", "--PollingWaitSeconds 30", "--PollingWaitSeconds 31"},
		{"must create both queues", "$ROUTINELY_QUEUE-dead\" \\", "dead\" \\"},
	} {
		t.Run(test.name, func(t *testing.T) {
			damaged := strings.Replace(document, test.from, test.to, 1)
			if damaged == document {
				t.Fatalf("the document has no %q to break", test.from)
			}
			if len(checkQueues(damaged, seconds(provision), worker)) == 0 {
				t.Error("nothing was found wrong")
			}
		})
	}
	t.Run("tell in the table what they do", func(t *testing.T) {
		queues := queueAttributes(document)
		for _, name := range []string{"VisibilityTimeout", "MessageRetentionPeriod", "MaximumMessageSize", "DelaySeconds", "PollingWaitSeconds"} {
			row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %s \| %d\b[^|]*\| %d\b`, name, queues["$ROUTINELY_QUEUE"][name], queues["$ROUTINELY_QUEUE-dead"][name]))
			if !row.MatchString(document) {
				t.Errorf("the row of %s says something else", name)
			}
		}
	})
}
