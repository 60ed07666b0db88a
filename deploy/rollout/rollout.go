package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// rollout is one change of an environment.
type rollout struct {
	environment environment
	wanted      wanted
	// caller is the environment of whoever calls: secrets, the access key, and what programs need.
	caller         map[string]string
	removing       bool
	stdout, stderr io.Writer
}

// check refuses what is incomplete, before anything is changed.
func (r *rollout) check(ctx context.Context, action string) error {
	var err error
	if r.wanted, err = inspect(application); err != nil {
		return err
	}
	if err := r.wanted.check(r.environment); err != nil {
		return err
	}
	r.removing = action == "undeploy"
	needed := []string{keyID, keySecret}
	if !r.removing {
		needed = append(append(needed, r.wanted.secrets...), token)
	}
	needed = slices.DeleteFunc(needed, func(name string) bool { return r.caller[name] != "" })
	if len(needed) > 0 {
		return fmt.Errorf("these variables are missing in the environment of this command; they are secrets and belong into no file here: %s", strings.Join(needed, ", "))
	}
	if _, err := os.Stat(".env"); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is a file .env, which Serverless Devs would read: move it away")
	}
	return checkTool(ctx)
}

// warn says if what is deployed is in no commit.
func (r *rollout) warn(ctx context.Context) {
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain").Output()
	switch {
	case err != nil:
		fmt.Fprintln(r.stderr, "Warning: this is no Git clone, so nobody can tell later what was deployed.")
	case len(changes) > 0:
		fmt.Fprintf(r.stderr, "Warning: these files are changed or new, so what is deployed is in no commit:\n%s", changes)
	}
}

// deploy makes queues and tables ready, deploys the functions and examines what it has made. A rollback deploys accept first, so that nothing
// is made any more that the older functions do not know.
func (r *rollout) deploy(ctx context.Context, action string) error {
	if _, err := r.s(ctx, "verify"); err != nil {
		return err
	}
	if err := r.routinely(ctx, nil, "setup"); err != nil {
		return err
	}
	url := r.environment.settings["ROUTINELY_URL"]
	for _, name := range r.order(action) {
		printed, err := r.s(ctx, name, "deploy", "-y")
		if err != nil {
			return r.back(err)
		}
		if url == "" && name == "accept" {
			url = address(printed)
		}
	}
	if url == "" {
		return fmt.Errorf("the functions are deployed, and were not examined: set ROUTINELY_URL in %s/%s%s to the address of accept", environmentFolder, r.environment.name, extension)
	}
	fmt.Fprintln(r.stdout, "The address of accept is", url)
	if err := r.routinely(ctx, []string{token + "=" + r.caller[token], "ROUTINELY_URL=" + url}, "doctor", "--probe"); err != nil {
		return r.back(err)
	}
	fmt.Fprintf(r.stdout, "%s is deployed, and a job went the whole way.\n", r.environment.name)
	return nil
}

// order is that of s.yaml, in which accept comes last; the way back begins with accept.
func (r *rollout) order(action string) []string {
	if action != "rollback" {
		return r.wanted.resources
	}
	rest := slices.DeleteFunc(slices.Clone(r.wanted.resources), func(name string) bool { return name == "accept" })
	return append([]string{"accept"}, rest...)
}

// back adds the way back to an error.
func (r *rollout) back(err error) error {
	return fmt.Errorf("%w\nWhat was deployed so far stays. The way back: git switch --detach COMMIT, the one that was deployed before, and make rollback ENV=%s",
		err, r.environment.name)
}

// public is the address of accept that is reached from everywhere: those that are reached from a private network have vpc or internal in them.
var public = regexp.MustCompile(`https://[a-z0-9-]+\.[a-z0-9-]+\.fcapp\.run`)

// address returns the address of accept that Serverless Devs printed, or nothing.
func address(printed string) string {
	for _, one := range public.FindAllString(printed, -1) {
		if !strings.Contains(one, "-vpc.") && !strings.Contains(one, "-internal.") {
			return one
		}
	}
	return ""
}

// undeploy removes the functions, accept first, so that no job is accepted that nobody works off, and then queues and tables.
func (r *rollout) undeploy(ctx context.Context) error {
	if err := r.routinely(ctx, nil, "teardown", "--dry-run"); err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	for _, name := range slices.Backward(r.wanted.resources) {
		if _, err := r.s(ctx, name, "remove", "-y"); err != nil {
			return err
		}
	}
	return r.routinely(ctx, nil, "teardown", "--yes")
}
