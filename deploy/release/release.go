package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"routinely/deploy/artifact"
)

// platforms are what the command line tool is built for.
func platforms() []artifact.Platform {
	var out []artifact.Platform
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			out = append(out, artifact.Platform{OS: system, Arch: arch})
		}
	}
	return out
}

// release is a release that is being made.
type release struct {
	version   string
	commit    time.Time           // when the commit was made: the time of all that is in the release
	platforms []artifact.Platform // what the tool is built for
	functions []string
	stderr    io.Writer // what the compiler says
}

// made is a file of the release, with the binary that is packed into it.
type made struct {
	name    string
	content []byte
	binary  *buildinfo.BuildInfo
}

// write makes all files and prints their names and sizes. The folder of the release appears when it is whole, and replaces one that was
// made before.
func (r release) write(ctx context.Context, stdout io.Writer) error {
	all := filepath.Join("dist", "release")
	if err := os.MkdirAll(all, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "routinely-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	files, err := r.files(ctx, scratch)
	if err != nil {
		return err
	}
	unfinished, err := os.MkdirTemp(all, ".unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(unfinished, name), files[name], 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(unfinished, 0o755); err != nil {
		return err
	}
	folder := filepath.Join(all, r.version)
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Rename(unfinished, folder); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := fmt.Fprintf(stdout, "%s  %d bytes\n", filepath.ToSlash(filepath.Join(folder, name)), len(files[name])); err != nil {
			return err
		}
	}
	return nil
}

// files returns the files of the release by their names.
func (r release) files(ctx context.Context, scratch string) (map[string][]byte, error) {
	var packed []made
	for _, platform := range r.platforms {
		file, err := r.tool(ctx, platform, scratch)
		if err != nil {
			return nil, fmt.Errorf("the tool for %s/%s: %w", platform.OS, platform.Arch, err)
		}
		packed = append(packed, file)
	}
	for _, name := range r.functions {
		file, err := r.function(ctx, name, scratch)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", name, err)
		}
		packed = append(packed, file)
	}
	out := map[string][]byte{}
	var functions []artifact.File
	for _, file := range packed {
		out[file.name] = file.content
		if slices.Contains(r.functions, strings.TrimSuffix(file.name, ".zip")) {
			functions = append(functions, artifact.File{Name: file.name, Mode: 0o644, Content: file.content})
		}
	}
	application, err := artifact.Application(os.DirFS("."), r.version, functions)
	if err != nil {
		return nil, fmt.Errorf("the application of Serverless Devs: %w", err)
	}
	if out["routinely_"+r.version+"_application.zip"], err = artifact.Zip(application, r.commit); err != nil {
		return nil, err
	}
	modules, err := bom(r.version, r.commit, packed)
	if err != nil {
		return nil, err
	}
	out["routinely_"+r.version+".cdx.json"] = modules
	out["checksums.txt"] = checksums(out)
	return out, nil
}

// tool builds the command line tool and packs it with what its user reads first.
func (r release) tool(ctx context.Context, platform artifact.Platform, scratch string) (made, error) {
	program := "routinely"
	if platform.OS == "windows" {
		program += ".exe"
	}
	path := filepath.Join(scratch, platform.OS, platform.Arch, program)
	if err := artifact.BuildTool(ctx, platform, path, r.stderr); err != nil {
		return made{}, err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return made{}, err
	}
	if info.Main.Version != r.version {
		return made{}, fmt.Errorf("`routinely version` would print %s, not %s; Go takes the highest of the commit's tags", info.Main.Version, r.version)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return made{}, err
	}
	files := []artifact.File{{Name: program, Mode: 0o755, Content: content}}
	for _, name := range []string{"LICENSE", "README.md", "README.zh-CN.md"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return made{}, err
		}
		files = append(files, artifact.File{Name: name, Mode: 0o644, Content: content})
	}
	pack, extension := artifact.TarGz, ".tar.gz"
	if platform.OS == "windows" {
		pack, extension = artifact.Zip, ".zip"
	}
	archive, err := pack(files, r.commit)
	name := strings.Join([]string{"routinely", r.version, platform.OS, platform.Arch}, "_") + extension
	return made{name, archive, info}, err
}

// function builds a function and packs it as it is uploaded.
func (r release) function(ctx context.Context, name, scratch string) (made, error) {
	path := filepath.Join(scratch, name, artifact.Handler)
	if err := artifact.BuildFunction(ctx, name, path, r.stderr); err != nil {
		return made{}, err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return made{}, err
	}
	archive, err := artifact.FunctionZip(path)
	return made{name + ".zip", archive, info}, err
}

// checksums returns what `sha256sum -c` reads.
func checksums(files map[string][]byte) []byte {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return []byte(out.String())
}
