package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// versionOf is a version of ours that has the code: one of before, or a new one.
func (r *run) versionOf(ctx context.Context, seen esa.Reading, sum string) (number string, err error) {
	if err := r.enoughTime(ctx, routine.CommitRoutineStagingCode); err != nil {
		return "", err
	}
	there, err := r.ESA.CodeVersions(ctx, r.req.Name)
	if err != nil {
		return "", err
	}
	known := slices.Clone(r.claims.Routine.Versions)
	r.note(func(c *routine.Claim) {
		c.DropVersions(func(number string) bool { // what another worker has made since the list was read stays
			was := slices.ContainsFunc(known, func(v routine.OwnVersion) bool { return v.CodeVersion == number })
			return was && !slices.ContainsFunc(there, func(v esa.CodeVersion) bool { return v.Number == number })
		})
	})
	for _, v := range there {
		if own, known := r.claims.Routine.OwnVersion(v.Number); known && own.SHA256 == sum && v.Status == esa.VersionAvailable {
			return v.Number, nil
		}
	}
	if number, err := r.committedBefore(ctx, there, sum); number != "" || err != nil {
		return number, err
	}
	if err := r.commitOpen(); err != nil {
		return "", err
	}
	if err := r.makeRoom(ctx, seen, there); err != nil {
		return "", err
	}
	return r.commit(ctx, sum)
}

// commitOpen is why no code is uploaded now: between another upload and its commit there is none.
func (r *run) commitOpen() error {
	if wait := r.claims.Routine.CommitUntil.Sub(r.Now()); wait > 0 {
		return stillCalled(routine.CommitRoutineStagingCode, wait, "a commit of code for the routine may still take effect")
	}
	return nil
}

// reserve writes to the claim that code is uploaded and committed until a time, unless another worker does so too, or has just made a version of the code.
func (r *run) reserve(ctx context.Context, sum string, until time.Time) error {
	known, faster := r.claims.Routine, false
	r.note(func(c *routine.Claim) {
		faster = c.CommitUntil.After(r.Now()) || slices.ContainsFunc(c.Versions, func(v routine.OwnVersion) bool {
			_, was := known.OwnVersion(v.CodeVersion)
			return v.SHA256 == sum && !was
		})
		if !faster {
			c.CommitUntil = until
		}
	})
	if err := r.write(ctx); err != nil || !faster {
		return err
	}
	return cmp.Or(r.commitOpen(), stillCalled(routine.CommitRoutineStagingCode, time.Second, "another worker has just made a version of the code"))
}

// stillCalled is why a call is not made while another one may still take effect.
func stillCalled(step routine.Step, wait time.Duration, message string) error {
	return &fault.Error{
		Kind: fault.Locked, Step: string(step), Code: CodeCallOpen, RetryAfter: wait, Message: message, Hint: "Nothing needs to be done: ESA is asked again.",
	}
}

// mark is what tells the versions of a job from all others in their descriptions.
func (r *run) mark() string { return "[routinely " + r.job.ID + "]" }

// committedBefore finds the version that an earlier call has made, whose answer was lost or whose code was not read back. It counts only if its code is ours.
func (r *run) committedBefore(ctx context.Context, there []esa.CodeVersion, sum string) (number string, err error) {
	for _, v := range there {
		own, known := r.claims.Routine.OwnVersion(v.Number)
		unread := known && own.JobID == r.job.ID && own.SHA256 == "" && !own.Replaced
		if !unread && (known || !r.progress.Code.CommitUnknown || !strings.HasSuffix(v.Description, r.mark())) {
			continue
		}
		same, err := r.check(ctx, v.Number, sum)
		if same || err != nil {
			return v.Number, err
		}
	}
	return "", nil
}

// commit uploads the code and makes a version of it. A commit only follows an upload of the same run, and counts only once its code was read back: the
// place that it is uploaded to is everybody's.
func (r *run) commit(ctx context.Context, sum string) (number string, err error) {
	source, err := r.job.Source(ctx)
	if err != nil {
		return "", err
	}
	const calls = 3 // for the address, with the code, and the commit
	until := r.Now().UTC().Add(calls*r.Timeout + tolerance)
	if err := r.reserve(ctx, sum, until); err != nil {
		return "", err
	}
	doubt := r.progress.Code.CommitUnknown
	r.progress.Code.CommitUnknown = true
	if err := r.begin(ctx); err != nil {
		return "", err
	}
	unknown := false // of an upload it does not matter: it makes no version
	if err = r.ESA.UploadCode(ctx, r.req.Name, source); err == nil {
		until = r.Now().UTC().Add(r.Timeout + tolerance)
		number, err = r.ESA.CommitCode(ctx, r.req.Name, strings.TrimSpace(r.req.CodeDescription+" "+r.mark()))
		failure := fault.From(err)
		r.written(failure)
		unknown = failure != nil && failure.OutcomeUnknown
	}
	if !unknown {
		r.progress.Code.CommitUnknown, until = doubt, time.Time{}
	}
	r.note(func(c *routine.Claim) { c.CommitUntil = until })
	if err != nil {
		return "", err
	}
	own := routine.OwnVersion{CodeVersion: number, JobID: r.job.ID}
	r.note(func(c *routine.Claim) { c.AddVersion(own) })
	same, err := r.check(ctx, number, sum)
	switch {
	case err != nil:
		return "", err
	case !same:
		return "", &fault.Error{
			Kind: fault.Unavailable, Step: string(routine.GetRoutineCodeVersion), Code: CodeReplaced,
			Message: fmt.Sprintf("version %s has other code: somebody else has uploaded code for the routine at the same moment", number),
			Hint:    "It was not deployed. Find out who else deploys code to this routine, then redrive.",
		}
	}
	return number, nil
}

// check reads a version back, and notes it as ours if it has the code.
func (r *run) check(ctx context.Context, number, sum string) (same bool, err error) {
	back, err := r.ESA.Code(ctx, r.req.Name, number)
	if err != nil {
		return false, err
	}
	own := routine.OwnVersion{CodeVersion: number, JobID: r.job.ID, Replaced: true}
	if same = routine.NewCode(back).SHA256 == sum; same {
		own.SHA256, own.Replaced = sum, false
	}
	r.note(func(c *routine.Claim) { c.AddVersion(own) })
	return same, nil
}

// makeRoom deletes the oldest versions of ours that nobody needs, if the routine has as many as the plan allows. Those that are live stay, and those
// that were before them, and everybody else's.
func (r *run) makeRoom(ctx context.Context, seen esa.Reading, there []esa.CodeVersion) error {
	quota, err := r.versionQuota(ctx)
	if err != nil {
		return err
	}
	over := len(there) + 1 - quota
	for _, v := range slices.Backward(there) {
		if over <= 0 {
			return nil
		}
		if !r.mayPrune(seen, v.Number) {
			continue
		}
		if err := r.begunOnce(ctx); err != nil {
			return err
		}
		gone, err := r.prune(ctx, v.Number)
		if err != nil {
			return err
		}
		if gone {
			over--
		}
	}
	if over <= 0 {
		return nil
	}
	var names []string
	for _, v := range there {
		names = append(names, strings.TrimSpace(v.Number+" "+v.Description))
	}
	return &fault.Error{
		Kind: fault.Quota, Step: string(routine.ListRoutineCodeVersions), Code: CodeVersionsFull,
		Message: fmt.Sprintf("the routine has %d versions of %d, and none of them may be deleted: %s", len(there), quota, strings.Join(names, ", ")),
		Hint:    "Routinely deletes its own versions alone, and none that is live or was before. Delete versions in ESA's console, or change the plan, then redrive.",
	}
}

// prune deletes a version. One that somebody has deployed since stays, and it is no failure if somebody else has deleted it.
func (r *run) prune(ctx context.Context, number string) (gone bool, err error) {
	err = r.ESA.DeleteCodeVersion(ctx, r.req.Name, number)
	r.written(fault.From(err))
	switch {
	case fault.HasCode(err, esa.CodeDependedByOthers):
		return false, nil
	case fault.HasKind(err, fault.Invalid):
		there, lost := r.ESA.CodeVersions(ctx, r.req.Name)
		if lost != nil || slices.ContainsFunc(there, func(v esa.CodeVersion) bool { return v.Number == number }) {
			return false, err
		}
	case err != nil:
		return false, err
	}
	r.note(func(c *routine.Claim) { c.DropVersions(func(other string) bool { return other == number }) })
	return true, nil
}

func (r *run) mayPrune(seen esa.Reading, number string) bool {
	if _, own := r.claims.Routine.OwnVersion(number); !own {
		return false
	}
	for _, env := range routine.Environments() {
		if slices.Contains(seen.Routine.Live[esa.Environment(env)], number) {
			return false
		}
		d := r.claims.Routine.DeployedTo(env)
		if slices.Contains([]string{d.CodeVersion, d.Previous, d.Replaced, d.Calling}, number) {
			return false
		}
	}
	return true
}

// quotaTime is how long the plan's number of versions is remembered.
const quotaTime = 5 * time.Minute

// versionQuota is how many versions the plan allows, as ESA said it a moment ago.
func (w *Workflow) versionQuota(ctx context.Context) (int, error) {
	if w.quota != 0 && w.Now().Sub(w.quotaAt) < quotaTime {
		return w.quota, nil
	}
	quota, err := w.ESA.VersionQuota(ctx)
	if err == nil {
		w.quota, w.quotaAt = quota, w.Now()
	}
	return quota, err
}
