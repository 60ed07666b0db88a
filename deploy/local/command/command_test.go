package command_test

import (
	"strings"
	"testing"

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
		{"explains a command", []string{"demo", "-h"}, "-keep", ""},
		{"explains the hosts that are its own", []string{"run", "-h"}, "-host name", ""},
		{"refuses a command that there is not", []string{"nosuch"}, "", `there is no command "nosuch"`},
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
