package artifact_test

import (
	"bytes"
	"compress/gzip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/artifact"
	"routinely/deploy/artifact/archivetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// commit is a time in another zone, with a fraction of a second.
func commit() time.Time { return time.Date(2026, 12, 1, 9, 30, 12, 345, time.FixedZone("", 8*3600)) }

func files() []artifact.File {
	return []artifact.File{{Name: "routinely", Mode: 0o755, Content: []byte("program")}, {Name: "LICENSE", Mode: 0o644, Content: []byte("text")}}
}

// want is what files and commit become, in an archive that names an owner.
func want(owner string) []archivetest.Entry {
	return []archivetest.Entry{
		{Name: "LICENSE", Mode: "-rw-r--r--", Modified: "2026-12-01T01:30:12Z", Owner: owner, Content: []byte("text")},
		{Name: "routinely", Mode: "-rwxr-xr-x", Modified: "2026-12-01T01:30:12Z", Owner: owner, Content: []byte("program")},
	}
}

func TestTarGz(t *testing.T) {
	archive, err := artifact.TarGz(files(), commit())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("holds the files in the order of their names, and names no user", func(t *testing.T) {
		if diff := cmp.Diff(want(`0 "" 0 ""`), archivetest.Read(t, "x.tar.gz", archive)); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
	t.Run("has neither name nor time in the header of gzip", func(t *testing.T) {
		compressed, err := gzip.NewReader(bytes.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		if compressed.Name != "" || compressed.Comment != "" || !compressed.ModTime.IsZero() {
			t.Errorf("header %+v", compressed.Header)
		}
	})
}

func TestZip(t *testing.T) {
	archive, err := artifact.Zip(files(), commit())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want(""), archivetest.Read(t, "x.zip", archive)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	t.Run("holds the same bytes whatever the time zone", func(t *testing.T) {
		again, err := artifact.Zip(files(), commit().UTC())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(archive, again) {
			t.Error("the two archives differ")
		}
	})
}
