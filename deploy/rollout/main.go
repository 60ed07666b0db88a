// Command rollout deploys an environment with Serverless Devs, goes back to an older commit, and removes an environment.
//
//	go run ./deploy/rollout deploy|rollback|undeploy ENVIRONMENT
//
// An environment is the file deploy/environments/ENVIRONMENT.env: settings, no secrets. The secrets and the access key come from the
// environment of whoever calls; no other ROUTINELY_ variable of the caller counts, so that the settings of one environment never reach
// another. It must run in the root of the module, with the tool built into .local/bin, as make does.
//
// It makes no roles and deletes nothing in ESA. What Serverless Devs prints is shown only if a command fails, without secrets.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "rollout:", err)
		os.Exit(1)
	}
}

// run does what the arguments ask for, in the working directory.
func run(ctx context.Context, args, environ []string, stdin, stdout, stderr *os.File) error {
	if len(args) != 2 || args[1] == "" {
		return errors.New("which environment? Say for example: make deploy ENV=staging, with the settings in deploy/environments/staging.env")
	}
	action, name := args[0], args[1]
	environment, err := load(environmentFolder, name)
	if err != nil {
		return err
	}
	r := rollout{environment: environment, caller: variables(environ), stdout: stdout, stderr: stderr}
	switch action {
	case "deploy", "rollback", "undeploy":
	default:
		return fmt.Errorf("no action %q: want deploy, rollback or undeploy", action)
	}
	if err := r.check(ctx, action); err != nil {
		return err
	}
	if err := agree(action, name, r.caller["CONFIRM"], stdin, stderr); err != nil {
		return err
	}
	r.warn(ctx)
	if action == "undeploy" {
		return r.undeploy(ctx)
	}
	return r.deploy(ctx, action)
}

// agree asks whoever calls before production is touched, and before anything is removed. Where nobody can answer, CONFIRM has to name the
// environment.
func agree(action, name, confirmed string, stdin *os.File, stderr io.Writer) error {
	if confirmed == name || action != "undeploy" && !isProduction(name) {
		return nil
	}
	refusal := fmt.Errorf("nothing was done: %s of %s wants CONFIRM=%[2]s", action, name)
	if confirmed != "" {
		return refusal
	}
	if info, err := stdin.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return refusal
	}
	fmt.Fprintf(stderr, "Type %s to %s it: ", name, action)
	var answer string
	if _, err := fmt.Fscanln(stdin, &answer); err != nil || answer != name {
		return refusal
	}
	return nil
}
