package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/routine"
)

func TestAccountStopsAndRunsAgain(t *testing.T) {
	b := newBook(t)
	park := &routine.Park{Since: after(0), ToldAt: after(0), Kind: "account", Code: "RoutineUserServiceStatusHalt", Message: "overdue"}
	stop := func(park *routine.Park, pause *routine.Pause, minute int) routine.Account {
		account, err := b.ChangeAccount(t.Context(), func(a *routine.Account) error {
			a.Stop(park, pause, after(minute))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return account
	}
	if never, err := b.Account(t.Context()); err != nil || !cmp.Equal(never, routine.Account{}) {
		t.Fatalf("%+v, %v", never, err)
	}
	stop(park, nil, 0)
	paused := stop(park, &routine.Pause{Since: after(10), By: "op", Reason: "moving"}, 10)
	if paused.Lane() != routine.Paused || paused.StoppedFor(after(30)) != 30*time.Minute {
		t.Errorf("%s for %s, want paused for 30 minutes", paused.Lane(), paused.StoppedFor(after(30)))
	}
	stop(nil, nil, 60)
	again := stop(nil, &routine.Pause{Since: after(100)}, 100)
	read, err := b.Account(t.Context())
	if err != nil || !cmp.Equal(read, again) {
		t.Errorf("read %+v (%v), wrote %+v", read, err, again)
	}
	if got := read.StoppedFor(after(110)); got != 70*time.Minute || !read.ResumedAt.Equal(after(60)) {
		t.Errorf("stopped for %s, want 70 minutes; resumed at %s", got, read.ResumedAt)
	}
	refused := errors.New("no")
	if _, err := b.ChangeAccount(t.Context(), func(*routine.Account) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
}

func TestAccountIsChangedByTwoAtOnce(t *testing.T) {
	b := newBook(t)
	_, err := b.ChangeAccount(t.Context(), func(a *routine.Account) error {
		if a.Pause == nil { // the first time: somebody else is faster
			if _, err := b.ChangeAccount(t.Context(), func(a *routine.Account) error {
				a.Stop(nil, &routine.Pause{Since: after(0), By: "op"}, after(0))
				return nil
			}); err != nil {
				return err
			}
		}
		a.Quota = &routine.Quota{Limit: 20, Used: 3, ReadAt: after(1)}
		return nil
	})
	account, readErr := b.Account(t.Context())
	if err != nil || readErr != nil || account.Pause == nil || account.Quota == nil {
		t.Errorf("%+v (%v, %v): want both changes", account, err, readErr)
	}
}

func TestLostAnswerToTheAccount(t *testing.T) {
	for times := 1; times <= 2; times++ {
		b := newBook(t)
		count := func(a *routine.Account) error {
			a.Stopped++
			return nil
		}
		_, err := b.ChangeAccount(t.Context(), count)
		must(t, err)
		b.breaks(t, lost("BatchWriteRow", 0, times))
		account, err := b.ChangeAccount(t.Context(), count)
		must(t, err)
		same(t, account.Stopped, 2)
	}
}
