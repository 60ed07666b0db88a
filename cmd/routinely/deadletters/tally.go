package deadletters

import (
	"maps"
	"slices"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
)

// handled is what became of one dead letter.
type handled struct {
	ID      string       `json:"id"`
	Status  string       `json:"status"`
	Problem *api.Problem `json:"problem,omitempty"`
}

// tally is what was achieved so far.
type tally struct {
	count   int
	handled []handled
	failed  map[string]*api.Problem
}

func newTally() *tally { return &tally{failed: map[string]*api.Problem{}} }

// add takes over what one call has done. What has failed before may have been done now.
func (t *tally) add(did api.WorkedOff, status string) {
	t.count += did.Count
	for _, id := range did.IDs {
		delete(t.failed, id)
		t.handled = append(t.handled, handled{ID: id, Status: status})
	}
	for _, f := range did.Failed {
		t.failed[f.ID] = f.Problem
	}
}

// has reports whether a dead letter was worked off.
func (t *tally) has(id string) bool {
	return slices.ContainsFunc(t.handled, func(h handled) bool { return h.ID == id })
}

// failures adds what has failed to the list, and returns it as faults.
func (t *tally) failures() (failed []error) {
	for _, id := range slices.Sorted(maps.Keys(t.failed)) {
		p := t.failed[id]
		if p == nil {
			p = &api.Problem{Code: "unexplained"}
		}
		t.handled = append(t.handled, handled{ID: id, Status: string(api.Failed), Problem: p})
		failed = append(failed, &fault.Error{Kind: client.KindOf(p.Status), Step: id, Message: cli.Told(p)})
	}
	return failed
}
