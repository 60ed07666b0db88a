package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"routinely/shared/routine"
)

// Outcome says in short what a job has achieved, what it waits for, or why it has not succeeded.
func Outcome(job routine.Job) string {
	switch {
	case job.State == routine.Succeeded && job.Result != nil:
		return achieved(*job.Result)
	case job.State == routine.Superseded && job.SupersededBy == "":
		return "nothing was left to end"
	case job.State == routine.Superseded:
		return "overtaken by job " + job.SupersededBy
	case job.State == routine.Cancelled, job.State == routine.Dropped:
		return strings.Trim(strings.TrimSpace(job.Kind+" "+job.Code)+": "+job.Reason, ": ")
	case LaneStopped(job.Waiting):
		return fmt.Sprintf("the lane is %s, see %s", job.Waiting.For, AccountShow)
	case job.Kind == "" && job.Waiting != nil:
		return fmt.Sprintf("waits for %s", job.Waiting.For)
	}
	return strings.Trim(strings.TrimSpace(job.Kind+" "+job.Code)+": "+job.Hint, ": ")
}

// achieved is what a job did to the routine and to its records. Of several records it counts the outcomes.
func achieved(r routine.Result) string {
	var parts []string
	switch r.Routine {
	case "":
	case routine.Renewed:
		parts = append(parts, "routine renewed until "+Clock(r.ExpiresAt))
	default:
		parts = append(parts, "routine "+string(r.Routine))
	}
	switch {
	case r.Record != "" && r.RecordID != 0:
		parts = append(parts, fmt.Sprintf("record %s with id %d", r.Record, r.RecordID))
	case r.Record != "":
		parts = append(parts, "record "+string(r.Record))
	}
	parts = append(parts, code(r.Code)...)
	counts := map[routine.Outcome]int{}
	for _, record := range r.Records {
		counts[record.Outcome]++
	}
	if r.Record == "" {
		for _, outcome := range slices.Sorted(maps.Keys(counts)) {
			parts = append(parts, fmt.Sprintf("%s %s", Plural(counts[outcome], "record"), outcome))
		}
	}
	if r.More > 0 {
		parts = append(parts, fmt.Sprintf("%s more", Plural(r.More, "record")))
	}
	if slices.ContainsFunc(r.Records, func(record routine.RecordResult) bool { return record.NeedsCNAME }) {
		parts = append(parts, "a CNAME record is needed")
	}
	return strings.Join(parts, ", ")
}

// code is what a job did with the code of the routine's environments, those of one outcome together.
func code(results []routine.CodeResult) (parts []string) {
	for outcome, text := range map[routine.Outcome]string{
		routine.Created: "code deployed to ", routine.Adopted: "code is live in ", routine.Passed: "a newer job is about the code in ",
	} {
		var envs []string
		for _, c := range results {
			if c.Outcome == outcome {
				envs = append(envs, string(c.Environment))
			}
		}
		if len(envs) > 0 {
			parts = append(parts, text+strings.Join(envs, " and "))
		}
	}
	slices.Sort(parts)
	return parts
}

// Result shows what a job did with each host name, a line for each, and what follows. Of a job about one host name whose outcome says all there are no lines.
func Result(r *routine.Result) Fields {
	if r == nil {
		return nil
	}
	var f Fields
	for _, one := range r.Records {
		text := fmt.Sprintf("%s %s", one.RecordName, one.Outcome)
		if one.RecordID != 0 {
			text += fmt.Sprintf(" with id %d", one.RecordID)
		}
		if one.SiteID != 0 {
			text += fmt.Sprintf(", site %d", one.SiteID)
		}
		if one.NeedsCNAME {
			text += ", needs a CNAME record"
		}
		if one.SupersededBy != "" {
			text += ", overtaken by job " + one.SupersededBy
		}
		f = append(f, [2]string{"host name", text})
	}
	return append(f, Fields{{"note", r.Note}, {"expires", Clock(r.ExpiresAt)}}...)
}

// Action is what a request wants done, in a word; empty if there is no request.
func Action(r routine.Request) string {
	if r.Name == "" {
		return ""
	}
	return cmp.Or(string(r.Action), "create")
}

// HostNames are those of a request, in one line.
func HostNames(r routine.Request) string { return strings.Join(r.RecordNames(), ", ") }

// Sites are the ids of a request's sites, each once, in one line. A site that is left to the worker to find is not among them.
func Sites(r routine.Request) string {
	var ids []string
	for _, record := range r.Records {
		if id := Number(record.SiteID); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ", ")
}

// Wishes are what a request says of the routine's life.
func Wishes(r routine.Request) Fields {
	f := Fields{{"labels", Labels(r.Labels)}}
	if r.ExpiresIn != 0 {
		f = append(f, [2]string{"expires in", r.ExpiresIn.String()})
	}
	if r.Protected != nil {
		f = append(f, [2]string{"protected", YesNo(*r.Protected)})
	}
	return f
}

// YesNo is a truth value in a word.
func YesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// Labels are pairs in one line, by key.
func Labels(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ", ")
}

// Left tells what a job has left in ESA, a line for each thing.
func Left(list []routine.Left) Fields {
	f := make(Fields, len(list))
	for i, one := range list {
		what := "routine " + one.Routine
		switch {
		case one.RecordName != "" && one.SiteID != 0:
			what = fmt.Sprintf("record %s of site %d", one.RecordName, one.SiteID)
		case one.RecordName != "":
			what = "record " + one.RecordName
		}
		f[i] = [2]string{"left in ESA", fmt.Sprintf("%s (%s)", what, one.Outcome)}
	}
	return f
}
