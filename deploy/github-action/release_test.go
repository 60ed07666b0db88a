package githubaction_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"routinely/deploy/artifact"
	"routinely/deploy/local/localtest"
)

// fakeTool is what the archive of a release holds here: it says that it was run, with which address and how it was asked.
const fakeTool = `#!/bin/sh
echo "was run: $ROUTINELY_URL $* ${INPUT_TOKEN-without inputs} $ROUTINELY_TOKEN" >&2
echo '::set-output name=url::https://evil.example.com' >&2
echo '{"jobId":"job-1","state":"succeeded"}'
`

// release serves version v0.2.0 with a file of checksums.
func release(t *testing.T, archive []byte, checksums string) (url string) {
	t.Helper()
	name := fmt.Sprintf("routinely_v0.2.0_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	files := map[string]string{"/v0.2.0/" + name: string(archive), "/v0.2.0/checksums.txt": strings.ReplaceAll(checksums, "ARCHIVE", name)}
	return localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, is := files[r.URL.Path]
		if !is {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	}), nil)
}

func TestRelease(t *testing.T) {
	node(t)
	archive, err := artifact.TarGz([]artifact.File{{Name: "LICENSE", Mode: 0o644}, {Name: "routinely", Mode: 0o755, Content: []byte(fakeTool)}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(archive))
	other := strings.Repeat("0", 64)
	for _, test := range []struct {
		name, version, sha256, checksums string
		archive                          []byte
		want                             string // what is said if the tool is not run
	}{
		{name: "is run if the checksum of the release is right", version: "v0.2.0", checksums: other + "  other.tar.gz\n" + sum + "  ARCHIVE\n", archive: archive},
		{name: "is run if the checksum of the workflow is right", version: "v0.2.0", sha256: sum, checksums: other + "  ARCHIVE\n", archive: archive},
		{name: "is refused with another checksum", version: "v0.2.0", checksums: other + "  ARCHIVE\n", archive: archive, want: "does not have the SHA-256 " + other},
		{name: "is refused with another checksum of the workflow", version: "v0.2.0", sha256: other, checksums: sum + "  ARCHIVE\n", archive: archive, want: "does not have the SHA-256 " + other},
		{name: "is refused without a checksum", version: "v0.2.0", checksums: sum + "  other_ARCHIVE\n", archive: archive, want: "checksums.txt does not name routinely_v0.2.0_"},
		{name: "is refused if it is no archive", version: "v0.2.0", checksums: fmt.Sprintf("%x  ARCHIVE\n", sha256.Sum256(nil)), want: "tar cannot read"},
		{name: "is refused in a version that there is not", version: "v0.3.0", archive: archive, want: "checksums.txt of v0.3.0: the answer is 404"},
		{name: "is refused in a version that is none", version: "../v0.2.0", archive: archive, want: "version: want the version of a release"},
		{name: "is refused without a version", archive: archive, want: "version: want the version of a release"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := run{
				inputs: map[string]string{
					"url": "https://accept.example.com", "token": "secret-token", "host": "{name}.example.com", "name": "shop", "version": test.version,
					"sha256": test.sha256, "releases": release(t, test.archive, test.checksums),
				},
				event: "push", branch: "main", payload: map[string]any{},
			}.start(t)
			if test.want != "" {
				if e.code != 1 || !strings.Contains(e.log, "::error::") || !strings.Contains(e.log, test.want) || strings.Contains(e.log, "was run") || len(e.outputs) > 0 {
					t.Errorf("exit code %d, %v, %s", e.code, e.outputs, e.log)
				}
				return
			}
			const said = "was run: https://accept.example.com submit --name=shop --record=shop.example.com --wait --output=json --expires-in=72h --timeout=10m without inputs ***\n"
			if e.code != 0 || !strings.Contains(e.log, said) || e.outputs["job-id"] != "job-1" {
				t.Errorf("exit code %d, %v, %s", e.code, e.outputs, e.log)
			}
			lines := strings.Split(e.log, "\n")
			if guard, is := strings.CutPrefix(lines[0], "::stop-commands::"); !is || lines[3] != "::"+guard+"::" {
				t.Errorf("GitHub would obey what the tool says: %s", e.log)
			}
		})
	}
	t.Run("does not come over http from elsewhere", func(t *testing.T) {
		e := run{
			inputs: map[string]string{"url": "https://accept.example.com", "token": "t0ken", "host": "{name}.example.com", "version": "v0.2.0", "releases": "http://example.com"},
			event:  "push", branch: "main", payload: map[string]any{},
		}.start(t)
		if e.code != 1 || !strings.Contains(e.log, "::error::releases: want an https address") {
			t.Errorf("exit code %d, %s", e.code, e.log)
		}
	})
}

func TestTool(t *testing.T) {
	node(t)
	for _, test := range []struct{ name, tool, want string }{
		{"that is killed fails the step", "#!/bin/sh\nkill -9 $$\n", "::error::The preview shop is failed: routinely ended with 1."},
		{"that says no JSON fails the step", "#!/bin/sh\necho hello\n", "::error::Unexpected token"},
		{"that is not there fails the step", "", "::error::spawn "},
	} {
		t.Run(test.name, func(t *testing.T) {
			tool := filepath.Join(t.TempDir(), "routinely")
			if test.tool != "" {
				if err := os.WriteFile(tool, []byte(test.tool), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			e := run{
				inputs: map[string]string{"url": "https://accept.example.com", "token": "secret-token", "host": "{name}.example.com", "name": "shop", "binary": tool},
				event:  "push", branch: "main", payload: map[string]any{},
			}.start(t)
			if e.code != 1 || !strings.Contains(e.log, test.want) {
				t.Errorf("exit code %d, %s", e.code, e.log)
			}
		})
	}
}
