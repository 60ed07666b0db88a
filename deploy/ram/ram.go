// Package ram holds the RAM policies of a deployment, as the files beside it: templates with the place holders ${PREFIX}, ${TABLE_PREFIX},
// ${REGION}, ${ACCOUNT_ID} and ${INSTANCE}. `routinely setup rights` fills them in. They are compared with what the code calls by the tests
// of deploy.
package ram

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed *.json
var files embed.FS

// Functions are the functions that have a role with a policy of their own.
func Functions() []string { return []string{"accept", "provision", "notify", "janitor"} }

// People are those who have a policy without a role: it is attached to their users.
func People() []string { return []string{"deployer", "operator", "remover", "watcher"} }

// Deleter is the function that deletes in ESA.
const Deleter = "provision"

// Deletion is the policy that the role of Deleter gets beside its own, in a deployment that may delete routines and records:
// where ROUTINELY_DELETE is requested or expired-too. No other policy allows a deletion in ESA, but for that of Pruning in Deleter's own.
const Deletion = "provision-delete"

// Pruning is the action that deletes versions of code. Deleter has it whatever ROUTINELY_DELETE says: without it each routine would be full after as many
// deployments as the plan has versions, and no version that is live, or was before, is deleted, nor one that Routinely has not made.
const Pruning = "esa:DeleteRoutineCodeVersion"

// Deployment is what the templates are filled with. TablePrefix begins the names of the tables. Instance is in lower case, as Tablestore's
// page on RAM policies wants it.
type Deployment struct {
	Prefix, TablePrefix, Region, AccountID, Instance string
}

// Policy returns the policy of a function or of people, or Deletion, a JSON document without spaces.
func (d Deployment) Policy(of string) (string, error) { return d.fill(of + ".json") }

// Trust returns the trust policy of the functions' roles: Function Compute may take them, nobody else.
func (d Deployment) Trust() (string, error) { return d.fill("trust-fc.json") }

func (d Deployment) fill(file string) (string, error) {
	for _, value := range []string{d.Prefix, d.TablePrefix, d.Region, d.AccountID, d.Instance} {
		if !isName(value) { // it could add resources to the policy
			return "", fmt.Errorf("policy: %q is not letters, digits, hyphens and underscores", value)
		}
	}
	template, err := files.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("policy: %w", err)
	}
	text := strings.NewReplacer(
		"${PREFIX}", d.Prefix, "${TABLE_PREFIX}", d.TablePrefix, "${REGION}", d.Region, "${ACCOUNT_ID}", d.AccountID,
		"${INSTANCE}", strings.ToLower(d.Instance),
	).Replace(string(template))
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		return "", fmt.Errorf("policy %s: %w", file, err)
	}
	return out.String(), nil
}

func isName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
