package esaemu

import (
	"context"
	"errors"
	"flag"
	"io"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/serve"
)

const usage = `Usage: esa -access-key ID -secret-key SECRET -data DIR [flags]

A local ESA server (API 2024-09-10) for official SDKs and tools. Scripts set it up and break it under /_local/:
  GET /_local/state, POST /_local/sites, PUT /_local/account, POST|DELETE /_local/lock,
  GET|POST|DELETE /_local/faults, GET|DELETE /_local/calls
Scripts act as somebody else of the account, without its lock: POST /_local/routines, DELETE /_local/routines/NAME, POST /_local/records,
DELETE /_local/records/ID, POST /_local/routes, POST /_local/versions, POST /_local/uploads.
PUT /_local/account {"erService": "NotOpened"} (or Creating, Running) sets what GetErService answers: CreateRoutine answers ServiceNotOpen
unless the service runs; {"overdue": true} halts every write; {"dangling": true} lets DeleteRoutine delete a routine that records or
routes use, which it refuses otherwise.
POST /_local/sites adds a site, or changes one: {"id": 54362329990032, "status": "pending"} (or active, offline, moved).
A record made by POST /_local/records without a routine is an ordinary DNS record: binding its name is answered DependedByOthers, as a practitioner saw it.

Flags:
`

// Command runs a server until ctx is done: the esa subcommand. See serve.Command.
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	c := Config{Sites: map[int64]string{}}
	return serve.Command{
		Name: "esa", Usage: usage, Listen: "127.0.0.1:18081",
		AccessKeyID: &c.AccessKeyID, AccessKeySecret: &c.AccessKeySecret, Dir: &c.Dir, NoSync: &c.NoSync,
		Flags: c.flags, Check: c.check,
		New: func() (serve.Server, error) { return New(c) },
	}.Run(ctx, args, stdout)
}

func (c *Config) flags(flags *flag.FlagSet) {
	flags.StringVar(&c.AccountID, "account", "123456", "account `id`")
	flags.StringVar(&c.Region, "region", "cn-hangzhou", "`region` named in errors")
	flags.Func("site", "a site of the account as `id=zone`, such as 54362329990032=example.com; may be repeated", c.addSite)
	flags.DurationVar(&c.Latency, "latency", 20*time.Millisecond, "how long each write holds the account lock")
	flags.StringVar((*string)(&c.Plan), "plan", "", "`paid` (100 routines, 100 sites bound to each) or free (20, 20); empty keeps what is stored, paid in a new data directory")
	flags.IntVar(&c.RoutineQuota, "routine-quota", 0, "`number` of routines the account may have; 0 keeps what is stored, the plan's in a new data directory")
}

func (c *Config) addSite(text string) error {
	id, name, _ := strings.Cut(text, "=")
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 || !validHostName(name) {
		return errors.New("want id=zone, such as 54362329990032=example.com")
	}
	c.Sites[n] = name
	return nil
}
