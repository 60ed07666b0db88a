package main_test

import (
	"fmt"
	"net/http"
	"testing"
)

func TestKilled(t *testing.T) {
	t.Parallel()
	const (
		site  = 54362329990032
		other = 54362329990033
		jobs  = 20 // more than one batch of MNS holds
	)
	t.Run("in the middle of a batch, that is sent again", func(t *testing.T) {
		t.Parallel()
		a := run(t)
		batch := wishes(jobs, site, "example.com")
		a.hang("BatchSendMessage", "routinely-jobs", 1, true)
		a.killWhileHanging("/v1/routines:batch", batch)
		if status := <-ask(t.Context(), a.http+"/v1/routines:batch", "e2e", batch); status != http.StatusAccepted {
			t.Fatalf("the same batch again: %d", status)
		}
		a.awaitJobs("succeeded", jobs)
		a.checkHolds(jobs)
	})
	for name, execute := range map[string]bool{"before": false, "after": true} {
		t.Run("in the middle of a redrive, "+name+" dead letters were deleted", func(t *testing.T) {
			t.Parallel()
			a := run(t)
			send(t, http.MethodPost, a.http+"/v1/routines:batch", wishes(jobs, other, "example.net"))
			a.awaitJobs("dead-lettered", jobs)
			send(t, http.MethodPost, a.esa+"/_local/sites", fmt.Sprintf(`{"id":%d,"name":"example.net"}`, int64(other)))
			a.hang("BatchDeleteMessage", "routinely-jobs-dead", 1, execute)
			a.killWhileHanging("/v1/dead-letters:redrive", `{"code":"SiteParameterNotMatch","reason":"site added"}`)
			until(t, "all jobs have succeeded", func() bool {
				// What the dead instance held comes back when its leases end.
				send(t, http.MethodPost, a.http+"/v1/dead-letters:redrive", `{"all":true}`)
				return a.count("succeeded") == jobs
			})
			a.checkHolds(jobs)
		})
	}
}
