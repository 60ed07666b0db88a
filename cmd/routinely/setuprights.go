package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/cloud"
	"routinely/cmd/routinely/rights"
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
		all, err := rights.Of(cfg)
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

// show writes the roles and policies for somebody who reviews them.
func show(a *cli.App, all []rights.Holder) error {
	for _, h := range all {
		for _, policy := range h.Policies {
			object := map[string]any{"policy": policy.Name, "document": json.RawMessage(policy.Document)}
			title := "policy " + policy.Name + ", for the user of the " + h.Name
			text := indented(policy.Document)
			if h.Role != nil {
				object["role"], object["trust"] = h.Role.Name, json.RawMessage(h.Role.Trust)
				title = fmt.Sprintf("role %s with the policy %s", h.Role.Name, policy.Name)
				text = "may be taken by " + indented(h.Role.Trust) + "\nmay do " + text
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

func makeRights(ctx context.Context, a *cli.App, cfg config.Rights, all []rights.Holder, given rightsFlags) error {
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
	planned := rights.Removing(r, all)
	if !given.remove {
		users := map[string]string{}
		for person, user := range given.users {
			users[person] = *user
		}
		planned = rights.Making(r, all, users)
	}
	var parts []part
	for _, one := range planned {
		parts = append(parts, one.Do)
	}
	return change(ctx, a, given.dryRun, parts...)
}
