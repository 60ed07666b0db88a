package client_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

func TestChanges(t *testing.T) {
	for _, test := range []struct {
		name       string
		ask        func(*far) (routine.Job, error)
		call, body string
	}{
		{
			"a deletion", func(f *far) (routine.Job, error) { return f.DeleteRoutine(t.Context(), "a/b", "k", api.Deletion{}) },
			"DELETE /v1/routines/a%2Fb", "{}",
		},
		{
			"an unbinding", func(f *far) (routine.Job, error) {
				return f.Unbind(t.Context(), "aa", "a.example.com", "k", api.Deletion{CallbackURL: "u"})
			}, "DELETE /v1/routines/aa/records/a.example.com", `{"callbackUrl":"u"}`,
		},
		{
			"a renewal", func(f *far) (routine.Job, error) {
				return f.Renew(t.Context(), "aa", "k", api.Renewal{ExpiresIn: "72h"})
			},
			"POST /v1/routines/aa:renew", `{"expiresIn":"72h"}`,
		},
		{
			"a claim", func(f *far) (routine.Job, error) { return f.Claim(t.Context(), "aa", "k", api.Deletion{}) },
			"POST /v1/routines/aa:claim", "{}",
		},
	} {
		t.Run(test.name+" whose answer was lost is asked for again under the same key", func(t *testing.T) {
			f := play(t, hangUp, says(http.StatusAccepted, job("j", routine.Queued)))
			got, err := test.ask(f)
			if err != nil || got.ID != "j" || len(f.calls) != 2 {
				t.Fatalf("%+v, %d calls, %v", got, len(f.calls), err)
			}
			for i, call := range f.calls {
				did := []string{call.Method + " " + call.RequestURI, f.bodies[i], call.Header.Get("Idempotency-Key")}
				if diff := cmp.Diff([]string{test.call, test.body, "k"}, did); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

func TestApplyDelete(t *testing.T) {
	t.Run("takes a plan of which everything has changed for an answer", func(t *testing.T) {
		f := play(t, says(http.StatusConflict, api.Applied{Rejected: 1, Items: []api.AppliedItem{{Name: "aa", Status: api.Rejected}}}))
		if done, err := f.ApplyDelete(t.Context(), "k", api.ApplyRequest{Hash: "h"}); err != nil || done.Rejected != 1 || f.calls[0].Header.Get("Idempotency-Key") != "k" {
			t.Errorf("%+v, %v", done, err)
		}
	})
}

func TestRoutines(t *testing.T) {
	f := play(t, says(http.StatusOK, api.RoutineList{Routines: []api.Routine{{Name: "aa"}}, Next: "n"}), says(http.StatusOK, api.RoutineList{Routines: []api.Routine{{Name: "bb"}}}))
	list, next, err := f.Routines(t.Context(), api.RoutineFilter{Label: "team"}, client.Window{})
	if err != nil || len(list) != 2 || next != "" || f.calls[1].RequestURI != "/v1/routines?cursor=n&label=team&limit=100" {
		t.Errorf("%+v, %q, %v", list, next, err)
	}
}
