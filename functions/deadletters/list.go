package deadletters

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"routinely/queue"
	"routinely/shared/api"
)

const (
	// maxPage is the longest page.
	maxPage = 1000
	// spare is how many letters a page keeps beyond its length. A letter that was sent twice stands where its latest copy
	// does; a page that met an older one first may lose it again, and another then moves up.
	spare = 100
)

// position is where a letter stands in a list: the latest first.
type position struct {
	at time.Time
	id string
}

// compare is below 0 if p stands before q.
func (p position) compare(q position) int {
	return cmp.Or(q.at.Compare(p.at), strings.Compare(p.id, q.id))
}

// cursor is the position as text for a client to hand back.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.at.UTC().Format(time.RFC3339Nano) + " " + p.id))
}

func readCursor(cursor string) (*position, error) {
	if cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	when, id, ok := strings.Cut(string(text), " ")
	at, timeErr := time.Parse(time.RFC3339Nano, when)
	p := &position{at, id}
	if err != nil || !ok || timeErr != nil || p.cursor() != cursor {
		return nil, invalid(CodeInvalidCursor, "cursor %.100q is not one that a list has given", cursor)
	}
	return p, nil
}

// List returns a page of 1 to 1000 dead letters that fit the filter, the latest first, and counts all that do. The cursor is
// empty for the first page, then Next of the page before. It holds no more than a page in memory.
func (d *Desk) List(ctx context.Context, f api.DeadLetterFilter, limit int, cursor string) (api.DeadLetterList, error) {
	if err := checkFilter(f); err != nil {
		return api.DeadLetterList{}, err
	}
	if limit < 1 || limit > maxPage {
		return api.DeadLetterList{}, invalid(CodeInvalidLimit, "limit %d: want 1 to %d", limit, maxPage)
	}
	after, err := readCursor(cursor)
	if err != nil {
		return api.DeadLetterList{}, err
	}
	pass := d.begin(ctx)
	defer pass.close()
	list := list{filter: newFilter(f), after: after, limit: limit, seen: map[string]*sight{}, codes: map[cause]int{}}
	for {
		letters, err := pass.next(queue.SweepBatch)
		if err != nil {
			return api.DeadLetterList{}, err
		}
		if len(letters) == 0 {
			return list.page(cursor, pass.Complete()), nil
		}
		for i := range letters {
			list.add(&letters[i])
		}
	}
}

// list makes a page of letters that come in any order.
type list struct {
	filter filter
	after  *position
	limit  int
	seen   map[string]*sight
	codes  map[cause]int
	total  int
	// behind is how many fit behind the cursor. kept are the foremost of them, in order; floor is the foremost of those
	// that were not kept.
	behind int
	kept   []kept
	floor  *position
}

type kept struct {
	position
	letter *api.DeadLetter
}

// cause is what letters are counted by.
type cause struct{ kind, code string }

// sight is what a list remembers of each letter.
type sight struct {
	at    time.Time
	fits  bool
	cause cause
	// parts are those seen of a letter that has several.
	parts map[int]bool
	of    int
}

// add takes in a message. Of a letter that was sent more than once the latest copy counts.
func (s *list) add(l *queue.Letter) {
	old := s.seen[l.ID]
	if old == nil {
		old = &sight{of: max(l.Received.Parts, 1)}
		s.seen[l.ID] = old
	} else if !l.DeadAt.After(old.at) {
		old.saw(l)
		return
	}
	if old.fits {
		s.count(position{old.at, l.ID}, old.cause, -1)
	}
	old.saw(l)
	old.at, old.fits, old.cause = l.DeadAt, s.filter.fits(l), cause{l.Kind, l.Code}
	if at := (position{l.DeadAt, l.ID}); old.fits && s.count(at, old.cause, 1) {
		s.keep(kept{at, brief(l)})
	}
}

func (s *sight) saw(l *queue.Letter) {
	if l.Received.Parts <= 1 {
		return
	}
	if s.parts == nil {
		s.parts = map[int]bool{}
	}
	s.parts[l.Received.Part] = true
}

func (s *sight) incomplete() bool { return s.of > 1 && len(s.parts) < s.of }

// count takes a letter into the numbers, or out of them and off the page. It reports whether the letter stands behind the cursor.
func (s *list) count(at position, why cause, by int) (behind bool) {
	s.total += by
	s.codes[why] += by
	if s.after != nil && at.compare(*s.after) <= 0 {
		return false
	}
	s.behind += by
	if i, found := s.find(at); by < 0 && found {
		s.kept = slices.Delete(s.kept, i, i+1)
	}
	return true
}

func (s *list) find(at position) (int, bool) {
	return slices.BinarySearchFunc(s.kept, at, func(k kept, at position) int { return k.compare(at) })
}

// keep puts a letter in its place, and drops the hindmost if there are too many.
func (s *list) keep(k kept) {
	if s.floor != nil && k.compare(*s.floor) > 0 {
		return
	}
	i, _ := s.find(k.position)
	s.kept = slices.Insert(s.kept, i, k)
	if last := len(s.kept) - 1; last >= s.limit+spare {
		s.floor = &position{s.kept[last].at, s.kept[last].id}
		s.kept = slices.Delete(s.kept, last, last+1)
	}
}

// page is the result.
func (s *list) page(cursor string, complete bool) api.DeadLetterList {
	out := api.DeadLetterList{DeadLetters: []api.DeadLetter{}, Codes: []api.CodeCount{}, Total: s.total, Complete: complete}
	for _, k := range s.kept[:min(s.limit, len(s.kept))] {
		k.letter.Incomplete = s.seen[k.id].incomplete()
		out.DeadLetters = append(out.DeadLetters, *k.letter)
		cursor = k.cursor()
	}
	if s.behind > len(out.DeadLetters) {
		out.Next = cursor
	}
	for why, n := range s.codes {
		if n > 0 {
			out.Codes = append(out.Codes, api.CodeCount{Kind: why.kind, Code: why.code, Count: n})
		}
	}
	slices.SortFunc(out.Codes, func(a, b api.CodeCount) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Kind, b.Kind), strings.Compare(a.Code, b.Code))
	})
	return out
}
