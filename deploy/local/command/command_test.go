package command_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"routinely/deploy/local/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name string
		args []string
		// stdout and err are parts of what is printed and of the error; an empty one must be empty.
		stdout, err string
	}{
		{"explains itself", []string{"help"}, "a local MNS alone", ""},
		{"explains itself when it is given a flag", []string{"--help"}, "a local MNS alone", ""},
		{"explains a command", []string{"demo", "-h"}, "-latency", ""},
		{"explains the hosts that are its own", []string{"run", "-h"}, "-host name", ""},
		{"refuses an unknown command", []string{"nosuch"}, "", `there is no command "nosuch"`},
		{"refuses an argument", []string{"run", "more"}, "", `run takes no argument "more"`},
		{"says how to get the functions", []string{"-data", dir, "-accept", dir + "/nosuch"}, "", "run make build, or name it with -accept"},
		{"says how to get the functions of the demo", []string{"demo", "-data", dir, "-accept", dir, "-provision", dir + "/nosuch"}, "", "run make build"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			err := command.Run(t.Context(), test.args, nil, &stdout, &stderr)
			if (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if (stdout.Len() == 0) != (test.stdout == "") || !strings.Contains(stdout.String(), test.stdout) || stderr.Len() > 0 {
				t.Errorf("stdout %q, want %q; stderr %q", &stdout, test.stdout, &stderr)
			}
		})
	}
}

// TestRunSaysWhatIsWrong: a start that fails says at once why, and what to do.
func TestRunSaysWhatIsWrong(t *testing.T) {
	script := func(t *testing.T, text string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "function")
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	run := func(t *testing.T, function string, more ...string) string {
		t.Helper()
		const free = "127.0.0.1:0"
		args := append([]string{
			"run", "-data", t.TempDir(), "-no-sync", "-accept", function, "-provision", function, "-notify", function, "-janitor", function,
			"-http", free, "-mns", free, "-esa", free, "-ots", free, "-fc", free,
		}, more...)
		var stdout strings.Builder
		err := command.Run(t.Context(), args, nil, &stdout, io.Discard)
		if err == nil || strings.Contains(stdout.String(), "Routinely is running") {
			t.Fatalf("it runs: %v\n%s", err, &stdout)
		}
		return err.Error()
	}
	t.Run("a function that does not start, with what it printed", func(t *testing.T) {
		got := run(t, script(t, "echo ROUTINELY_AUTH is not JSON >&2; exit 1"))
		for _, name := range []string{"accept", "provision", "notify", "janitor"} {
			if !strings.Contains(got, "function routinely-"+name+": ") {
				t.Errorf("%s is not named in %s", name, got)
			}
		}
		if !strings.Contains(got, "ROUTINELY_AUTH is not JSON") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("all ports that others have, and how to take others", func(t *testing.T) {
		var taken []string
		for range 2 {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			taken = append(taken, listener.Addr().String())
		}
		got := run(t, script(t, "exit 1"), "-esa", taken[0], "-http", taken[1])
		for _, part := range append(taken, "make run ARGS='-http 127.0.0.1:0 ") {
			if !strings.Contains(got, part) {
				t.Errorf("%s is not in %s", part, got)
			}
		}
	})
	t.Run("a directory that another one has, and how to take another", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "mns"), 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(filepath.Join(dir, "mns", "mns.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		got := run(t, script(t, "exit 1"), "-data", dir)
		if !strings.Contains(got, "another process holds it") || !strings.Contains(got, "-data .local/data2") {
			t.Errorf("got %s", got)
		}
	})
}
