package submit

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/requests"
)

// fields are the flags that describe one request.
type fields struct {
	name, siteID, description, ifExists, expiresIn, callbackURL string
	codeFile, codeDescription                                   string
	records, labels, environments                               []string
	hasAssets, protected                                        bool
}

// add gives the command the flags.
func (f *fields) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "`name` of the routine")
	flags.StringArrayVar(&f.records, "record", nil, "`host` name that triggers the routine, or HOST@SITEID; may be repeated")
	flags.StringVar(&f.siteID, "site-id", "", "ESA's `id` of the site of all host names; default: the site whose zone they are in")
	flags.StringVar(&f.description, "description", "", "free `text`")
	flags.BoolVar(&f.hasAssets, "has-assets", false, "the routine comes with asset files")
	flags.StringVar(&f.ifExists, "if-exists", "", "what to do with a routine or record that exists: `adopt`, which is the default, fail, or update, which also gives "+
		"an own routine the description")
	_ = cmd.RegisterFlagCompletionFunc("if-exists", cobra.FixedCompletions([]string{"adopt", "fail", "update"}, cobra.ShellCompDirectiveNoFileComp))
	flags.StringVar(&f.expiresIn, "expires-in", "", "how long the routine is to live, a `time` such as 72h or 7d; default: for ever")
	flags.StringArrayVar(&f.labels, "label", nil, "a pair `key=value` by which lists can be filtered; may be repeated")
	flags.BoolVar(&f.protected, "protected", false, "nobody else may bind host names to the routine")
	flags.StringVar(&f.callbackURL, "callback-url", "", "`URL` to call when the job has ended")
	flags.StringVar(&f.codeFile, "code", "", "`file` with the JavaScript that the routine is to run")
	flags.StringArrayVar(&f.environments, "environment", nil, "where the code is to run, `staging` or production; may be repeated; default: both")
	_ = cmd.RegisterFlagCompletionFunc("environment", cobra.FixedCompletions([]string{"staging", "production"}, cobra.ShellCompDirectiveNoFileComp))
	flags.StringVar(&f.codeDescription, "code-description", "", "free `text` about this version of the code")
	cli.AlsoCalled(cmd, "record-name", "record") // as the member of a request is called
}

// given reports whether a request is described with flags.
func (f *fields) given(cmd *cobra.Command) bool {
	for _, flag := range []string{
		"name", "record", "site-id", "description", "has-assets", "if-exists", "expires-in", "label", "protected", "callback-url",
		"code", "environment", "code-description",
	} {
		if cmd.Flags().Changed(flag) {
			return true
		}
	}
	return false
}

// object is the request that the flags describe, as JSON: its rules and their words are those of a file.
func (f *fields) object(cmd *cobra.Command) (string, error) {
	members := map[string]any{}
	for flag, member := range map[string]struct {
		name  string
		value any
	}{
		"name": {"name", f.name}, "site-id": {"siteId", f.siteID}, "description": {"description", f.description},
		"has-assets": {"hasAssets", f.hasAssets}, "if-exists": {"ifExists", f.ifExists}, "expires-in": {"expiresIn", f.expiresIn},
		"protected": {"protected", f.protected}, "callback-url": {"callbackUrl", f.callbackURL},
		"code": {"codeFile", f.codeFile}, "environment": {"environments", f.environments}, "code-description": {"codeDescription", f.codeDescription},
	} {
		if cmd.Flags().Changed(flag) {
			members[member.name] = member.value
		}
	}
	switch records := requests.Records(f.records, f.siteID); len(records) {
	case 0:
	case 1:
		members["recordName"] = records[0].RecordName
		if records[0].SiteID != "" {
			members["siteId"] = records[0].SiteID
		}
	default:
		delete(members, "siteId")
		members["records"] = records
	}
	if len(f.labels) > 0 {
		labels, err := requests.Labels(f.labels)
		if err != nil {
			return "", cli.Usage("--label: %s", err)
		}
		members["labels"] = labels
	}
	text, err := json.Marshal(members)
	return string(text), err
}
