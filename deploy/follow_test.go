package deploy_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"routinely/deploy/local/localtest"
)

// laptop has a copy of the repository in dir, on which somebody follows pages. What make run says is in the file said.
type laptop struct {
	t         *testing.T
	dir, said string
	// where are the addresses that take the place of those that a page has.
	where map[string]string
}

// followed are the pages whose commands are run, in this order, with what must have been done before. The first one starts everything.
var followed = []struct{ page, before string }{
	{page: "docs/tutorial.md"},
	{page: "docs/how-to/saas-backend.md"},
	{page: "docs/how-to/bulk-onboarding.md"},
	{page: "docs/how-to/previews.md", before: "export LIFE=1h"}, // with SHORT=1 routines live an hour at most
	{page: "docs/how-to/restoring-from-dead-letters.md"},
	{page: "docs/how-to/second-environment.md"},
	{page: "docs/how-to/rotating-secrets.md", before: `routinely callers add ops --scope submit,read,operate --file callers.json
export ROUTINELY_CALLBACK_SECRETS="whsec_$(openssl rand -base64 32)" ROUTINELY_MESSAGE_KEYS=$(routinely message-key)`},
}

// start types a page's `make run`, on free ports.
func (l *laptop) start(command string) {
	l.t.Helper()
	var flags []string
	for _, server := range []string{"http", "mns", "esa", "ots", "fc"} {
		flags = append(flags, "-"+server+" 127.0.0.1:0")
	}
	said, err := os.Create(l.said)
	if err != nil {
		l.t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command("sh", "-c", "exec "+command+` ARGS="-no-sync `+strings.Join(flags, " ")+`"`)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = l.dir, l.environ(), said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches make and what it runs
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		<-ended
	})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(walkTime); ; {
		banner, err := os.ReadFile(l.said)
		if err != nil {
			l.t.Fatal(err)
		}
		if bytes.Contains(banner, []byte("Ctrl-C stops everything")) {
			l.where = addresses(l.t, string(banner))
			l.where["127.0.0.1:3000"] = localtest.FreeAddress(l.t)
			return
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			l.t.Fatalf("%s: %v\n%s", command, err, banner)
		case <-late:
			l.t.Fatalf("nothing runs:\n%s", banner)
		}
	}
}

// addresses are those that `make run` prints, under those that it prints by default.
func addresses(t *testing.T, banner string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for shown, address := range map[string]string{`HTTP trigger\)`: "127.0.0.1:18082", "MNS": "127.0.0.1:18080", "ESA": "127.0.0.1:18081", "Tablestore": "127.0.0.1:18084", "Function Compute": "127.0.0.1:18083"} {
		match := regexp.MustCompile(shown + ` +http://(\S+)`).FindStringSubmatch(banner)
		if match == nil {
			t.Fatalf("no address of %s in:\n%s", shown, banner)
		}
		out[address] = match[1]
	}
	return out
}

// environ is that of the person's shell. What is built is the same wherever the copy lies, so that it is built once.
func (l *laptop) environ(more ...string) []string {
	return append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "COLUMNS=80", "TZ=UTC"), more...)
}

// step is a block of commands of a page, and what the page shows that they say, empty if it shows nothing.
type step struct{ commands, shown string }

func steps(document string) []step {
	var out []step
	for _, match := range block.FindAllStringSubmatch(document, -1) {
		switch {
		case match[1] == "sh":
			out = append(out, step{commands: match[2]})
		case match[1] == "" && len(out) > 0 && out[len(out)-1].shown == "":
			out[len(out)-1].shown = match[2]
		}
	}
	return out
}

// mark ends what a step says; the exit code of its last command follows.
const mark = "==== the step ends with "

// follow runs all steps in one shell and returns what each says, and its exit code behind it.
func (l *laptop) follow(t *testing.T, before string, steps []step) (said, codes []string) {
	t.Helper()
	script := before + "\n"
	for _, s := range steps {
		script += s.commands + "\necho '" + mark + "'$?\n"
	}
	var pairs []string
	for shown, address := range l.where {
		pairs = append(pairs, shown, address)
	}
	ctx, cancel := context.WithTimeout(t.Context(), walkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.NewReplacer(pairs...).Replace(script))
	cmd.Dir, cmd.Env = l.dir, l.environ("ROUTINELY_URL=http://"+l.where["127.0.0.1:18082"], "LISTEN="+l.where["127.0.0.1:3000"],
		"PATH="+filepath.Join(l.dir, ".local", "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	// What the shell leaves in the background would keep its output open: it is waited for a moment, and ended.
	cmd.SysProcAttr, cmd.WaitDelay = &syscall.SysProcAttr{Setpgid: true}, time.Second
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	rest := string(out)
	for range steps {
		text, after, _ := strings.Cut(rest, mark)
		code, next, found := strings.Cut(after, "\n")
		if !found {
			t.Fatalf("%d of %d steps ended: %v\n%s", len(said), len(steps), err, out)
		}
		said, codes, rest = append(said, text), append(codes, code), next
	}
	return said, codes
}

// changing are texts that differ each time, and what the page shows instead.
var changing = map[string]*regexp.Regexp{
	"00000000-0000-0000-0000-000000000000": regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`),
	"3000000000000000":                     regexp.MustCompile(`\b3\d{15}\b`),
}

// says reports whether a step said what the page shows, in which … stands for any text.
func says(said, shown string) bool {
	for instead, pattern := range changing {
		said = pattern.ReplaceAllString(said, instead)
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(shown)), "…", ".*")
	return regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(strings.TrimSpace(said))
}

func TestPagesAreFollowed(t *testing.T) {
	for _, program := range []string{"make", "bash", "curl", "awk", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the commands of the pages cannot be run: %v", err)
		}
	}
	dir := t.TempDir()
	l := &laptop{t: t, dir: filepath.Join(dir, "work"), said: filepath.Join(dir, "said")}
	copyRepository(t, l.dir)
	for _, f := range followed {
		page := steps(string(read(t, f.page)))
		if l.where == nil {
			l.start(strings.TrimSpace(page[0].commands))
			page = page[1:]
		}
		if testing.Short() { // an expiry takes minutes
			if i := slices.IndexFunc(page, func(s step) bool { return strings.Contains(s.commands, `"expiring"`) }); i > 0 {
				page = page[:i]
			}
		}
		t.Run("the commands of "+f.page+" say what it shows", func(t *testing.T) {
			said, codes := l.follow(t, f.before, page)
			for i, s := range page {
				switch {
				case s.shown == "" && codes[i] != "0":
					t.Errorf("%s\nends with %s and says\n%s", s.commands, codes[i], said[i])
				case s.shown != "" && !says(said[i], s.shown):
					t.Errorf("%s\nshould say\n%s\nbut says\n%s", s.commands, s.shown, said[i])
				}
			}
		})
	}
}

func TestWhatAStepSays(t *testing.T) {
	for name, test := range map[string]struct {
		said, shown string
		want        bool
	}{
		"the same text":               {"a\nb\n", "a\nb\n", true},
		"another text":                {"a\nc\n", "a\nb\n", false},
		"more than is shown":          {"a\nb\n", "a\n", false},
		"an id":                       {"job caa97a6f-9fbf-59b6-bcb2-92dc1bdd155d", "job 00000000-0000-0000-0000-000000000000", true},
		"a text that is left out":     {"one\ntwo\nthree", "one\n…\nthree", true},
		"not what comes after it":     {"one\ntwo\nfour", "one\n…\nthree", false},
		"signs of regular expression": {"a.b", "a+b", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := says(test.said, test.shown); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
