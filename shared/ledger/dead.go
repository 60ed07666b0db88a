package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"routinely/shared/routine"
)

// DeadFilter says which dead letters to list: those that have all of the given values, exactly. The zero DeadFilter is all of them.
type DeadFilter struct {
	// IDs are ids of jobs. With them, the list is in the order of the ids, and each page looks at as many of them as its limit says.
	IDs    []string
	Kind   string
	Code   string
	Step   routine.Step
	Origin Origin
	// Name, RecordName, SiteID and Caller are those of the request.
	Name       string
	RecordName string
	SiteID     int64
	Caller     string
	// KeyPrefix is how the job's idempotency key begins.
	KeyPrefix string
	// Since and Until bound the time of death, both included.
	Since, Until time.Time
}

// traits are what the index rows of a dead letter say about it, so that filters and counts need not read its row.
type traits struct {
	Kind   string       `json:"kind,omitempty"`
	Code   string       `json:"code,omitempty"`
	Step   routine.Step `json:"step,omitempty"`
	Origin Origin       `json:"origin,omitempty"`
	Name   string       `json:"name,omitempty"`
	// Record and Site are those of a request with one host name, and Records those of one with several.
	Record  string           `json:"record,omitempty"`
	Site    int64            `json:"site,omitempty"`
	Records []routine.Record `json:"records,omitempty"`
	Caller  string           `json:"caller,omitempty"`
	Key     string           `json:"key,omitempty"`
}

func (r *Row) traits() traits {
	t := traits{
		Kind: r.Kind, Code: r.Code, Origin: r.Origin, Name: cut(r.Request.Name, maxWord), Caller: r.Caller, Key: r.Key,
		Records: r.Request.Records,
	}
	if len(t.Records) == 1 {
		t.Record, t.Site, t.Records = t.Records[0].RecordName, t.Records[0].SiteID, nil
	}
	if r.Last != nil {
		t.Step = r.Last.Step
	}
	return t
}

// span is the narrowest part of the indexes that holds all that fits.
func (f DeadFilter) span() span {
	p := deadPartition(familyAll, "")
	switch {
	case f.RecordName != "":
		p = deadPartition(familyRecord, f.RecordName)
	case f.Name != "":
		p = deadPartition(familyName, f.Name)
	case f.SiteID != 0:
		p = deadPartition(familySite, strconv.FormatInt(f.SiteID, 10))
	case f.Code != "":
		p = deadPartition(familyCode, f.Code)
	case f.Caller != "":
		p = deadPartition(familyCaller, f.Caller)
	}
	s := span{partition: p}
	if !f.Until.IsZero() {
		s.from = sortable(f.Until) + "~" // behind every id of that moment
	}
	if !f.Since.IsZero() {
		s.to = sortable(f.Since)
	}
	return s
}

func (f DeadFilter) holds(e entry) bool {
	var t traits
	if json.Unmarshal([]byte(e.dead), &t) != nil {
		return true // the row decides
	}
	return f.matches(e.id, t)
}

func (f DeadFilter) matches(id string, t traits) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, id)) && same(f.Kind, t.Kind) && same(f.Code, t.Code) && same(f.Step, t.Step) &&
		same(f.Origin, t.Origin) && same(f.Name, t.Name) && f.about(t) && same(f.Caller, t.Caller) && strings.HasPrefix(t.Key, f.KeyPrefix)
}

// about reports whether one of the host names fits.
func (f DeadFilter) about(t traits) bool {
	fits := func(r routine.Record) bool { return same(f.RecordName, r.RecordName) && same(f.SiteID, r.SiteID) }
	return fits(routine.Record{SiteID: t.Site, RecordName: t.Record}) || slices.ContainsFunc(t.Records, fits)
}

// same reports whether a filter's value is the given one, or is not set.
func same[T comparable](filter, value T) bool {
	var unset T
	return filter == unset || filter == value
}

func (f DeadFilter) fits(r *Row) bool {
	return r.State == routine.DeadLettered && f.matches(r.ID, r.traits()) &&
		(f.Since.IsZero() || !r.DiedAt.Before(f.Since)) && (f.Until.IsZero() || !r.DiedAt.After(f.Until))
}

func (f DeadFilter) query() (query, error) {
	err := checkWords(map[string]string{
		"kind": f.Kind, "code": f.Code, "name": f.Name, "recordName": f.RecordName, "caller": f.Caller, "keyPrefix": f.KeyPrefix,
	})
	if err != nil {
		return query{}, err
	}
	if !f.Since.IsZero() && !storable(f.Since) || !f.Until.IsZero() && !storable(f.Until) {
		return query{}, invalid("InvalidFilter", "since, until: the time is out of range")
	}
	return query{name: encode(f), span: f.span(), holds: f.holds, fits: f.fits}, nil
}

// DeadLetters lists jobs that are dead-lettered, those that died latest first. Limits, cursors and faults are as for Jobs. Their rows lack
// what lists do not show.
func (l *Ledger) DeadLetters(ctx context.Context, f DeadFilter, limit int, cursor string) (rows []Row, next string, err error) {
	q, err := f.query()
	if err != nil {
		return nil, "", err
	}
	read := l.page
	if len(f.IDs) > 0 {
		read = l.chosen(f)
	}
	found, next, err := read(ctx, q, limit, cursor)
	for _, r := range found {
		rows = append(rows, *r)
	}
	return rows, next, err
}

// chosen reads a page of the jobs that the filter names, without a look at the indexes.
func (l *Ledger) chosen(f DeadFilter) func(context.Context, query, int, string) ([]*Row, string, error) {
	return func(ctx context.Context, q query, limit int, cursor string) (rows []*Row, next string, err error) {
		if limit < 1 || limit > MaxPage {
			return nil, "", invalidLimit(limit)
		}
		ids := distinct(f.IDs)
		if cursor != "" {
			from, err := l.openCursor(q, cursor)
			if err != nil {
				return nil, "", err
			}
			at, _ := slices.BinarySearch(ids, from)
			ids = ids[at:]
		}
		if len(ids) > limit {
			next, ids = l.cursor(q, ids[limit]), ids[:limit]
		}
		found, err := l.readJobs(ctx, ids, listColumns, listedRows)
		if err != nil {
			return nil, "", err
		}
		var h held
		for _, id := range ids {
			if r := found[id]; r != nil && f.fits(r) && !h.add(r) {
				return h.rows, l.cursor(q, id), nil
			}
		}
		return h.rows, next, nil
	}
}

// CodeCount is how many dead letters have a kind and code.
type CodeCount struct {
	Kind, Code string
	Count      int
}

// maxCountCalls bounds a count: 5,000 index rows are read in a call.
const (
	maxCountCalls = 20
	countScan     = 5000
)

// CountDead counts the dead letters that fit, in all and by code, the most frequent first, from their index rows alone: it can count one that
// left a moment ago, or whose index rows could not be deleted then. With IDs it reads the jobs. complete is false if there are more than were
// looked at: some 100,000, or 1,000 with IDs.
func (l *Ledger) CountDead(ctx context.Context, f DeadFilter) (total int, codes []CodeCount, complete bool, err error) {
	q, err := f.query()
	if err != nil {
		return 0, nil, false, err
	}
	counts := map[kindCode]int{}
	if len(f.IDs) > 0 {
		complete, err = l.countChosen(ctx, f, counts)
	} else {
		complete, err = l.countScanned(ctx, f, q.span, counts)
	}
	if err != nil {
		return 0, nil, false, err
	}
	total, codes = inOrder(counts)
	return total, codes, complete, nil
}

// CountSomeDead counts the dead letters, at most as many as most says, in one call and from their index rows alone, as CountDead does. more tells that
// there may be others.
func (l *Ledger) CountSomeDead(ctx context.Context, most int) (count int, more bool, err error) {
	entries, next, err := l.jobs.scan(ctx, DeadFilter{}.span(), most)
	return len(entries), next != "", err
}

type kindCode struct{ kind, code string }

func (l *Ledger) countChosen(ctx context.Context, f DeadFilter, counts map[kindCode]int) (complete bool, err error) {
	ids := distinct(f.IDs)
	most := min(len(ids), maxCountCalls*listedRows)
	found, err := l.readJobs(ctx, ids[:most], listColumns, listedRows)
	for _, r := range found {
		if f.fits(r) {
			counts[kindCode{r.Kind, r.Code}]++
		}
	}
	return most == len(ids), err
}

func (l *Ledger) countScanned(ctx context.Context, f DeadFilter, s span, counts map[kindCode]int) (complete bool, err error) {
	for range maxCountCalls {
		entries, next, err := l.jobs.scan(ctx, s, countScan)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			var t traits
			if json.Unmarshal([]byte(e.dead), &t) == nil && f.matches(e.id, t) {
				counts[kindCode{t.Kind, t.Code}]++
			}
		}
		if s.from = next; next == "" {
			return true, nil
		}
	}
	return false, nil
}

func inOrder(counts map[kindCode]int) (total int, codes []CodeCount) {
	for of, n := range counts {
		codes = append(codes, CodeCount{of.kind, of.code, n})
		total += n
	}
	slices.SortFunc(codes, func(a, b CodeCount) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Kind, b.Kind), strings.Compare(a.Code, b.Code))
	})
	return total, codes
}
