// Package archivetest reads archives for tests of what is packed. It makes none: package artifact does.
package archivetest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"
)

// Entry is a file as an archive holds it.
type Entry struct {
	// Mode is as in ls -l, and Modified in UTC (RFC 3339).
	Name, Mode, Modified string
	// Owner are the ids and names of user and group in a tar; empty in a zip, which has none.
	Owner   string
	Content []byte
}

// Read returns what is in an archive, in its order: in a zip if its name ends so, otherwise in a tar that gzip has compressed.
func Read(t testing.TB, name string, archive []byte) []Entry {
	t.Helper()
	read := readTarGz
	if strings.HasSuffix(name, ".zip") {
		read = readZip
	}
	entries, err := read(archive)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func readTarGz(archive []byte) (out []Entry, err error) {
	compressed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	r := tar.NewReader(compressed)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		one, err := entry(header.FileInfo(), header.Name, r)
		if err != nil {
			return nil, err
		}
		one.Owner = fmt.Sprintf("%d %q %d %q", header.Uid, header.Uname, header.Gid, header.Gname)
		out = append(out, one)
	}
}

func readZip(archive []byte) (out []Entry, err error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	for _, f := range r.File {
		opened, err := f.Open()
		if err != nil {
			return nil, err
		}
		one, err := entry(f.FileInfo(), f.Name, opened)
		if err = errors.Join(err, opened.Close()); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func entry(info fs.FileInfo, name string, r io.Reader) (Entry, error) {
	content, err := io.ReadAll(r)
	return Entry{Name: name, Mode: info.Mode().String(), Modified: info.ModTime().UTC().Format(time.RFC3339Nano), Content: content}, err
}
