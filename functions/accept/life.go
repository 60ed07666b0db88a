package accept

import (
	"net/http"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// deleteRoutine accepts the deletion of a routine with its own host names.
func (s *Service) deleteRoutine(r *http.Request) (reply, error) {
	return s.acceptAction(r, routine.Request{Action: routine.Delete, Name: r.PathValue("id")})
}

// deleteRecord accepts that one host name of a routine is unbound.
func (s *Service) deleteRecord(r *http.Request) (reply, error) {
	recordName, wrong := routine.NormalizeRecordName(r.PathValue("record"))
	if wrong != "" {
		return reply{}, problemParameter.about(routine.Problem{Pointer: "/recordName", Code: "value", Detail: wrong})
	}
	return s.acceptAction(r, routine.Request{
		Action: routine.Unbind, Name: r.PathValue("id"), Records: []routine.Record{{RecordName: recordName}},
	})
}

// claimRoutine accepts that an unproven or adopted routine becomes the caller's own, and leaves a line of it in the log.
func (s *Service) claimRoutine(r *http.Request) (reply, error) {
	out, err := s.acceptAction(r, routine.Request{Action: routine.TakeOwnership, Name: r.PathValue("id")})
	if err == nil {
		logging.From(r.Context()).WithField("name", r.PathValue("id")).Warn("routine claimed")
	}
	return out, err
}

// acceptAction accepts a job whose body says at most where to report its end.
func (s *Service) acceptAction(r *http.Request, req routine.Request) (reply, error) {
	var given api.Deletion
	if err := readOptional(r, &given); err != nil {
		return reply{}, err
	}
	req.CallbackURL = given.CallbackURL
	return s.acceptOne(r, req, nil)
}

// renewRoutine accepts that a routine lives on, from now.
func (s *Service) renewRoutine(r *http.Request) (reply, error) {
	var given api.Renewal
	if err := readStrict(r, &given); err != nil {
		return reply{}, err
	}
	var problems []routine.Problem
	var span routine.Span
	if given.ExpiresIn == "" {
		problems = []routine.Problem{{Pointer: "/expiresIn", Code: "missing", Detail: "is required"}}
	} else {
		var wrong string
		if span, wrong = routine.ParseSpan(given.ExpiresIn); wrong != "" {
			problems = []routine.Problem{{Pointer: "/expiresIn", Code: "value", Detail: wrong}}
		}
	}
	return s.acceptOne(r, routine.Request{Action: routine.Renew, Name: r.PathValue("id"), ExpiresIn: span, CallbackURL: given.CallbackURL}, problems)
}

// acceptOne accepts one job about the routine that the path names. problems are what is wrong with its body already.
func (s *Service) acceptOne(r *http.Request, req routine.Request, problems []routine.Problem) (reply, error) {
	if wrong := routine.CheckName(req.Name); wrong != "" {
		return reply{}, problemParameter.about(routine.Problem{Pointer: "/name", Code: "value", Detail: wrong})
	}
	if req.CallbackURL != "" {
		if wrong := routine.CheckCallbackURL(req.CallbackURL); wrong != "" {
			problems = append(problems, routine.Problem{Pointer: "/callbackUrl", Code: "value", Detail: wrong})
		}
	}
	if len(problems) > 0 {
		return reply{}, &routine.Invalid{Problems: problems}
	}
	key, err := keyOf(r)
	if err != nil {
		return reply{}, err
	}
	job, err := s.newJob(callerOf(r.Context()), req, key)
	if err != nil {
		return reply{}, err
	}
	return s.acceptJob(r, job, terms{})
}

// acceptJob records a job, sends it, and answers with it.
func (s *Service) acceptJob(r *http.Request, job routine.Job, on terms) (reply, error) {
	a := s.admit(r.Context(), []routine.Job{job}, on)[0]
	if a.err != nil {
		return reply{}, a.err
	}
	shown := []routine.Job{a.row.Shown()}
	if a.replayed {
		if err := s.ready(r.Context(), shown); err != nil {
			return reply{}, err
		}
	}
	out := s.answerJob(r, shown[0], http.StatusAccepted)
	out.header["Location"] = "/v1/jobs/" + a.row.ID
	if a.replayed {
		out.header["Idempotency-Replayed"] = "true"
	}
	return out, nil
}

// mayOperate reports whether the caller may alter what others own.
func mayOperate(caller auth.Caller) bool { return caller.May(auth.Operate) == nil }
