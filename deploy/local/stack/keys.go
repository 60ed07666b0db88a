package stack

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keysFile holds the key under which the functions seal their messages, in the data directory: messages outlive a stack.
const keysFile = "message-keys"

// messageKeys are those of the configuration, else the one of the data directory, which is made if there is none.
func messageKeys(cfg Config) (string, error) {
	if cfg.MessageKeys != "" {
		return cfg.MessageKeys, nil
	}
	path := filepath.Join(cfg.Dir, keysFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(text)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("message keys: %w", err)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	key := "local:" + base64.RawURLEncoding.EncodeToString(random)
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("message keys: %w", err)
	}
	return key, nil
}
