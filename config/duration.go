package config

import (
	"fmt"
	"strconv"
	"time"
)

// Duration is a time span, in the file a string in Go's notation such as "90s" or "1h30m".
// A number without a unit is rejected, because the unit would be a guess.
type Duration time.Duration

// UnmarshalTOML takes a string; its errors show a correct value.
func (d *Duration) UnmarshalTOML(value any) error {
	switch value := value.(type) {
	case string:
		if _, err := strconv.ParseFloat(value, 64); err == nil && value != "0" {
			return fmt.Errorf("%q has no unit; write %q", value, value+"s")
		}
		span, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf(`%q is not a time span; write for example "90s" or "1h30m"`, value)
		}
		*d = Duration(span)
		return nil
	case int64:
		return fmt.Errorf(`%d has no unit; write "%ds"`, value, value)
	}
	return fmt.Errorf(`found %s; write for example "90s" or "1h30m"`, describe(value))
}

// String returns Go's notation, from which d can be read again.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText is [Duration.String]; it never fails.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
