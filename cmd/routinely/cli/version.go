package cli

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// build describes this program.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionOf() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

// Build describes this program, for a report about it: version, revision, Go and platform.
func Build() any { return versionOf() }

// line is all of it on one.
func (b build) line() string {
	words := []string{"routinely", b.Version}
	if b.Revision != "" {
		words = append(words, b.Revision)
	}
	return strings.Join(append(words, b.Go, b.Platform), " ")
}

func (a *App) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := versionOf()
			modified := ""
			if b.Modified {
				modified = " with changes"
			}
			return a.Show(b, Fields{
				{"version", b.Version}, {"revision", b.Revision + modified}, {"time", b.Time}, {"go", b.Go}, {"platform", b.Platform},
			})
		},
	}
}
