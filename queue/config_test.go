package queue_test

import (
	"testing"
	"time"

	"routinely/deploy/local/localtest"
	"routinely/queue"
)

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*queue.Config){
		"an endpoint that is none":        func(c *queue.Config) { c.Endpoint = "123456.mns.cn-hangzhou.aliyuncs.com" },
		"a queue name that is a path":     func(c *queue.Config) { c.Queue = "a/../b" },
		"a queue name with a query":       func(c *queue.Config) { c.Queue = "a?b=c" },
		"a queue as its own dead letters": func(c *queue.Config) { c.DeadLetterQueue = c.Queue },
		"no queue of callbacks":           func(c *queue.Config) { c.CallbackQueue = "" },
		"no credentials":                  func(c *queue.Config) { c.Credentials = nil },
		"no time limit":                   func(c *queue.Config) { c.Timeout = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := queue.Config{
				Endpoint: "http://localhost", Queue: "jobs", DeadLetterQueue: "jobs-dead", CallbackQueue: "jobs-callbacks",
				Credentials: localtest.Credentials, Timeout: time.Second,
			}
			spoil(&cfg)
			if _, err := queue.New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}
