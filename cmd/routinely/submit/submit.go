// Package submit is the command that asks for routines.
package submit

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/requests"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// submission is one run of the command submit.
type submission struct {
	*cli.App
	fields
	verification
	cmd                             *cobra.Command
	key                             string
	format                          requests.Format
	wait, dryRun, retryDead, failed bool
	// fromFile is whether there are lines to speak of, and file is what the command line calls it.
	fromFile bool
	file     string
	// forgotten are the dead jobs of the key that no line stands for.
	forgotten []api.DeadLetter
}

const submitExample = `  routinely submit --name hello --record hello.example.com --wait
  routinely submit --name pr-41 --record pr-41.example.com@54362329990032 --expires-in 72h --label team=web
  routinely submit --name pr-41 --record pr-41.example.com --code dist/index.js --verify X-Commit=1f0c3d9
  routinely submit customers.csv --idempotency-key import-7 --wait
  routinely submit customers.csv --idempotency-key import-7 --wait --retry-dead   # after correcting the file
  generate | routinely submit - --format ndjson -o json`

// Command returns the command submit.
func Command(a *cli.App) *cobra.Command {
	s := &submission{App: a}
	cmd := &cobra.Command{
		Use: "submit [FILE|-]", Short: "Ask for a routine, or for those of a file", Example: submitExample,
		Long: `Ask for one routine with flags, or for many with a file or standard input: JSON (an object or an array), newline-delimited
JSON, or CSV with a header of field names (name, siteId, recordName, records, description, hasAssets, ifExists, expiresIn, protected,
labels, callbackUrl, idempotencyKey, codeFile, environments, codeDescription; ESA's spelling is possible too). What is wrong with one request does not stop the others.

A host name stands alone or, if its site is to be a certain one, as HOST@SITEID. In the cell records there are spaces between host names, in
the cell labels semicolons between pairs such as team=web.

Requests without an idempotency key get one, so that this run can send them again safely when an answer is lost. To make a
whole run repeatable, give --idempotency-key: each request of a file then has a key of its own, made of this one, its name and
its host name. Correct the file and give the same command with --retry-dead: jobs that are dead take over the corrected request
and are redriven, the others stay as they are.

A job that has succeeded does not mean that every node of the edge serves the code already. With --verify NAME=VALUE the host names are asked
afterwards, several times over new connections, until each sends the response header that the code sends. If one does not before the time of
--verify-timeout is over, the routine stays, the output says what was seen, and the exit code is 9.`,
		Args: cli.AtMostOne("file"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	s.cmd = cmd
	flags := cmd.Flags()
	s.fields.add(cmd)
	flags.StringVar(&s.key, "idempotency-key", "", "`key` under which asking again gives the same jobs")
	cli.Choice(cmd, &s.format, "format", "`format` of the file, by default as its name says, else found out by looking", requests.Formats()...)
	flags.BoolVar(&s.retryDead, "retry-dead", false, "redrive the dead jobs of the file's requests, as they stand in the file now; wants --idempotency-key")
	flags.BoolVar(&s.wait, "wait", false, "wait until all jobs have ended")
	s.verification.add(cmd)
	flags.BoolVar(&s.dryRun, "dry-run", false, "only check the requests and show what would be sent")
	flags.BoolVar(&s.failed, "failed", false, "show only what has failed; the counts are of all")
	list().Flags(a, cmd)
	return cmd
}

func (s *submission) run(cmd *cobra.Command, args []string) error {
	items, err := s.read(cmd, args)
	if err != nil {
		return err
	}
	verified, err := s.verification.check(cmd)
	if err != nil {
		return err
	}
	s.wait = s.wait || verified
	requests.LoadCode(items)
	if first := items[0]; first.Invalid != nil && !s.fromFile {
		return invalid(first.Invalid)
	}
	results := s.prepare(items)
	if s.dryRun {
		return s.end(results, nil)
	}
	c, err := s.Connect()
	if err != nil {
		return err
	}
	if err := sendCode(cmd.Context(), c, results); err != nil {
		return err
	}
	if !s.fromFile {
		if err := results[0].send(cmd.Context(), c); err != nil {
			return err
		}
	} else if err := s.sendFile(cmd.Context(), c, results); err != nil {
		s.noteRest(results, err)
		return s.end(results, err)
	}
	if s.wait {
		err = s.await(cmd.Context(), c, results)
	}
	if err == nil && verified {
		err = s.verify(cmd.Context(), results)
	}
	return s.end(results, err)
}

// sendCode gives the code of the requests to the service, each once: requests name it by its hash.
func sendCode(ctx context.Context, c *client.Client, results []submitted) error {
	sent := map[string]bool{}
	for _, r := range results {
		code := r.request.Code
		if code == nil || code.Source == nil || r.Status != statusUnanswered || sent[code.SHA256] {
			continue
		}
		if _, err := c.KeepCode(ctx, code.Source); err != nil {
			return err
		}
		sent[code.SHA256] = true
	}
	return nil
}

// noteRest says how to go on after an interruption.
func (s *submission) noteRest(results []submitted, err error) {
	switch {
	case !cli.Stopped(err) && !slices.ContainsFunc(results, func(r submitted) bool { return r.hasJob() }):
		return
	case s.key != "":
		s.Note("the same command goes on: under its key nothing is done twice")
		return
	}
	s.Note("the same command asks for all of them again, unless they have keys of their own; with --idempotency-key it goes on")
}

// read reads the requests from flags or from a file.
func (s *submission) read(cmd *cobra.Command, args []string) ([]requests.Item, error) {
	single := s.given(cmd)
	if err := s.checkKey(!single); err != nil {
		return nil, cli.Usage("%s", err)
	}
	switch {
	case single && len(args) > 0:
		return nil, cli.Usage("give the request with flags or in a file, not both")
	case single && (s.format != "" || s.retryDead):
		return nil, cli.Usage("--format and --retry-dead are about a file")
	case s.retryDead && s.key == "":
		return nil, cli.Usage("--retry-dead wants the --idempotency-key that the file was submitted with")
	case single:
		text, err := s.object(cmd)
		if err != nil {
			return nil, err
		}
		return requests.Read(strings.NewReader(text), requests.JSON)
	case len(args) == 0:
		return nil, cli.Usage("give a request with --name and --record, or the name of a file, or - for standard input")
	}
	s.fromFile, s.file = true, args[0]
	return s.readFile(s.file)
}

// checkKey refuses a key that is too long, also with what is added to it for each request of a file.
func (s *submission) checkKey(ofFile bool) error {
	if !ofFile || s.key == "" {
		return requests.CheckKey(s.key)
	}
	if err := requests.CheckKey(keyOf(s.key, routine.Request{})); err != nil {
		return fmt.Errorf("with what is added to it for each request of a file: %w", err)
	}
	return nil
}

func (s *submission) readFile(name string) ([]requests.Item, error) {
	format, from, called := s.format, s.In, "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, cli.Usage("%s", err)
		}
		defer file.Close()
		from, called, format = file, name, cmp.Or(format, requests.FormatOf(name))
	}
	items, err := requests.Read(from, format)
	if err != nil {
		return nil, cli.Usage("%s: %s", called, err)
	}
	return items, nil
}
