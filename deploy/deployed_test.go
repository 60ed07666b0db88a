package deploy_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/localtest"
)

// This file runs the functions on the local platform as the component was told to deploy them.

// start runs the functions as the component was told to deploy them, with their triggers, and returns the address of the HTTP trigger.
func (p *page) start() (url string, err error) {
	if p.deployed, err = p.calls(); err != nil {
		return "", err
	}
	cfg := fcemu.Config{
		AccountID: localtest.AccountID, Region: "cn-hangzhou", AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		SecurityToken: "token",
	}
	var open string
	for _, call := range p.deployed {
		cfg.Functions = append(cfg.Functions, p.function(call.Props))
		for _, trigger := range list(call.Props["triggers"]) {
			switch at(trigger, "triggerType") {
			case "http":
				open = fmt.Sprint(call.Props["functionName"])
				cfg.HTTPTriggers = append(cfg.HTTPTriggers, fcemu.HTTPTrigger{
					Name: fmt.Sprint(at(trigger, "triggerName")), Function: open, Methods: texts(at(trigger, "triggerConfig", "methods")),
				})
			case "eventbridge":
				cfg.Triggers = append(cfg.Triggers, p.trigger(call.Props, trigger))
			case "timer":
				cfg.Timers = append(cfg.Timers, fcemu.TimerTrigger{
					Name: fmt.Sprint(at(trigger, "triggerName")), Function: fmt.Sprint(call.Props["functionName"]),
					Schedule: fmt.Sprint(at(trigger, "triggerConfig", "cronExpression")),
				})
			}
		}
	}
	server, err := fcemu.New(cfg)
	if err != nil {
		return "", err
	}
	p.platform = server.API()
	ctx, stop := context.WithCancel(context.WithoutCancel(p.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	p.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	})
	return localtest.Listen(p.t, server.HTTP(open), nil), nil
}

// function is a function as the local platform takes it. The services are the local ones.
func (p *page) function(props map[string]any) fcemu.Function {
	env := map[string]string{}
	for name, value := range object(props["environmentVariables"]) {
		env[name] = fmt.Sprint(value)
	}
	for name, local := range map[string]string{
		"ROUTINELY_MNS_ENDPOINT": p.mns, "ROUTINELY_TABLESTORE_ENDPOINT": p.ots, "ROUTINELY_ESA_ENDPOINT": p.esa,
	} {
		if env[name] != "" {
			env[name] = local
		}
	}
	if env["ROUTINELY_TABLESTORE_ENDPOINT"] != "" { // the local address does not begin with the instance
		env["ROUTINELY_TABLESTORE_INSTANCE"] = exports(p.text)["ROUTINELY_TABLESTORE_INSTANCE"]
	}
	return fcemu.Function{
		Name: fmt.Sprint(props["functionName"]), Command: []string{filepath.Join(p.dir, "work", fmt.Sprint(props["code"]), fmt.Sprint(props["handler"]))},
		Env: env, Timeout: seconds(props), MaxInstances: int(number(at(props, "concurrencyConfig", "reservedConcurrency"))),
		MemoryMB: int(number(props["memorySize"])), PreStop: at(props, "instanceLifecycleConfig", "preStop") != nil,
		Async: async(props), FunctionSettings: shown(props),
	}
}

// shown are the settings of a function that the local platform shows and does not obey. The component makes a log project if it is told auto.
func shown(props map[string]any) fcemu.FunctionSettings {
	out := fcemu.FunctionSettings{
		Handler: fmt.Sprint(props["handler"]), CPU: number(props["cpu"]), DiskMB: int(number(props["diskSize"])), Role: fmt.Sprint(props["role"]),
		NoInternet: props["internetAccess"] != true,
	}
	if props["logConfig"] == "auto" {
		out.LogProject, out.LogStore = "project", "store"
	}
	return out
}

func async(props map[string]any) *fcemu.AsyncConfig {
	set := object(props["asyncInvokeConfig"])
	if set == nil {
		return nil
	}
	return &fcemu.AsyncConfig{
		MaxRetryAttempts: int(number(set["maxAsyncRetryAttempts"])), MaxEventAge: time.Duration(number(set["maxAsyncEventAgeInSeconds"])) * time.Second,
	}
}

func texts(value any) (out []string) {
	for _, one := range list(value) {
		out = append(out, fmt.Sprint(one))
	}
	return out
}

func (p *page) trigger(props map[string]any, trigger any) fcemu.QueueTrigger {
	settings := at(trigger, "triggerConfig")
	options := at(settings, "runOptions")
	_, letters, _ := strings.Cut(fmt.Sprint(at(options, "deadLetterQueue", "Arn")), "/queues/")
	return fcemu.QueueTrigger{
		Name: fmt.Sprint(at(trigger, "triggerName")), Function: fmt.Sprint(props["functionName"]),
		Queue:    fmt.Sprint(at(settings, "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters", "QueueName")),
		Endpoint: p.mns, AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret, DeadLetterQueue: letters,
		CountBasedWindow: int(number(at(options, "batchWindow", "CountBasedWindow"))),
		TimeBasedWindow:  time.Duration(number(at(options, "batchWindow", "TimeBasedWindow"))) * time.Second,
		TriggerSettings: fcemu.TriggerSettings{
			Mode: fmt.Sprint(at(options, "mode")), EventSchema: fmt.Sprint(at(settings, "eventSinkConfig", "deliveryOption", "eventSchema")),
			ErrorsTolerance: fmt.Sprint(at(options, "errorsTolerance")), PushRetryStrategy: fmt.Sprint(at(options, "retryStrategy", "PushRetryStrategy")),
		},
	}
}
