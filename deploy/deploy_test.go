// Package deploy_test keeps the project's promises about itself: s.yaml, the RAM policies and the documents are
// compared with the code and with each other. It has no code of its own and calls no cloud.
package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

// root is the root of the module, seen from this folder.
const root = ".."

// read returns a file of the repository.
func read(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// distinct sorts names, each once.
func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
