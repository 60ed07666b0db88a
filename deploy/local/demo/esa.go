package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// codeAbsent is the answer to a look for a routine that is not there.
	codeAbsent = "RoutineNotExist"
)

// plant puts into ESA what somebody else has in the account: routines, a record of one of them, and an ordinary record.
func (d *demo) plant(esa *esaemu.Server) error {
	for _, r := range []esaemu.Routine{
		{Name: "legacy", Description: "moved from the old edge", CreateTime: time.Date(2024, 9, 10, 8, 0, 0, 0, time.UTC)},
		{Name: "vendor", CreateTime: time.Date(2024, 12, 1, 8, 0, 0, 0, time.UTC)},
		{Name: "marketing", Description: "owned by the marketing team", CreateTime: time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)},
	} {
		if err := esa.PlantRoutine(r); err != nil {
			return err
		}
	}
	_, bound := esa.BindRecord("marketing", stack.SiteID, "news."+stack.SiteName)
	_, planted := esa.PlantRecord(stack.SiteID, "mail."+stack.SiteName)
	state, err := esa.State()
	d.want, d.planted = map[string]esaemu.Routine{}, state.Planted
	for _, r := range state.Routines {
		d.want[r.Name] = r
	}
	return errors.Join(bound, planted, err)
}

// meddle does what somebody else in the account does behind Routinely's back: binds a record to a routine, deletes another one and makes it again.
// Then the account gets no room for other routines.
func (d *demo) meddle() error {
	esa, hall := d.stack.ESA(), d.want["hall"]
	guest := esaemu.Record{Routine: hall.Name, SiteID: stack.SiteID, RecordName: "guest." + stack.SiteName}
	rival := esaemu.Routine{Name: "rival", CreateTime: time.Date(2025, 6, 1, 8, 0, 0, 0, time.UTC)}
	_, bound := esa.BindRecord(guest.Routine, guest.SiteID, guest.RecordName)
	hall.Records = append(hall.Records, guest)
	d.want[hall.Name], d.want[rival.Name] = hall, rival
	quota := len(d.want)
	d.note("somebody binds %s to %s, makes %s again, and the account has room for %d routines", guest.RecordName, hall.Name, rival.Name, quota)
	return errors.Join(bound, esa.RemoveRoutine(rival.Name), esa.PlantRoutine(rival), esa.SetAccount(esaemu.AccountChange{RoutineQuota: &quota}))
}

// planFaults arranges the faults that the lines meet and returns how many attempts they cost. That a create took effect without an answer the worker
// finds out in the same attempt, and a look that does not show what is there is no failure.
func planFaults(set *faults.Set, lines []*line) (cost int, err error) {
	for _, l := range lines {
		for _, rule := range l.Meets {
			rule.Match = map[string]string{"Name": l.wish.Name}
			if _, err := set.Add(rule); err != nil {
				return 0, fmt.Errorf("line %q: %w", l.Case, err)
			}
			made := rule.Fault.Execute && strings.HasPrefix(rule.Action, "Create")
			if !made && rule.Fault.Code != codeAbsent {
				cost += max(rule.Times, 1)
			}
		}
	}
	return cost, nil
}

// expect writes down what ESA must hold once all is done that the line asks for.
func (d *demo) expect(l *line) {
	r, there := d.want[l.wish.Name]
	switch {
	case l.expects("routine deleted"):
		delete(d.want, r.Name)
		return
	case l.expects("record deleted"):
		r.Records = slices.DeleteFunc(r.Records, func(record esaemu.Record) bool { return record.RecordName == l.wish.RecordName })
	case l.makesRoutine() && !there:
		r = esaemu.Routine{Name: l.wish.Name, Description: l.wish.Description, HasAssets: l.wish.HasAssets, CreateTime: time.Now()}
	case !there:
		return
	}
	if l.bindsRecords() {
		for _, name := range l.hostNames() {
			r.Records = append(r.Records, esaemu.Record{Routine: r.Name, SiteID: stack.SiteID, RecordName: name})
		}
	}
	d.want[r.Name] = r
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
