package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The types are the part of CycloneDX 1.6 that is written: https://cyclonedx.org/docs/1.6/json/. There is no serial number: it would be
// another one each time.
type (
	document struct {
		Schema       string       `json:"$schema"`
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Hashes   []hash    `json:"hashes,omitempty"`
		Licenses []license `json:"licenses,omitempty"`
		PURL     string    `json:"purl,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	license struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// bom returns the software bill of materials: one document for the whole release. Its components are the files, and each Go module that
// is linked into one of them; its dependencies say which modules are in which file. Go's standard library counts as a module, since
// advisories name it. It comes from what the linker wrote into the binaries, not from go.mod.
func bom(version string, commit time.Time, files []made) ([]byte, error) {
	product := component{Type: "application", Ref: "routinely", Name: "routinely", Version: version, Licenses: make([]license, 1)}
	product.Licenses[0].License.ID = "Apache-2.0"
	out := document{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{commit.UTC().Format(time.RFC3339), product},
	}
	whole := dependency{Ref: product.Ref}
	modules := map[string]component{}
	for _, file := range files {
		sum := sha256.Sum256(file.content)
		out.Components = append(out.Components, component{
			Type: "file", Ref: "file:" + file.name, Name: file.name, Version: version, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		})
		whole.DependsOn = append(whole.DependsOn, "file:"+file.name)
		linked := map[string]component{}
		for _, dep := range append([]*debug.Module{standardLibrary(file.binary.GoVersion)}, file.binary.Deps...) {
			module, err := moduleOf(dep)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file.name, err)
			}
			linked[module.Ref] = module
		}
		maps.Copy(modules, linked)
		out.Dependencies = append(out.Dependencies, dependency{"file:" + file.name, slices.Sorted(maps.Keys(linked))})
	}
	for _, ref := range slices.Sorted(maps.Keys(modules)) {
		out.Components = append(out.Components, modules[ref])
	}
	out.Dependencies = append([]dependency{whole}, out.Dependencies...)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(out)
	return text.Bytes(), err
}

// standardLibrary returns Go's own packages as the module that advisories name, https://vuln.go.dev: stdlib, 1.26.6.
func standardLibrary(version string) *debug.Module {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "go"), " ") // after a space: experiments
	return &debug.Module{Path: "stdlib", Version: version}
}

// moduleOf returns the component of a module that was linked.
func moduleOf(m *debug.Module) (component, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	purl := purlOf(m)
	out := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	// A sum of go.sum is a SHA-256 over the names and hashes of the module's files. Tools for CycloneDX write it as the module's hash.
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		content, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			return component{}, fmt.Errorf("the sum of %s: %w", m.Path, err)
		}
		out.Hashes = []hash{{"SHA-256", hex.EncodeToString(content)}}
	}
	return out, nil
}

// purlOf returns the package URL, in which a Go module's path has small letters:
// https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md
func purlOf(m *debug.Module) string {
	return "pkg:golang/" + strings.ToLower(m.Path) + "@" + url.QueryEscape(m.Version)
}
