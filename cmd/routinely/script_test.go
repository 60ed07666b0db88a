package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
	"routinely/deploy/sim"
	"routinely/deploy/sim/management"
)

// TestScripts runs the scripts of testdata. With UPDATE set in the environment it corrects their golden files.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: os.Getenv("UPDATE") != "", RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("ACCEPT", binary("accept"))
			env.Setenv("PROVISION", binary("provision"))
			env.Setenv("NOTIFY", binary("notify"))
			env.Setenv("JANITOR", binary("janitor"))
			setCustomers(env)
			env.Values[accountKey{}] = management.New(stack.AccessKeyID, stack.AccessKeySecret)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"stack": startStack, "edge": startEdge, "exits": exits, "until": until, "interrupts": interrupts, "http": sendHTTP, "tidy": tidy, "pick": pick, "let": let, "take": take, "sortlines": sortLines,
			"management": startManagement, "account": changeAccount, "logservice": startLogs, "tally": tally, "customers": customers, "records": records, "fits": fits, "next": next, "bytes": writeBytes,
		},
	})
}

// limit bounds each wait for something that does not come.
const limit = time.Minute

// between is the time between two looks at something that is waited for: many scripts share few processors.
const between = 50 * time.Millisecond

// startStack starts a deployment of the script's own. The addresses are in variables.
func startStack(ts *testscript.TestScript, _ bool, _ []string) {
	const free = "127.0.0.1:0"
	s, err := stack.New(stack.Config{
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
		Dir:       ts.MkAbs("data"), NoSync: true, Accept: binary("accept"), Provision: binary("provision"), Notify: binary("notify"),
		Janitor: binary("janitor"), ESALatency: time.Millisecond, RoutineQuota: 1000, RecordQuota: 1000, Auth: ts.Getenv("AUTH"), MessageKeys: sim.KeysText(sim.Key),
		ProvisionEnv: map[string]string{"ROUTINELY_PARK_DELAY_MIN": "1s", "ROUTINELY_PARK_DELAY_MAX": "2s"},
	})
	ts.Check(err)
	stop, err := s.Start()
	ts.Check(err)
	ts.Defer(func() { ts.Check(stop()) })
	for name, value := range map[string]string{
		"ROUTINELY_URL": s.HTTPURL(), "ESA": s.ESAURL(), "MNS": s.MNSURL(), "OTS": s.OTSURL(), "FC": s.FCURL(), "SITE": strconv.Itoa(stack.SiteID),
		"MESSAGE_KEYS": sim.KeysText(sim.Key), "KEY_ID": stack.AccessKeyID, "KEY_SECRET": stack.AccessKeySecret,
	} {
		ts.Setenv(name, value)
	}
}

// startEdge leads the script's commands to a server that has all host names below the site's, and answers with 404 and a header: edge NAME VALUE.
func startEdge(ts *testscript.TestScript, _ bool, args []string) {
	edge, err := localtest.NewEdge(ts.MkAbs("."), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(args[0], args[1])
		w.WriteHeader(http.StatusNotFound)
	}))
	ts.Check(err)
	ts.Defer(edge.Close)
	for _, pair := range edge.Environ {
		name, value, _ := strings.Cut(pair, "=")
		ts.Setenv(name, value)
	}
}

// exits runs a command that must end with an exit code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if got := code(ts.Exec(args[1], args[2:]...)); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// code is the exit code in the error of a command.
func code(err error) int {
	var exited *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exited):
		return exited.ExitCode()
	}
	return -1
}

// until runs a command again and again until its output matches: until PATTERN COMMAND...
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	tick := time.NewTicker(between)
	defer tick.Stop()
	for late := time.After(limit); ; {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%q did not come: %v", args[0], err)
		}
	}
}

// interrupts starts a command, interrupts it when it has written a line that begins with a text, and wants an exit code: interrupts CODE TEXT
// COMMAND... What it wrote to stderr is then in the file last.
func interrupts(ts *testscript.TestScript, _ bool, args []string) {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	cmd := exec.CommandContext(ctx, args[2], args[3:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "ROUTINELY_URL="+ts.Getenv("ROUTINELY_URL"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), args[1]) {
	}
	ts.Check(lines.Err())
	reached := lines.Text()
	ts.Check(cmd.Process.Signal(os.Interrupt))
	_, _ = io.Copy(io.Discard, stdout)
	if got := code(cmd.Wait()); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d after %q, want %s: %s", got, reached, args[0], &stderr)
	}
	ts.Check(os.WriteFile(ts.MkAbs("last"), []byte(stderr.String()), 0o600))
}

// sendHTTP makes a call that must succeed: http METHOD URL [BODY].
func sendHTTP(ts *testscript.TestScript, _ bool, args []string) {
	body := ""
	if len(args) > 2 {
		body = args[2]
	}
	req, err := http.NewRequest(args[0], args[1], strings.NewReader(body))
	ts.Check(err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode >= http.StatusBadRequest {
		ts.Fatalf("%s: %s", res.Status, answer)
	}
	_, err = ts.Stdout().Write(answer)
	ts.Check(err)
}

// changing are texts that differ from run to run, and what stands for them. Widths stay, so that tables do.
var changing = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`\b1-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{12}\b`), "1-REQUEST"},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "00000000-0000-0000-0000-000000000000"},
	{regexp.MustCompile(`\b[0-9A-F]{32}\b`), "MESSAGE-ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "2006-01-02 15:04:05"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2006-01-02T15:04:05Z"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "15:04:05"},
	{regexp.MustCompile(`\b3\d{15}\b`), "3000000000000000"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\b[A-Z2-7]{26}/`), "MADE-KEY/"},
}

// tidy writes an output, stdout or stderr, to a file of its name with what differs from run to run made the same.
func tidy(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := ts.ReadFile(name)
		for _, c := range changing {
			text = c.pattern.ReplaceAllString(text, c.stands)
		}
		ts.Check(os.WriteFile(ts.MkAbs(name+".tidy"), []byte(text), 0o600))
	}
}

// pick writes the values of some members of each JSON object in stdout to the file picked: pick MEMBER...
func pick(ts *testscript.TestScript, _ bool, args []string) {
	var out strings.Builder
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		values := make([]string, len(args))
		for i, path := range args {
			values[i] = member(ts, line, path)
		}
		out.WriteString(strings.Join(values, " ") + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs("picked"), []byte(out.String()), 0o600))
}

// let sets a variable to a member of the first JSON object in stdout, or with a hyphen to its first line: let NAME MEMBER.
func let(ts *testscript.TestScript, _ bool, args []string) {
	value, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	if args[1] == "-" {
		ts.Setenv(args[0], value)
		return
	}
	first := value
	value = member(ts, first, args[1])
	if value == "-" {
		ts.Fatalf("no %s in %s", args[1], first)
	}
	ts.Setenv(args[0], value)
}

// take makes a variable of the content of a file, such as stdout: take VARIABLE FILE.
func take(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// member finds a value by its path, such as job.request.name; what is not there is a hyphen.
func member(ts *testscript.TestScript, object, path string) string {
	decoder := json.NewDecoder(strings.NewReader(object))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		ts.Fatalf("%v: %s", err, object)
	}
	for name := range strings.SplitSeq(path, ".") {
		inner, _ := value.(map[string]any)
		value = inner[name]
	}
	if value == nil {
		return "-"
	}
	return fmt.Sprint(value)
}

// fits wants every line of an output to have at most so many characters: fits WIDTH OUTPUT.
func fits(ts *testscript.TestScript, _ bool, args []string) {
	width, err := strconv.Atoi(args[0])
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if count := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); count > width {
			ts.Fatalf("%d characters: %s", count, line)
		}
	}
}

// next writes the command that stderr names as the next one to the file next.
func next(ts *testscript.TestScript, _ bool, _ []string) {
	_, command, found := strings.Cut(ts.ReadFile("stderr"), "next: ")
	if !found {
		ts.Fatalf("no next command")
	}
	ts.Check(os.WriteFile(ts.MkAbs("next"), []byte(command), 0o600))
}

// writeBytes writes a file that is no text: bytes FILE HEX.
func writeBytes(ts *testscript.TestScript, _ bool, args []string) {
	content, err := hex.DecodeString(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

// sortLines sorts the lines of a file.
func sortLines(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.SplitAfter(ts.ReadFile(args[0]), "\n")
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "")), 0o600))
}

// tally replaces the lines of a file by the different ones, each with how often it was there.
func tally(ts *testscript.TestScript, _ bool, args []string) {
	counts := map[string]int{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		counts[line]++
	}
	var out strings.Builder
	for _, line := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "%d times %s", counts[line], line)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// setCustomers tells scripts how many customers there are, and how many of them are wrong at first.
func setCustomers(env *testscript.Env) {
	count := 200
	if testing.Short() {
		count = 20
	}
	wrong := count / wrongOneIn
	for name, number := range map[string]int{"CUSTOMERS": count, "WRONG": wrong, "RIGHT": count - wrong} {
		env.Setenv(name, strconv.Itoa(number))
	}
}

// wrongOneIn is how many customers there are for each that is wrong at first.
const wrongOneIn = 20

// customers writes a CSV file with so many requests: customers FILE COUNT SITE. One in wrongOneIn is for that site, the others for the right one.
func customers(ts *testscript.TestScript, _ bool, args []string) {
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	var out strings.Builder
	out.WriteString("name,siteId,recordName\r\n")
	for i := range count {
		site := strconv.Itoa(stack.SiteID)
		if i%wrongOneIn == 7 {
			site = args[2]
		}
		fmt.Fprintf(&out, "customer-%d,%s,customer-%d.%s\r\n", i, site, i, stack.SiteName)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// records writes a line for each routine of ESA's state in stdout to the file picked: how many records it has, which must be of its name.
func records(ts *testscript.TestScript, _ bool, _ []string) {
	var state struct {
		Routines []struct {
			Name    string
			Records []struct{ RecordName string }
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &state))
	var out strings.Builder
	for _, r := range state.Routines {
		for _, record := range r.Records {
			if record.RecordName != r.Name+"."+stack.SiteName {
				ts.Fatalf("routine %s has the record %s", r.Name, record.RecordName)
			}
		}
		fmt.Fprintf(&out, "a routine with %d records\n", len(r.Records))
	}
	ts.Check(os.WriteFile(ts.MkAbs("picked"), []byte(out.String()), 0o600))
}
