package artifact_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/artifact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is a file as an archive holds it.
type entry struct{ Name, Mode, Modified, Content string }

// commit is a time in another zone, with a fraction of a second.
func commit() time.Time { return time.Date(2026, 12, 1, 9, 30, 12, 345, time.FixedZone("", 8*3600)) }

func files() []artifact.File {
	return []artifact.File{{Name: "routinely", Mode: 0o755, Content: []byte("program")}, {Name: "LICENSE", Mode: 0o644, Content: []byte("text")}}
}

// want is what files and commit become.
func want() []entry {
	return []entry{
		{"LICENSE", "-rw-r--r--", "2026-12-01T01:30:12Z", "text"},
		{"routinely", "-rwxr-xr-x", "2026-12-01T01:30:12Z", "program"},
	}
}

func TestTarGz(t *testing.T) {
	archive, err := artifact.TarGz(files(), commit())
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var headers []*tar.Header
	var got []entry
	r := tar.NewReader(compressed)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, header)
		got = append(got, entry{header.Name, header.FileInfo().Mode().String(), header.ModTime.UTC().Format(time.RFC3339Nano), string(content)})
	}
	t.Run("holds the files in the order of their names", func(t *testing.T) {
		if diff := cmp.Diff(want(), got); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
	t.Run("names no user", func(t *testing.T) {
		for _, h := range headers {
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
				t.Errorf("%s belongs to %d %q, %d %q", h.Name, h.Uid, h.Uname, h.Gid, h.Gname)
			}
		}
	})
	t.Run("has neither name nor time in the header of gzip", func(t *testing.T) {
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
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var got []entry
	for _, f := range r.File {
		opened, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{f.Name, f.Mode().String(), f.Modified.UTC().Format(time.RFC3339Nano), string(content)})
	}
	if diff := cmp.Diff(want(), got); diff != "" {
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
