package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/cloud"
	"routinely/deploy/ram"
	"routinely/shared/config"
)

// rightsFlags are what `setup rights` is told beside its settings.
type rightsFlags struct {
	dryRun, print, remove bool
	// users are the users that the policies of people are attached to, by the policy's own name.
	users map[string]*string
}

// setupRights makes the roles and policies of a deployment.
func setupRights(a *cli.App) *cobra.Command {
	given := rightsFlags{users: map[string]*string{}}
	cmd := &cobra.Command{
		Use: "rights", Short: "Create or correct the roles and policies", Args: cobra.NoArgs,
		Long: `Create the role of each function with its policy, the policies of the people who deploy and operate, and the roles that Function
Compute and EventBridge have in an account, or correct them. The function provision gets the rights to delete in ESA if ROUTINELY_DELETE says that
the deployment deletes, and loses them otherwise. This is for a RAM administrator, once for each deployment, and again when a
policy has changed; everybody else needs less. --print shows all of it for review, calls nothing and needs no access key.
The access key is read from ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and ALIBABA_CLOUD_SECURITY_TOKEN.`,
	}
	flags := cmd.Flags()
	flags.BoolVar(&given.dryRun, "dry-run", false, "only show what would be changed")
	flags.BoolVar(&given.print, "print", false, "only show the roles and policies")
	flags.BoolVar(&given.remove, "remove", false, "delete the roles and policies of the deployment, which then works no more; roles of services stay")
	for _, person := range ram.People() {
		given.users[person] = flags.String(person, "", "RAM `user` to attach the policy of the "+person+" to; the user must be there")
	}
	environ := settingFlags(a, cmd, &config.Rights{})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if given.print && given.remove {
			return cli.Usage("--print and --remove exclude each other")
		}
		cfg, err := config.LoadRights(environ())
		if err != nil {
			return cli.Usage("%s", err)
		}
		all, err := rightsOf(cfg)
		switch {
		case err != nil:
			return cli.Usage("%s", err)
		case given.print:
			return show(a, all)
		}
		return makeRights(cmd.Context(), a, cfg, all, given)
	}
	return cmd
}

// holder is somebody with policies: a function, which has a role, or people.
type holder struct {
	name     string
	role     *cloud.Role
	policies []cloud.Policy
	// withheld are policies that the deployment gives to nobody.
	withheld []cloud.Policy
}

// rightsOf returns all roles and policies of a deployment.
func rightsOf(cfg config.Rights) ([]holder, error) {
	d := ram.Deployment{
		Prefix: string(cfg.Prefix), TablePrefix: strings.TrimSuffix(cfg.Prefix.JobTable(), "_jobs"), Region: cfg.Region, AccountID: cfg.AccountID,
		Instance: cfg.Instance,
	}
	trust, err := d.Trust()
	if err != nil {
		return nil, err
	}
	policy := func(of string) cloud.Policy {
		document, failed := d.Policy(of)
		err = errors.Join(err, failed)
		return cloud.Policy{Name: cfg.Prefix.Function(of), Description: "Routinely: what " + of + " may do", Document: document}
	}
	var out []holder
	for _, of := range append(ram.Functions(), ram.People()...) {
		h := holder{name: of, policies: []cloud.Policy{policy(of)}}
		if name := cfg.Prefix.Function(of); len(out) < len(ram.Functions()) {
			h.role = &cloud.Role{Name: name, Description: "Routinely: the function " + name, Trust: trust}
		}
		if of == ram.Deleter {
			if deletion := policy(ram.Deletion); cfg.Deletion.MayDelete() {
				h.policies = append(h.policies, deletion)
			} else {
				h.withheld = append(h.withheld, deletion)
			}
		}
		out = append(out, h)
	}
	return out, err
}

// show writes the roles and policies for somebody who reviews them.
func show(a *cli.App, all []holder) error {
	for _, h := range all {
		for _, policy := range h.policies {
			object := map[string]any{"policy": policy.Name, "document": json.RawMessage(policy.Document)}
			title := "policy " + policy.Name + ", for the user of the " + h.name
			text := indented(policy.Document)
			if h.role != nil {
				object["role"], object["trust"] = h.role.Name, json.RawMessage(h.role.Trust)
				title = fmt.Sprintf("role %s with the policy %s", h.role.Name, policy.Name)
				text = "may be taken by " + indented(h.role.Trust) + "\nmay do " + text
			}
			if err := a.WriteLine(title+"\n"+text+"\n", object); err != nil {
				return err
			}
		}
	}
	return nil
}

func indented(document string) string {
	var out bytes.Buffer
	if json.Indent(&out, []byte(document), "", "  ") != nil {
		return document
	}
	return out.String()
}

// serviceRoles are the roles that Function Compute and EventBridge take (the pages on their service-linked roles). Function Compute makes
// one more by itself with the first trigger of EventBridge, AliyunServiceRoleForFCTriggerEventBridge.
func serviceRoles() []cloud.ServiceRole {
	return []cloud.ServiceRole{
		{Name: "AliyunServiceRoleForFC", Service: "fc.aliyuncs.com"},
		{Name: "AliyunServiceRoleForEventBridgeSendToFC", Service: "sendevent-fc.eventbridge.aliyuncs.com"},
		{Name: "AliyunServiceRoleForEventBridgeSendToMNS", Service: "sendevent-mns.eventbridge.aliyuncs.com"},
	}
}

func makeRights(ctx context.Context, a *cli.App, cfg config.Rights, all []holder, given rightsFlags) error {
	key, err := credentials(cfg.Key)
	if err != nil {
		return err
	}
	r, err := cloud.NewRights(cloud.RightsConfig{
		Access: cloud.Access{Credentials: key, Timeout: managementTime}, RAM: cfg.RAM, ResourceManager: cfg.ResourceManager,
	})
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer r.Close()
	var parts []part
	if given.remove {
		for _, h := range all {
			parts = append(parts, removing(r, h)...)
		}
		return change(ctx, a, given.dryRun, parts...)
	}
	for _, role := range serviceRoles() {
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) { return r.SetUpServiceRole(ctx, role, dryRun) })
	}
	for _, h := range all {
		parts = append(parts, partsOf(r, h, given)...)
	}
	return change(ctx, a, given.dryRun, parts...)
}

// partsOf are the role, the policies, and who gets them.
func partsOf(r *cloud.Rights, h holder, given rightsFlags) []part {
	var parts []part
	if h.role != nil {
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) { return r.SetUpRole(ctx, *h.role, dryRun) })
	}
	for _, policy := range h.policies {
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) { return r.SetUpPolicy(ctx, policy, dryRun) })
		if h.role != nil {
			parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) {
				return r.AttachToRole(ctx, policy.Name, h.role.Name, dryRun)
			})
		} else if user := *given.users[h.name]; user != "" {
			parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) {
				return r.AttachToUser(ctx, policy.Name, user, dryRun)
			})
		}
	}
	return append(parts, removingPolicies(r, h.withheld)...)
}

// removing are the parts that take away policies and the role that had them.
func removing(r *cloud.Rights, h holder) []part {
	parts := removingPolicies(r, append(h.policies, h.withheld...))
	if h.role != nil {
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) {
			return r.RemoveRole(ctx, h.role.Name, dryRun)
		})
	}
	return parts
}

func removingPolicies(r *cloud.Rights, policies []cloud.Policy) []part {
	var parts []part
	for _, policy := range policies {
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) {
			return r.RemovePolicy(ctx, policy.Name, dryRun)
		})
	}
	return parts
}
