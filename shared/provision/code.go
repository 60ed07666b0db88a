package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Codes of faults about code.
const (
	// CodeReplaced: between our upload and our commit somebody else has uploaded code for the routine.
	CodeReplaced = "CodeReplaced"
	// CodeVersionsFull: the routine has as many versions as the plan allows, and none of them may be deleted.
	CodeVersionsFull = "CodeVersionsFull"
	// CodeNoVersion: there is no version to go back to.
	CodeNoVersion = "NoVersion"
	// CodeNotDeployed: ESA does not show what was deployed.
	CodeNotDeployed = "NotDeployed"
)

// isCoded reports whether the job is done with the code, and nothing has taken that back since.
func (r *run) isCoded() bool {
	if r.req.Code == nil {
		return true
	}
	return r.progress.Code.Done && !slices.ContainsFunc(r.req.DeployTo(), func(env routine.Environment) bool {
		d := r.claims.Routine.DeployedTo(env)
		return d.Number < r.job.Number || d.Number == r.job.Number && d.CodeVersion == "" // of a routine that was made again nothing but the number is left
	})
}

// deployCode lets the routine run the code of the request in its environments, of which those that a newer intent is about are left alone. A version that
// has the code is deployed as it is; if it is live nothing is called at all.
func (r *run) deployCode(ctx context.Context) error {
	sum := r.req.Code.SHA256
	return r.toEnvironments(ctx, func(seen esa.Reading, envs []routine.Environment) (targets []routine.CodeResult, err error) {
		number := r.liveVersion(seen, envs, sum)
		if number == "" {
			if number, err = r.versionOf(ctx, seen, sum); err != nil {
				return nil, err
			}
		}
		for _, env := range envs {
			targets = append(targets, routine.CodeResult{Environment: env, CodeVersion: number, SHA256: sum})
		}
		return targets, nil
	})
}

// rollback lets an earlier version run again. Which one is the previous is decided once: each deployment makes another one of it.
func (r *run) rollback(ctx context.Context) error {
	return r.toEnvironments(ctx, func(_ esa.Reading, envs []routine.Environment) ([]routine.CodeResult, error) {
		if decided := r.decided(envs); len(decided) == len(envs) {
			return decided, nil
		}
		there, err := r.ESA.CodeVersions(ctx, r.req.Name)
		if err != nil {
			return nil, err
		}
		var targets []routine.CodeResult
		for _, env := range envs {
			number := r.req.Version
			if number == routine.Previous {
				number = r.claims.Routine.DeployedTo(env).Previous
			}
			if !slices.ContainsFunc(there, func(v esa.CodeVersion) bool { return v.Number == number && v.Status == esa.VersionAvailable }) {
				return nil, noVersion(env, number)
			}
			own, _ := r.claims.Routine.OwnVersion(number)
			targets = append(targets, routine.CodeResult{Environment: env, CodeVersion: number, SHA256: own.SHA256})
		}
		r.progress.Code.Targets = targets
		return targets, r.begin(ctx)
	})
}

// decided are the targets that were chosen before, of the environments that no newer intent is about by now.
func (r *run) decided(envs []routine.Environment) []routine.CodeResult {
	return slices.DeleteFunc(slices.Clone(r.progress.Code.Targets), func(t routine.CodeResult) bool { return !slices.Contains(envs, t.Environment) })
}

func noVersion(env routine.Environment, number string) error {
	message := fmt.Sprintf("ESA has no version %s of the code that can be deployed", number)
	if number == "" {
		message = fmt.Sprintf("nothing was deployed to %s before what is live there, as far as is known", env)
	}
	return &fault.Error{
		Kind: fault.NotFound, Step: string(routine.ListRoutineCodeVersions), Code: CodeNoVersion, Message: message,
		Hint: "See what there is: routinely routines versions NAME. Then roll back to one of these.",
	}
}

// toEnvironments deploys what choose says, staging before production, and reads back what is live.
func (r *run) toEnvironments(ctx context.Context, choose func(seen esa.Reading, envs []routine.Environment) ([]routine.CodeResult, error)) error {
	var passed []routine.CodeResult
	var envs []routine.Environment
	for _, env := range r.req.DeployTo() {
		if d := r.claims.Routine.DeployedTo(env); r.isOvertaken(d) {
			passed = append(passed, routine.CodeResult{Environment: env, Outcome: routine.Passed, SupersededBy: d.JobID})
		} else {
			envs = append(envs, env)
		}
	}
	var live []routine.CodeResult
	if len(envs) > 0 {
		seen, err := r.seeNow(ctx)
		if err != nil {
			return err
		}
		if err := r.keys(seen); err != nil {
			return err
		}
		targets, err := choose(seen, envs)
		if err != nil {
			return err
		}
		if live, err = r.deployAll(ctx, seen, targets); err != nil {
			return err
		}
	}
	all := append(passed, live...)
	ours := func(c routine.CodeResult) bool { return c.Outcome != routine.Passed }
	if r.req.Action == routine.Rollback && !slices.ContainsFunc(all, ours) {
		return &Superseded{By: all[0].SupersededBy}
	}
	r.progress.Code.Targets, r.progress.Code.Done = all, true
	return nil
}

// seeNow is what ESA shows of the routine: what this run has just seen, or another look.
func (r *run) seeNow(ctx context.Context) (esa.Reading, error) {
	if there, known := r.known.routines[r.req.Name]; known && r.fresh && !r.remembered {
		return esa.Reading{Routine: &there}, nil
	}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err == nil && seen.Routine == nil {
		err = absentRoutine(r.req.Name, seen.RequestID)
	}
	return seen, err
}

// isLive reports whether a version alone answers in an environment.
func isLive(there *esa.Routine, env routine.Environment, number string) bool {
	return slices.Equal(there.Live[esa.Environment(env)], []string{number})
}

// liveVersion is the version of ours that has the code and is live in all the environments; empty if there is none.
func (r *run) liveVersion(seen esa.Reading, envs []routine.Environment, sum string) string {
	live := seen.Routine.Live[esa.Environment(envs[0])]
	if len(live) != 1 {
		return ""
	}
	own, known := r.claims.Routine.OwnVersion(live[0])
	if !known || own.SHA256 != sum || slices.ContainsFunc(envs, func(env routine.Environment) bool { return !isLive(seen.Routine, env, live[0]) }) {
		return ""
	}
	return live[0]
}

// deployAll deploys what is not live, one after the other, and reads back what is live then. What is live is noted, whatever became of the rest.
func (r *run) deployAll(ctx context.Context, seen esa.Reading, targets []routine.CodeResult) (results []routine.CodeResult, failed error) {
	called := false
	for _, target := range targets {
		if failed = r.deployOne(ctx, &target, seen); failed != nil {
			break
		}
		called = called || target.Outcome == routine.Created
		results = append(results, target)
	}
	if called {
		var err error
		if seen, err = r.ESA.GetRoutine(ctx, r.req.Name); err != nil {
			return nil, cmp.Or(failed, err)
		}
	}
	for _, target := range results {
		switch {
		case target.Outcome == routine.Passed:
		case seen.Routine != nil && isLive(seen.Routine, target.Environment, target.CodeVersion):
			r.noteLive(target, seen)
		default:
			failed = cmp.Or[error](failed, &fault.Error{
				Kind: fault.Unavailable, Step: string(routine.CreateRoutineCodeDeployment), Code: CodeNotDeployed, RequestID: seen.RequestID,
				Message: fmt.Sprintf("ESA does not show version %s as live in %s", target.CodeVersion, target.Environment),
				Hint:    "Look at the routine in ESA's console: has somebody else deployed code? Then redrive.",
			})
		}
	}
	if failed != nil {
		return nil, failed
	}
	r.remember(*seen.Routine)
	return results, nil
}

// deployOne deploys one target in place of what is live, unless it is live, and says how in its outcome. A deployment of another version that may still
// take effect is waited for. If a newer intent has taken the environment over since the claim was read, it is left alone.
func (r *run) deployOne(ctx context.Context, target *routine.CodeResult, seen esa.Reading) error {
	was, live := r.claims.Routine.DeployedTo(target.Environment), seen.Routine.Live[esa.Environment(target.Environment)]
	if err := r.callOpen(*target); err != nil {
		return err
	}
	if target.Outcome = routine.Adopted; isLive(seen.Routine, target.Environment, target.CodeVersion) {
		return nil
	}
	if err := r.enoughTime(ctx, routine.CreateRoutineCodeDeployment); err != nil {
		return err
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	until := r.Now().UTC().Add(r.Timeout + tolerance)
	if err := r.change(ctx, func(c *routine.Claim) {
		c.Deploy(target.Environment, func(d *routine.Deployed) {
			if r.isOvertaken(*d) || r.isOpen(*d, target.CodeVersion) { // another worker was faster
				return
			}
			d.Number, d.JobID, d.CallUntil, d.Calling = r.job.Number, r.job.ID, until, target.CodeVersion
			if len(live) > 0 {
				d.Replaced = live[0]
			}
		})
	}); err != nil {
		return err
	}
	if now := r.claims.Routine.DeployedTo(target.Environment); r.isOvertaken(now) {
		*target = routine.CodeResult{Environment: target.Environment, Outcome: routine.Passed, SupersededBy: now.JobID}
		return nil
	}
	if err := r.callOpen(*target); err != nil {
		return err
	}
	target.Outcome = routine.Created
	err := r.ESA.Deploy(ctx, r.req.Name, esa.Environment(target.Environment), target.CodeVersion)
	failure := fault.From(err)
	r.written(failure)
	if failure == nil || !failure.OutcomeUnknown {
		r.note(func(c *routine.Claim) {
			c.Deploy(target.Environment, func(d *routine.Deployed) {
				if d.CallUntil.Equal(until) {
					d.CallUntil, d.Calling = was.CallUntil, was.Calling
				}
			})
		})
	}
	return err
}

// isOvertaken reports whether a newer intent is about an environment.
func (r *run) isOvertaken(d routine.Deployed) bool { return d.Number > r.job.Number }

// isOpen reports whether a deployment of another version may still take effect.
func (r *run) isOpen(d routine.Deployed, codeVersion string) bool {
	return d.CallUntil.After(r.Now()) && d.Calling != codeVersion
}

// callOpen is isOpen as a fault.
func (r *run) callOpen(target routine.CodeResult) error {
	d := r.claims.Routine.DeployedTo(target.Environment)
	if !r.isOpen(d, target.CodeVersion) {
		return nil
	}
	message := fmt.Sprintf("a deployment of version %s to %s, of job %s, may still take effect", d.Calling, d.Environment, d.JobID)
	return stillCalled(routine.CreateRoutineCodeDeployment, d.CallUntil.Sub(r.Now()), message)
}

// noteLive writes down what ESA shows as live in an environment.
func (r *run) noteLive(target routine.CodeResult, seen esa.Reading) {
	at := seen.At
	if at.IsZero() {
		at = r.Now().UTC().Truncate(time.Second)
	}
	r.note(func(c *routine.Claim) {
		c.Deploy(target.Environment, func(d *routine.Deployed) {
			if r.isOvertaken(*d) {
				return
			}
			d.Number, d.JobID = r.job.Number, r.job.ID
			before := cmp.Or(d.Replaced, d.CodeVersion)
			if before != "" && before != target.CodeVersion {
				d.Previous = before
			}
			if d.CodeVersion != target.CodeVersion || before != target.CodeVersion {
				d.CodeVersion, d.Since, d.By = target.CodeVersion, at, r.job.ID
			}
			d.SHA256, d.Replaced = target.SHA256, ""
		})
	})
}
