package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/ram"
)

// policy is a RAM policy document.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]any `json:",omitempty"`
}

// principals are those that have a policy.
var principals = []string{"accept", "provision", "notify", "janitor", "deployer", "operator", "remover", "watcher"}

// policyNames are the policies of the principals, and the one that some deployments add.
func policyNames() []string { return append(slices.Clone(principals), ram.Deletion) }

func loadPolicy(t *testing.T, name string) policy {
	t.Helper()
	p, err := parsePolicy(read(t, "deploy", "ram", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parsePolicy(content []byte) (policy, error) {
	var p policy
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&p)
	return p, err
}

// actions returns the actions of a service that the policy allows.
func (p policy) actions(service string) []string {
	var out []string
	for _, s := range p.Statement {
		for _, action := range s.Action {
			if strings.HasPrefix(action, service+":") {
				out = append(out, action)
			}
		}
	}
	return distinct(out)
}

// The resources that the code works on. The form of Tablestore's is that of its page on RAM policies, which asks for the instance's
// name in lower case.
const (
	jobQueue      = "acs:mns:${REGION}:${ACCOUNT_ID}:/queues/${PREFIX}-jobs"
	deadQueue     = jobQueue + "-dead"
	callbackQueue = jobQueue + "-callbacks"
	jobMessages   = jobQueue + "/messages"
	deadMessages  = deadQueue + "/messages"
	tables        = "acs:ots:${REGION}:${ACCOUNT_ID}:instance/${INSTANCE}/table/${TABLE_PREFIX}"
)

// aboutMessages tells the MNS calls that send and take messages from those that manage queues.
func aboutMessages(call string) bool {
	return strings.HasSuffix(strings.TrimSuffix(call, "Visibility"), "Message")
}

// onMessages is what a call about a queue's messages needs. Published policies disagree about the resource, the queue or its messages,
// and about the action of a batch, its own or that of the single call; so it is given all of them (docs/assumptions.md).
func onMessages(call, queue string) []grant {
	var out []grant
	for _, action := range distinct([]string{"mns:" + call, "mns:" + strings.TrimPrefix(call, "Batch")}) {
		out = append(out, grant{action, queue}, grant{action, queue + "/messages"})
	}
	return out
}

// onInstance is what a call about the instance of Tablestore needs. Pages and published policies disagree about what the action that makes
// one is called in a policy, so both names are given (docs/assumptions.md).
func onInstance(call string) []grant {
	const instance = "acs:ots:${REGION}:${ACCOUNT_ID}:instance/${INSTANCE}"
	if call == "CreateInstance" {
		return []grant{{"ots:CreateInstance", instance}, {"ots:InsertInstance", instance}}
	}
	return []grant{{"ots:" + call, instance}}
}

// onTables is what a call of Tablestore needs: the right on both tables of the ledger.
func onTables(action string) []grant {
	return []grant{{action, tables + "_jobs"}, {action, tables + "_state"}}
}

// grant is one RAM action on one resource.
type grant struct{ action, resource string }

func sorted(grants []grant) []grant {
	slices.SortFunc(grants, func(a, b grant) int { return strings.Compare(a.action+" "+a.resource, b.action+" "+b.resource) })
	return slices.Compact(grants)
}

// grants returns what the policy allows in MNS and Tablestore.
func (p policy) grants() []grant { return p.of("mns", "ots") }

// of returns what the policy allows in some services.
func (p policy) of(services ...string) []grant {
	var out []grant
	for _, s := range p.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				if service, _, _ := strings.Cut(action, ":"); slices.Contains(services, service) {
					out = append(out, grant{action, resource})
				}
			}
		}
	}
	return sorted(out)
}

// withoutResource are the actions for which RAM knows no resource but *: those on routines (ESA's RAM page lists them so), and looking
// for and making a role that a service owns; the condition limits which. Those on alert rules are of all resources too (authorization page of Simple Log
// Service).
var withoutResource = []string{
	"esa:CreateRoutine", "esa:UpdateRoutineConfigDescription", "esa:DeleteRoutine", "esa:GetRoutine", "esa:ListRoutineRelatedRecords",
	"log:GetAlert", "log:CreateAlert", "log:UpdateAlert", "esa:ListRoutineRoutes", "esa:ListSites", "esa:ListUserRoutines", "esa:GetErService", "ram:CreateServiceLinkedRole",
	"esa:GetRoutineStagingCodeUploadInfo", "esa:CommitRoutineStagingCode", "esa:ListRoutineCodeVersions", "esa:GetRoutineCodeVersion",
	"esa:CreateRoutineCodeDeployment", ram.Pruning, "esa:ListEdgeRoutinePlans",
	"resourcemanager:CreateServiceLinkedRole", "ram:CheckServiceLinkedRoleExistence", "resourcemanager:CheckServiceLinkedRoleExistence",
}

var action = regexp.MustCompile(`^[a-z]+:[A-Za-z]+$`)

var resourceName = regexp.MustCompile(`^acs:[a-z]+:(\$\{REGION\}|\*):\$\{ACCOUNT_ID\}:[^ ]+$`)

// checkPolicy returns what is wrong with a policy whoever it is for.
func checkPolicy(p policy) []string {
	var out report
	out.want(p.Version == "1", "version %q", p.Version)
	for _, s := range p.Statement {
		out.want(s.Effect == "Allow", "effect %q", s.Effect)
		for _, name := range s.Action {
			out.want(action.MatchString(name), "%s: not one action", name)
			for _, resource := range s.Resource {
				if resource == "*" {
					out.want(slices.Contains(withoutResource, name), "%s: allowed on everything", name)
					continue
				}
				out.want(resourceName.MatchString(resource), "%s: %s is not a resource of this account", name, resource)
			}
			out.want(len(s.Resource) > 0, "%s: on no resource", name)
			limited := name != "ram:PassRole" && !strings.HasSuffix(name, ":CreateServiceLinkedRole") || s.Condition != nil
			out.want(limited, "%s: for any service", name)
		}
	}
	return out
}

func TestPolicies(t *testing.T) {
	for _, name := range policyNames() {
		t.Run(name+" is allowed single actions on this account's resources", func(t *testing.T) {
			if diff := cmp.Diff([]string(nil), checkPolicy(loadPolicy(t, name))); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("operator may do what the janitor does, and no more", func(t *testing.T) {
		if diff := cmp.Diff(loadPolicy(t, "janitor"), loadPolicy(t, "operator")); diff != "" {
			t.Errorf("-janitor +operator:\n%s", diff)
		}
	})
	t.Run("deployer may run what the tool calls, and make no role but those of services", func(t *testing.T) {
		p := loadPolicy(t, "deployer")
		allowed := slices.Concat(p.actions("fc"), p.actions("ram"), p.actions("resourcemanager"), p.actions("log"), p.actions("eventbridge"))
		for _, needed := range []string{
			"fc:InvokeFunction", "fc:PutConcurrencyConfig", "fc:PutFunctionAsyncInvokeConfig", "log:GetLogStoreLogs", "ram:PassRole",
			"fc:GetFunction", "fc:GetConcurrencyConfig", "fc:GetFunctionAsyncInvokeConfig", "fc:ListTriggers", "eventbridge:GetEventStreaming",
			"ram:CheckServiceLinkedRoleExistence", "resourcemanager:CheckServiceLinkedRoleExistence",
			"ram:GetRole", "ram:GetPolicy", "ram:ListPolicyVersions", "ram:ListEntitiesForPolicy", "ram:ListPoliciesForRole",
		} {
			if !slices.Contains(allowed, needed) {
				t.Errorf("%s is missing", needed)
			}
		}
		for _, forbidden := range []string{"ram:CreateRole", "ram:CreatePolicy", "ram:CreatePolicyVersion", "ram:AttachPolicyToRole", "ram:AttachPolicyToUser"} {
			if slices.Contains(allowed, forbidden) {
				t.Errorf("%s is allowed", forbidden)
			}
		}
	})
	lists := []string{"esa:ListRoutineRelatedRecords", "esa:ListRoutineRoutes", "esa:ListUserRoutines"}
	looks := []string{"esa:GetErService", "esa:ListSites", "esa:ListUserRoutines"}
	for principal, want := range map[string][]string{"accept": nil, "notify": nil, "deployer": looks, "janitor": lists, "operator": lists, "remover": nil} {
		t.Run(principal+" changes nothing in ESA, and reads at most lists and the state of the service", func(t *testing.T) {
			if diff := cmp.Diff(want, loadPolicy(t, principal).actions("esa")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("only the policy of its own allows deletions in ESA, and nothing else, but for versions of code by who makes them", func(t *testing.T) {
		for _, name := range policyNames() {
			for _, g := range loadPolicy(t, name).of("esa", "mns", "ots", "fc", "ram") {
				if g.action == ram.Pruning && name == ram.Deleter {
					continue
				}
				if strings.HasPrefix(g.action, "esa:Delete") != (name == ram.Deletion) {
					t.Errorf("%s: %s", name, g.action)
				}
			}
		}
	})
	t.Run("nobody but the triggers takes jobs and callbacks from their queues", func(t *testing.T) {
		for _, principal := range principals {
			for _, g := range loadPolicy(t, principal).grants() {
				queue := strings.TrimSuffix(g.resource, "/messages")
				takes := aboutMessages(g.action) && g.action != "mns:SendMessage" && g.action != "mns:BatchSendMessage"
				if (queue == jobQueue || queue == callbackQueue) && takes {
					t.Errorf("%s: %s is allowed on %s", principal, g.action, g.resource)
				}
			}
		}
	})
}

func TestPolicyChecksFail(t *testing.T) {
	for _, test := range []struct{ name, policy, want string }{
		{"on a wildcard action", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["mns:*"],"Resource":["` + jobMessages + `"]}]}`, "mns:*: not one action"},
		{"on every resource", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["mns:SendMessage"],"Resource":["*"]}]}`, "mns:SendMessage: allowed on everything"},
		{"on another account", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["mns:SendMessage"],"Resource":["acs:mns:cn-hangzhou:7:/queues/q/messages"]}]}`, "mns:SendMessage: acs:mns:cn-hangzhou:7:/queues/q/messages is not a resource of this account"},
		{"on no resource", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["mns:SendMessage"]}]}`, "mns:SendMessage: on no resource"},
		{"on passing a role to any service", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["ram:PassRole"],"Resource":["acs:ram:*:${ACCOUNT_ID}:role/x"]}]}`, "ram:PassRole: for any service"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := parsePolicy([]byte(test.policy))
			if err != nil {
				t.Fatal(err)
			}
			if got := checkPolicy(p); !slices.Contains(got, test.want) {
				t.Errorf("violations %q lack %q", got, test.want)
			}
		})
	}
	t.Run("on a misspelt key", func(t *testing.T) {
		if _, err := parsePolicy([]byte(`{"Version":"1","Statements":[]}`)); err == nil {
			t.Error("no error")
		}
	})
}

func TestPolicyFiles(t *testing.T) {
	t.Run("are those of the principals, that of deletions, and the trust of the functions' roles", func(t *testing.T) {
		found, err := fs.Glob(os.DirFS(filepath.Join(root, "deploy", "ram")), "*.json")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"trust-fc.json"}
		if diff := cmp.Diff(principals, append(ram.Functions(), ram.People()...)); diff != "" {
			t.Errorf("principals (-want +embedded):\n%s", diff)
		}
		for _, name := range policyNames() {
			want = append(want, name+".json")
		}
		if diff := cmp.Diff(distinct(want), distinct(found)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	})
	t.Run("fit into a policy of RAM, which has 6,144 bytes, with the longest names", func(t *testing.T) {
		d := ram.Deployment{
			Prefix: strings.Repeat("p", 20), TablePrefix: strings.Repeat("p", 20), Region: "cn-heyuan-acdr-1", AccountID: "1234567890123456",
			Instance: strings.Repeat("i", 16),
		}
		for _, name := range policyNames() {
			document, err := d.Policy(name)
			if err != nil || len(document) > 6144 {
				t.Errorf("%s: %d bytes, %v", name, len(document), err)
			}
		}
	})
	t.Run("take names and nothing else", func(t *testing.T) {
		for _, account := range []string{"", "1\",\"*", "*", "${PREFIX}"} {
			d := ram.Deployment{Prefix: "p", TablePrefix: "p", Region: "r", AccountID: account, Instance: "i"}
			if got, err := d.Policy("accept"); err == nil {
				t.Errorf("%q is taken: %s", account, got)
			}
		}
	})
	t.Run("let Function Compute and nobody else take the functions' roles", func(t *testing.T) {
		var got any
		if err := json.Unmarshal(read(t, "deploy", "ram", "trust-fc.json"), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"Version": "1", "Statement": []any{map[string]any{
			"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": map[string]any{"Service": []any{"fc.aliyuncs.com"}},
		}}}
		if diff := cmp.Diff(any(want), got); diff != "" {
			t.Errorf("trust (-want +got):\n%s", diff)
		}
	})
	t.Run("name the roles that s.yaml gives to the functions", func(t *testing.T) {
		var want []string
		for _, props := range properties(t, read(t, "s.yaml"), with("ROUTINELY_PREFIX", "${PREFIX}")).all() {
			want = append(want, fmt.Sprintf("acs:ram:*:${ACCOUNT_ID}:role/%v", props["role"]))
		}
		for _, s := range loadPolicy(t, "deployer").Statement {
			if slices.Contains(s.Action, "ram:PassRole") {
				if diff := cmp.Diff(want, s.Resource); diff != "" {
					t.Errorf("roles (-s.yaml +policy):\n%s", diff)
				}
			}
		}
	})
}
