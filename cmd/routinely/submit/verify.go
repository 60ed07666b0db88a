package submit

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/verify"
	"routinely/shared/routine"
)

// usualVerifyTime is how long the host names are asked at most.
const usualVerifyTime = 2 * time.Minute

// verification is what the flags say about asking the host names.
type verification struct {
	header  string
	timeout time.Duration
	// wanted is the header of the flag; the zero value if there is none.
	wanted verify.Header
}

func (v *verification) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&v.header, "verify", "", "then ask the host names over HTTPS until they send this response header, `NAME=VALUE`, which the code sends; waits as --wait does")
	flags.DurationVar(&v.timeout, "verify-timeout", usualVerifyTime, "longest `time` for asking all host names")
}

// check reads the flags. It reports whether there is something to verify.
func (v *verification) check(cmd *cobra.Command) (wanted bool, err error) {
	switch {
	case v.header == "" && cmd.Flags().Changed("verify-timeout"):
		return false, cli.Usage("--verify-timeout wants --verify")
	case v.header == "":
		return false, nil
	case v.timeout <= 0:
		return false, cli.Usage("--verify-timeout %s: want a time above 0", v.timeout)
	}
	if v.wanted, err = verify.ParseHeader(v.header); err != nil {
		return false, cli.Usage("--verify: %s", err)
	}
	return true, nil
}

// verify asks the host names of the requests whose jobs have succeeded, each once.
func (s *submission) verify(ctx context.Context, results []submitted) error {
	asked := map[string][]*submitted{}
	var hostNames []string
	for i := range results {
		r := &results[i]
		if !r.hasJob() || r.State != routine.Succeeded {
			continue
		}
		if !slices.Contains(r.request.DeployTo(), routine.Production) {
			s.Note("%s is not verified: its code runs in staging alone, which its host names do not reach", r.Name)
			continue
		}
		for _, name := range r.request.RecordNames() {
			if asked[name] == nil {
				hostNames = append(hostNames, name)
			}
			asked[name] = append(asked[name], r)
		}
	}
	v, err := verify.New(verify.Config{Header: s.wanted, Timeout: s.verification.timeout, Agent: cli.Agent(), Proxy: http.ProxyFromEnvironment})
	if err != nil {
		return err
	}
	bar := s.Progress("serving", len(hostNames))
	defer bar.Close()
	seen, err := v.Verify(ctx, hostNames, bar.Set)
	for _, one := range seen {
		for _, r := range asked[one.HostName] {
			r.Verified = append(r.Verified, one)
		}
	}
	return err
}

// unseen are the host names that do not serve yet.
func (r *submitted) unseen() (out []verify.Seen) {
	return slices.DeleteFunc(slices.Clone(r.Verified), func(s verify.Seen) bool { return s.Serving })
}

// serving says what was seen of the host names; empty if they were not asked.
func (r *submitted) serving() string {
	unseen := r.unseen()
	switch {
	case len(r.Verified) == 0:
		return ""
	case len(unseen) == 0:
		return "seen serving"
	}
	parts := make([]string, len(unseen))
	for i, one := range unseen {
		parts[i] = one.HostName + ": " + one.Saw
	}
	return "not yet seen serving: " + strings.Join(parts, "; ")
}

// notServing is the end of a command whose jobs have succeeded, if a host name does not serve; nil if all do.
func (s *submission) notServing(results []submitted) error {
	count, all := 0, 0
	for i := range results {
		count, all = count+len(results[i].unseen()), all+len(results[i].Verified)
	}
	if count == 0 {
		return nil
	}
	return &cli.Ending{
		Code: cli.ExitPartly, Text: fmt.Sprintf("created, not yet seen serving: %d of %s", count, cli.Plural(all, "host name")),
		Next: cli.Again(s.cmd, ""),
	}
}
