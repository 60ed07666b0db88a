package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// becomes is the change of a claim to a state.
func becomes(state routine.ClaimState) func(*routine.Claim) error {
	return func(c *routine.Claim) error {
		c.State = state
		return nil
	}
}

// counts is a change that shows how often it took effect.
func counts(c *routine.Claim) error {
	c.State = routine.Live
	c.CreateNumber++
	return nil
}

// recordCounts is counts for the claim of a host name.
func recordCounts(c *routine.RecordClaim) error {
	c.State = routine.Live
	c.Number++
	return nil
}

// holding reads a routine's claim and those of some of its host names.
func holding(t testing.TB, l *ledger.Ledger, name string, recordNames ...string) ledger.Holding {
	t.Helper()
	found, err := l.Holdings(context.WithoutCancel(t.Context()), []ledger.Wanted{{Name: name, RecordNames: recordNames}})
	must(t, err)
	return found[0]
}

// claim makes changes of a routine's claim, none of which is refused.
func (b *book) claim(t testing.TB, name string, changes ...func(*routine.Claim) error) (row ledger.ClaimRow) {
	t.Helper()
	row = holding(t, b.Ledger, name).Claim
	for _, change := range changes {
		var err error
		row, err = b.ChangeClaim(t.Context(), row, change)
		must(t, err)
	}
	return row
}

// bind makes the claim of a host name.
func (b *book) bind(t testing.TB, name, recordName string) ledger.RecordRow {
	t.Helper()
	row, err := b.ChangeRecord(t.Context(), ledger.RecordRow{RecordClaim: routine.RecordClaim{Routine: name, RecordName: recordName}}, recordCounts)
	must(t, err)
	return row
}

// fullClaim has a value in every field, as long as it can be.
func fullClaim(c *routine.Claim) error {
	text := strings.Repeat(`"`, 50_000)
	made := *c
	*c = routine.Claim{
		Name: "another", State: routine.Live, Ownership: routine.Owned, Caller: text, CreateTime: after(1), Call: &routine.Look{At: after(2), Until: after(3)},
		CreateNumber: 1, DeleteNumber: 2, DescriptionNumber: 3, ExpiryNumber: 4, CreateJob: text, DeleteJob: text, Description: text, HasAssets: true,
		ExpiresAt: after(4), Expiry: &routine.Expiry{SeenAt: after(5), UnboundAt: after(6), Try: 7, JobID: text, TriedAt: after(8)}, Protected: true,
		Labels: map[string]string{}, SeenAt: after(9), Reason: text, MadeAt: made.MadeAt, ChangedAt: made.ChangedAt,
	}
	for n := range 100 {
		c.Overtook = append(c.Overtook, fmt.Sprint(n, text))
	}
	for n := range routine.MaxLabels {
		c.Labels[fmt.Sprint(n, text[:routine.MaxLabelKey-1])] = text[:routine.MaxLabelValue]
	}
	return nil
}

func TestHoldings(t *testing.T) {
	b := newBook(t)
	written := b.claim(t, "pr-1", fullClaim)
	bound := b.bind(t, "pr-1", "a.example.com")
	b.bind(t, "pr-2", "b.example.com")
	_, err := b.ChangeAccount(t.Context(), func(a *routine.Account) error { a.Quota = &routine.Quota{Limit: 100}; return nil })
	must(t, err)
	b.calls()
	wanted := []ledger.Wanted{{"pr-1", []string{"b.example.com", "a.example.com"}}, {"pr-2", nil}, {"pr-1", []string{"a.example.com"}}}
	t.Run("come in the order of the question with the account, in one call, and what does not exist has its names", func(t *testing.T) {
		account, got, err := b.AccountAndHoldings(t.Context(), wanted)
		must(t, err)
		b.wantCalls(t, "BatchGetRow")
		same(t, account.Quota.Limit, 100)
		same(t, got[0].Claim.Claim, written.Claim)
		same(t, got[0].Records[0].RecordClaim, routine.RecordClaim{Routine: "pr-1", RecordName: "b.example.com"})
		same(t, got[0].Records[1].RecordClaim, bound.RecordClaim)
		same(t, got[1].Claim.Claim, routine.Claim{Name: "pr-2"})
		same(t, got[2].Records[0].RecordClaim, bound.RecordClaim)
		check(t, got, got[0].Claim.Exists() && !got[0].Records[0].Exists() && got[0].Records[1].Exists() && !got[1].Claim.Exists())
	})
	t.Run("of many routines are read a hundred rows in a call", func(t *testing.T) {
		var many []ledger.Wanted
		for n := range 100 {
			many = append(many, ledger.Wanted{Name: fmt.Sprint("pr-", n), RecordNames: []string{"a.example.com"}})
		}
		got, err := b.Holdings(t.Context(), many)
		must(t, err)
		b.wantCalls(t, "BatchGetRow", "BatchGetRow")
		check(t, got[1], got[1].Claim.Exists() && got[1].Records[0].Exists())
	})
	t.Run("asked for twice are read once", func(t *testing.T) {
		twice := make([]ledger.Wanted, 60)
		for n := range twice {
			twice[n] = wanted[2]
		}
		got, err := b.Holdings(t.Context(), twice)
		must(t, err)
		b.wantCalls(t, "BatchGetRow")
		same(t, got[59].Claim.Claim, got[0].Claim.Claim)
	})
	t.Run("of names that no row can have are refused", func(t *testing.T) {
		for _, w := range []ledger.Wanted{{}, {Name: strings.Repeat("x", 256)}, {Name: "\xff"}, {Name: "pr-1", RecordNames: []string{""}}} {
			_, err := b.Holdings(t.Context(), []ledger.Wanted{w})
			wantCode(t, err, "invalid InvalidName")
			_, _, err = b.AccountAndHoldings(t.Context(), []ledger.Wanted{w})
			wantCode(t, err, "invalid InvalidName")
		}
	})
	t.Run("fail where the ledger is down, after one call", func(t *testing.T) {
		b.calls()
		b.breaks(t, faults.Rule{Times: 1, Fault: faults.Fault{Answer: faults.HTML}})
		_, err := b.Holdings(t.Context(), wanted)
		wantCode(t, err, "unavailable HTTP502")
		b.wantCalls(t, "BatchGetRow")
	})
}

func TestClaimIsBounded(t *testing.T) {
	b := newBook(t)
	row := b.claim(t, "pr-1", fullClaim)
	check(t, row.Overtook, len(row.Overtook) == routine.MaxOvertook && strings.HasPrefix(row.Overtook[routine.MaxOvertook-1], "99"))
	for _, stored := range b.rows(t, "state") {
		for _, column := range stored.Columns {
			text, _ := column.Value.(string)
			check(t, len(text), len(text) < 20<<10)
		}
	}
}

func TestChangeClaim(t *testing.T) {
	none := ledger.ClaimRow{Claim: routine.Claim{Name: "pr-1"}}
	t.Run("writes a claim that was read without another read, and says when", func(t *testing.T) {
		b := newBook(t)
		made, err := b.ChangeClaim(t.Context(), none, counts)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow", "BatchWriteRow") // the list of routines, the claim
		b.clock.Advance(time.Minute)
		changed, err := b.ChangeClaim(t.Context(), made, counts)
		must(t, err)
		b.wantCalls(t, "BatchWriteRow")
		same(t, changed.Claim, routine.Claim{Name: "pr-1", State: routine.Live, CreateNumber: 2, MadeAt: noon, ChangedAt: after(1)})
		same(t, holding(t, b.Ledger, "pr-1").Claim.Claim, changed.Claim)
		check(t, made, made.CreateNumber == 1)
	})
	t.Run("keeps times in UTC", func(t *testing.T) {
		b := newBook(t)
		got := b.claim(t, "pr-1", func(c *routine.Claim) error {
			local := after(1).In(time.FixedZone("CST", 8*60*60))
			c.CreateTime, c.ExpiresAt, c.SeenAt, c.Expiry = local, local, local, &routine.Expiry{SeenAt: local, UnboundAt: local, TriedAt: local}
			return nil
		})
		for _, at := range []time.Time{got.CreateTime, got.ExpiresAt, got.SeenAt, got.Expiry.SeenAt, got.Expiry.UnboundAt, got.Expiry.TriedAt} {
			same(t, at.String(), after(1).String())
		}
	})
	t.Run("leaves what hangs from the given claim as it is", func(t *testing.T) {
		b := newBook(t)
		made := b.claim(t, "pr-1", func(c *routine.Claim) error { c.Labels = map[string]string{"team": "web"}; return nil })
		_, err := b.ChangeClaim(t.Context(), made, func(c *routine.Claim) error { c.Labels["team"] = "shop"; return nil })
		must(t, err)
		same(t, made.Labels["team"], "web")
	})
	t.Run("begins again with the claim of another writer that came first", func(t *testing.T) {
		b := newBook(t)
		slow := b.before(t, 2, func() { b.claim(t, "pr-1", counts) })
		got, err := slow.ChangeClaim(t.Context(), none, counts)
		must(t, err)
		same(t, got.CreateNumber, 2)
	})
	t.Run("begins again when another writer puts the same index row", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, "state", 1, 0, "OTSRowOperationConflict", false))
		got, err := b.ChangeClaim(t.Context(), none, counts)
		must(t, err)
		same(t, got.CreateNumber, 1)
	})
	t.Run("is made once by each of many writers at once", func(t *testing.T) {
		b := newBook(t)
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				_, err := b.ChangeClaim(t.Context(), none, counts)
				wantCode(t, err, "")
			})
		}
		writers.Wait()
		same(t, holding(t, b.Ledger, "pr-1").Claim.CreateNumber, 8)
	})
	t.Run("asks again what another writer has made of it, and may refuse", func(t *testing.T) {
		b := newBook(t)
		made := b.claim(t, "pr-1", counts)
		b.claim(t, "pr-1", becomes(routine.Gone))
		got, err := b.ChangeClaim(t.Context(), made, func(c *routine.Claim) error {
			if c.State == routine.Gone {
				return errRefused
			}
			return counts(c)
		})
		check(t, err, err == errRefused)
		same(t, got.State, routine.Gone)
	})
	t.Run("writes nothing if it is refused", func(t *testing.T) {
		b := newBook(t)
		_, err := b.ChangeClaim(t.Context(), none, func(*routine.Claim) error { return errRefused })
		check(t, err, err == errRefused)
		b.wantCalls(t)
	})
	t.Run("gives up where it never comes first", func(t *testing.T) {
		b := newBook(t)
		made := b.claim(t, "pr-1", counts)
		b.calls()
		refused := partly(t, "state", 1, 0, "OTSConditionCheckFail", false)
		refused.Times = -1
		b.breaks(t, refused)
		_, err := b.ChangeClaim(t.Context(), made, counts)
		wantCode(t, err, "unavailable Changed")
		calls := b.calls()
		check(t, calls, len(calls) == 40) // each time the write and the row: was the write its own?
	})
	t.Run("costs two calls at most where the ledger is down", func(t *testing.T) {
		for call := range 2 {
			b := newBook(t)
			b.breaks(t, faults.Rule{Skip: call, Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
			_, err := b.ChangeClaim(t.Context(), none, counts)
			check(t, err, fault.From(err).OutcomeUnknown)
			calls := b.calls()
			check(t, calls, len(calls) == call+2)
		}
	})
}

func TestChangeRecord(t *testing.T) {
	b := newBook(t)
	made := b.bind(t, "pr-1", "a.example.com")
	b.wantCalls(t, "BatchWriteRow")
	b.clock.Advance(time.Minute)
	again := b.bind(t, "pr-1", "a.example.com") // it is there, which this one does not know
	same(t, made.RecordClaim, routine.RecordClaim{
		Routine: "pr-1", RecordName: "a.example.com", State: routine.Live, Number: 1, MadeAt: noon, ChangedAt: noon,
	})
	same(t, again.RecordClaim, routine.RecordClaim{
		Routine: "pr-1", RecordName: "a.example.com", State: routine.Live, Number: 2, MadeAt: noon, ChangedAt: after(1),
	})
	_, err := b.ChangeRecord(t.Context(), made, func(*routine.RecordClaim) error { return errRefused })
	check(t, err, err == errRefused)
	same(t, holding(t, b.Ledger, "pr-1", "a.example.com").Records[0].RecordClaim, again.RecordClaim)
}

// TestLostAnswerToAClaim is TestLostAnswer for claims: a change takes effect once, whatever becomes of the answers.
func TestLostAnswerToAClaim(t *testing.T) {
	for times := 1; times <= 2; times++ {
		t.Run(fmt.Sprintf("%d times is settled by the token", times), func(t *testing.T) {
			b := newBook(t)
			claim, record := b.claim(t, "pr-1", counts), b.bind(t, "pr-1", "a.example.com") // a connection is kept
			b.breaks(t, lost("BatchWriteRow", 0, times))
			claim, err := b.ChangeClaim(t.Context(), claim, counts)
			must(t, err)
			b.breaks(t, lost("BatchWriteRow", 0, times))
			record, err = b.ChangeRecord(t.Context(), record, recordCounts)
			must(t, err)
			check(t, claim, claim.CreateNumber == 2 && record.Number == 2)
			got := holding(t, b.Ledger, "pr-1", "a.example.com")
			same(t, got.Claim.Claim, claim.Claim)
			same(t, got.Records[0].RecordClaim, record.RecordClaim)
		})
		t.Run(fmt.Sprintf("%d times leaves the outcome unknown while nothing can be read", times), func(t *testing.T) {
			b := newBook(t)
			claim := b.claim(t, "pr-1", counts)
			b.breaks(t, lost("BatchWriteRow", 0, times))
			b.breaks(t, faults.Rule{Action: "BatchGetRow", Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}})
			_, err := b.ChangeClaim(t.Context(), claim, counts)
			check(t, err, err != nil && fault.From(err).OutcomeUnknown)
		})
	}
	t.Run("is lost for good if the write had no effect, and the change may be repeated with the same row", func(t *testing.T) {
		b := newBook(t)
		claim := b.claim(t, "pr-1", counts)
		b.breaks(t, faults.Rule{Action: "BatchWriteRow", Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
		_, err := b.ChangeClaim(t.Context(), claim, counts)
		wantCode(t, err, "unavailable ConnectionBroken")
		claim, err = b.ChangeClaim(t.Context(), claim, counts)
		must(t, err)
		same(t, claim.CreateNumber, 2)
	})
}

func TestRecordClaims(t *testing.T) {
	b := newBook(t)
	b.claim(t, "pr-1", counts)
	var want []string
	for n := range 7 {
		want = append(want, fmt.Sprintf("%d.example.com", n))
		b.bind(t, "pr-1", want[n])
	}
	b.bind(t, "pr-10", "other.example.com")
	list := func(t *testing.T, name string) (names []string) {
		t.Helper()
		for row, err := range b.RecordClaims(t.Context(), name) {
			must(t, err)
			check(t, row, row.Exists() && row.Routine == name)
			names = append(names, row.RecordName)
		}
		return names
	}
	t.Run("are one routine's alone, in order", func(t *testing.T) { same(t, list(t, "pr-1"), want) })
	t.Run("are changed as they were listed", func(t *testing.T) {
		for row, err := range b.RecordClaims(t.Context(), "pr-1") {
			must(t, err)
			b.calls()
			_, err = b.ChangeRecord(t.Context(), row, recordCounts)
			must(t, err)
			b.wantCalls(t, "BatchWriteRow")
			break
		}
	})
	t.Run("are none of a routine that has none", func(t *testing.T) { same(t, list(t, "pr-2"), nil) })
	t.Run("are refused without a name", func(t *testing.T) {
		for _, err := range b.RecordClaims(t.Context(), "") {
			wantCode(t, err, "invalid InvalidName")
		}
	})
	t.Run("are read in several calls if there are many", func(t *testing.T) {
		want := b.putRecords(t, "pr-1", 2001)
		b.calls()
		same(t, list(t, "pr-1"), want)
		b.wantCalls(t, "GetRange", "GetRange", "GetRange")
	})
}

// TestForeignRowsOfState is about rows that this version of Routinely did not write: the error names them.
func TestForeignRowsOfState(t *testing.T) {
	for name, columns := range map[string]map[string]any{
		"broken JSON": {"mark": "{", "seq": int64(1)}, "no sequence": {"mark": `{"name":"pr-1"}`}, "another's column": {"x": true},
		"another's name": {"mark": `{"name":"pr-2","routine":"pr-2"}`, "seq": int64(1)},
	} {
		t.Run("with "+name, func(t *testing.T) {
			b := newBook(t)
			claim := b.claim(t, "pr-1", counts)
			b.bind(t, "pr-1", "a.example.com")
			for _, row := range b.rows(t, "state") {
				if row.PrimaryKey.PrimaryKeys[0].Value == "routines" {
					continue
				}
				change := &sdk.PutRowChange{TableName: "state", PrimaryKey: row.PrimaryKey}
				change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
				for column, value := range columns {
					change.AddColumn(column, value)
				}
				_, err := b.sdkClient().PutRow(&sdk.PutRowRequest{PutRowChange: change})
				must(t, err)
			}
			unreadable := func(err error, want string) {
				t.Helper()
				wantCode(t, err, "internal UnreadableRow")
				check(t, err, err != nil && strings.Contains(err.Error(), want))
			}
			_, err := b.Holdings(t.Context(), []ledger.Wanted{{Name: "pr-1"}})
			unreadable(err, "/pr-1 claim")
			for _, err := range b.RecordClaims(t.Context(), "pr-1") {
				unreadable(err, "/pr-1 record/a.example.com")
			}
			_, _, err = b.Claims(t.Context(), ledger.ClaimFilter{}, 10, "")
			unreadable(err, "/pr-1 claim")
			_, err = b.ChangeClaim(t.Context(), ledger.ClaimRow{Claim: claim.Claim}, counts)
			unreadable(err, "/pr-1 claim")
		})
	}
}
