package doctor

import (
	"context"
	"fmt"
	"strings"

	"routinely/cmd/routinely/cloud"
	"routinely/cmd/routinely/doctor/expected"
	"routinely/shared/config"
	"routinely/shared/fault"
)

// deployed examines the functions and their triggers.
type deployed struct {
	*examination
	cfg    config.Doctor
	client *cloud.Functions
	want   []expected.Function
	// missing are the names of functions that are not there.
	missing map[string]bool
}

func newDeployed(e *examination, cfg config.Doctor, c *clients) *deployed {
	d := &deployed{examination: e, cfg: cfg, want: expected.Functions(placeOf(cfg)), missing: map[string]bool{}}
	if c != nil {
		d.client = c.deployed
	}
	return d
}

func placeOf(cfg config.Doctor) expected.Place {
	return expected.Place{Prefix: cfg.Prefix, Region: cfg.Region, AccountID: cfg.AccountID}
}

// redeploy is the command that deploys one function and its triggers.
func redeploy(f expected.Function) string { return "s " + f.Resource + " deploy -y" }

// levelOf is how bad another value of a setting is.
func levelOf(s expected.Setting) Level {
	if s.Minor {
		return Warning
	}
	return Problem
}

// shownValue is a value in a sentence.
func shownValue(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}

// functions examines each function, and then their environments together.
func (d *deployed) functions(ctx context.Context) error {
	environments := map[string]cloud.Environment{}
	for _, want := range d.want {
		have, err := d.client.Function(ctx, want.Name)
		if fault.HasKind(err, fault.NotFound) {
			d.missing[want.Name] = true
			d.find(Finding{
				ID: "function-missing", Area: "functions", Level: Problem, What: "there is no function " + want.Name,
				Why: "Nobody does its work.", Repair: "Deploy it: " + redeploy(want) + ". If another deployment is meant, set ROUTINELY_PREFIX and ROUTINELY_REGION.",
			})
			continue
		}
		if err != nil {
			return err
		}
		environments[want.Called] = have.Environment
		if err := d.function(ctx, want, have.Settings); err != nil {
			return err
		}
	}
	d.environments(environments)
	return nil
}

func (d *deployed) function(ctx context.Context, want expected.Function, settings cloud.Settings) error {
	concurrency, err := d.client.Concurrency(ctx, want.Name)
	if err != nil {
		return err
	}
	settings["concurrencyConfig"] = map[string]any(concurrency)
	if want.Async {
		async, err := d.client.Async(ctx, want.Name)
		if err != nil {
			return err
		}
		settings["asyncInvokeConfig"] = map[string]any(async)
	}
	have := expected.Flatten(settings)
	d.compared("functions", want.Name, want, want.Settings, have)
	if have["logConfig.project"] == "" || have["logConfig.logstore"] == "" {
		d.find(Finding{
			ID: "function-log", Area: "functions", Level: Problem, What: want.Name + " keeps no log", Why: expected.LogWhy,
			Repair: "Deploy the function again, with logConfig: auto: " + redeploy(want),
		})
	}
	return nil
}

// compared reports each setting of a function, or of its trigger, that is something else than it has to be, and whether the trigger is off.
func (d *deployed) compared(area, whose string, of expected.Function, want []expected.Setting, have map[string]string) (off bool) {
	for _, one := range expected.Differences(want, have) {
		off = off || one.ID == expected.Off
		d.find(Finding{
			ID: one.ID, Area: area, Level: levelOf(one.Setting),
			What: fmt.Sprintf("%s of %s is %s, and has to be %s", one.Path, whose, shownValue(one.Have), shownValue(one.Want)),
			Why:  one.Why, Repair: "Deploy the function again: " + redeploy(of),
		})
	}
	return off
}

// triggers examines the triggers of each function that is there.
func (d *deployed) triggers(ctx context.Context) error {
	if len(d.missing) == len(d.want) {
		return nothingThere("there is no function")
	}
	for _, want := range d.want {
		if d.missing[want.Name] {
			continue
		}
		have, err := d.client.Triggers(ctx, want.Name)
		if err != nil {
			return err
		}
		for _, trigger := range want.Triggers {
			if err := d.trigger(ctx, want, trigger, have); err != nil {
				return err
			}
		}
		d.others(want, have)
	}
	return nil
}

// trigger compares a trigger with those that there are.
func (d *deployed) trigger(ctx context.Context, of expected.Function, want expected.Trigger, all []cloud.Trigger) error {
	name := want.Name + " of " + of.Name
	for _, have := range all {
		if have.Name != want.Name || have.Type != want.Type {
			continue
		}
		off := d.compared("triggers", "trigger "+name, of, want.Settings, expected.Flatten(have.Settings))
		if !want.Streams || off { // the stream of a trigger that is off does not run
			return nil
		}
		return d.stream(ctx, of, want, have)
	}
	d.find(Finding{
		ID: "trigger-missing", Area: "triggers", Level: Problem, What: fmt.Sprintf("there is no trigger %s, of the kind %s", name, want.Type),
		Why: "Nothing calls the function.", Repair: "Deploy the function again: " + redeploy(of),
	})
	return nil
}

// others reports triggers that nobody expects.
func (d *deployed) others(of expected.Function, all []cloud.Trigger) {
	for _, have := range all {
		known := false
		for _, want := range of.Triggers {
			known = known || have.Name == want.Name && have.Type == want.Type
		}
		if known {
			continue
		}
		f := Finding{
			ID: "trigger-extra", Area: "triggers", Level: Warning, What: fmt.Sprintf("%s has another trigger, %s of the kind %s", of.Name, have.Name, have.Type),
			Why: "Somebody else calls the function, with events that are not its own.", Repair: "Delete it in Function Compute's console, if it is not meant to be there.",
		}
		if of.Called == expected.Provision {
			f.Level, f.Why = Problem, "Its calls take the only instance from the queue, and the queue's calls are refused meanwhile."
		}
		d.find(f)
	}
}

// stream looks whether the event stream of a trigger delivers.
func (d *deployed) stream(ctx context.Context, of expected.Function, want expected.Trigger, have cloud.Trigger) error {
	name := want.Name + " of " + of.Name
	if have.Stream == "" {
		d.find(Finding{
			ID: "stream-unknown", Area: "triggers", Level: Warning, What: "Function Compute does not say which event stream delivers to trigger " + name,
			Why: "Whether it runs is not known.", Repair: "Look in EventBridge's console, Event Streams, in " + d.cfg.Region + ": its state has to be Running.",
		})
		return nil
	}
	state, err := d.client.Stream(ctx, have.Stream)
	stopped := Finding{
		ID: "stream-stopped", Area: "triggers", Level: Problem, What: fmt.Sprintf("the event stream %s of trigger %s is %s", have.Stream, name, strings.ToLower(state)),
		Why:    "Messages stay on the queue, and the function is not called.",
		Repair: "Start it in EventBridge's console, Event Streams, in " + d.cfg.Region + ". If it stops again, it says why there.",
	}
	switch {
	case fault.HasKind(err, fault.NotFound):
		stopped.ID, stopped.What = "stream-missing", fmt.Sprintf("there is no event stream %s, which trigger %s needs", have.Stream, name)
		stopped.Repair = fmt.Sprintf("Delete the trigger %s in Function Compute's console, and deploy the function again: %s", want.Name, redeploy(of))
		d.find(stopped)
	case fault.HasCode(err, "ServiceNotEnable"):
		stopped.ID, stopped.What = "stream-service", "EventBridge is not activated for this account"
		stopped.Repair = "Activate it in its console, and deploy the function again: " + redeploy(of)
		d.find(stopped)
	case err != nil:
		return err
	case state == cloud.StreamStarting:
		stopped.ID, stopped.Level, stopped.Repair = "stream-starting", Warning, "Run this command again in a minute; the stream has to be running then."
		d.find(stopped)
	case state != cloud.StreamRunning:
		d.find(stopped)
	}
	return nil
}
