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
	actionRecord = "CreateRoutineRelatedRecord"
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

// faultNamed is the fault of a name in requests.ndjson. After those that execute the operation took effect: the worker finds that out in
// the same attempt. The others cost an attempt.
func faultNamed(name string) (fault faults.Fault, known bool) {
	fault, known = map[string]faults.Fault{
		"answer lost":            {Answer: faults.Reset, Execute: true},
		"half an answer":         {Answer: faults.Truncated, Execute: true},
		"InternalException":      {Answer: faults.Error, Code: "InternalException"},
		"503 ServiceUnavailable": {Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"},
		"502 page":               {Answer: faults.HTML},
		"empty 200":              {Answer: faults.Empty},
		"throttled":              {Answer: faults.Error, Code: "Throttling.User", Headers: map[string]string{"x-acs-retry-after": "1000"}},
	}[name]
	return fault, known
}

// planFaults arranges the faults that the lines meet and returns how many attempts they cost.
func planFaults(set *faults.Set, lines []*line) (cost int, err error) {
	for _, l := range lines {
		for _, m := range l.Meets {
			fault, known := faultNamed(m.Fault)
			if !known {
				return 0, fmt.Errorf("line %q: there is no fault %q", l.Case, m.Fault)
			}
			times := cmp.Or(m.Times, 1)
			if _, err := set.Add(faults.Rule{Action: m.Action, Match: map[string]string{"Name": l.wish.Name}, Times: times, Fault: fault}); err != nil {
				return 0, fmt.Errorf("line %q: %w", l.Case, err)
			}
			if !fault.Execute {
				cost += times
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
		if l.Expect.Routine != "" {
			name := cmp.Or(l.Expect.RecordName, l.wish.RecordName)
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
