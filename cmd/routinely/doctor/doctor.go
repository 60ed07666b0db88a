// Package doctor is the command that looks at a deployment from outside and tells what is wrong with it, why that matters, and what repairs it. It changes
// nothing. What the setup would change it learns from the setup's own dry runs, so that the two cannot disagree.
package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/deploy/observability"
	"routinely/shared/config"
	"routinely/shared/fault"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	// Problem: jobs are lost, stand still or fail until it is repaired.
	Problem Level = "problem"
	// Warning: it works, and somebody should look.
	Warning Level = "warning"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	// ID names the kind of finding; it does not change between versions.
	ID string `json:"id"`
	// Area is the part of the deployment.
	Area  string `json:"area"`
	Level Level  `json:"level"`
	// What is found, Why it matters, and Repair is the command or the step that puts it right.
	What   string `json:"what"`
	Why    string `json:"why"`
	Repair string `json:"repair"`
	// Code and RequestID are those of the service that told it, if one did.
	Code      string `json:"code,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	// Runbook is the section of the repository's pages that explains the finding.
	Runbook string `json:"runbook"`
}

// Checked says what became of an area: ok, findings, or why it was not checked.
type Checked struct {
	Area string `json:"area"`
	// State is ok, findings or skipped.
	State string `json:"state"`
	// Reason is why it was skipped.
	Reason string `json:"reason,omitempty"`
}

// The states of an area.
const (
	ok       = "ok"
	findings = "findings"
	skipped  = "skipped"
)

// probeArea is the area of the probe.
const probeArea = "probe"

// Report is what a whole examination found.
type Report struct {
	At       time.Time `json:"at"`
	Areas    []Checked `json:"areas"`
	Findings []Finding `json:"findings"`
}

// Command returns the command doctor. now is the clock of this machine, which is compared with ESA's.
func Command(a *cli.App, now func() time.Time) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Show what is wrong with a deployment, and what repairs it", Args: cobra.NoArgs,
		Long: `Look at a deployment and show what is wrong with it, why it matters, and what repairs it. Nothing is changed, unless --probe is given. The areas:

  settings   the environment of this command, which is that of routinely setup.
  roles      the role of each function, who may take it, and the roles of Function Compute and EventBridge.
  policies   the policies of functions and people, their text, and whether each role has its own.
  queues     the queues and their settings, and what lies on the dead-letter queue.
  tables     the tables, their keys, and how long rows are kept.
  esa        whether edge routines are activated, the sites, the quota, and the clock of this machine.
  functions  the four functions: size, time, role, log, instances, environment variables.
  triggers   what calls them, and whether the event streams of the queues run.
  http       whether accept answers, and refuses whoever has no token.
  operation  the lane, the job that waits longest, and the dead letters.
  probe      with --probe: a job that deletes a routine which does not exist is sent the whole way, and has to come to its end.

Those before http need the deployer's access key and the settings of routinely setup, the others ROUTINELY_URL and a token with the scope read, for the probe
also submit; an area whose settings are missing is skipped. The exit code is 4 if there is a problem, and 0 if there are only warnings.`,
		Example: "  routinely doctor\n  routinely doctor -o json | jq '.findings[]'",
	}
	probes, file := false, ""
	cmd.Flags().BoolVar(&probes, "probe", false, "also send a job the whole way, which changes nothing in ESA; it takes 2 minutes at most")
	cmd.Flags().StringVar(&file, "report", "", "also write a `file` without secrets, names and ids that can be sent to the maintainers")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e := &examination{App: a, now: now, probes: probes, report: Report{Findings: []Finding{}}}
		if err := e.run(cmd.Context()); err != nil {
			return err
		}
		if file != "" {
			if err := e.share(file); err != nil {
				return err
			}
		}
		return e.show()
	}
	return cmd
}

// examination is one run of the command.
type examination struct {
	*cli.App
	now    func() time.Time
	probes bool
	report Report
}

// area is a part of the deployment. check reports what it finds; its error is why the area could not be examined further, which is a finding too.
type area struct {
	name, why string
	check     func(context.Context) error
}

func (e *examination) run(ctx context.Context) error {
	e.report.At = e.now().UTC()
	cfg, err := config.LoadDoctor(e.Environ)
	var clients *clients
	reason := ""
	switch {
	case cfg.Key.ID == "" || cfg.Key.Secret == "":
		reason = "no access key is set"
		e.skip("settings", reason)
	case err != nil:
		reason = "the settings are wrong"
		e.examine(ctx, area{"settings", "Nothing of the cloud can be examined.", func(context.Context) error {
			e.find(Finding{
				ID: "settings", Area: "settings", Level: Problem, What: err.Error(), Why: "Nothing of the cloud can be examined.",
				Repair: "Set the variables that section 3 of the deployment page lists.",
			})
			return nil
		}})
	default:
		if clients, err = open(cfg); err != nil {
			return cli.Usage("%s", err)
		}
		defer clients.close()
		e.examine(ctx, area{"settings", "", func(context.Context) error { return nil }})
	}
	for _, one := range e.cloud(cfg, clients) {
		if clients == nil {
			e.skip(one.name, reason)
			continue
		}
		e.examine(ctx, one)
	}
	if e.examine(ctx, area{"http", "Nobody can ask for anything.", e.http}) {
		e.examine(ctx, area{"operation", "What the deployment is doing is not known.", e.operation})
		if e.probes {
			e.examine(ctx, area{probeArea, "Whether jobs come to their end is not known.", e.probe})
		}
	} else {
		e.skip("operation", "accept does not answer as it should")
	}
	return ctx.Err()
}

func (e *examination) skip(name, reason string) {
	e.report.Areas = append(e.report.Areas, Checked{Area: name, State: skipped, Reason: reason})
}

// find adds a finding, with the section that explains it.
func (e *examination) find(f Finding) {
	f.Runbook = observability.Runbook(f.ID)
	e.report.Findings = append(e.report.Findings, f)
}

// nothingThere is the error of an area that has nothing to examine, and says why.
type nothingThere string

func (n nothingThere) Error() string { return string(n) }

// examine checks an area. An error of a service is a finding; then it reports false.
func (e *examination) examine(ctx context.Context, one area) bool {
	before := len(e.report.Findings)
	err := one.check(ctx)
	if reason, nothing := errors.AsType[nothingThere](err); nothing {
		e.skip(one.name, reason.Error())
		return true
	}
	if err != nil {
		e.find(failed(one, err))
	}
	state := ok
	if len(e.report.Findings) > before {
		state = findings
	}
	e.report.Areas = append(e.report.Areas, Checked{Area: one.name, State: state})
	return err == nil
}

// failed is the finding that an area could not be examined.
func failed(one area, err error) Finding {
	f := Finding{ID: "unexamined", Area: one.name, Level: Problem, What: err.Error(), Why: one.why, Repair: "Run this command again; if it stays, look into the log of the function."}
	var known *fault.Error
	if errors.As(err, &known) {
		f.Code, f.RequestID = known.Code, known.RequestID
		if known.Hint != "" {
			f.Repair = known.Hint
		}
	}
	return f
}

// show writes the report, for people the findings one below the other and a line for each area.
func (e *examination) show() error {
	if e.JSON() {
		if err := e.WriteLine("", e.report); err != nil {
			return err
		}
		return e.ending()
	}
	for _, one := range e.report.Findings {
		err := e.Show(one, cli.Fields{{string(one.Level), one.Area + ": " + one.What}, {"why", one.Why}, {"repair", one.Repair}, {"see", one.Runbook}})
		if err == nil {
			err = e.WriteLine("", nil)
		}
		if err != nil {
			return err
		}
	}
	for _, one := range e.report.Areas {
		text := one.State
		if one.Reason != "" {
			text += ": " + one.Reason
		}
		if err := e.Show(one, cli.Fields{{one.Area, text}}); err != nil {
			return err
		}
	}
	return e.ending()
}

// ending is the exit code: what monitoring reads.
func (e *examination) ending() error {
	problems, warnings := 0, 0
	for _, one := range e.report.Findings {
		if one.Level == Problem {
			problems++
		} else {
			warnings++
		}
	}
	if problems == 0 {
		if warnings > 0 {
			e.Note("%s", cli.Plural(warnings, "warning"))
		}
		return nil
	}
	text := cli.Plural(problems, "problem")
	if warnings > 0 {
		text += ", " + cli.Plural(warnings, "warning")
	}
	return &cli.Ending{Code: cli.ExitConflict, Text: text}
}
