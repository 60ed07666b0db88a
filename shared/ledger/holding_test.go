package ledger_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// creating is counts for a claim right before the routine is made.
func creating(c *routine.Claim) error {
	c.State = routine.Creating
	c.CreateNumber++
	return nil
}

// isListed reports whether pr-1 has an index row in the list of routines.
func (b *book) isListed(t testing.TB) bool {
	t.Helper()
	return slices.ContainsFunc(b.rows(t, "state"), func(row *sdk.Row) bool { return row.PrimaryKey.PrimaryKeys[0].Value == "routines" })
}

// unlist deletes the index row of pr-1, as if it had not been written.
func (b *book) unlist(t testing.TB) {
	t.Helper()
	change := &sdk.DeleteRowChange{TableName: "state", PrimaryKey: new(sdk.PrimaryKey)}
	change.PrimaryKey.AddPrimaryKeyColumn("p", "routines")
	change.PrimaryKey.AddPrimaryKeyColumn("s", "pr-1")
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	_, err := b.sdkClient().DeleteRow(&sdk.DeleteRowRequest{DeleteRowChange: change})
	must(t, err)
}

// wantCounts checks how often the claims of pr-1 and of its host name a were changed.
func (b *book) wantCounts(t testing.TB, claim, record int64) {
	t.Helper()
	h := holding(t, b.Ledger, "pr-1", "a.example.com")
	same(t, []int64{h.Claim.CreateNumber, h.Records[0].Number}, []int64{claim, record})
}

// manyHostNames are more than one call writes the claims of.
func manyHostNames() (names []string) {
	for n := range 250 {
		names = append(names, fmt.Sprintf("%d.example.com", n))
	}
	return names
}

func TestChangeHolding(t *testing.T) {
	// read is what the ledger holds of pr-1 and its host name a.
	read := func(t *testing.T, b *book) ledger.Holding {
		h := holding(t, b.Ledger, "pr-1", "a.example.com")
		b.calls()
		return h
	}
	t.Run("writes all claims in one call, and says what they are", func(t *testing.T) {
		b := newBook(t)
		got, err := b.ChangeHolding(t.Context(), read(t, b), creating, recordCounts)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow")
		same(t, got.Claim.Claim, routine.Claim{Name: "pr-1", State: routine.Creating, CreateNumber: 1, MadeAt: noon, ChangedAt: noon})
		stored := read(t, b)
		same(t, stored.Claim.Claim, got.Claim.Claim)
		same(t, stored.Records[0].RecordClaim, got.Records[0].RecordClaim)
		check(t, "the list of routines", b.isListed(t))
	})
	t.Run("writes nothing of claims that are left as they are, there or not", func(t *testing.T) {
		b := newBook(t)
		leaves := func(h ledger.Holding) {
			t.Helper()
			got, err := b.ChangeHolding(t.Context(), h, func(*routine.Claim) error { return nil }, func(*routine.RecordClaim) error { return nil })
			must(t, err)
			b.wantCalls(t)
			same(t, got.Claim.Claim, h.Claim.Claim)
		}
		leaves(read(t, b))
		_, err := b.ChangeHolding(t.Context(), read(t, b), counts, recordCounts)
		must(t, err)
		leaves(read(t, b))
	})
	t.Run("leaves the routine's claim as it is without a change of it", func(t *testing.T) {
		b := newBook(t)
		_, err := b.ChangeHolding(t.Context(), read(t, b), nil, recordCounts)
		must(t, err)
		b.wantCounts(t, 0, 1)
	})
	t.Run("writes the claims of very many host names in few calls", func(t *testing.T) {
		b := newBook(t)
		names := manyHostNames()
		h := holding(t, b.Ledger, "pr-1", names...)
		b.calls()
		got, err := b.ChangeHolding(t.Context(), h, creating, recordCounts)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow", "BatchWriteRow", "BatchWriteRow")
		stored := holding(t, b.Ledger, "pr-1", names...)
		check(t, stored.Claim, stored.Claim.Exists())
		for i, row := range stored.Records {
			same(t, row.Number, 1)
			same(t, row.RecordClaim, got.Records[i].RecordClaim)
		}
		check(t, h.Records[0], !h.Records[0].Exists())
	})
	t.Run("begins again with the claim alone that another writer has changed", func(t *testing.T) {
		b := newBook(t)
		h := read(t, b)
		b.bind(t, "pr-1", "a.example.com")
		b.calls()
		_, err := b.ChangeHolding(t.Context(), h, creating, recordCounts)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow", "BatchGetRow", "BatchWriteRow")
		b.wantCounts(t, 1, 2)
	})
	t.Run("is made once by each of many writers at once", func(t *testing.T) {
		b := newBook(t)
		var writers sync.WaitGroup
		none := read(t, b)
		for range 8 {
			writers.Go(func() {
				_, err := b.ChangeHolding(t.Context(), none, creating, recordCounts)
				wantCode(t, err, "")
			})
		}
		writers.Wait()
		b.wantCounts(t, 8, 8)
	})
	for name, broken := range map[string]faults.Rule{
		"before its effect":        {Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.Reset}},
		"after its effect":         lost("BatchWriteRow", 0, 1),
		"after its effect, broken": {Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.Truncated}},
	} {
		t.Run("is made once if the answer is lost "+name, func(t *testing.T) {
			b := newBook(t)
			h := read(t, b)
			b.breaks(t, broken)
			got, err := b.ChangeHolding(t.Context(), h, creating, recordCounts)
			if err != nil { // it had no effect
				check(t, err, fault.From(err).OutcomeUnknown)
				_, err = b.ChangeHolding(t.Context(), got, creating, recordCounts)
			}
			must(t, err)
			b.wantCounts(t, 1, 1)
			check(t, "the list of routines", b.isListed(t))
		})
	}
	t.Run("of very many host names costs two calls too where the ledger is down", func(t *testing.T) {
		b := newBook(t)
		names := manyHostNames()
		h := holding(t, b.Ledger, "pr-1", names...)
		b.calls()
		b.breaks(t, faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
		_, err := b.ChangeHolding(t.Context(), h, creating, recordCounts)
		check(t, err, err != nil && fault.From(err).OutcomeUnknown)
		b.wantCalls(t, "BatchWriteRow", "BatchGetRow")
	})
	t.Run("costs two calls at most where the ledger is down, and three if it goes down in between", func(t *testing.T) {
		for call, want := range []int{2, 3} {
			b := newBook(t)
			h := read(t, b)
			b.breaks(t, faults.Rule{Skip: call, Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
			_, err := b.ChangeHolding(t.Context(), h, counts, recordCounts)
			check(t, err, err != nil && fault.From(err).OutcomeUnknown)
			same(t, len(b.calls()), want)
		}
	})
	t.Run("tells that one claim could not be written, and may be repeated with what it returned", func(t *testing.T) {
		b := newBook(t)
		h, err := b.ChangeHolding(t.Context(), read(t, b), creating, recordCounts)
		must(t, err)
		b.calls()
		b.breaks(t, partly(t, "state", 2, 0, "OTSServerBusy", false)) // of the host name
		h, err = b.ChangeHolding(t.Context(), h, creating, recordCounts)
		wantCode(t, err, "unavailable OTSServerBusy")
		b.wantCalls(t, "BatchWriteRow", "BatchGetRow")
		same(t, []int64{h.Claim.CreateNumber, h.Records[0].Number}, []int64{2, 1})
		_, err = b.ChangeHolding(t.Context(), h, creating, recordCounts)
		must(t, err)
		b.wantCounts(t, 2, 2)
	})
	t.Run("is refused for names that no row can have", func(t *testing.T) {
		b := newBook(t)
		_, err := b.ChangeHolding(t.Context(), ledger.Holding{}, counts, nil)
		wantCode(t, err, "invalid InvalidName")
		h := read(t, b)
		h.Records[0].RecordName = "\xff"
		_, err = b.ChangeHolding(t.Context(), h, counts, recordCounts)
		wantCode(t, err, "invalid InvalidName")
		b.wantCalls(t)
	})
}

// TestClaimIsListed is about the index row of a claim, which the service can refuse although it takes the claim: whatever breaks, and wherever the
// process ends, a claim about which a call may have been made has its index row.
func TestClaimIsListed(t *testing.T) {
	none := ledger.ClaimRow{Claim: routine.Claim{Name: "pr-1"}}
	// refused makes the service refuse the index row of the next change, which is written with the claim.
	refused := func(t *testing.T, b *book) { b.breaks(t, partly(t, "state", 2, 0, "OTSServerBusy", true)) }
	// crashed is a book in which the process that made a claim ended before it could put the index row again.
	crashed := func(t *testing.T) *book {
		b := newBook(t)
		refused(t, b)
		_, err := b.killed(t, 2).ChangeClaim(t.Context(), none, creating)
		check(t, err, err != nil && fault.From(err).OutcomeUnknown)
		b.unlist(t)
		b.calls()
		same(t, holding(t, b.Ledger, "pr-1").Claim.CreateNumber, 1)
		b.calls()
		return b
	}
	t.Run("one that the service refused is put again before the change is told as done", func(t *testing.T) {
		b := newBook(t)
		refused(t, b)
		_, err := b.before(t, 2, func() { b.unlist(t) }).ChangeClaim(t.Context(), none, creating)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow", "DeleteRow", "BatchWriteRow")
		check(t, "the list of routines", b.isListed(t))
	})
	t.Run("one of a claim whose answer was lost is put again", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, faults.Rule{Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.Truncated}})
		_, err := b.before(t, 2, func() { b.unlist(t) }).ChangeClaim(t.Context(), none, creating)
		must(t, err)
		check(t, "the list of routines", b.isListed(t))
	})
	t.Run("one that cannot be put is a fault, and put by the same change made again", func(t *testing.T) {
		b := newBook(t)
		refused(t, b)
		b.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.HTML}}) // of the next call
		row, err := b.ChangeClaim(t.Context(), none, becomes(routine.Creating))
		check(t, err, err != nil && fault.From(err).OutcomeUnknown)
		b.unlist(t)
		_, err = b.ChangeClaim(t.Context(), row, becomes(routine.Creating))
		must(t, err)
		check(t, "the list of routines", b.isListed(t))
	})
	t.Run("the next process that is about to make the routine puts it", func(t *testing.T) {
		b := crashed(t)
		_, err := b.ChangeClaim(t.Context(), holding(t, b.Ledger, "pr-1").Claim, creating)
		must(t, err)
		check(t, "the list of routines", b.isListed(t))
	})
	t.Run("the next process that finds the routine puts it before the claim says so", func(t *testing.T) {
		b := crashed(t)
		row := holding(t, b.Ledger, "pr-1").Claim
		if _, err := b.killed(t, 2).ChangeClaim(t.Context(), row, counts); err == nil {
			t.Error("the process was not killed")
		}
		check(t, "the list of routines", b.isListed(t))
		same(t, holding(t, b.Ledger, "pr-1").Claim.State, routine.Creating)
	})
	t.Run("who has put it does not put it again", func(t *testing.T) {
		b := newBook(t)
		row, err := b.ChangeClaim(t.Context(), none, creating)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow")
		b.unlist(t)
		b.calls()
		_, err = b.ChangeClaim(t.Context(), row, counts)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow")
		check(t, "no list of routines", !b.isListed(t))
	})
	t.Run("a claim that comes back puts it again, also by who has put it before", func(t *testing.T) {
		b := newBook(t)
		row := b.claim(t, "pr-1", creating, becomes(routine.Gone))
		b.unlist(t)
		_, err := b.ChangeClaim(t.Context(), row, creating)
		must(t, err)
		check(t, "the list of routines", b.isListed(t))
	})
}
