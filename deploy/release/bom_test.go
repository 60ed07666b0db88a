package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bill is what a reader of CycloneDX looks for.
type bill struct {
	BOMFormat, SpecVersion string
	Version                int
	Metadata               struct {
		Timestamp string
		Component struct{ Type, Name, Version string }
	}
	Components   []listed
	Dependencies []struct {
		Ref       string
		DependsOn []string
	}
}

type listed struct {
	Type, Name, Version, PURL string
	Ref                       string `json:"bom-ref"`
	Hashes                    []struct{ Alg, Content string }
}

func decodeBill(t *testing.T, text []byte) bill {
	t.Helper()
	var out bill
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// checkBill compares the bill of materials of a release with its files.
func checkBill(t *testing.T, files map[string][]byte) {
	t.Helper()
	got := decodeBill(t, files["routinely_v0.2.0.cdx.json"])
	head := []any{got.BOMFormat, got.SpecVersion, got.Version, got.Metadata.Timestamp, got.Metadata.Component.Name, got.Metadata.Component.Version}
	if diff := cmp.Diff([]any{"CycloneDX", "1.6", 1, "2026-12-01T01:30:12Z", "routinely", "v0.2.0"}, head); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	refs := map[string]bool{"routinely": true}
	var names []string
	for _, c := range got.Components {
		if refs[c.Ref] {
			t.Errorf("two components have the reference %s", c.Ref)
		}
		refs[c.Ref] = true
		if c.Type != "file" {
			continue
		}
		names = append(names, c.Name)
		if want := fmt.Sprintf("%x", sha256.Sum256(files[c.Name])); c.Hashes[0].Content != want {
			t.Errorf("%s: hash %s, want %s", c.Name, c.Hashes[0].Content, want)
		}
	}
	if len(names) != len(files)-3 { // all but the bill itself, the checksums, and the application, which holds the functions
		t.Errorf("files %v", names)
	}
	for _, d := range got.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if !refs[ref] {
				t.Errorf("%s is no component", ref)
			}
		}
		hasCmp := slices.ContainsFunc(d.DependsOn, func(ref string) bool { return strings.HasPrefix(ref, "pkg:golang/github.com/google/go-cmp@v") })
		if want := d.Ref == "file:accept.zip"; hasCmp != want {
			t.Errorf("%s is said to have go-cmp: %v, want %v", d.Ref, hasCmp, want)
		}
	}
}

func TestBill(t *testing.T) {
	commit := time.Date(2026, 12, 1, 9, 30, 12, 0, time.FixedZone("", 8*3600))
	binary := &debug.BuildInfo{GoVersion: "go1.26.8 X:other", Deps: []*debug.Module{
		{Path: "example.com/Big/v2", Version: "v2.0.1+incompatible", Sum: "h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
		{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v1.1.0"}},
	}}
	t.Run("describes modules with version, package URL and hash", func(t *testing.T) {
		text, err := bom("v0.2.0", commit, []made{{"a.zip", nil, binary}, {"b.zip", nil, binary}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range decodeBill(t, text).Components {
			if c.Type == "library" {
				got = append(got, fmt.Sprint(c.Name, " ", c.Version, " ", c.PURL, " ", c.Hashes))
			}
		}
		want := []string{
			"example.com/Big/v2 v2.0.1+incompatible pkg:golang/example.com/big/v2@v2.0.1%2Bincompatible " +
				"[{SHA-256 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f}]",
			"example.com/new v1.1.0 pkg:golang/example.com/new@v1.1.0 []",
			"stdlib 1.26.8 pkg:golang/stdlib@1.26.8 []",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("modules (-want +got):\n%s", diff)
		}
	})
	t.Run("refuses a sum that is none", func(t *testing.T) {
		wrong := &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:?"}}}
		if _, err := bom("v0.2.0", commit, []made{{"a.zip", nil, wrong}}); err == nil || !strings.Contains(err.Error(), "a.zip: the sum of example.com/a") {
			t.Errorf("error %v", err)
		}
	})
}
