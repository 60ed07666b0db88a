package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/callback"
)

// inline is code in a sentence, remark one in a block of code, and anchor a link within the page.
var (
	inline = regexp.MustCompile("`([^`\n]+)`")
	remark = regexp.MustCompile(`(?m) +# .*$`)
	anchor = regexp.MustCompile(`\(#[^)]+\)`)
)

// essence is what a translation has in common with its original: blocks of code without remarks, links, code in sentences, and how many
// headings, rows, points and links within the page there are.
type essence struct {
	Blocks, Links, Code             []string
	Headings, Rows, Points, Anchors int
}

func essenceOf(document string) essence {
	text := block.ReplaceAllString(document, "")
	out := essence{Anchors: len(anchor.FindAllString(document, -1))}
	document = anchor.ReplaceAllString(document, "")
	out.Links = links(strings.NewReplacer("README.zh-CN.md", "OTHER", "(README.md)", "(OTHER)").Replace(document))
	for _, match := range block.FindAllStringSubmatch(document, -1) {
		out.Blocks = append(out.Blocks, remark.ReplaceAllString(match[0], ""))
	}
	for _, match := range inline.FindAllStringSubmatch(text, -1) {
		out.Code = append(out.Code, match[1])
	}
	out.Code = distinct(out.Code)
	count := func(pattern string) int { return len(regexp.MustCompile(pattern).FindAllString(text, -1)) }
	out.Headings, out.Rows, out.Points = count(`(?m)^#+ `), count(`(?m)^\| `), count(`(?m)^(- |\d+\. )`)
	return out
}

// cloudWords are the names that Alibaba Cloud's pages in Chinese have for things, and otherWords are parts of other names for them.
const (
	cloudWords = "FC 函数|边缘函数|函数计算|轻量消息队列（原 MNS）|formerly MNS|代码中称为 MNS"
	// To make a routine is 创建; 开通 is to activate a service.
	otherWords = "开通边缘函数（Routine）|函数|MNS|轻量消息队列|通知它|结束通知|进入死信|重投|重新投放|应答"
)

func TestTranslation(t *testing.T) {
	original := string(read(t, "deploy", "README.md"))
	for _, dir := range []string{".", "deploy"} {
		t.Run("has the commands, the links and the parts of the original, in "+dir, func(t *testing.T) {
			if diff := cmp.Diff(essenceOf(string(read(t, dir, "README.md"))), essenceOf(string(read(t, dir, "README.zh-CN.md")))); diff != "" {
				t.Errorf("README.zh-CN.md (-original +translation):\n%s", diff)
			}
		})
		t.Run("says no name of a thing in other words than the cloud does, in "+dir, func(t *testing.T) {
			text := inline.ReplaceAllString(block.ReplaceAllString(string(read(t, dir, "README.zh-CN.md")), ""), "")
			// Good names go first, but for those that others begin with.
			text = regexp.MustCompile("(开通边缘函数（Routine）)|"+cloudWords).ReplaceAllString(text, "$1")
			for _, other := range regexp.MustCompile(".{0,20}(?:"+otherWords+").{0,20}").FindAllString(text, -1) {
				t.Error(other)
			}
		})
	}
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

func TestReadmesTellHowOftenACallbackIsTried(t *testing.T) {
	if callback.MaxAttempts != 10 {
		t.Errorf("it is tried %d times, and they say ten", callback.MaxAttempts)
	}
	for name, words := range map[string][]string{"README.md": {"ten times in all", "ten attempts"}, "README.zh-CN.md": {"再试，共十次", "内共十次"}} {
		for _, said := range words {
			if !strings.Contains(string(read(t, name)), said) {
				t.Errorf("%s does not say %q", name, said)
			}
		}
	}
}
