package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/config"
)

func TestPrefix(t *testing.T) {
	t.Run("names everything of a deployment", func(t *testing.T) {
		p, err := config.ParsePrefix("staging-2")
		if err != nil {
			t.Fatal(err)
		}
		got := []string{p.JobQueue(), p.DeadLetterQueue(), p.CallbackQueue(), p.JobTable(), p.StateTable(), p.Function("accept")}
		want := []string{
			"staging-2-jobs", "staging-2-jobs-dead", "staging-2-jobs-callbacks", "staging_2_jobs", "staging_2_state", "staging-2-accept",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("has 2 to 20 characters that every service takes", func(t *testing.T) {
		for _, good := range []string{"ab", "a1", "a-b", "a--b", strings.Repeat("a", 20)} {
			if _, err := config.ParsePrefix(good); err != nil {
				t.Error(err)
			}
		}
		for _, bad := range []string{"", "a", "1a", "-a", "a-", "a_b", "aB", "a.b", "a b", "ä1", "ab\n", strings.Repeat("a", 21)} {
			if _, err := config.ParsePrefix(bad); err == nil {
				t.Errorf("%q is accepted", bad)
			}
		}
	})
}
