package esa_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

// withRoutine is a local ESA with the routine pr-1.
func withRoutine(t *testing.T) (*esaemu.Server, *esa.Client) {
	t.Helper()
	server, client := start(t)
	if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestCode(t *testing.T) {
	code := []byte("export default { fetch() { return new Response('日本') } }\r\n")
	t.Run("is uploaded, committed, listed, read back byte for byte, deployed and shown as live", func(t *testing.T) {
		_, client := withRoutine(t)
		var made []string
		for _, description := range []string{"first", "日本 & +%"} {
			if err := client.UploadCode(t.Context(), "pr-1", code); err != nil {
				t.Fatal(err)
			}
			number, err := client.CommitCode(t.Context(), "pr-1", description)
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, number)
		}
		versions, err := client.CodeVersions(t.Context(), "pr-1")
		if err != nil || len(versions) != 2 || versions[0].CreateTime.IsZero() {
			t.Fatalf("%+v, %v", versions, err)
		}
		versions[0].CreateTime = time.Time{}
		if diff := cmp.Diff(esa.CodeVersion{Number: made[1], Description: "日本 & +%", Status: esa.VersionAvailable}, versions[0]); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		back, err := client.Code(t.Context(), "pr-1", made[1])
		if err != nil || string(back) != string(code) {
			t.Errorf("%q, %v", back, err)
		}
		for env, number := range map[esa.Environment]string{esa.Staging: made[1], esa.Production: made[0]} {
			if err := client.Deploy(t.Context(), "pr-1", env, number); err != nil {
				t.Fatal(err)
			}
		}
		seen, err := client.GetRoutine(t.Context(), "pr-1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[esa.Environment][]string{esa.Staging: {made[1]}, esa.Production: {made[0]}}, seen.Routine.Live); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("of 1 MiB is read back whole", func(t *testing.T) {
		_, client := withRoutine(t)
		large := []byte(strings.Repeat("0123456789abcde\n", 1<<16))
		if err := client.UploadCode(t.Context(), "pr-1", large); err != nil {
			t.Fatal(err)
		}
		number, err := client.CommitCode(t.Context(), "pr-1", "")
		if err != nil {
			t.Fatal(err)
		}
		if back, err := client.Code(t.Context(), "pr-1", number); err != nil || string(back) != string(large) {
			t.Errorf("%d bytes, %v", len(back), err)
		}
	})
	t.Run("has as many versions as the plan allows, and one that is live is not deleted", func(t *testing.T) {
		server, client := withRoutine(t)
		if err := server.SetAccount(esaemu.AccountChange{VersionQuota: ptr(2)}); err != nil {
			t.Fatal(err)
		}
		if quota, err := client.VersionQuota(t.Context()); quota != 2 || err != nil {
			t.Errorf("quota %d, %v", quota, err)
		}
		old, err := server.PlantVersion("pr-1", "theirs", code)
		if err != nil {
			t.Fatal(err)
		}
		live, err := server.PlantVersion("pr-1", "theirs", code, esa.Production)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.UploadCode(t.Context(), "pr-1", code); err != nil {
			t.Fatal(err)
		}
		if _, err := client.CommitCode(t.Context(), "pr-1", ""); !fault.HasCode(err, esa.CodeVersionQuota) || !fault.HasKind(err, fault.Quota) {
			t.Error(err)
		}
		if err := client.DeleteCodeVersion(t.Context(), "pr-1", live); !fault.HasKind(err, fault.Conflict) {
			t.Error(err)
		}
		if err := client.DeleteCodeVersion(t.Context(), "pr-1", old); err != nil {
			t.Error(err)
		}
		if versions, err := client.CodeVersions(t.Context(), "pr-1"); err != nil || len(versions) != 1 {
			t.Errorf("%+v, %v", versions, err)
		}
	})
	t.Run("of nobody is not found", func(t *testing.T) {
		_, client := withRoutine(t)
		_, codeErr := client.Code(t.Context(), "nobody", "1")
		_, versionsErr := client.CodeVersions(t.Context(), "nobody")
		for _, err := range []error{client.UploadCode(t.Context(), "nobody", code), client.Deploy(t.Context(), "nobody", esa.Staging, "1"), codeErr, versionsErr} {
			if !fault.HasCode(err, esa.CodeRoutineNotExist) {
				t.Error(err)
			}
		}
		if err := client.Deploy(t.Context(), "pr-1", esa.Staging, "1"); !fault.HasKind(err, fault.Invalid) {
			t.Error(err)
		}
	})
}

func TestUploadFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault faults.Fault
		code  string
	}{
		"an expired form":   {faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"}, "AccessDenied"},
		"a failed callback": {faults.Fault{Answer: faults.Document, Status: 203, Body: "<Error><Code>CallbackFailed</Code><RequestId>R7</RequestId></Error>"}, "CallbackFailed"},
		"no callback":       {faults.Fault{Answer: faults.Empty, Status: 204}, "HTTP204"},
		"a gateway's page":  {faults.Fault{Answer: faults.HTML}, "HTTP502"},
		"a lost answer":     {faults.Fault{Answer: faults.Reset, Execute: true}, "ConnectionBroken"},
		"no answer":         {faults.Fault{Answer: faults.Hang}, "Timeout"},
	} {
		t.Run("are tried again: "+name, func(t *testing.T) {
			server, url := localtest.ESA(t, nil, 0)
			if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
				t.Fatal(err)
			}
			client := newClient(t, url, func(c *esa.Config) { c.Timeout = 300 * time.Millisecond })
			inject(t, server, faults.Rule{Action: "PostObject", Fault: c.fault})
			failure := fault.From(client.UploadCode(t.Context(), "pr-1", []byte("x")))
			if failure == nil || failure.Code != c.code || failure.Kind != fault.Unavailable || failure.Step != "PostObject" || failure.Hint == "" {
				t.Errorf("got %+v", failure)
			}
			if err := client.UploadCode(t.Context(), "pr-1", []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("are the request's if the code is too long", func(t *testing.T) {
		_, client := withRoutine(t)
		if err := client.UploadCode(t.Context(), "pr-1", make([]byte, 6<<20)); !fault.HasKind(err, fault.Invalid) {
			t.Error(err)
		}
	})
	t.Run("are none where the storage wants a token", func(t *testing.T) {
		server, client := withRoutine(t)
		if err := server.SetAccount(esaemu.AccountChange{UploadToken: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		if err := client.UploadCode(t.Context(), "pr-1", []byte("x")); err != nil {
			t.Error(err)
		}
	})
	t.Run("are over when the form has expired", func(t *testing.T) {
		now := clock.NewManual(time.Now())
		server, url := localtest.ESA(t, now, 0)
		if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		client := newClient(t, url)
		for range 2 { // each upload asks for a form of its own
			if err := client.UploadCode(t.Context(), "pr-1", []byte("x")); err != nil {
				t.Error(err)
			}
			now.Advance(time.Hour)
		}
	})
}
