package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// requests are so many, each with its key.
func requests(count int, description string) []client.Keyed {
	out := make([]client.Keyed, count)
	for i := range out {
		out[i] = client.Keyed{Request: routine.Request{Name: fmt.Sprintf("name-%d", i), Description: &description}, Key: fmt.Sprintf("key/%d", i)}
	}
	return out
}

// judges answers a batch with the verdict of a function about each key.
func judges(status int, verdict func(key string) api.Status) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var items []struct{ IdempotencyKey string }
		if err := json.NewDecoder(r.Body).Decode(&items); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var out api.BatchResult
		for i, item := range items {
			out.Items = append(out.Items, api.Verdict{Index: i, Status: verdict(item.IdempotencyKey), JobID: "job of " + item.IdempotencyKey})
		}
		says(status, out)(w, r)
	}
}

func accepts(string) api.Status { return api.Accepted }

func fails(string) api.Status { return api.Failed }

func TestSubmitAll(t *testing.T) {
	ignore := func(int) {}
	t.Run("sends as many at once as accept takes", func(t *testing.T) {
		f := play(t, judges(http.StatusAccepted, accepts))
		var settled []int
		verdicts, err := f.SubmitAll(t.Context(), requests(2100, ""), func(count int) { settled = append(settled, count) })
		if err != nil || len(f.calls) != 3 || f.calls[0].URL.Path != "/v1/routines:batch" {
			t.Fatalf("%d calls, %v", len(f.calls), err)
		}
		if diff := cmp.Diff([]int{1000, 2000, 2100}, settled); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		for i, v := range verdicts {
			if v.Index != i || v.JobID != fmt.Sprintf("job of key/%d", i) {
				t.Fatalf("verdict %d is %+v", i, v)
			}
		}
	})
	t.Run("keeps each batch as short as accept wants it", func(t *testing.T) {
		f := play(t, judges(http.StatusAccepted, accepts))
		if _, err := f.SubmitAll(t.Context(), requests(100, strings.Repeat("x", 50000)), ignore); err != nil || len(f.calls) != 3 {
			t.Errorf("%d calls, %v", len(f.calls), err)
		}
		for _, body := range f.bodies {
			if len(body) > api.MaxBatchBytes || len(body) < api.MaxBatchBytes/4 {
				t.Errorf("a body of %d bytes", len(body))
			}
		}
	})
	t.Run("sends a batch whose answer was lost again, with the same keys", func(t *testing.T) {
		f := play(t, hangUp, judges(http.StatusAccepted, accepts))
		if _, err := f.SubmitAll(t.Context(), requests(3, ""), ignore); err != nil || len(f.calls) != 2 {
			t.Fatalf("%d calls, %v", len(f.calls), err)
		}
		if f.bodies[0] != f.bodies[1] || !strings.Contains(f.bodies[0], `"idempotencyKey":"key/2"`) {
			t.Errorf("bodies %q", f.bodies)
		}
	})
	t.Run("sends again only what could not be queued", func(t *testing.T) {
		odd := func(key string) api.Status {
			if strings.HasSuffix(key, "1") || strings.HasSuffix(key, "3") {
				return api.Failed
			}
			return api.Rejected
		}
		f := play(t, judges(http.StatusServiceUnavailable, odd), judges(http.StatusAccepted, accepts))
		verdicts, err := f.SubmitAll(t.Context(), requests(5, ""), ignore)
		var got []api.Status
		for _, v := range verdicts {
			got = append(got, v.Status)
		}
		want := []api.Status{api.Rejected, api.Accepted, api.Rejected, api.Accepted, api.Rejected}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if strings.Count(f.bodies[1], "idempotencyKey") != 2 {
			t.Errorf("the second batch is %s", f.bodies[1])
		}
	})
	t.Run("takes a batch without an accepted request for an answer", func(t *testing.T) {
		f := play(t, judges(http.StatusUnprocessableEntity, func(string) api.Status { return api.Rejected }))
		verdicts, err := f.SubmitAll(t.Context(), requests(2, ""), ignore)
		if err != nil || verdicts[1].Status != api.Rejected {
			t.Errorf("%+v, %v", verdicts, err)
		}
	})
	t.Run("gives up when the queue stays unavailable, and says what was not reached", func(t *testing.T) {
		f := play(t, judges(http.StatusServiceUnavailable, fails))
		verdicts, err := f.SubmitAll(t.Context(), requests(1001, ""), ignore)
		if !fault.HasKind(err, fault.Unavailable) || !fault.HasCode(err, "NotAccepted") || len(f.calls) != 6 {
			t.Errorf("%d calls, %v", len(f.calls), err)
		}
		if verdicts[0].Status != api.Failed || verdicts[1000].Status != "" {
			t.Errorf("%+v, %+v", verdicts[0], verdicts[1000])
		}
	})
	t.Run("does not believe an answer about other requests", func(t *testing.T) {
		f := play(t, says(http.StatusAccepted, api.BatchResult{Items: []api.Verdict{{Status: api.Accepted}}}))
		if _, err := f.SubmitAll(t.Context(), requests(2, ""), ignore); !fault.HasCode(err, "UnexpectedAnswer") {
			t.Errorf("%v", err)
		}
	})
}
