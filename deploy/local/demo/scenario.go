package demo

import (
	"cmp"
	"fmt"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/stack"
)

// planted is what somebody else has in the account: two routines and an ordinary record.
func planted() (routines []esaemu.Routine, recordName string) {
	return []esaemu.Routine{
		{Name: "legacy", Description: "moved from the old edge", CreateTime: time.Date(2024, 9, 10, 8, 0, 0, 0, time.UTC)},
		{Name: "marketing", Description: "owned by the marketing team", CreateTime: time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)},
	}, "mail." + stack.SiteName
}

// plant puts that into ESA, and returns everything that ESA has then.
func plant(server *esaemu.Server) (esaemu.State, error) {
	routines, recordName := planted()
	for _, r := range routines {
		if err := server.PlantRoutine(r); err != nil {
			return esaemu.State{}, fmt.Errorf("plant routine %s: %w", r.Name, err)
		}
	}
	if _, err := server.PlantRecord(stack.SiteID, recordName); err != nil {
		return esaemu.State{}, fmt.Errorf("plant record %s: %w", recordName, err)
	}
	return server.State()
}

// quota is how many routines the account may have: exactly what the lines leave, so that it is full once all but the last
// ones are settled.
func quota(lines []*line) int {
	names := map[string]bool{}
	routines, _ := planted()
	for _, r := range routines {
		names[r.Name] = true
	}
	for _, l := range lines {
		if l.leavesRoutine() {
			names[l.wish.Name] = true
		}
	}
	return len(names)
}

// faultNamed is the fault of a name in requests.ndjson. lost means that the operation took effect: the worker finds that out
// in the same attempt. The others cost an attempt.
func faultNamed(name string) (fault faults.Fault, lost, known bool) {
	switch name {
	case "answer lost":
		return faults.Fault{Answer: faults.Reset, Execute: true}, true, true
	case "half an answer":
		return faults.Fault{Answer: faults.Truncated}, true, true
	case "InternalException": // 400, as all documented errors of the two actions
		return faults.Fault{Answer: faults.Error, Code: "InternalException"}, false, true
	case "503 ServiceUnavailable":
		return faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}, false, true
	case "502 page":
		return faults.Fault{Answer: faults.HTML, Status: 502}, false, true
	case "empty 200":
		return faults.Fault{Answer: faults.Empty}, false, true
	case "throttled":
		return faults.Fault{
			Answer: faults.Error, Code: "Throttling.User", Headers: map[string]string{"x-acs-retry-after": "1000"},
		}, false, true
	}
	return faults.Fault{}, false, false
}

// plannedFault is a fault that waits for a request.
type plannedFault struct {
	ruleID       string
	action, name string
	lost         bool
	// times is how many calls it was to strike, left how many of them did not come.
	times, left int
}

// planFaults arranges the faults that the lines meet.
func planFaults(set *faults.Set, lines []*line) ([]plannedFault, error) {
	var out []plannedFault
	for _, l := range lines {
		for _, m := range l.Meets {
			fault, lost, known := faultNamed(m.Fault)
			if !known {
				return nil, fmt.Errorf("line %q: there is no fault %q", l.Case, m.Fault)
			}
			times := cmp.Or(m.Times, 1)
			id, err := set.Add(faults.Rule{
				Action: m.Action, Match: map[string]string{"Name": l.wish.Name}, Times: times, Fault: fault,
			})
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", l.Case, err)
			}
			out = append(out, plannedFault{ruleID: id, action: m.Action, name: m.Fault, lost: lost, times: times})
		}
	}
	return out, nil
}

// struck returns the faults with what is left of them.
func struck(set *faults.Set, planned []plannedFault) []plannedFault {
	left := map[string]int{}
	for _, rule := range set.Rules() {
		left[rule.ID] = rule.Times
	}
	out := make([]plannedFault, 0, len(planned))
	for _, f := range planned {
		f.left = left[f.ruleID]
		out = append(out, f)
	}
	return out
}
