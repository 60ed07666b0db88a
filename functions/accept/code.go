package accept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/plain"
	"routinely/shared/routine"
)

// codeMedia are the media types of code that is posted as it is.
func codeMedia() []string {
	return []string{"application/javascript", "text/javascript", "application/octet-stream"}
}

// postCode keeps code for requests to come of the same caller.
func (s *Service) postCode(r *http.Request) (reply, error) {
	given := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return reply{}, wrongMedia("Accept-Encoding", "identity", fmt.Sprintf("Content-Encoding %q: send the code as it is", plain.Clip(encoding, maxShown)))
	}
	if err != nil || !slices.Contains(codeMedia(), media) {
		taken := strings.Join(codeMedia(), ", ")
		return reply{}, wrongMedia("Accept", taken, fmt.Sprintf("Content-Type %q: want one of %s", plain.Clip(given, maxShown), taken))
	}
	source := visitOf(r.Context()).body
	if detail := routine.CheckSource(source); detail != "" {
		return reply{}, &routine.Invalid{Problems: []routine.Problem{{Code: "value", Detail: "the code " + detail}}}
	}
	code := routine.NewCode(source)
	if err := s.Ledger.PutCode(context.WithoutCancel(r.Context()), callerOf(r.Context()).Name, code); err != nil {
		return reply{}, ledgerFailed(err)
	}
	out := api.KeptCode{SHA256: code.SHA256, Bytes: len(source)}
	if s.Retention > 0 {
		out.ExpiresAt = s.Now().Add(s.Retention).UTC()
	}
	return reply{status: http.StatusCreated, body: out}, nil
}

// keepCode keeps the code of a request before its job is recorded: what it brings along, or what its caller has given before, whose time begins again.
func (s *Service) keepCode(ctx context.Context, caller string, code *routine.Code) error {
	if code == nil {
		return nil
	}
	if code.Source != nil {
		return s.Ledger.PutCode(ctx, caller, code)
	}
	err := s.Ledger.RenewCode(ctx, caller, code.SHA256)
	if fault.HasCode(err, ledger.CodeUnknownCode) {
		return &routine.Invalid{Problems: []routine.Problem{{
			Pointer: "/code/sha256", Code: "value", Detail: "is the hash of no code that is kept for this caller: give the code again, with POST /v1/code or as source",
		}}}
	}
	return err
}

// keepAll is keepCode for new jobs. Each code is kept once for all of them.
func (s *Service) keepAll(ctx context.Context, pending []*admission) {
	kept := map[string]error{}
	for _, a := range pending {
		code := a.row.Request.Code
		if a.err != nil || code == nil {
			continue
		}
		err, done := kept[code.SHA256]
		if !done {
			err = s.keepCode(ctx, a.row.Caller, code)
			kept[code.SHA256] = err
		}
		var invalid *routine.Invalid
		switch {
		case err == nil:
			code.Source = nil // the row holds the hash alone
		case errors.As(err, &invalid):
			a.err = invalid
		default:
			a.err = notRecorded(err)
		}
	}
}

// renewCode lets the time of the code of redriven jobs begin again. What is not kept any more the worker tells.
func (s *Service) renewCode(ctx context.Context, rows []ledger.Row) {
	var failed error
	for _, row := range rows {
		if code := row.Request.Code; code != nil {
			failed = cmp.Or(failed, s.Ledger.RenewCode(ctx, row.Caller, code.SHA256))
		}
	}
	if failed != nil {
		logFailure(ctx, failed, "the code of a redriven job is kept no longer than before")
	}
}

// rollbackRoutine accepts that an earlier version of a routine's code runs again.
func (s *Service) rollbackRoutine(r *http.Request) (reply, error) {
	var given api.Rollback
	if err := readStrict(r, &given); err != nil {
		return reply{}, err
	}
	req, problems := given.Request(r.PathValue("id"))
	return s.acceptOne(r, req, problems)
}
