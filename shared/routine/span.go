package routine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Span is how long a routine is to live, in whole seconds. Its text is a number and a unit, such as 72h.
type Span time.Duration

// MaxSpan is the longest span of any deployment.
const MaxSpan = Span(10 * 365 * 24 * time.Hour)

// String writes the span in hours if it is whole hours, or else in minutes or seconds.
func (s Span) String() string {
	d := time.Duration(s)
	switch {
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// ParseSpan reads a span: numbers with the units d, h, m and s, such as 7d, 72h or 1h30m. detail says what is wrong with it; empty if nothing is.
func ParseSpan(text string) (s Span, detail string) {
	given := text
	var days time.Duration
	if number, rest, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Sprintf("%q is not a time such as 72h, 7d or 90m", clip(given))
		}
		days, text = time.Duration(n)*24*time.Hour, rest
	}
	var rest time.Duration
	if text != "" || days == 0 {
		var err error
		if rest, err = time.ParseDuration(text); err != nil || text == "0" || strings.ContainsAny(text, "+-.nµu") { // a lone 0 needs no unit there
			return 0, fmt.Sprintf("%q is not a time such as 72h, 7d or 90m", clip(given))
		}
	}
	switch s = Span(days + rest); {
	case s <= 0 || time.Duration(s)%time.Second != 0:
		return 0, fmt.Sprintf("%q is not a number of whole seconds above 0", clip(given))
	case s > MaxSpan:
		return 0, fmt.Sprintf("%q is longer than %s, the longest time possible", clip(given), MaxSpan)
	}
	return s, ""
}

// MarshalJSON writes the text of String.
func (s Span) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads what ParseSpan reads.
func (s *Span) UnmarshalJSON(text []byte) error {
	var given string
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	read, detail := ParseSpan(given)
	if detail != "" {
		return fmt.Errorf("a span of time: %s", detail)
	}
	*s = read
	return nil
}
