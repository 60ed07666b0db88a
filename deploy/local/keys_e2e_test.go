package main_test

import (
	"net/http"
	"testing"

	"routinely/deploy/local/stack"
)

// Keys that seal messages: that of every deployment, and another.
const (
	messageKey = "k1:5Yk7exxzqgfUf-DDI9QqpVDOl2By394jj2FJAidQnd0"
	otherKey   = "k2:zE6L0yBTe9lXnZ7NDD-XTvdy0qZuaJQISZMTeSSWr4E"
)

// TestWrongKey gives one function another message key than the others, puts it right, and redrives: nothing is lost, and nothing done twice.
func TestWrongKey(t *testing.T) {
	for function, letters := range map[string]int{
		stack.FunctionAccept:  3, // each job's message
		stack.FunctionWorker:  3,
		stack.FunctionNotify:  3, // each job's callback
		stack.FunctionJanitor: 3, // each callback that was given up
	} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, "-env", function+":ROUTINELY_MESSAGE_KEYS="+otherKey)
			if function == stack.FunctionJanitor {
				d.receiver.refuse(true)
			}
			for range letters {
				o := d.order()
				o.told = true
				d.submit(o)
			}
			until(t, "the messages are dead letters", func() bool {
				d.sweep()
				return len(d.letters()) == letters
			})
			for _, l := range d.letters() {
				if l.Code != "UnknownKey" || l.ClaimsJob == "" || l.JobID == l.ClaimsJob {
					t.Errorf("%+v", l)
				}
			}
			d.keys(messageKey + "," + otherKey)
			d.receiver.refuse(false)
			var answer struct{ Count int }
			decode(t, d.insist(http.MethodPost, "/v1/dead-letters:redrive", `{"code":"UnknownKey","reason":"the key is known"}`), &answer)
			if answer.Count != letters {
				t.Errorf("%d were redriven, want %d", answer.Count, letters)
			}
			d.settle()
			if left := d.letters(); len(left) != 0 {
				t.Errorf("left %+v", left)
			}
			if over := d.jobs(dropped); len(over) != letters {
				t.Errorf("%d letters are over, want %d: %+v", len(over), letters, over)
			}
			d.check()
		})
	}
}

// keys gives all functions the same message keys.
func (d *deployment) keys(keys string) {
	d.t.Helper()
	fc := d.programs[functionCompute]
	for _, function := range []string{stack.FunctionAccept, stack.FunctionWorker, stack.FunctionNotify, stack.FunctionJanitor} {
		fc.args = append(fc.args, "-env", function+":ROUTINELY_MESSAGE_KEYS="+keys)
	}
	d.restart(functionCompute)
}
