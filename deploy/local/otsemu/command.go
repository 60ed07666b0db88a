package otsemu

import (
	"context"
	"flag"
	"io"

	"routinely/deploy/local/serve"
)

const usage = `Usage: ots -access-key ID -secret-key SECRET -data DIR [flags]

A local Tablestore server (API 2015-12-31) for the official SDKs: the address is the endpoint. An answered write is on disk in DIR.
Scripts watch it and break it, unsigned, under /_local/:
  GET|POST|DELETE /_local/faults, GET|DELETE /_local/calls

Flags:
`

// Command runs a server until ctx is done: the ots subcommand. See serve.Command.
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	var c Config
	return serve.Command{
		Name: "ots", Usage: usage, Listen: "127.0.0.1:18084",
		AccessKeyID: &c.AccessKeyID, AccessKeySecret: &c.AccessKeySecret, Dir: &c.Dir, NoSync: &c.NoSync,
		Flags: func(flags *flag.FlagSet) {
			flags.StringVar(&c.InstanceName, "instance", "routinely", "`name` of the instance")
		},
		New: func() (serve.Server, error) { return New(c) },
	}.Run(ctx, args, stdout)
}
