package auth

// ParsePublished is Parse for the vectors of those who publish theirs: it takes secrets that everybody knows.
func ParsePublished(text string) (*Guard, error) {
	return parse(text, func([]byte) string { return "" })
}
