package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// translated are the pages that exist in English and in Chinese, without .md and .zh-CN.md.
var translated = []string{
	"README", "deploy/README", "docs/reference/api", "docs/reference/cli", "docs/reference/configuration", "docs/reference/limits", "docs/reference/messages",
	"docs/reference/esa-codes", "docs/local", "functions/accept/problems",
	"SECURITY", "docs/README", "docs/tutorial", "docs/concepts", "docs/routines", "docs/operations/cost", "docs/operations/runbook", "docs/reference/log",
	"docs/how-to/saas-backend", "docs/how-to/bulk-onboarding", "docs/how-to/previews", "docs/how-to/rotating-secrets",
	"docs/how-to/second-environment", "docs/how-to/restoring-from-dead-letters",
	"deploy/application/readme", "docs/how-to/ci",
}

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
	document = strings.ReplaceAll(document, ".zh-CN.md", ".md")
	text := block.ReplaceAllString(document, "")
	out := essence{Anchors: len(anchor.FindAllString(document, -1)), Links: links(anchor.ReplaceAllString(document, ""))}
	for _, match := range block.FindAllStringSubmatch(document, -1) {
		if match[1] != "mermaid" { // a picture has words
			out.Blocks = append(out.Blocks, remark.ReplaceAllString(match[0], ""))
		}
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
	for _, page := range translated {
		t.Run(page+" has the commands, the links and the parts of the original", func(t *testing.T) {
			if diff := cmp.Diff(essenceOf(string(read(t, page+".md"))), essenceOf(string(read(t, page+".zh-CN.md")))); diff != "" {
				t.Errorf("-original +translation:\n%s", diff)
			}
		})
		t.Run(page+" names things as Alibaba Cloud's own pages do", func(t *testing.T) {
			text := inline.ReplaceAllString(block.ReplaceAllString(string(read(t, page+".zh-CN.md")), ""), "")
			// Good names go first, but for those that others begin with.
			text = regexp.MustCompile("(开通边缘函数（Routine）)|"+cloudWords).ReplaceAllString(text, "$1")
			for _, other := range regexp.MustCompile(".{0,20}(?:"+otherWords+").{0,20}").FindAllString(text, -1) {
				t.Error(other)
			}
		})
	}
}
