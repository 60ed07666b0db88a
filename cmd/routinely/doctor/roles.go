package doctor

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"routinely/cmd/routinely/cloud"
	"routinely/cmd/routinely/rights"
	"routinely/shared/config"
	"routinely/shared/fault"
)

// ramTime bounds one call of RAM.
const ramTime = 30 * time.Second

// roles is an area apart from the policies: whoever may read roles alone, as Serverless Devs has it, learns at least of these.
func (e *examination) roles(ctx context.Context, cfg config.Doctor) error {
	return e.examineRights(cfg, "roles", func(r *cloud.Rights) error {
		if err := e.dryParts(ctx, cfg, r, rights.ServiceRole, rights.Role); err != nil {
			return err
		}
		there, err := r.HasRole(ctx, rights.TriggerRole)
		if err == nil && !there {
			e.find(Finding{
				ID: "trigger-role", Area: "roles", Level: Warning, What: "there is no role " + rights.TriggerRole,
				Why:    "Function Compute makes it with the first trigger of a queue, and makes event streams with it.",
				Repair: "Deploy the functions: s deploy -y. If they are deployed, see whether the event stream of the job queue runs (EventBridge's console, Event Streams): if it does, nothing has to be done.",
			})
		}
		return err
	})
}

func (e *examination) policies(ctx context.Context, cfg config.Doctor) error {
	return e.examineRights(cfg, "policies", func(r *cloud.Rights) error {
		return e.dryParts(ctx, cfg, r, rights.Policy, rights.Attachment, rights.Withheld)
	})
}

// examineRights examines an area of RAM. A refusal is no problem of the deployment: its roles and policies belong to a RAM administrator, who need not be
// whoever runs this command.
func (e *examination) examineRights(cfg config.Doctor, name string, check func(*cloud.Rights) error) error {
	if !ofAlibabaCloud(cfg.Queue.Endpoint) && ofAlibabaCloud(cfg.RAM) {
		return nothingThere("the local servers have no RAM")
	}
	r, err := cloud.NewRights(cloud.RightsConfig{
		Access: cloud.Access{Credentials: cfg.Key.AccessKey, Timeout: ramTime}, RAM: cfg.RAM, ResourceManager: cfg.ResourceManager,
	})
	if err != nil {
		return err
	}
	defer r.Close()
	err = check(r)
	if fault.HasKind(err, fault.Denied) {
		refused := fault.From(err)
		return nothingThere(fmt.Sprintf("this key may not read %s (%s: %s); a RAM administrator sees what is wrong: routinely setup rights --dry-run",
			name, refused.Step, refused.Code))
	}
	return err
}

// ofAlibabaCloud reports whether an address, a URL or a host, is one of the cloud's: a key of local servers is not to be sent to the real RAM.
func ofAlibabaCloud(address string) bool {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	parsed, err := url.Parse(address)
	return err == nil && strings.HasSuffix(parsed.Hostname(), ".aliyuncs.com")
}

// dryParts runs the parts of the setup that are of some kinds, dry.
func (e *examination) dryParts(ctx context.Context, cfg config.Doctor, r *cloud.Rights, kinds ...rights.Kind) error {
	all, err := rights.Of(cfg.Rights())
	if err != nil {
		return err
	}
	for _, part := range rights.Making(r, all, nil) {
		if !slices.Contains(kinds, part.Kind) {
			continue
		}
		changes, err := part.Do(ctx, true)
		if err != nil {
			return err
		}
		for _, change := range changes {
			e.find(lacking(part, change))
		}
	}
	return nil
}

// byAdministrator is what repairs a role or a policy.
const byAdministrator = "A RAM administrator runs: routinely setup rights"

// lacking is the finding that the setup would change something.
func lacking(part rights.Part, change string) Finding {
	what := "the setup would " + change
	switch part.Kind {
	case rights.ServiceRole:
		return Finding{
			ID: "service-role", Area: "roles", Level: Problem, What: what, Repair: byAdministrator,
			Why: "Function Compute writes no log without its role, and EventBridge takes no message from a queue and calls no function without its two.",
		}
	case rights.Role:
		return Finding{
			ID: "role", Area: "roles", Level: Problem, What: what, Repair: byAdministrator,
			Why: "A function takes its role with each call: without the role, or if Function Compute may not take it, no call works.",
		}
	case rights.Attachment:
		return Finding{
			ID: "attachment", Area: "policies", Level: Problem, What: what, Repair: byAdministrator,
			Why: "A role may do nothing without its policy: each call of the function is denied.",
		}
	case rights.Withheld:
		return Finding{
			ID: "withheld-policy", Area: "policies", Level: Warning, What: what, Repair: byAdministrator,
			Why: "ROUTINELY_DELETE is never, and the function may delete routines and records all the same.",
		}
	case rights.Policy:
		if part.Of.Role == nil {
			return Finding{
				ID: "policy", Area: "policies", Level: Warning, What: what, Repair: byAdministrator,
				Why: "With another text the " + part.Of.Name + " is denied what the pages tell them to do, or may do more than that. The functions work.",
			}
		}
	}
	return Finding{
		ID: "policy", Area: "policies", Level: Problem, What: what, Repair: byAdministrator,
		Why: "With another text the function is denied calls that it needs, or may do more than it needs.",
	}
}
