package deadletters

import (
	"fmt"
	"slices"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
)

// Codes of the faults of kind Invalid, and of the one of kind NotFound.
const (
	CodeInvalidCursor  = "InvalidCursor"
	CodeInvalidFilter  = "InvalidFilter"
	CodeInvalidLimit   = "InvalidLimit"
	CodeInvalidRedrive = "InvalidRedrive"
	CodeUnknown        = "UnknownDeadLetter"
)

// maxReason is the longest reason, in bytes.
const maxReason = 200

func invalid(code, format string, values ...any) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Step: "dead letters", Code: code, Message: fmt.Sprintf(format, values...)}
}

// kinds are the kinds of fault that a dead letter can have died of.
func kinds() []fault.Kind {
	return []fault.Kind{
		fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Operator, fault.Locked,
		fault.Throttled, fault.Unavailable, fault.Internal,
	}
}

// checkFilter says what is wrong with a filter. A value that no letter can have is a slip of the pen.
func checkFilter(f api.DeadLetterFilter) error {
	switch {
	case f.Kind != "" && !slices.Contains(kinds(), fault.Kind(f.Kind)):
		return invalid(CodeInvalidFilter, "kind %q: want one of %q", f.Kind, kinds())
	case f.Origin != "" && f.Origin != api.Worker && f.Origin != api.Trigger:
		return invalid(CodeInvalidFilter, "origin %q: want %s or %s", f.Origin, api.Worker, api.Trigger)
	case f.SiteID < 0:
		return invalid(CodeInvalidFilter, "siteId %d: want a number above 0", f.SiteID)
	case len(f.IDs) > api.MaxIDs:
		return invalid(CodeInvalidFilter, "%d ids: want %d at most", len(f.IDs), api.MaxIDs)
	case slices.Contains(f.IDs, ""):
		return invalid(CodeInvalidFilter, "an id is empty")
	}
	return nil
}

// chooses reports whether any field of the filter is set.
func chooses(f api.DeadLetterFilter) bool {
	return len(f.IDs) > 0 || f.JobID != "" || f.Kind != "" || f.Code != "" || f.Step != "" || f.Origin != "" || f.Name != "" ||
		f.RecordName != "" || f.SiteID != 0 || f.Caller != ""
}

// filter decides which letters are meant.
type filter struct {
	api.DeadLetterFilter
	ids map[string]bool
}

func newFilter(f api.DeadLetterFilter) filter {
	ids := make(map[string]bool, len(f.IDs))
	for _, id := range f.IDs {
		ids[id] = true
	}
	return filter{f, ids}
}

func (f filter) fits(l *queue.Letter) bool {
	return (len(f.ids) == 0 || f.ids[l.ID]) && is(f.JobID, l.JobID) && is(f.Kind, l.Kind) && is(f.Code, l.Code) &&
		is(f.Step, l.Step) && is(f.Origin, origin(l)) && is(f.Caller, l.Caller) && f.fitsRequest(l)
}

func (f filter) fitsRequest(l *queue.Letter) bool {
	if l.Request == nil {
		return f.Name == "" && f.RecordName == "" && f.SiteID == 0
	}
	return is(f.Name, l.Request.Name) && is(f.RecordName, l.Request.RecordName) && is(f.SiteID, l.Request.SiteID)
}

// is reports whether a value is the wanted one; the zero value wants all.
func is[T comparable](wanted, value T) bool {
	var all T
	return wanted == all || wanted == value
}
