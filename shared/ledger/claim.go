package ledger

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/routine"
)

// ClaimRow is a routine's claim as it was read or written. A routine of which nothing was ever wanted has its name alone.
type ClaimRow struct {
	routine.Claim
	// seq counts the writes of the row; 0 is a row that does not exist yet.
	seq int64
	// put is set of a row that was written here with its index row.
	put bool
}

// Exists reports whether the claim was ever written. One that is gone exists.
func (r ClaimRow) Exists() bool { return r.seq > 0 }

// listed reports whether the claim is known to have its index row. The one of a claim that is Creating goes in the same call, so that a crash can leave
// the claim without it: only who has seen the outcome of that call knows. Every other claim that is not gone was put after its index row.
func (r ClaimRow) listed() bool {
	switch r.State {
	case routine.Gone:
		return false
	case routine.Creating:
		return r.put
	default:
		return r.Exists()
	}
}

// RecordRow is the claim of a host name as it was read or written. One of which nothing was ever wanted has its names alone.
type RecordRow struct {
	routine.RecordClaim
	// seq counts the writes of the row; 0 is a row that does not exist yet.
	seq int64
}

// Exists reports whether the claim was ever written. One that is gone exists.
func (r RecordRow) Exists() bool { return r.seq > 0 }

// The rows of one routine are in a partition of their own: its claim, and one row for each host name.
const (
	orderClaim = "claim"
	// prefixRecord sorts behind it, to the end of the partition.
	prefixRecord = "record/"
)

func claimKey(name string) key { return key{spread("routine", name), orderClaim} }

func recordKey(name, recordName string) key {
	return key{spread("routine", name), prefixRecord + recordName}
}

// Wanted says what to read of a routine: its claim, and those of some host names.
type Wanted struct {
	Name        string
	RecordNames []string
}

// Holding is what the ledger holds of a routine: its claim, and those of the host names that were asked for, in the order of the question.
type Holding struct {
	Claim   ClaimRow
	Records []RecordRow
}

// Holdings reads claims, in few calls, and answers in their order. A routine may be there twice. A name that no row can have is a fault of kind
// Invalid with code InvalidName, and a row that cannot be read one of kind Internal that names it.
func (l *Ledger) Holdings(ctx context.Context, wanted []Wanted) ([]Holding, error) {
	_, holdings, err := l.readHoldings(ctx, wanted, nil)
	return holdings, err
}

// AccountAndHoldings is Account and Holdings in the same calls.
func (l *Ledger) AccountAndHoldings(ctx context.Context, wanted []Wanted) (routine.Account, []Holding, error) {
	rows, holdings, err := l.readHoldings(ctx, wanted, []key{accountKey()})
	if err != nil {
		return routine.Account{}, nil, err
	}
	account, err := readAccount(rows[accountKey()])
	return account, holdings, err
}

// readHoldings reads what is wanted of routines, and the rows of more keys.
func (l *Ledger) readHoldings(ctx context.Context, wanted []Wanted, more []key) (rows map[key]stateRow, holdings []Holding, err error) {
	keys := more
	for _, w := range wanted {
		if err := cmp.Or(checkKeys(w.Name), checkKeys(w.RecordNames...)); err != nil {
			return nil, nil, err
		}
		keys = append(keys, claimKey(w.Name))
		for _, recordName := range w.RecordNames {
			keys = append(keys, recordKey(w.Name, recordName))
		}
	}
	if rows, err = l.readStates(ctx, keys); err != nil {
		return nil, nil, err
	}
	holdings = make([]Holding, len(wanted))
	for i, w := range wanted {
		if holdings[i], err = readHolding(w, rows); err != nil {
			return nil, nil, err
		}
	}
	return rows, holdings, nil
}

func readHolding(w Wanted, rows map[key]stateRow) (h Holding, err error) {
	if h.Claim, err = readClaim(w.Name, rows[claimKey(w.Name)]); err != nil {
		return Holding{}, err
	}
	h.Records = make([]RecordRow, len(w.RecordNames))
	for i, recordName := range w.RecordNames {
		if h.Records[i], err = readRecord(w.Name, recordName, rows[recordKey(w.Name, recordName)]); err != nil {
			return Holding{}, err
		}
	}
	return h, nil
}

// checkKeys refuses names that no row can have. All names of ESA are shorter.
func checkKeys(names ...string) error {
	for _, name := range names {
		if name == "" || cut(name, maxWord) != name {
			return invalid("InvalidName", fmt.Sprintf("name %q: want a text of 1 to %d bytes", cut(name, maxWord), maxWord))
		}
	}
	return nil
}

func readClaim(name string, row stateRow) (ClaimRow, error) {
	out := ClaimRow{routine.Claim{Name: name}, row.seq, row.listed}
	if err := row.decode(&out.Claim); err != nil {
		return ClaimRow{}, err
	}
	if out.Name != name {
		return ClaimRow{}, row.unreadable(fmt.Errorf("it is the claim of %q", out.Name))
	}
	return out, nil
}

func readRecord(name, recordName string, row stateRow) (RecordRow, error) {
	out := RecordRow{routine.RecordClaim{Routine: name, RecordName: recordName}, row.seq}
	if err := row.decode(&out.RecordClaim); err != nil {
		return RecordRow{}, err
	}
	if out.Routine != name || out.RecordName != recordName {
		return RecordRow{}, row.unreadable(fmt.Errorf("it is the claim of %q for %q", out.Routine, out.RecordName))
	}
	return out, nil
}

// recordPage is how many claims of host names are read in one call. The service gives up to 5,000 rows, or 4 MB.
const recordPage = 1000

// RecordClaims lists the claims of a routine's host names in the order of their names, those that are gone included. It ends at the first error.
func (l *Ledger) RecordClaims(ctx context.Context, name string) iter.Seq2[RecordRow, error] {
	return func(yield func(RecordRow, error) bool) {
		if err := checkKeys(name); err != nil {
			yield(RecordRow{}, err)
			return
		}
		s := span{partition: claimKey(name).p, from: prefixRecord, forward: true}
		for s.from != "" {
			var rows []RecordRow
			next, err := l.state.walk(ctx, s, recordPage, func(found []*sdk.Row) (err error) {
				rows, err = readRecords(name, s.partition, found)
				return err
			})
			if err != nil {
				yield(RecordRow{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			s.from = next
		}
	}
}

func readRecords(name, partition string, found []*sdk.Row) ([]RecordRow, error) {
	rows := make([]RecordRow, len(found))
	for i, one := range found {
		order, err := second(one.PrimaryKey)
		if err != nil {
			return nil, err
		}
		rows[i], err = readRecord(name, strings.TrimPrefix(order, prefixRecord), newStateRow(key{partition, order}, one.Columns))
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// ChangeClaim lets change alter a claim as it was read, and writes it, on condition that nobody else wrote it meanwhile; otherwise it reads the
// claim and begins again. An error of change ends it, with nothing written, and so does a change that leaves the claim as it is. It returns the claim as
// it is now, as far as that is known.
//
// If the answer to the write is lost, the row is read: the write is found out by its token. Only if another writer has come after it by then,
// change is called for a claim that it has altered before. ChangedAt and MadeAt are set here. ChangeClaim may be repeated with the same row
// after a fault.
func (l *Ledger) ChangeClaim(ctx context.Context, row ClaimRow, change func(*routine.Claim) error) (ClaimRow, error) {
	h, err := l.ChangeHolding(ctx, Holding{Claim: row}, change, nil)
	return h.Claim, err
}

// ChangeRecord is ChangeClaim for the claim of a host name.
func (l *Ledger) ChangeRecord(ctx context.Context, row RecordRow, change func(*routine.RecordClaim) error) (RecordRow, error) {
	h, err := l.ChangeHolding(ctx, Holding{Claim: ClaimRow{Claim: routine.Claim{Name: row.Routine}}, Records: []RecordRow{row}}, nil, change)
	return h.Records[0], err
}

// ChangeHolding is ChangeClaim for a routine's claim and claims of its host names, in few calls. With a nil change the routine's claim stays as it is.
// It is no transaction: of the claims each is written or not. The error is that of one that was not. What is returned may be passed again after a
// fault, for changes that may be made twice.
func (l *Ledger) ChangeHolding(
	ctx context.Context, h Holding, change func(*routine.Claim) error, changeRecord func(*routine.RecordClaim) error,
) (Holding, error) {
	if err := checkKeys(h.Claim.Name); err != nil {
		return h, err
	}
	works := make([]*stateWork, 0, 1+len(h.Records))
	for _, row := range h.Records {
		if err := checkKeys(row.RecordName); err != nil {
			return h, err
		}
		works = append(works, l.recordWork(row, changeRecord))
	}
	if change != nil {
		works = append(works, l.claimWork(h.Claim, change))
	}
	l.changeStates(ctx, works)
	h.Records = slices.Clone(h.Records)
	var failed error
	for i, w := range works {
		var err error
		if i < len(h.Records) {
			h.Records[i], err = readRecord(h.Claim.Name, h.Records[i].RecordName, w.row)
		} else {
			h.Claim, err = readClaim(h.Claim.Name, w.row)
		}
		failed = cmp.Or(failed, w.err, err)
	}
	return h, failed
}

// claimWork is a change of a routine's claim.
func (l *Ledger) claimWork(row ClaimRow, change func(*routine.Claim) error) *stateWork {
	name := row.Name
	was := stateRow{key: claimKey(name), found: row.Exists(), mark: encode(row.Claim), seq: row.seq, listed: row.put}
	return &stateWork{row: was, change: func(was stateRow) (stateChange, error) {
		row, err := readClaim(name, was)
		if err != nil {
			return stateChange{}, err
		}
		next, same := row.Claim, encode(row.Claim)
		if err := change(&next); err != nil {
			return stateChange{}, err
		}
		listed := row.listed() || next.State == routine.Gone
		if encode(next) == same && (listed || !row.Exists()) { // else it may lack its index row
			return stateChange{}, errSame
		}
		next.Name, next.MadeAt, next.ChangedAt = name, row.MadeAt, stored(l.cfg.Now())
		if !row.Exists() {
			next.MadeAt = next.ChangedAt
		}
		what := stateChange{mark: encode(bounded(next))}
		if !listed {
			what.index = &entry{key: key{partitionRoutines, name}, id: name}
			// A claim that is Creating is written before a call about it, and no such call is made before both rows are there: after a crash in between
			// there is nothing to list. Any other claim is about a routine that may be there.
			what.indexFirst = next.State != routine.Creating
		}
		return what, nil
	}}
}

// recordWork is a change of the claim of a host name.
func (l *Ledger) recordWork(row RecordRow, change func(*routine.RecordClaim) error) *stateWork {
	name, recordName := row.Routine, row.RecordName
	was := stateRow{key: recordKey(name, recordName), found: row.Exists(), mark: encode(row.RecordClaim), seq: row.seq}
	return &stateWork{row: was, change: func(was stateRow) (stateChange, error) {
		row, err := readRecord(name, recordName, was)
		if err != nil {
			return stateChange{}, err
		}
		next := row.RecordClaim
		if err := change(&next); err != nil {
			return stateChange{}, err
		}
		if next == row.RecordClaim {
			return stateChange{}, errSame
		}
		next.Routine, next.RecordName, next.MadeAt, next.ChangedAt = name, recordName, row.MadeAt, stored(l.cfg.Now())
		if !row.Exists() {
			next.MadeAt = next.ChangedAt
		}
		next.Caller, next.JobID = cut(next.Caller, maxWord), cut(next.JobID, maxID)
		return stateChange{mark: encode(next)}, nil
	}}
}

// maxDescription bounds what a claim keeps of ESA's description, in bytes.
const maxDescription = 1000

// bounded is the claim as it is stored: in less than 20 KiB, so that maxReads of them fit into one answer, its times in UTC. Of what the deletion
// overtook it keeps the newest.
func bounded(c routine.Claim) routine.Claim {
	c.Caller, c.Description, c.Reason = cut(c.Caller, maxWord), cut(c.Description, maxDescription), cut(c.Reason, maxText)
	c.CreateJob, c.DeleteJob = cut(c.CreateJob, maxID), cut(c.DeleteJob, maxID)
	c.CreateTime, c.ExpiresAt, c.SeenAt = stored(c.CreateTime), stored(c.ExpiresAt), stored(c.SeenAt)
	if c.State == routine.Gone { // what stays for ever holds no secret
		c.CallbackURL = ""
	}
	overtook := c.Overtook[max(0, len(c.Overtook)-routine.MaxOvertook):]
	c.Overtook = make([]string, 0, len(overtook))
	for _, id := range overtook {
		c.Overtook = append(c.Overtook, cut(id, maxID))
	}
	if c.Expiry != nil {
		e := *c.Expiry
		e.JobID, e.SeenAt, e.UnboundAt, e.TriedAt = cut(e.JobID, maxID), stored(e.SeenAt), stored(e.UnboundAt), stored(e.TriedAt)
		c.Expiry = &e
	}
	return c
}
