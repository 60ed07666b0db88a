package bench_test

import (
	"fmt"
	"strings"
	"testing"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/stack"
)

// wish is what one job asks for.
type wish struct{ name, record string }

func wishNumber(i int) wish {
	name := fmt.Sprintf("pr-%d", i)
	return wish{name: name, record: name + "." + stack.SiteName}
}

// checkESA fails the benchmark unless ESA has exactly the routines and records of the first n wishes.
func checkESA(b *testing.B, server *esaemu.Server, n int) {
	b.Helper()
	state, err := server.State()
	if err != nil {
		b.Fatal(err)
	}
	records := make(map[string]string, len(state.Routines))
	for _, r := range state.Routines {
		if len(r.Records) == 1 {
			records[r.Name] = r.Records[0].RecordName
		}
	}
	for i := range n {
		if w := wishNumber(i); records[w.name] != w.record {
			b.Errorf("ESA has record %q for routine %q, want %q", records[w.name], w.name, w.record)
		}
	}
	if len(state.Routines) != n {
		b.Errorf("ESA has %d routines, want %d", len(state.Routines), n)
	}
}

// codeLocked is ESA's answer while the account lock is taken.
const codeLocked = "UserOperationStatusIsLocked"

// traffic is how many writes ESA got and how many of them it refused because of the account lock.
func traffic(server *esaemu.Server) (writes, refusals int) {
	for _, call := range server.Faults().Calls() {
		if strings.HasPrefix(call.Action, "Create") {
			writes++
		}
		if call.Code == codeLocked {
			refusals++
		}
	}
	return writes, refusals
}
