package deploy_test

import (
	"strings"
	"testing"

	"routinely/shared/auth"
)

func TestCallersExample(t *testing.T) {
	_, rest, found := strings.Cut(readIfThere(t, "SECURITY.md"), "<!-- callers -->\n```json\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("SECURITY.md has no example of callers")
	}
	if _, err := auth.Parse(example); err != nil {
		t.Error(err)
	}
}
