package demo

import (
	"cmp"
	"fmt"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/stack"
)

// ESA's words.
const (
	// codeLocked is the answer while another routine operation of the account runs.
	codeLocked = "UserOperationStatusIsLocked"
	// codeDepended is the answer for a host name that is an ordinary record. It looks like a passing error, so it is tried again.
	codeDepended = "DependedByOthers"
)

// plant puts into ESA what somebody else has in the account, two routines and an ordinary record, and leaves room for as many routines as the
// lines make, so that the account is full for the last ones.
func (d *demo) plant(esa *esaemu.Server) error {
	for _, r := range []esaemu.Routine{
		{Name: "legacy", Description: "moved from the old edge", CreateTime: time.Date(2024, 9, 10, 8, 0, 0, 0, time.UTC)},
		{Name: "marketing", Description: "owned by the marketing team", CreateTime: time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)},
	} {
		if err := esa.PlantRoutine(r); err != nil {
			return err
		}
	}
	if _, err := esa.PlantRecord(stack.SiteID, "mail."+stack.SiteName); err != nil {
		return err
	}
	state, err := esa.State()
	if err != nil {
		return err
	}
	quota := d.expect(state)
	return esa.SetAccount(esaemu.AccountChange{RoutineQuota: &quota})
}

// planFaults arranges the faults that the lines meet and returns how many attempts they cost: after a fault that executes, the operation took
// effect, and the worker finds that out in the same attempt.
func planFaults(set *faults.Set, lines []*line) (cost int, err error) {
	for _, l := range lines {
		for _, rule := range l.Meets {
			rule.Match = map[string]string{"Name": l.wish.Name}
			if _, err := set.Add(rule); err != nil {
				return 0, fmt.Errorf("line %q: %w", l.Case, err)
			}
			if !rule.Fault.Execute {
				cost += max(rule.Times, 1)
			}
		}
	}
	return cost, nil
}

// expect writes down what ESA must hold in the end (what was planted, untouched, and what the lines ask for) and counts the routines in it.
func (d *demo) expect(planted esaemu.State) (routines int) {
	d.want = d.held(planted)
	names := map[string]bool{}
	for _, r := range planted.Routines {
		names[r.Name] = true
	}
	for _, l := range d.lines {
		if l.leavesRoutine() && !names[l.wish.Name] {
			names[l.wish.Name] = true
			d.want[d.routineText(esaemu.Routine{Name: l.wish.Name, Description: l.wish.Description, HasAssets: l.wish.HasAssets, CreateTime: time.Now()})] = true
		}
		if l.expects("routine") {
			name := cmp.Or(l.HostName, l.wish.RecordName)
			d.want[recordText(esaemu.Record{SiteID: stack.SiteID, RecordName: name, Routine: l.wish.Name})] = true
		}
	}
	return len(names)
}

// held is what ESA holds, as texts.
func (d *demo) held(state esaemu.State) map[string]bool {
	things := map[string]bool{}
	for _, r := range state.Routines {
		things[d.routineText(r)] = true
		for _, record := range r.Records {
			things[recordText(record)] = true
		}
	}
	for _, r := range state.Planted {
		things[recordText(r)] = true
	}
	return things
}

// routineText has the time of a routine that is older than the demo: one that was made again has another.
func (d *demo) routineText(r esaemu.Routine) string {
	text := fmt.Sprintf("routine %s (description %q, hasAssets %t)", r.Name, r.Description, r.HasAssets)
	if r.CreateTime.Before(d.began) {
		text += " of " + r.CreateTime.String()
	}
	return text
}

func recordText(r esaemu.Record) string {
	if r.Routine == "" {
		return fmt.Sprintf("ordinary record %s, id %d of %s", r.RecordName, r.RecordID, r.CreateTime)
	}
	return fmt.Sprintf("record %s of routine %s in site %d", r.RecordName, r.Routine, r.SiteID)
}
