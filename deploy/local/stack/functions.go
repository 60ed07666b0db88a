package stack

import (
	"cmp"
	"maps"
	"time"

	"routinely/deploy/local/fcemu"
)

// functions is s.yaml in the local platform's terms.
func (s *Stack) functions() fcemu.Config {
	return fcemu.Config{
		AccountID: AccountID, Region: Region, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret, SecurityToken: "local-security-token",
		Functions: []fcemu.Function{
			{
				Name: FunctionAccept, Command: []string{s.cfg.Accept}, Env: s.acceptEnv(), Timeout: acceptTimeout, MaxInstances: acceptInstances, MemoryMB: 256, PreStop: true,
				FunctionSettings: shown(FunctionAccept),
			},
			{
				Name: FunctionWorker, Command: []string{s.cfg.Provision}, Env: s.workerEnv(), Timeout: workerTimeout, MaxInstances: 1, MemoryMB: 128, PreStop: true,
				FunctionSettings: shown(FunctionWorker),
			},
			{
				Name: FunctionNotify, Command: []string{s.cfg.Notify}, Env: s.notifyEnv(), Timeout: notifyTimeout, MaxInstances: notifyInstances, MemoryMB: 128,
				FunctionSettings: shown(FunctionNotify),
			},
			{
				Name: FunctionJanitor, Command: []string{s.cfg.Janitor}, Env: s.janitorEnv(), Timeout: janitorTimeout, MaxInstances: 1, MemoryMB: 128,
				Async: &fcemu.AsyncConfig{MaxRetryAttempts: 0, MaxEventAge: time.Minute}, FunctionSettings: shown(FunctionJanitor),
			},
		},
		HTTPTriggers: []fcemu.HTTPTrigger{{Name: "http", Function: FunctionAccept, Methods: []string{"GET", "HEAD", "POST", "DELETE"}}},
		Timers:       []fcemu.TimerTrigger{{Name: "every-minute", Function: FunctionJanitor, Schedule: janitorSchedule}},
		Triggers: []fcemu.QueueTrigger{
			s.trigger("jobs", FunctionWorker, Queue, cmp.Or(s.cfg.BatchSize, jobBatch), max(0, cmp.Or(s.cfg.BatchWindow, jobWindow))),
			s.trigger("callbacks", FunctionNotify, CallbackQueue, callbackBatch, callbackWindow),
		},
		Stdout: s.cfg.Output, Logger: s.cfg.Logger, OnInvocation: s.cfg.OnInvocation,
	}
}

// shown are the settings of a function that nothing here obeys.
func shown(function string) fcemu.FunctionSettings {
	return fcemu.FunctionSettings{Handler: "main", CPU: 0.1, DiskMB: 512, Role: function, LogProject: "serverless-" + Region + "-local", LogStore: "default-logs"}
}

// trigger delivers the messages of a queue to a function.
func (s *Stack) trigger(name, function, queue string, batch int, window time.Duration) fcemu.QueueTrigger {
	return fcemu.QueueTrigger{
		Name: name, Function: function, Queue: queue, DeadLetterQueue: DeadLetterQueue,
		Endpoint: s.MNSURL(), AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret,
		CountBasedWindow: batch, TimeBasedWindow: window,
		TriggerSettings: fcemu.TriggerSettings{
			Mode: "event-streaming", EventSchema: "CloudEvents", ErrorsTolerance: "ALL", PushRetryStrategy: "EXPONENTIAL_DECAY_RETRY",
		},
	}
}

// keptForEver is the retention: the tables here have no time to live.
const keptForEver = "0"

// commonEnv is what all functions are told.
func (s *Stack) commonEnv() map[string]string {
	return map[string]string{
		"ROUTINELY_MNS_ENDPOINT": s.MNSURL(), "ROUTINELY_PREFIX": Prefix, "ROUTINELY_MESSAGE_KEYS": s.cfg.MessageKeys,
	}
}

func (s *Stack) acceptEnv() map[string]string {
	env := s.commonEnv()
	env["ROUTINELY_AUTH"], env["ROUTINELY_RETENTION"] = cmp.Or(s.cfg.Auth, "none"), keptForEver
	s.addLedger(env)
	s.addExpiry(env, "ROUTINELY_EXPIRY_MIN", "ROUTINELY_EXPIRY_MAX", "ROUTINELY_EXPIRY_GRACE")
	addReceivers(env)
	return env
}

func (s *Stack) workerEnv() map[string]string {
	env := s.commonEnv()
	env["ROUTINELY_ESA_ENDPOINT"] = s.ESAURL()
	s.addExpiry(env)
	env["ROUTINELY_PARK_WAIT"], env["ROUTINELY_PARK_DELAY_MIN"], env["ROUTINELY_PARK_DELAY_MAX"] = "5s", "3s", "10s"
	s.addLedger(env)
	addReceivers(env)
	maps.Copy(env, s.cfg.ProvisionEnv)
	return env
}

func (s *Stack) notifyEnv() map[string]string {
	env := s.commonEnv()
	env["ROUTINELY_CALLBACK_SECRETS"] = s.cfg.CallbackSecrets
	addReceivers(env)
	return env
}

func (s *Stack) janitorEnv() map[string]string {
	env := s.commonEnv()
	env["ROUTINELY_ESA_ENDPOINT"], env["ROUTINELY_RETENTION"] = s.ESAURL(), keptForEver
	s.addLedger(env)
	s.addExpiry(env, "ROUTINELY_EXPIRY_SETTLE", "ROUTINELY_EXPIRY_GRACE")
	return env
}

// addExpiry says what is deleted, and, if that is to be seen soon, the short ones of the given times.
func (s *Stack) addExpiry(env map[string]string, times ...string) {
	env["ROUTINELY_DELETE"] = cmp.Or(s.cfg.Deletion, "expired-too")
	short := map[string]string{
		"ROUTINELY_EXPIRY_MIN": "1m", "ROUTINELY_EXPIRY_MAX": "1h", "ROUTINELY_EXPIRY_SETTLE": "10s", "ROUTINELY_EXPIRY_GRACE": "1m",
	}
	for _, name := range times {
		if s.cfg.Short {
			env[name] = short[name]
		}
	}
}

func (s *Stack) addLedger(env map[string]string) {
	env["ROUTINELY_TABLESTORE_ENDPOINT"], env["ROUTINELY_TABLESTORE_INSTANCE"] = s.OTSURL(), Instance
}

// addReceivers lets callbacks go to this machine, which no deployment does.
func addReceivers(env map[string]string) {
	env["ROUTINELY_CALLBACK_HTTP"], env["ROUTINELY_CALLBACK_NETWORKS"] = "true", "127.0.0.0/8,::1/128"
}
