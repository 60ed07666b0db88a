package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/cmd/routinely/cloud"
	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/ledger"
)

// clients are those of the cloud's services.
type clients struct {
	queues   *queue.Client
	tables   *ledger.Ledger
	esa      *esa.Client
	deployed *cloud.Functions
}

// managementTime bounds one call of the management of functions, triggers and event streams.
const managementTime = 20 * time.Second

func open(cfg config.Doctor) (*clients, error) {
	queues, queuesErr := queue.Open(cfg.Queue, cfg.Prefix, "", cfg.Key.AccessKey) // without keys: it sends nothing
	tables, tablesErr := ledger.OpenForSetup(cfg.Setup, cfg.Key.AccessKey)
	account, esaErr := esa.New(esa.Config{Endpoint: cfg.ESA.Endpoint, Credentials: cfg.Key.AccessKey, Timeout: cfg.ESA.Timeout})
	deployed, deployedErr := cloud.NewFunctions(cloud.FunctionsConfig{
		Access: cloud.Access{Credentials: cfg.Key.AccessKey, Timeout: managementTime}, FunctionCompute: cfg.FunctionCompute, EventBridge: cfg.EventBridge,
	})
	c := &clients{queues, tables, account, deployed}
	if err := errors.Join(queuesErr, tablesErr, esaErr, deployedErr); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *clients) close() {
	if c.queues != nil {
		c.queues.Close()
	}
	if c.tables != nil {
		c.tables.Close()
	}
	if c.esa != nil {
		c.esa.Close()
	}
	if c.deployed != nil {
		c.deployed.Close()
	}
}

// cloud are the areas that are examined with an access key.
func (e *examination) cloud(cfg config.Doctor, c *clients) []area {
	d := newDeployed(e, cfg, c)
	return []area{
		{"roles", "Without its role a function does not start.", func(ctx context.Context) error { return e.roles(ctx, cfg) }},
		{"policies", "What a function may not do it does not do: its calls are denied.", func(ctx context.Context) error { return e.policies(ctx, cfg) }},
		{"queues", "Without the queues accept keeps jobs in the ledger, and nobody works them off.", func(ctx context.Context) error { return e.queues(ctx, cfg, c) }},
		{"tables", "Without the ledger nothing is accepted and nothing is worked off.", func(ctx context.Context) error { return e.tables(ctx, c) }},
		{"esa", "While ESA works for no job of the account the lane is parked.", func(ctx context.Context) error { return e.esa(ctx, c) }},
		{"functions", "A function with other settings does not do its work, or does more than it should.", d.functions},
		{"triggers", "Without its trigger a function is never called.", d.triggers},
	}
}

// setup is the command that puts right what a dry run of it has listed.
const setup = "routinely setup"

func (e *examination) queues(ctx context.Context, cfg config.Doctor, c *clients) error {
	changes, err := c.queues.Setup(ctx, true)
	for _, change := range changes {
		e.find(Finding{
			ID: "queue-settings", Area: "queues", Level: Problem, What: "the setup would " + change, Repair: setup,
			Why: "With other settings messages are delivered twice, come late, or are deleted before anybody has seen them.",
		})
	}
	if err != nil || len(changes) > 0 {
		return err
	}
	depths, err := c.queues.Depths(ctx)
	if err == nil && depths.DeadLetters > 0 {
		e.find(Finding{
			ID: "dead-letter-queue", Area: "queues", Level: Problem, What: fmt.Sprintf("queue %s has %d messages", cfg.Prefix.DeadLetterQueue(), depths.DeadLetters),
			Why:    "The janitor empties it every minute. What stays means that it does not run, or that the ledger does not answer it.",
			Repair: "Look into the log of the function " + cfg.Prefix.Function("janitor") + ", or do its work once from here: routinely janitor",
		})
	}
	return err
}

func (e *examination) tables(ctx context.Context, c *clients) error {
	changes, err := c.tables.Setup(ctx, true)
	for _, change := range changes {
		e.find(Finding{
			ID: "table-settings", Area: "tables", Level: Problem, What: "the setup would " + change, Repair: setup,
			Why: "Without its tables nothing is accepted; with another retention jobs are forgotten early, or never.",
		})
	}
	return err
}

// skew is by how much this machine's clock may differ from ESA's. The services refuse signed requests that are a quarter of an hour off.
const skew = time.Minute

// fewLeft is how much of the quota is left when it is told.
const fewLeft = 10 // of a hundred

func (e *examination) esa(ctx context.Context, c *clients) error {
	if err := c.esa.CheckService(ctx); err != nil {
		return err
	}
	list, err := c.esa.Routines(ctx)
	if err != nil {
		return err
	}
	if off := e.now().Sub(list.At).Abs(); off > skew {
		e.find(Finding{
			ID: "clock", Area: "esa", Level: Warning, What: fmt.Sprintf("the clock of this machine differs from ESA's by %s", off.Round(time.Second)),
			Why: "Signed requests that are a quarter of an hour off are refused.", Repair: "Let the machine keep its time by NTP.",
		})
	}
	if left := list.Limit - list.Used; left*100 <= list.Limit*fewLeft {
		e.find(Finding{
			ID: "quota", Area: "esa", Level: Warning, What: fmt.Sprintf("%d of %d routines are used", list.Used, list.Limit),
			Why: "Requests for new names are refused when none is left.", Repair: "See what could go: routinely routines list --expiring-before 720h; then routinely routines delete NAME",
		})
	}
	sites, _, err := c.esa.Sites(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(sites, func(s esa.Site) bool { return s.Status == esa.SiteActive }) {
		var names []string
		for _, site := range sites {
			names = append(names, site.Name+" is "+site.Status)
		}
		e.find(Finding{
			ID: "no-site", Area: "esa", Level: Problem, What: strings.TrimSuffix("the account has no active site: "+strings.Join(names, ", "), ": "),
			Why: "A host name can be bound on an active site alone.", Repair: "Add a site in ESA's console, or finish its onboarding there.",
		})
	}
	return nil
}
