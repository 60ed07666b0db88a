package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// toolVersion is the version of Serverless Devs that was tried; the deployment page installs it.
	toolVersion = "3.1.10"
	// routinely is the command line tool, as make builds it.
	routinely = ".local/bin/routinely"
	// shownLines is how much is shown of what a command printed that failed.
	shownLines = 40
	keyID      = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	keySecret  = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
	keyToken   = "ALIBABA_CLOUD_SECURITY_TOKEN"
	token      = "ROUTINELY_TOKEN"
	// access is the variable that holds the access key for Serverless Devs, and the name of that access. The variables AccountID, AccessKeyID and
	// AccessKeySecret, which would need no name, take no temporary key: the tool reads no SecurityToken beside them.
	accessSuffix = "_serverless_devs_key"
	access       = "routinely" + accessSuffix
	// swallowed is what the component prints about a removal that failed, and then ends with exit code 0.
	swallowed = "remove error:"
)

// installed is the line of `s --version`.
var installed = regexp.MustCompile(`@serverless-devs/s: ([0-9.]+[0-9])`)

// plain returns the caller's environment without what belongs to a deployment or an account, and with the settings of this one.
func (r *rollout) plain() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.caller)) {
		ours := strings.HasPrefix(name, "ROUTINELY_") || strings.HasPrefix(name, "ALIBABA_CLOUD_") || strings.HasSuffix(name, accessSuffix) ||
			slices.Contains([]string{"AccountID", "AccessKeyID", "AccessKeySecret", "SecurityToken"}, name)
		if !ours {
			out = append(out, name+"="+r.caller[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.environment.settings)) {
		out = append(out, name+"="+r.environment.settings[name])
	}
	return out
}

// routinely runs a command of the tool, which prints no secret.
func (r *rollout) routinely(ctx context.Context, more []string, args ...string) error {
	fmt.Fprintln(r.stdout, "routinely", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.FromSlash(routinely), args...)
	cmd.Env = append(append(r.plain(), keyID+"="+r.caller[keyID], keySecret+"="+r.caller[keySecret], keyToken+"="+r.caller[keyToken]), more...)
	cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("routinely %s: %w", args[0], err)
	}
	return nil
}

// s runs a command of Serverless Devs and returns what it printed, without secrets. Its log, which has them in clear, is deleted.
func (r *rollout) s(ctx context.Context, args ...string) (string, error) {
	fmt.Fprintln(r.stdout, "s", strings.Join(args, " "))
	run := "routinely-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	cmd := exec.CommandContext(ctx, "s", append(args, "-a", access)...)
	key, err := json.Marshal(map[string]string{
		"AccountID": r.environment.settings["ROUTINELY_ACCOUNT_ID"], "AccessKeyID": r.caller[keyID], "AccessKeySecret": r.caller[keySecret],
		"SecurityToken": r.caller[keyToken],
	})
	if err != nil {
		return "", err
	}
	cmd.Env = append(r.plain(), access+"="+string(key), "serverless_devs_traceid="+run)
	for _, name := range r.wanted.secrets {
		cmd.Env = append(cmd.Env, name+"="+r.secret(name))
	}
	out, err := cmd.CombinedOutput()
	text := mask(string(out), r.secrets())
	if cleaned := r.forget(run); cleaned != nil {
		fmt.Fprintln(r.stderr, "The log of Serverless Devs, which has secrets in clear, could not be deleted:", cleaned)
	}
	if err == nil && strings.Contains(text, swallowed) {
		err = errors.New("the component reports an error")
	}
	if err != nil {
		return "", fmt.Errorf("s %s: %w. It printed last:\n%s", strings.Join(args, " "), err, last(text, shownLines))
	}
	return text, nil
}

// forget deletes the log of a run of Serverless Devs.
func (r *rollout) forget(run string) error {
	home := r.caller["serverless_devs_config_home"]
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(home, ".s", "logs", run))
}

// secret is a variable of s.yaml that holds a secret. What is removed needs none, but the tool renders the whole file.
func (r *rollout) secret(name string) string {
	if r.removing {
		return "none"
	}
	return r.caller[name]
}

// secrets are the values that must not be printed.
func (r *rollout) secrets() []string {
	var out []string
	for _, name := range append(slices.Clone(r.wanted.secrets), keyID, keySecret, keyToken, token) {
		if value := r.caller[name]; value != "" {
			out = append(out, value)
		}
	}
	return out
}

// last returns the last lines of a text.
func last(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// checkTool refuses another version of Serverless Devs than the one that was tried.
func checkTool(ctx context.Context) error {
	install := "npm install -g @serverless-devs/s@" + toolVersion
	if _, err := exec.LookPath("s"); err != nil {
		return fmt.Errorf("serverless Devs is not installed: %s", install)
	}
	out, err := exec.CommandContext(ctx, "s", "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("s --version: %w", err)
	}
	if found := installed.FindStringSubmatch(string(out)); found == nil || found[1] != toolVersion {
		return fmt.Errorf("this was tried with Serverless Devs %s only, and `s --version` says %q: %s", toolVersion, last(string(out), 1), install)
	}
	return nil
}
