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

// secretBytes is how many random bytes a secret of the stack's own has.
const secretBytes = 32

// addSecrets gives the configuration those secrets that it lacks. They are the stack's own and outlive it in the data directory, as messages
// and the receivers of callbacks do.
func addSecrets(cfg *Config) error {
	for _, s := range []struct {
		value        *string
		file, prefix string
		encoding     *base64.Encoding
	}{
		{&cfg.MessageKeys, "message-keys", "local:", base64.RawURLEncoding},
		{&cfg.CallbackSecrets, "callback-secrets", "whsec_", base64.StdEncoding},
	} {
		if *s.value != "" {
			continue
		}
		kept, err := keep(filepath.Join(cfg.Dir, s.file), func(random []byte) string { return s.prefix + s.encoding.EncodeToString(random) })
		if err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		*s.value = kept
	}
	return nil
}

// keep returns the secret that a file holds. If there is no file, it makes one with a new secret, which text writes.
func keep(path string, text func(random []byte) string) (string, error) {
	content, err := os.ReadFile(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(content)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails
	made := text(random)
	return made, os.WriteFile(path, []byte(made+"\n"), 0o600)
}
