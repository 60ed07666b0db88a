package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inline is code in a sentence.
var inline = regexp.MustCompile("`([^`\n]+)`")

// essence is what a translation has in common with its original: blocks of code, links, code in sentences, and how many headings, rows
// and points there are.
type essence struct {
	Blocks, Links, Code    []string
	Headings, Rows, Points int
}

func essenceOf(document string) essence {
	text := block.ReplaceAllString(document, "")
	out := essence{Links: links(strings.NewReplacer("README.zh-CN.md", "OTHER", "(README.md)", "(OTHER)").Replace(document))}
	for _, match := range block.FindAllStringSubmatch(document, -1) {
		out.Blocks = append(out.Blocks, match[0])
	}
	for _, match := range inline.FindAllStringSubmatch(text, -1) {
		out.Code = append(out.Code, match[1])
	}
	out.Code = distinct(out.Code)
	count := func(pattern string) int { return len(regexp.MustCompile(pattern).FindAllString(text, -1)) }
	out.Headings, out.Rows, out.Points = count(`(?m)^#+ `), count(`(?m)^\| `), count(`(?m)^(- |\d+\. )`)
	return out
}

func TestTranslation(t *testing.T) {
	original := string(read(t, "deploy", "README.md"))
	t.Run("has the commands, the links and the parts of the original", func(t *testing.T) {
		if diff := cmp.Diff(essenceOf(original), essenceOf(string(read(t, "deploy", "README.zh-CN.md")))); diff != "" {
			t.Errorf("deploy/README.zh-CN.md (-original +translation):\n%s", diff)
		}
	})
	t.Run("must not have another command, lack a point or name another thing", func(t *testing.T) {
		for from, to := range map[string]string{
			"s deploy -y\n": "s deploy\n", "- **`-y` is": "**`-y` is", "named `.env`": "named `.envs`", "](ram/notify.json)": "](ram/accept.json)",
		} {
			damaged := strings.Replace(original, from, to, 1)
			if damaged == original || cmp.Equal(essenceOf(original), essenceOf(damaged)) {
				t.Errorf("%q for %q is not noticed", to, from)
			}
		}
	})
}
