package command

import (
	"os"
	"path/filepath"
	"strconv"
)

// mark says in .local, if there is one here, that this process uses what is in it, until unmark is called. `make clean` looks there.
func mark() (unmark func(), err error) {
	if _, err := os.Stat(".local"); err != nil {
		return func() {}, nil
	}
	running := filepath.Join(".local", "running")
	if err := os.MkdirAll(running, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(running, strconv.Itoa(os.Getpid()))
	return func() { _ = os.Remove(file) }, os.WriteFile(file, nil, 0o600)
}
