package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inspect returns the time of the commit in the working directory. It refuses what would give another release elsewhere: changes that
// are not committed, a commit without the tag of the version, and a folder where Go sees no commit.
func inspect(ctx context.Context, version string) (time.Time, error) {
	if info, err := os.Stat(".git"); err != nil || !info.IsDir() {
		return time.Time{}, fmt.Errorf("the working directory is not the root of a Git clone, in which alone Go finds the version; a linked worktree is none")
	}
	changes, err := git(ctx, "status", "--porcelain")
	if err != nil {
		return time.Time{}, err
	}
	if changes != "" {
		return time.Time{}, fmt.Errorf("these files are changed or new; commit or remove them:\n%s", changes)
	}
	tags, err := git(ctx, "tag", "--points-at", "HEAD")
	if err != nil {
		return time.Time{}, err
	}
	if !slices.Contains(strings.Fields(tags), version) {
		return time.Time{}, fmt.Errorf("the commit does not have the tag %s: git tag -a %[1]s -m %[1]s", version)
	}
	seconds, err := git(ctx, "-c", "log.showSignature=false", "log", "-1", "--format=%ct")
	if err != nil {
		return time.Time{}, err
	}
	unix, err := strconv.ParseInt(strings.TrimSpace(seconds), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the commit's time: %w", err)
	}
	return time.Unix(unix, 0).UTC(), nil
}

// git returns what a Git command prints.
func git(ctx context.Context, args ...string) (string, error) {
	var message strings.Builder
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Stderr = &message
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(message.String()))
	}
	return string(out), nil
}
