package deadletters

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/requests"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// correct redrives the one dead letter with its request corrected. It has the service check the correction before it asks.
func (w *workingOff) correct(ctx context.Context, c *client.Client, letter api.DeadLetter) error {
	wanted := api.Correction{DryRun: true, Reason: w.wanted.Reason, Request: w.correction}
	would, err := c.Correct(ctx, letter.ID, wanted)
	if err != nil {
		return err
	}
	request := cmp.Or(would.Request, letter.Request) // a correction that changes nothing is not told
	if w.wanted.DryRun && request != nil {
		defer w.noteReal()
		if letter.Request = request; w.AsList() {
			return outcomes().Show(w.App, wouldBe([]api.DeadLetter{letter}))
		}
		return w.Show(would, requestFields(letter.ID, *request))
	}
	if len(would.Failed) == 0 && !w.wanted.DryRun {
		if err := w.confirm(ctx, 1, true); err != nil {
			return err
		}
		wanted.DryRun = false
		if would, err = c.Correct(ctx, letter.ID, wanted); err != nil {
			return err
		}
	}
	t := newTally()
	t.add(would, w.done)
	return w.end(ctx, c, t, nil)
}

// members makes a JSON object of member=value pairs. Values mean what they mean in the cells of a table. Without pairs it is nil.
func members(pairs []string) (json.RawMessage, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	object := map[string]any{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		_, twice := object[name]
		switch {
		case !found || name == "" || strings.TrimSpace(value) == "":
			return nil, cli.Usage("--set %q: want member=value", pair)
		case twice:
			return nil, cli.Usage("--set %s is given more than once", name)
		}
		var err error
		if object[name], err = requests.Value(name, value); err != nil {
			return nil, cli.Usage("--set %s: %s", name, err)
		}
	}
	return json.Marshal(object)
}

// requestFields shows a request as it would be redriven.
func requestFields(id string, r routine.Request) cli.Fields {
	f := cli.Fields{{"job", id}, {"action", string(r.Action)}, {"name", r.Name}, {"record", cli.HostNames(r)}, {"site", cli.Sites(r)}, {"if exists", string(r.IfExists)}}
	f = append(f, cli.Wishes(r)...)
	f = append(f, [2]string{"callback", r.CallbackURL})
	if r.Description != nil {
		f = append(f, [2]string{"description", *r.Description})
	}
	return f
}
