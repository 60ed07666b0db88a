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

// wishes are the first n wishes.
func wishes(n int) []wish {
	out := make([]wish, n)
	for i := range out {
		out[i] = wishNumber(i)
	}
	return out
}

// checkESA fails the benchmark unless ESA has exactly what was wished for.
func checkESA(b *testing.B, server *esaemu.Server, wishes []wish) {
	b.Helper()
	state, err := server.State()
	if err != nil {
		b.Fatal(err)
	}
	has := map[wish]bool{}
	for _, r := range state.Routines {
		for _, record := range r.Records {
			has[wish{r.Name, record.RecordName}] = true
		}
	}
	for _, w := range wishes {
		if !has[w] {
			b.Errorf("ESA has no %+v", w)
		}
	}
	if len(has) != len(wishes) {
		b.Errorf("ESA has %d records, want %d", len(has), len(wishes))
	}
}

// codeLocked is ESA's answer while the account lock is taken.
const codeLocked = "UserOperationStatusIsLocked"

// traffic is how many writes ESA got and how many of them it refused because of the account lock.
func traffic(server *esaemu.Server) (writes, refusals int) {
	for _, call := range server.Faults().Calls() {
		if strings.HasPrefix(call.Action, "Create") || strings.HasPrefix(call.Action, "Delete") {
			writes++
		}
		if call.Code == codeLocked {
			refusals++
		}
	}
	return writes, refusals
}
