package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

const (
	stars = "***"
	// shortest is how many letters and digits a part of a secret has at least to be hidden by itself. Shorter ones are words of the language.
	shortest = 8
)

// colour is an escape sequence of a terminal.
var colour = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// mask returns the text with stars for each secret. Whoever prints a secret may have wrapped it, indented it or escaped it as JSON, so only
// its letters and digits are compared. Hidden are whole secrets, the parts of lists, and each long text inside a JSON document.
func mask(text string, secrets []string) string {
	text = colour.ReplaceAllString(text, "")
	bare, at := strip(text)
	hidden := make([]bool, len(text))
	for _, secret := range parts(secrets) {
		wanted, _ := strip(secret)
		for from := 0; ; {
			found := bytes.Index(bare[from:], wanted)
			if found < 0 {
				break
			}
			from += found
			for i := at[from]; i <= at[from+len(wanted)-1]; i++ {
				hidden[i] = true
			}
			from++
		}
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			out.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			out.WriteString(stars)
		}
	}
	return out.String()
}

// strip returns the letters and digits of a text, and where each of them is. The letter of a JSON escape such as \n is none.
func strip(text string) (bare []byte, at []int) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == 'u' {
				i = min(i+4, len(text))
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			bare, at = append(bare, c), append(at, i)
		}
	}
	return bare, at
}

// parts are the secrets and what they are made of, without those that are too short to be hidden.
func parts(secrets []string) []string {
	var all []string
	for _, secret := range secrets {
		all = append(all, secret)
		all = append(all, strings.FieldsFunc(secret, func(r rune) bool { return strings.ContainsRune(", \n", r) })...)
		var document any
		if json.Unmarshal([]byte(secret), &document) == nil {
			all = append(all, texts(document)...)
		}
	}
	var out []string
	for _, one := range all {
		if bare, _ := strip(one); len(bare) >= shortest {
			out = append(out, one)
		}
	}
	return out
}

// texts are the values of a JSON document that are texts.
func texts(value any) []string {
	var out []string
	switch value := value.(type) {
	case string:
		out = append(out, value)
	case []any:
		for _, inner := range value {
			out = append(out, texts(inner)...)
		}
	case map[string]any:
		for _, inner := range value {
			out = append(out, texts(inner)...)
		}
	}
	return out
}
