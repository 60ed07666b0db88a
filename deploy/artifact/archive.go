package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Handler is the name of the file that runtime go1 starts, and the property handler in s.yaml.
const Handler = "main"

// File is a file in an archive.
type File struct {
	Name    string
	Mode    fs.FileMode // the permissions alone
	Content []byte
}

// Earliest is the earliest time that the zip format can hold: that of files that have none.
func Earliest() time.Time { return time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC) }

// FunctionZip returns a zip file that holds the binary as an executable file named main, of the earliest time.
func FunctionZip(binary string) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	return Zip([]File{{Handler, 0o755, content}}, Earliest())
}

// sorted returns the files in the order of their names.
func sorted(files []File) []File {
	return slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}

// Zip returns a zip file that holds the files, all with that modification time.
func Zip(files []File, modified time.Time) ([]byte, error) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, file := range sorted(files) {
		header := &zip.FileHeader{Name: file.Name, Method: zip.Deflate, Modified: modified.UTC()}
		header.SetMode(file.Mode)
		w, err := z.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(file.Content); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

// TarGz returns a compressed tar file that holds the files, all with that modification time, in whole seconds. They belong to user 0,
// without names of users; the header of gzip names neither a file nor a time.
func TarGz(files []File, modified time.Time) ([]byte, error) {
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	t := tar.NewWriter(compressed)
	for _, file := range sorted(files) {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: file.Name, Mode: int64(file.Mode.Perm()), Size: int64(len(file.Content)),
			ModTime: modified.Truncate(time.Second), Format: tar.FormatUSTAR,
		}
		if err := t.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := t.Write(file.Content); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}
