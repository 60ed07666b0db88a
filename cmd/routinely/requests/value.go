package requests

import (
	"fmt"
	"strings"
)

// Value is what was written for a member as text, in a cell or behind a flag, as JSON has it. A truth value may be in the capitals that spreadsheets
// write; records and environments have spaces between them, and labels semicolons. Everything else is a text, which a request may have for a number, too.
func Value(member, text string) (any, error) {
	text = strings.TrimSpace(text)
	switch lower := strings.ToLower(text); fieldOf(member) {
	case "hasAssets", "protected":
		if lower == "true" || lower == "false" {
			return lower == "true", nil
		}
	case "records":
		return Records(strings.Fields(text), ""), nil
	case "environments":
		return strings.Fields(text), nil
	case "labels":
		return Labels(strings.Split(text, ";"))
	}
	return text, nil
}

// Record is a host name of a request, as JSON has it.
type Record struct {
	RecordName string `json:"recordName"`
	SiteID     string `json:"siteId,omitempty"`
}

// Records reads host names, each alone or as HOST@SITEID. siteID is that of a host name alone; empty leaves it to the service to find the site. Their rules
// are not looked at.
func Records(given []string, siteID string) []Record {
	records := make([]Record, len(given))
	for i, text := range given {
		records[i] = Record{text, siteID}
		if name, id, found := strings.Cut(text, "@"); found && id != "" {
			records[i] = Record{name, id}
		}
	}
	return records
}

// Labels reads pairs written as key=value. Empty texts are passed over.
func Labels(pairs []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, pair := range pairs {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		_, twice := labels[key]
		switch {
		case !found || key == "" || value == "":
			return nil, fmt.Errorf("%q is not a label such as team=web", pair)
		case twice:
			return nil, fmt.Errorf("the label %s is given more than once", key)
		}
		labels[key] = value
	}
	return labels, nil
}
